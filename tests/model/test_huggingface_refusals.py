"""Model folders that are refused, each with one line that names the file and the field."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.encoder import Encoder, EncoderConfig
from model.huggingface import ModelFileError, load_config, load_encoder, save_encoder

CONFIG = EncoderConfig(vocabulary=50, hidden=24, layers=2, heads=4, intermediate=40, positions=16)


@pytest.fixture
def folder(tmp_path):
    """A folder that can be loaded."""
    save_encoder(Encoder(CONFIG), tmp_path / "bert")
    return tmp_path / "bert"


def reconfigure(folder, **changes):
    """Change config.json; None takes a key away."""
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def rewrite(folder, change):
    """Change the tensors of a folder."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


BERT = "; is this the config.json of a BERT?"
ACTIVATION = "hidden_act: must be one of gelu, gelu_new, gelu_pytorch_tanh, relu, not "
CONFIG_CASES = [
    ({"model_type": "roberta"}, "model_type: must be 'bert', not 'roberta'"),
    ({"model_type": None}, "model_type: must be given, not missing" + BERT),
    ({"vocab_size": None}, "vocab_size: must be given, not missing" + BERT),
    ({"intermediate_size": None}, "intermediate_size: must be given, not missing" + BERT),
    (
        {"position_embedding_type": "relative_key"},
        "position_embedding_type: must be 'absolute', not 'relative_key'",
    ),
    ({"is_decoder": True}, "is_decoder: must be False, not True"),
    ({"is_encoder_decoder": True}, "is_encoder_decoder: must be False, not True"),
    ({"add_cross_attention": True}, "add_cross_attention: must be False, not True"),
    ({"pruned_heads": {"0": [1]}}, "pruned_heads: must be {}, not {'0': [1]}"),
    ({"quantization_config": {"bits": 8}}, "quantization_config: must be absent, not {'bits': 8}"),
    ({"auto_map": {"AutoModel": "own.Model"}}, "auto_map: must be absent, not {'AutoModel': 'own.Model'}"),
    ({"hidden_act": "silu"}, ACTIVATION + "'silu'"),
    (
        {"hidden_act": "gelu_tanh"},
        ACTIVATION + "'gelu_tanh'; did you mean 'gelu_new'?",
    ),
    ({"hidden_act": ["gelu"]}, ACTIVATION + "['gelu']"),
    ({"hidden_size": 4100}, "hidden_size: must be an integer from 1 to 4096, not 4100"),
    ({"num_hidden_layers": 2.0}, "num_hidden_layers: must be an integer from 1 to 48, not 2.0"),
    ({"num_attention_heads": 5}, "hidden_size: must be a multiple of heads, 5, not 24"),
    ({"layer_norm_eps": "0"}, "layer_norm_eps: must be a number above 0 and at most 0.1, not '0'"),
    ({"hidden_dropout_prob": 1}, "hidden_dropout_prob: must be a number from 0 to below 1, not 1"),
    (
        {"attention_probs_dropout_prob": 0.2},
        "attention_probs_dropout_prob: must be 0.1 as hidden_dropout_prob, not 0.2; the encoder has one rate for both",
    ),
]


@pytest.mark.parametrize(("changes", "message"), CONFIG_CASES, ids=range(len(CONFIG_CASES)))
def test_configs_that_do_not_fit(folder, refused, changes, message):
    reconfigure(folder, **changes)
    assert refused(ModelFileError, load_encoder, folder) == f"{folder / 'config.json'}: {message}"


def test_config_defaults_are_berts(folder):
    absent = ("type_vocab_size", "hidden_act", "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob")
    reconfigure(folder, position_embedding_type=None, max_position_embeddings=None, **dict.fromkeys(absent))
    assert load_config(folder) == replace(CONFIG, positions=512)


STRICT = "file: must be strict JSON, not text in which "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", STRICT + "'Expecting value: line 1 column 1 (char 0)'"),
        (b'{"a": 1', STRICT + "\"Expecting ',' delimiter: line 1 column 8 (char 7)\""),
        (b'{"a": 1, "a": 2}', STRICT + "'a key stands twice'"),
        (b"[]", "file: must be a JSON object, not []"),
        (b'{"\xff": 1}', STRICT + "\"'utf-8' codec can't decode byte 0xff in position 2: invalid start byte\""),
        (b" " * ((1 << 20) + 1), "file: must be at most 1048576 bytes, not 1048577"),
    ],
    ids=range(6),
)
def test_configs_that_are_not_json(folder, refused, text, message):
    path = folder / "config.json"
    path.write_bytes(text)
    assert refused(ModelFileError, load_encoder, folder) == f"{path}: {message}"


def test_configs_that_nest_too_deep(folder, refused):
    """The rest of the message is Python's own."""
    path = folder / "config.json"
    path.write_bytes(b'{"a": ' + b"[" * 100_000)
    assert refused(ModelFileError, load_encoder, folder).startswith(f"{path}: {STRICT}")


def test_configs_that_are_no_files(tmp_path, refused):
    def message():
        return refused(ModelFileError, load_config, tmp_path).removeprefix(f"{tmp_path / 'config.json'}: ")

    assert message() == "file: must be usable, not fail with: No such file or directory"
    (tmp_path / "config.json").mkdir()
    assert message() == "file: must be a regular file, not a folder"
    (tmp_path / "config.json").rmdir()
    os.mkfifo(tmp_path / "config.json")
    assert message() == "file: must be a regular file, not a device or pipe"


QUERY = "encoder.layer.1.attention.self.query.weight"
ANY = "F32, F16 or BF16 "
TWICE = "pooler.dense.bias: must be stored once, not as bert.pooler.dense.bias and as pooler.dense.bias"
OTHER = "tensor name: must be one of this encoder's, not "


def without(*keys):
    def change(tensors):
        for key in keys:
            del tensors[key]

    return change


def stored(**tensors):
    """Return a change that stores tensors, `x__y` standing for x.y."""
    return lambda all_tensors: all_tensors.update({key.replace("__", "."): each for key, each in tensors.items()})


def query(tensor):
    return lambda tensors: tensors.update({QUERY: tensor})


def one_value(value):
    return lambda tensors: tensors[QUERY][3, 5:6].fill_(value)


WEIGHT_CASES = [
    (without("pooler.dense.bias"), f"pooler.dense.bias: must be {ANY}[24], not missing"),
    (
        without("pooler.dense.bias", "pooler.dense.weight"),
        f"pooler.dense.weight: must be {ANY}[24, 24], not missing, with 1 others",
    ),
    (query(torch.zeros(24, 23)), f"{QUERY}: must be {ANY}[24, 24], not F32 [24, 23]"),
    (query(torch.zeros(24 * 24)), f"{QUERY}: must be {ANY}[24, 24], not F32 [576]"),
    (query(torch.zeros(24, 24).double()), f"{QUERY}: must be {ANY}[24, 24], not F64 [24, 24]"),
    (query(torch.zeros(24, 24).to(torch.int8)), f"{QUERY}: must be {ANY}[24, 24], not I8 [24, 24]"),
    (one_value(torch.nan), f"{QUERY}: must be finite, not infinite or NaN"),
    (one_value(-torch.inf), f"{QUERY}: must be finite, not infinite or NaN"),
    (stored(bert__pooler__dense__bias=torch.zeros(24)), TWICE),
    (stored(pooler__bias=torch.zeros(24)), OTHER + "'pooler.bias'; did you mean 'pooler.dense.bias'?"),
    (
        stored(encoder__layer__2__output__dense__bias=torch.zeros(24)),
        OTHER + "'encoder.layer.2.output.dense.bias'; did you mean 'encoder.layer.1.output.dense.bias'?",
    ),
    (stored(**{"x\ny": torch.zeros(1)}), OTHER + "'x\\ny'"),
]


@pytest.mark.parametrize(("change", "message"), WEIGHT_CASES, ids=range(len(WEIGHT_CASES)))
def test_weights_that_do_not_fit(folder, refused, change, message):
    rewrite(folder, change)
    assert refused(ModelFileError, load_encoder, folder) == f"{folder / 'model.safetensors'}: {message}"


def test_a_huge_config_allocates_nothing(folder, refused, monkeypatch):
    """The shapes are compared before a weight has memory to be drawn into."""
    monkeypatch.setattr(torch.Tensor, "normal_", None)
    reconfigure(folder, hidden_size=4096)
    message = f"embeddings.LayerNorm.bias: must be {ANY}[4096], not F32 [24]"
    assert refused(ModelFileError, load_encoder, folder) == f"{folder / 'model.safetensors'}: {message}"


LAYOUT = "file: must be whole and in safetensors layout, not fail with {}; get the file again"
FOREIGN = "file: must be in safetensors layout, not "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], LAYOUT.format("'incomplete metadata, file not fully covered'")),
        (lambda data: data + b"x", LAYOUT.format("'incomplete metadata, file not fully covered'")),
        (lambda data: data[:1000], "header length: must be at most the 992 bytes that follow it, not 4000"),
        (lambda data: data[:9], "file: must be at least 10 bytes, not 9"),
        (lambda data: b"", "file: must be at least 10 bytes, not 0"),
        (lambda data: bytes(8) + data[8:], "header length: must be from 2 to 4194304, not 0"),
        (lambda data: b"\xff" * 8 + data[8:], f"header length: must be from 2 to 4194304, not {(1 << 64) - 1}"),
        (lambda data: b"PK\x03\x04" + data, FOREIGN + "a zip archive"),
        (lambda data: b"\x80\x02" + data, FOREIGN + "a pickle"),
        (lambda data: b"version 1\nsize 5\n", FOREIGN + "a Git LFS pointer, which stands for the file"),
    ],
    ids=range(10),
)
def test_files_that_are_not_whole(folder, refused, change, message):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    path.write_bytes(change(data))
    expected = message.replace("4000", str(length))
    assert refused(ModelFileError, load_encoder, folder) == f"{path}: {expected}"


def test_every_truncation_is_refused(folder, refused):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for size in [*range(20), *range(20, len(data), 997)]:
        path.write_bytes(data[:size])
        assert refused(ModelFileError, load_encoder, folder).startswith(f"{path}: ")


def test_weights_that_are_no_file(folder, refused):
    path = folder / "model.safetensors"
    path.unlink()
    assert (
        refused(ModelFileError, load_encoder, folder)
        == f"{folder}: model.safetensors: must be there as one file, not missing"
    )
    path.mkdir()
    assert refused(ModelFileError, load_encoder, folder) == f"{path}: file: must be a regular file, not a folder"


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_shards(folder, refused, index):
    (folder / "model.safetensors").unlink()
    (folder / index).write_text("{}")
    (folder / "pytorch_model-00001-of-00002.bin").write_text("")
    assert refused(ModelFileError, load_encoder, folder) == (
        f"{folder}: model.safetensors: must be there as one file, not shards with {index}; "
        "save the model again as one shard"
    )


def pickled(folder, name="pytorch_model.bin"):
    """Put a checkpoint of torch in place of the weights, two names of it being the same memory as in real ones."""
    path = folder / "model.safetensors"
    tensors = {f"bert.{key}": tensor for key, tensor in load_file(path).items()}
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["bert.pooler.dense.weight"] = tensors["bert.pooler.dense.weight"].T.contiguous().T
    path.unlink()
    torch.save(tensors, folder / name)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "w.pth", "model.pkl", "last.ckpt"])
def test_pickles_are_not_read(folder, refused, name):
    pickled(folder, name)
    (folder / "training_args.bin").write_bytes(b"")
    (folder / ("a.pt" if name == "pytorch_model.bin" else "zzz.pt")).write_bytes(b"")
    assert refused(ModelFileError, load_encoder, folder) == (
        f"{folder}: model.safetensors: must be there as one file, not {name}: a pickle can run code when it is read; "
        "convert it with python -c 'import sys, torch; from safetensors.torch import save_file; "
        'weights = torch.load(sys.argv[1], map_location="cpu", weights_only=True); '
        'save_file({k: v.contiguous().clone() for k, v in weights.items()}, sys.argv[2], {"format": "pt"})\' '
        f"{folder / name} {folder / 'model.safetensors'}"
    )


def test_the_conversion_in_the_message_works(tmp_path, refused):
    """In a folder whose name a shell would take apart."""
    folder = tmp_path / "it's my $model"
    exact = Encoder(CONFIG)
    save_encoder(exact, folder)
    pickled(folder)
    message = refused(ModelFileError, load_encoder, folder)
    command = message.partition("convert it with ")[2]
    assert command.startswith("python -c ")
    subprocess.run(command.replace("python", f"'{sys.executable}'", 1), shell=True, check=True, timeout=120)
    for name, tensor in load_encoder(folder).state_dict().items():
        assert torch.equal(tensor, exact.state_dict()[name]), name


def test_a_pickle_beside_the_weights_does_not_matter(folder):
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    load_encoder(folder)

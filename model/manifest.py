"""The manifest of a network file: JSON of operations, members and hashes, of one form, and read without trust."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.checks import (
    NetworkError,
    canonical_json,
    nearest,
    refuse,
    require,
    require_choice,
    require_keys,
    require_name,
    show,
    strict_object,
)
from model.fields import LONGEST_NAME, attributes, tensors
from model.operation import OPERATIONS, Operation

FORMAT = "tallybert-network-2"
METADATA_KEYS = ("format", "manifest", "manifest_sha256")

Arrays = Mapping[str, NDArray[Any]]


def sha256(data: bytes | memoryview) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def operation_entry(operation: Operation) -> dict[str, Any]:
    """Return an operation as it stands in the manifest."""
    own = {name: getattr(operation, name) for name in attributes(type(operation))}
    return {"op": operation.op, "name": operation.name, "sources": list(operation.sources), **own}


def operation_tensors(operations: Sequence[Operation]) -> dict[str, NDArray[Any]]:
    """Return the tensors of operations by their names in the file."""
    return {f"{at.name}.{part}": array for at in operations for part, array in at.arrays.items()}


def read_operations(entries: Any, found: Arrays) -> tuple[Operation, ...]:
    """Return the operations of a manifest, with their tensors."""
    require(isinstance(entries, list) and len(entries) > 0, "operations", "a list of operations", entries)
    return tuple(_operation(f"operations[{index}]", entry, found) for index, entry in enumerate(entries))


def metadata_of(manifest: dict[str, Any], arrays: Arrays) -> dict[str, str]:
    """Return the metadata of a file: the manifest, with the tensors' hashes, as text, and its own hash."""
    hashes = {name: _tensor_sha256(array) for name, array in arrays.items()}
    text = canonical_json({**manifest, "tensors": hashes})
    return {"format": FORMAT, "manifest": text, "manifest_sha256": sha256(text.encode())}


def read_manifest(metadata: dict[str, str], arrays: Arrays, keys: Collection[str]) -> dict[str, Any]:
    """Return the manifest of a file's metadata, every hash checked; it has exactly these keys, and `tensors`."""
    found = metadata.get("format")
    require(found == FORMAT, "__metadata__.format", repr(FORMAT), found, "; is this file a network or a checkpoint?")
    require_keys("__metadata__", metadata, METADATA_KEYS)
    try:
        raw = metadata["manifest"].encode()
    except UnicodeEncodeError:
        raise NetworkError("__metadata__.manifest: must be Unicode text, not half of a surrogate pair") from None
    digest, found = sha256(raw), metadata["manifest_sha256"]
    require(found == digest, "__metadata__.manifest_sha256", f"{digest} as the manifest has", found)
    manifest = require_keys("manifest", strict_object("manifest", metadata["manifest"]), (*keys, "tensors"))
    _check_hashes(manifest["tensors"], arrays)
    return manifest


def _operation(where: str, entry: Any, found: Arrays) -> Operation:
    require(isinstance(entry, dict), where, "an object", entry)
    kind = OPERATIONS[require_choice(f"{where}.op", entry.get("op"), OPERATIONS)]
    own = attributes(kind)
    require_keys(where, entry, ("op", "name", "sources", *own))
    name = require_name(f"{where}.name", entry["name"], LONGEST_NAME)
    for part in tensors(kind):
        if f"{name}.{part}" not in found:
            refuse(f"{name}.{part}", f"a tensor of the file for {where}", "absent")
    parts = {part: found[f"{name}.{part}"] for part in tensors(kind)}
    sources = entry["sources"]
    require(isinstance(sources, list), f"{where}.sources", "a list of names", sources)
    try:
        return kind(name, tuple(sources), **{key: entry[key] for key in own}, **parts)
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from None


def _check_hashes(hashes: Any, arrays: Arrays) -> None:
    require(isinstance(hashes, dict), "tensors", "an object of SHA-256 texts", hashes)
    for name in sorted(set(hashes) - set(arrays))[:1]:
        refuse("tensors", "the names of the file's tensors", show(name), nearest(name, arrays))
    for name, array in arrays.items():
        digest = _tensor_sha256(array)
        require(hashes.get(name) == digest, f"tensors.{name}", f"{digest} as its bytes have", hashes.get(name))


def _tensor_sha256(array: NDArray[Any]) -> str:
    return sha256(array.reshape(-1).view(np.uint8).data)

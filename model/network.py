"""The network: what `model` exports and everything else reads. Needs numpy only.

A network is a chain of integer operations on bits. It is kept in one file whose bytes depend on nothing but the
network: see docs/network-format.md.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import tensorfile
from model.bits import padding_is_zero, row_bytes, unpack
from model.checks import (
    MAX_SIZE,
    SETS,
    NetworkError,
    canonical_json,
    nearest,
    refuse,
    require,
    require_choice,
    require_integer,
    require_keys,
    require_name,
    show,
    strict_object,
)

FORMAT = "tallybert-network-1"
INPUT = "input"
PARTS = ("weights", "thresholds", "polarity")
MAX_PROVENANCE = 64
MAX_TEXT = 1000
_LONGEST_NAME = 200 - len(".thresholds")
_OPERATION_KEYS = ("op", "name", "input", "inputs", "outputs", "input_set")
_MANIFEST_KEYS = ("operations", "output", "provenance", "tensors")
_METADATA_KEYS = ("format", "manifest", "manifest_sha256")

__all__ = ["BinaryLayer", "Network", "NetworkError", "read_network", "write_network"]


@dataclass(frozen=True, eq=False)
class BinaryLayer:
    """One binary linear layer with everything up to the next bit folded in.

    Output bit n = (D[n] >= thresholds[n]) XOR polarity[n], where D[n] is the sum over the `inputs` bits of activation x
    weight. Weight bit 1 means +1 and 0 means -1; activation bits mean the same in the signed set and 1, 0 in the
    unsigned one. `weights` is packed, [outputs, ceil(inputs / 8)]. Arrays are read-only.
    """

    name: str
    inputs: int
    outputs: int
    input_set: str
    weights: NDArray[np.uint8]
    thresholds: NDArray[np.int32]
    polarity: NDArray[np.uint8]

    def __post_init__(self) -> None:
        require_name("name", self.name, _LONGEST_NAME)
        require(self.name != INPUT, "name", f"other than {INPUT!r}, which is the network's input", self.name)
        require_integer(f"{self.name}.inputs", self.inputs, 1, MAX_SIZE)
        require_integer(f"{self.name}.outputs", self.outputs, 1, MAX_SIZE)
        require_choice(f"{self.name}.input_set", self.input_set, SETS)
        self._hold("weights", np.dtype("u1"), (self.outputs, row_bytes(self.inputs)))
        self._hold("thresholds", np.dtype("<i4"), (self.outputs,))
        self._hold("polarity", np.dtype("u1"), (self.outputs,))
        self._check_values()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BinaryLayer):
            return NotImplemented
        same = (self.name, self.inputs, self.input_set) == (other.name, other.inputs, other.input_set)
        return same and all(np.array_equal(getattr(self, part), getattr(other, part)) for part in PARTS)

    def __hash__(self) -> int:
        return hash((self.name, self.inputs, self.outputs, self.input_set, self.thresholds.tobytes()))

    @property
    def weight_bits(self) -> NDArray[np.uint8]:
        """The weights as 0s and 1s, [outputs, inputs]."""
        return unpack(self.weights, self.inputs)

    def _hold(self, part: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        array, where = getattr(self, part), f"{self.name}.{part}"
        if not isinstance(array, np.ndarray):
            refuse(where, "a numpy array", f"a {type(array).__name__}")
        if array.dtype != dtype or array.shape != shape:
            refuse(where, f"{dtype.name} {list(shape)}", f"{array.dtype} {list(array.shape)}")
        if array.flags.writeable or not array.flags.c_contiguous:
            array = np.array(array, order="C")
            array.flags.writeable = False
        object.__setattr__(self, part, array)

    def _check_values(self) -> None:
        low, high = -self.inputs, self.inputs + 1
        inside = (self.thresholds >= low) & (self.thresholds <= high)
        self._refuse_first(inside, self.thresholds, "thresholds", f"from {low} to {high}")
        self._refuse_first(self.polarity <= 1, self.polarity, "polarity", "0 or 1")
        tail = padding_is_zero(self.weights, self.inputs)
        self._refuse_first(tail, self.weights[:, -1], "weights", f"0 in the bits after the first {self.inputs}")

    def _refuse_first(self, legal: NDArray[np.bool_], values: NDArray[Any], part: str, expected: str) -> None:
        if not legal.all():
            index = int(np.argmin(legal))
            require(False, f"{self.name}.{part}[{index}]", expected, int(values[index]))


@dataclass(frozen=True, eq=False)
class Network:
    """A chain of layers: the first reads the network's input bits, each other one the bits of the layer before it.

    `provenance` says in texts where the network comes from. Equal networks have the same bytes, hence the same digest.
    """

    layers: tuple[BinaryLayer, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        legal = isinstance(self.layers, (tuple, list)) and all(isinstance(layer, BinaryLayer) for layer in self.layers)
        require(legal and len(self.layers) > 0, "layers", "one or more BinaryLayer objects", self.layers)
        object.__setattr__(self, "layers", tuple(self.layers))
        names = [layer.name for layer in self.layers]
        twice = [name for name, count in Counter(names).items() if count > 1]
        require(not twice, "layers", "of different names", twice[0] if twice else None)
        for before, after in pairwise(self.layers):
            expected = f"{before.outputs}, the outputs of {before.name}"
            require(after.inputs == before.outputs, f"{after.name}.inputs", expected, after.inputs)
        object.__setattr__(self, "provenance", _provenance(self.provenance))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        return self.layers == other.layers and self.provenance == other.provenance

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def inputs(self) -> int:
        """Bits that the network reads."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """Bits that the network gives."""
        return self.layers[-1].outputs

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the bytes of the network file, in hexadecimal."""
        return _sha256(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the network file."""
        tensors = {f"{layer.name}.{part}": getattr(layer, part) for layer in self.layers for part in PARTS}
        manifest = canonical_json(
            {
                "operations": [_operation(self.layers, index) for index in range(len(self.layers))],
                "output": self.layers[-1].name,
                "provenance": dict(self.provenance),
                "tensors": {name: _tensor_sha256(tensor) for name, tensor in tensors.items()},
            }
        )
        metadata = {"format": FORMAT, "manifest": manifest, "manifest_sha256": _sha256(manifest.encode())}
        return tensorfile.encode(tensors, metadata)

    @classmethod
    def from_bytes(cls, data: bytes) -> Network:
        """Return the network of a file's bytes, trusting nothing in them."""
        metadata, tensors = tensorfile.decode(data)
        manifest = _manifest(metadata)
        _check_hashes(manifest["tensors"], tensors)
        entries = manifest["operations"]
        require(isinstance(entries, list) and len(entries) > 0, "operations", "a list of operations", entries)
        layers: list[BinaryLayer] = []
        for index, entry in enumerate(entries):
            layers.append(_layer(f"operations[{index}]", entry, layers[-1].name if layers else INPUT, tensors))
        wanted = {f"{layer.name}.{part}" for layer in layers for part in PARTS}
        for extra in sorted(set(tensors) - wanted)[:1]:
            refuse(extra, "a tensor that an operation uses", "one too many")
        require(manifest["output"] == layers[-1].name, "output", show(layers[-1].name), manifest["output"])
        return cls(tuple(layers), manifest["provenance"])


def read_network(path: Path | str) -> Network:
    """Read a network file, trusting nothing in it; a `NetworkError` names the file and the field."""
    try:
        return Network.from_bytes(tensorfile.read_bytes(Path(path)))
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None


def write_network(network: Network, path: Path | str) -> None:
    """Write a network file whole or not at all."""
    try:
        tensorfile.write_bytes(Path(path), network.to_bytes())
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None


def _operation(layers: tuple[BinaryLayer, ...], index: int) -> dict[str, Any]:
    layer = layers[index]
    return {
        "op": "binary_linear",
        "name": layer.name,
        "input": layers[index - 1].name if index else INPUT,
        "inputs": layer.inputs,
        "outputs": layer.outputs,
        "input_set": layer.input_set,
    }


def _manifest(metadata: dict[str, str]) -> dict[str, Any]:
    found = metadata.get("format")
    require(found == FORMAT, "__metadata__.format", repr(FORMAT), found, "; is this file a network or a checkpoint?")
    require_keys("__metadata__", metadata, _METADATA_KEYS)
    try:
        raw = metadata["manifest"].encode()
    except UnicodeEncodeError:
        raise NetworkError("__metadata__.manifest: must be Unicode text, not half of a surrogate pair") from None
    digest = _sha256(raw)
    found = metadata["manifest_sha256"]
    require(found == digest, "__metadata__.manifest_sha256", f"{digest} as the manifest has", found)
    return require_keys("manifest", strict_object("manifest", metadata["manifest"]), _MANIFEST_KEYS)


def _layer(where: str, entry: Any, source: str, tensors: Mapping[str, NDArray[Any]]) -> BinaryLayer:
    require(isinstance(entry, dict), where, "an object", entry)
    require_choice(f"{where}.op", entry.get("op"), ("binary_linear",))
    require_keys(where, entry, _OPERATION_KEYS)
    require(entry["input"] == source, f"{where}.input", show(source), entry["input"])
    name = require_name(f"{where}.name", entry["name"], _LONGEST_NAME)
    for part in PARTS:
        if f"{name}.{part}" not in tensors:
            refuse(f"{name}.{part}", f"a tensor of the file for {where}", "absent")
    parts = {part: tensors[f"{name}.{part}"] for part in PARTS}
    try:
        return BinaryLayer(name, entry["inputs"], entry["outputs"], entry["input_set"], **parts)
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from None


def _check_hashes(hashes: Any, tensors: Mapping[str, NDArray[Any]]) -> None:
    require(isinstance(hashes, dict), "tensors", "an object of SHA-256 texts", hashes)
    for name in sorted(set(hashes) - set(tensors))[:1]:
        refuse("tensors", "the names of the file's tensors", show(name), nearest(name, tensors))
    for name, tensor in tensors.items():
        digest = _tensor_sha256(tensor)
        require(hashes.get(name) == digest, f"tensors.{name}", f"{digest} as its bytes have", hashes.get(name))


def _provenance(value: Any) -> dict[str, str]:
    require(isinstance(value, Mapping), "provenance", "an object of texts", value)
    require(len(value) <= MAX_PROVENANCE, "provenance", f"at most {MAX_PROVENANCE} texts", len(value))
    for key, text in value.items():
        require_name("provenance key", key)
        legal = isinstance(text, str) and len(text) <= MAX_TEXT and text.isprintable()
        require(legal, f"provenance.{key}", f"a text of at most {MAX_TEXT} printable characters", text)
    return dict(value)


def _tensor_sha256(tensor: NDArray[Any]) -> str:
    return _sha256(tensor.reshape(-1).view(np.uint8).data)


def _sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()

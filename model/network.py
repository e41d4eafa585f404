"""The network: what `model` exports and everything else reads. Needs numpy only.

A network is a graph of integer operations (`model.operations`), from token ids to logits, and the members that vote on
the class with these logits. It is kept in one file whose bytes depend on nothing but the network: see
docs/network-format.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import manifest, tensorfile
from model.binary_layer import BinaryLayer
from model.checks import NetworkError, nearest, refuse, require, require_name
from model.graph import binary_layers, chain_operations, infer_values, needed, require_used
from model.operation import Operation
from model.values import Value, check_input, codes, input_entry, read_input
from model.vote import Member, check_labels, check_vote, member_entry, read_members

TOKENIZER = "tokenizer"
MAX_TOKENIZER = 4 << 20
MAX_PROVENANCE = 64
MAX_TEXT = 1000
_KEYS = ("input", "operations", "members", "vote", "labels", "fraction", "provenance")

__all__ = ["BinaryLayer", "Member", "Network", "NetworkError", "read_network", "write_network"]


@dataclass(frozen=True)
class Network:
    """A graph of operations from `input` to the logits of the members, or to the last operation if there are none.

    `labels` names the classes, or is empty; `tokenizer` is what turns text into ids, opaque here; with the vote "mean"
    a total stands for total / 2^fraction; `provenance` says in texts where the network comes from. Equal networks have
    the same bytes, hence the same digest.
    """

    operations: tuple[Operation, ...]
    input: Value
    members: tuple[Member, ...] = ()
    vote: str | None = None
    labels: tuple[str, ...] = ()
    tokenizer: bytes | None = None
    fraction: int = 0
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._hold("operations", self.operations, Operation)
        self._hold("members", self.members, Member)
        require(len(self.operations) > 0, "operations", "one or more", self.operations)
        check_input(self.input)
        check_vote(self.vote, self.members, self.values, self.fraction)
        require_used(self.operations, self.outputs)
        legal = isinstance(self.tokenizer, bytes) and 0 < len(self.tokenizer) <= MAX_TOKENIZER
        require(legal or self.tokenizer is None, TOKENIZER, f"1 to {MAX_TOKENIZER} bytes, or None", self.tokenizer)
        object.__setattr__(self, "labels", check_labels(self.labels, self.classes))
        object.__setattr__(self, "provenance", _provenance(self.provenance))

    def __hash__(self) -> int:
        return hash(self.digest)

    @classmethod
    def chain(
        cls, layers: Sequence[BinaryLayer], output_set: str = "signed", provenance: Mapping[str, str] | None = None
    ) -> Network:
        """Return a network without members: a chain of layers, the first of which reads the input."""
        legal = isinstance(layers, (tuple, list)) and all(isinstance(layer, BinaryLayer) for layer in layers)
        require(legal and len(layers) > 0, "layers", "one or more BinaryLayer objects", layers)
        operations = tuple(chain_operations(layers, output_set))
        return cls(operations, codes(layers[0].inputs, layers[0].input_set), provenance=provenance or {})

    @cached_property
    def values(self) -> dict[str, Value]:
        """What the input and each operation give, by name."""
        return infer_values(self.operations, self.input)

    @cached_property
    def layers(self) -> tuple[BinaryLayer, ...]:
        """The binary layers: each matmul of 1-bit codes that one binarize and nothing else reads."""
        return tuple(binary_layers(self.operations, self.values))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The values that the network gives: the members' logits or, without members, that of the last operation."""
        return tuple(member.output for member in self.members) or (self.operations[-1].name,)

    @property
    def classes(self) -> int:
        """Logits of each member; 0 without members."""
        return self.values[self.members[0].output].channels if self.members else 0

    @property
    def limit(self) -> int:
        """The most tokens that a sentence may have, or the most rows of codes."""
        return self.input.rows

    @property
    def weight_bits(self) -> int:
        """Bits of all binary weights."""
        return self.size_bits().get("weights", 0)

    def size_bits(self, member: str | None = None) -> dict[str, int]:
        """Return the bits of each part of the network, or of what one member needs of it."""
        total: Counter[str] = Counter()
        for operation in self.operations if member is None else self.member_operations(member):
            for part, bits in operation.size_bits():
                total[part] += bits
        return dict(sorted(total.items()))

    def member_operations(self, name: str) -> tuple[Operation, ...]:
        """Return the operations that a member needs, in order; members may share some."""
        outputs = {member.name: member.output for member in self.members}
        if name not in outputs:
            refuse("member", f"one of {', '.join(outputs)}", repr(name), nearest(name, outputs))
        return needed(self.operations, outputs[name])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the bytes of the network file, in hexadecimal."""
        return manifest.sha256(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the network file."""
        tensors = manifest.operation_tensors(self.operations)
        if self.tokenizer is not None:
            tensors[TOKENIZER] = np.frombuffer(self.tokenizer, np.uint8)
        entries = {
            "input": input_entry(self.input),
            "operations": [manifest.operation_entry(operation) for operation in self.operations],
            "members": [member_entry(member) for member in self.members],
            "vote": self.vote,
            "labels": list(self.labels),
            "fraction": self.fraction,
            "provenance": dict(self.provenance),
        }
        return tensorfile.encode(tensors, manifest.metadata_of(entries, tensors))

    @classmethod
    def from_bytes(cls, data: bytes) -> Network:
        """Return the network of a file's bytes, trusting nothing in them."""
        metadata, tensors = tensorfile.decode(data)
        found = manifest.read_manifest(metadata, tensors, _KEYS)
        operations = manifest.read_operations(found["operations"], tensors)
        spare = set(tensors) - set(manifest.operation_tensors(operations)) - {TOKENIZER}
        for name in sorted(spare)[:1]:
            refuse(name, "a tensor that an operation uses", "one too many")
        tokenizer = tensors.get(TOKENIZER)
        return cls(
            operations,
            read_input(found["input"]),
            read_members(found["members"]),
            found["vote"],
            found["labels"],
            None if tokenizer is None else _tokenizer(tokenizer),
            found["fraction"],
            found["provenance"],
        )

    def _hold(self, part: str, items: Any, kind: type) -> None:
        legal = isinstance(items, (tuple, list)) and all(isinstance(item, kind) for item in items)
        require(legal, part, f"{kind.__name__} objects", items)
        object.__setattr__(self, part, tuple(items))


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


def _tokenizer(tensor: NDArray[Any]) -> bytes:
    if tensor.dtype != np.uint8 or tensor.ndim != 1:
        refuse(TOKENIZER, "uint8 [bytes]", f"{tensor.dtype} {list(tensor.shape)}")
    return tensor.tobytes()


def _provenance(value: Any) -> dict[str, str]:
    require(isinstance(value, Mapping), "provenance", "an object of texts", value)
    require(len(value) <= MAX_PROVENANCE, "provenance", f"at most {MAX_PROVENANCE} texts", len(value))
    for key, text in value.items():
        require_name("provenance key", key)
        legal = isinstance(text, str) and len(text) <= MAX_TEXT and text.isprintable()
        require(legal, f"provenance.{key}", f"a text of at most {MAX_TEXT} printable characters", text)
    return dict(value)

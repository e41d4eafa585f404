"""The shape of a member: sizes, precision of each kind of layer, attention and feed-forward networks, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from model.checks import MAX_SIZE, NetworkError, nearest
from model.expression import FeedForward, linear_inputs

WEIGHT_BITS = (1, 2, 32)
ACTIVATION_BITS = (1, 2, 4, 8, 32)
ATTENTIONS = ("softmax", "boolean", "threshold")
SCALES = ("tensor", "channel")
POOLINGS = ("first", "mean")
LIMITS = {"layers": 48, "hidden": 4096, "heads": 256, "vocabulary": 65536, "positions": 1024, "types": 16}


@dataclass(frozen=True)
class Precision:
    """Bits of the weights (1; 2 for ternary; 32), and of what each kind of product reads (1, 2, 4, 8 or 32)."""

    weights: int = 1
    embedding: int = 1
    projection: int = 1
    query_key: int = 1
    value: int = 1
    attention: int = 1
    ffn_input: int = 1
    ffn_inner: int = 1
    pooler: int = 1

    def __post_init__(self) -> None:
        for item in fields(self):
            legal = {"weights": WEIGHT_BITS, "embedding": (1, 32)}.get(item.name, ACTIVATION_BITS)
            value = getattr(self, item.name)
            if isinstance(value, bool) or value not in legal:
                choices = ", ".join(map(str, legal))
                raise NetworkError(f"precision.{item.name}: must be one of {choices}, not {value!r}")

    @classmethod
    def uniform(cls, weights: int, embedding: int, activations: int) -> Precision:
        """Return W-E-A of the papers' tables: one number of bits for all activations."""
        kinds = [item.name for item in fields(cls) if item.name not in ("weights", "embedding")]
        return cls(weights=weights, embedding=embedding, **dict.fromkeys(kinds, activations))

    @property
    def label(self) -> str:
        """W-E-A as the papers' tables write it; the largest of the activations where they differ."""
        kinds = [getattr(self, item.name) for item in fields(self) if item.name not in ("weights", "embedding")]
        return f"{self.weights}-{self.embedding}-{max(kinds)}"


@dataclass(frozen=True)
class Shape:
    """Everything that decides which parameters a member has and how it computes.

    `pooling` is what the head reads of the last layer: the row of [CLS], or the mean over the tokens of a sentence.
    Without `pooler` the classifier reads that row as it is.
    """

    vocabulary: int
    classes: int
    layers: int = 2
    hidden: int = 128
    heads: int = 2
    positions: int = 64
    types: int = 2
    ffn: tuple[FeedForward, ...] = ()
    precision: Precision = field(default_factory=Precision)
    attention: Literal["softmax", "boolean", "threshold"] = "softmax"
    weight_scale: Literal["tensor", "channel"] = "tensor"
    elastic: bool = True
    two_sets: bool = True
    split: bool = False
    pooling: Literal["first", "mean"] = "first"
    pooler: bool = True
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, limit in LIMITS.items():
            _check_integer(name, getattr(self, name), 1, limit)
        _check_integer("classes", self.classes, 1, 1024)
        if self.hidden % self.heads:
            raise NetworkError(f"heads: must divide hidden, {self.hidden}, not {self.heads}")
        for name, choices in (("attention", ATTENTIONS), ("weight_scale", SCALES), ("pooling", POOLINGS)):
            if getattr(self, name) not in choices:
                raise NetworkError(f"{name}: must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        for name in ("elastic", "two_sets", "split", "pooler"):
            if not isinstance(getattr(self, name), bool):
                raise NetworkError(f"{name}: must be true or false, not {getattr(self, name)!r}")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise NetworkError(f"dropout: must be from 0 to below 1, not {self.dropout!r}")
        object.__setattr__(self, "ffn", self._feed_forwards())
        widest = max([self.hidden, *(max(linear_inputs(f.tree, self.hidden, f.width).values()) for f in self.ffn)])
        if self.split and 2 * widest > MAX_SIZE:
            expected = f"false for a layer of more than {MAX_SIZE // 2} inputs, which it would read twice"
            raise NetworkError(f"split: must be {expected}, not true for {widest}")

    def _feed_forwards(self) -> tuple[FeedForward, ...]:
        given = tuple(self.ffn) or (FeedForward(width=4 * self.hidden),)
        if len(given) not in (1, self.layers):
            raise NetworkError(f"ffn: must be one for all layers or one for each of {self.layers}, not {len(given)}")
        return given * self.layers if len(given) == 1 else given

    def quantizes(self, kind: str) -> bool:
        """Return whether a kind of activation has a quantizer: attention without a softmax is 1-bit by itself."""
        return {"attention": self.attention == "softmax", "pooler": self.pooler}.get(kind, True)

    def replace(self, **changes: Any) -> Shape:
        """Return this shape with other values."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        data["ffn"] = [{"expression": f.expression, "stack": f.stack, "width": f.width} for f in self.ffn]
        data["precision"] = dataclasses.asdict(self.precision)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Shape:
        """Return the shape of plain data; an unknown key is refused."""
        values = dict(_known("shape", data, cls))
        if "ffn" in values:
            entries = values["ffn"] if isinstance(values["ffn"], (list, tuple)) else [values["ffn"]]
            values["ffn"] = tuple(FeedForward(**_known("ffn", entry, FeedForward)) for entry in entries)
        if isinstance(values.get("precision"), Mapping):
            values["precision"] = Precision(**_known("precision", values["precision"], Precision))
        return cls(**values)


def _known(where: str, data: Any, kind: type) -> dict[str, Any]:
    names = [item.name for item in fields(kind) if item.init]
    if not isinstance(data, Mapping):
        raise NetworkError(f"{where}: must be a mapping of {', '.join(names)}, not {data!r:.80}")
    for key in data:
        if key not in names:
            raise NetworkError(f"{where}.{key}: must be one of {', '.join(names)}{nearest(str(key), names)}")
    return dict(data)


def _check_integer(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise NetworkError(f"{name}: must be an integer from {low} to {high}, not {value!r}")

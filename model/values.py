"""Values: what an operation reads and gives, as far as it is known without running the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.checks import MAX_SIZE, SETS, refuse, require, require_choice, require_integer, require_keys, show

KINDS = ("tokens", "codes", "sums", "fixed", "logits")
CODE_BITS = (1, 2, 4, 8)
MAX_SUM = (1 << 31) - 1
FIXED_LOW, FIXED_HIGH = -(1 << 15), (1 << 15) - 1
MAX_ROWS = 1024
_INPUT_KEYS = {"tokens": ("kind", "rows"), "codes": ("kind", "rows", "channels", "set", "bits")}


@dataclass(frozen=True)
class Value:
    """One value of the graph; what does not apply to its kind has its default.

    `rows` is the most rows that a run may have, or 1 after `first` or `mean`; `channels` are those of a row, or the
    classes of logits. With `heads` above 0 the shape is [heads, n, n]: scores, or attention codes. `bound` is the
    largest absolute value that a sum can have.
    """

    kind: str
    channels: int = 0
    rows: int = 1
    heads: int = 0
    set: str = ""
    bits: int = 0
    fraction: int = 0
    bound: int = 0

    @property
    def form(self) -> str:
        """What an operation may ask for: the kind, or "scores" and "attention codes" for sums and codes with heads."""
        return {"sums": "scores", "codes": "attention codes"}[self.kind] if self.heads else self.kind

    @property
    def low(self) -> int:
        """The smallest number that the value can hold."""
        if self.kind == "codes":
            return 0 if self.set == "unsigned" or self.bits == 1 else -(1 << self.bits - 1)
        return {"sums": -self.bound, "fixed": FIXED_LOW, "logits": -MAX_SUM - 1}.get(self.kind, 0)

    @property
    def high(self) -> int:
        """The largest number that the value can hold."""
        if self.kind == "codes":
            return (1 << self.bits) - 1 if self.set == "unsigned" or self.bits == 1 else (1 << self.bits - 1) - 1
        return {"sums": self.bound, "fixed": FIXED_HIGH, "logits": MAX_SUM}.get(self.kind, 0)

    @property
    def reach(self) -> int:
        """The largest absolute value that a code counts for in a sum."""
        return (1 << self.bits) - 1 if self.set == "unsigned" else 1 << self.bits - 1

    def __str__(self) -> str:
        codes = f"{self.set} {self.bits}-bit "
        after = f" with {self.fraction} fraction bits" if self.kind == "fixed" else ""
        return f"{codes if self.kind == 'codes' else ''}{self.form}{self._shape()}{after}"

    def _shape(self) -> str:
        rows = "1" if self.rows == 1 else "n"
        if self.heads:
            return f" [{self.heads}, {rows}, {rows}]"
        if self.kind == "tokens":
            return f" [{rows}]"
        return f" [{self.channels}]" if self.kind == "logits" else f" [{rows}, {self.channels}]"


def tokens(rows: int) -> Value:
    """Return the input of a network that reads sentences of up to so many tokens."""
    return Value("tokens", rows=rows)


def codes(channels: int, set: str, bits: int = 1, rows: int = MAX_ROWS) -> Value:
    """Return the input of a network that reads up to so many rows of codes."""
    return Value("codes", channels=channels, rows=rows, set=set, bits=bits)


def make_sums(field: str, bound: int, **shape: Any) -> Value:
    """Return sums, refused where one could leave 32 bits."""
    require(bound <= MAX_SUM, field, f"of sums of at most {MAX_SUM}, which 32 bits hold", bound)
    return Value("sums", bound=bound, **shape)


def check_input(value: Any) -> Value:
    """Return the value that a network reads: tokens, or rows of codes."""
    require(isinstance(value, Value) and value.kind in _INPUT_KEYS, "input", "tokens or codes", value)
    require_integer("input.rows", value.rows, 1, MAX_ROWS)
    if value.kind == "codes":
        require_integer("input.channels", value.channels, 1, MAX_SIZE)
        require_choice("input.set", value.set, SETS)
        require_choice("input.bits", value.bits, CODE_BITS)
    plain = Value(**{key: getattr(value, key) for key in _INPUT_KEYS[value.kind]})
    require(value == plain, "input", str(plain), value)
    return value


def input_entry(value: Value) -> dict[str, Any]:
    """Return the input of a network as it stands in the manifest."""
    return {key: getattr(value, key) for key in _INPUT_KEYS[value.kind]}


def read_input(entry: Any) -> Value:
    """Return the input of a network that stands in a manifest."""
    if not isinstance(entry, Mapping):
        refuse("input", "an object", show(entry))
    kind = require_choice("input.kind", entry.get("kind"), tuple(_INPUT_KEYS))
    return check_input(Value(**require_keys("input", entry, _INPUT_KEYS[kind])))

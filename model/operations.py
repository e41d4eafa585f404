"""The operations of a network, one class each: what docs/arithmetic.md, sections 8 to 11, defines.

The annotations say what the attributes and arrays may be (`model.fields`), `accepts` what the sources may be, and
`infer` what value comes out of them. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from model.checks import MAX_SIZE, SETS, count_of, require
from model.fields import Choice, Integer, Size, Tensor
from model.operation import Operation
from model.values import CODE_BITS, Value, make_sums

MAX_WIDTH = 4096
MAX_POSITIONS = 1024
MAX_CLASSES = 1024
MAX_LEVEL = 1 << 21
MAX_INT32 = (1 << 31) - 1
LARGEST_ENTRY = 65535

CHANNELS = Size("channels")
WIDTH = Size("channels", 1, MAX_WIDTH)
INPUTS, OUTPUTS, HEADS = Size("inputs"), Size("outputs"), Size("heads", 1, 256)
VOCABULARY, TYPES = Size("vocabulary", 1, 1 << 16), Size("types", 1, 16)
POSITIONS = Size("positions", 1, MAX_POSITIONS)
CLASSES = Size("classes", 1, MAX_CLASSES)
ENTRIES, LEVELS = Size("entries", 1, 1 << 16), Size("levels", 1, 255)

Fraction = Annotated[int, Integer(0, 31)]
Shift = Annotated[int, Integer(0, 31)]
Set = Annotated[str, Choice(SETS)]
U8 = NDArray[np.uint8]
I8 = NDArray[np.int8]
I16 = NDArray[np.int16]
U16 = NDArray[np.uint16]
I32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Embed(Operation, op="embed", accepts=("tokens",)):
    """The sum of a scaled binary word vector, a position vector and a type vector, for each token."""

    fraction: Fraction
    words: Annotated[U8, Tensor("U8", (VOCABULARY, WIDTH), "embedding", packed=True)]
    scales: Annotated[I16, Tensor("I16", (VOCABULARY,), "embedding", 0, (1 << 15) - 1)]
    positions: Annotated[I16, Tensor("I16", (POSITIONS, WIDTH), "positions")]
    types: Annotated[I16, Tensor("I16", (TYPES, WIDTH), "positions")]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return fixed rows; each row of a run needs a position."""
        rows, (count, channels) = values[0].rows, self.positions.shape
        require(count >= rows, f"{self.name}.positions", f"at least {rows}, the rows of the network's input", count)
        return Value("fixed", channels=channels, rows=rows, fraction=self.fraction)


@dataclass(frozen=True, eq=False)
class Normalise(Operation, op="normalise", accepts=("fixed",)):
    """Layer normalisation, in integers."""

    fraction: Fraction
    epsilon: Annotated[int, Integer(0, MAX_INT32)]
    shift: Annotated[int, Integer(1, 31)]
    gain: Annotated[I16, Tensor("I16", (WIDTH,), "normalisation")]
    offset: Annotated[I32, Tensor("I32", (WIDTH,), "normalisation")]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return fixed rows of as many channels."""
        self.require_channels(values)
        return replace(values[0], fraction=self.fraction)


@dataclass(frozen=True, eq=False)
class Binarize(Operation, op="binarize", accepts=("fixed or sums",)):
    """One threshold and one polarity for each channel: bits of a set."""

    set: Set
    thresholds: Annotated[I32, Tensor("I32", (CHANNELS,), "thresholds")]
    polarity: Annotated[U8, Tensor("U8", (CHANNELS,), "thresholds", 0, 1)]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return 1-bit codes; a threshold may be one above everything, so that it is never reached."""
        self.require_channels(values)
        self.refuse_outside("thresholds", values[0].low, values[0].high + 1)
        return Value("codes", channels=values[0].channels, rows=values[0].rows, set=self.set, bits=1)


@dataclass(frozen=True, eq=False)
class Quantize(Operation, op="quantize", accepts=("fixed or sums",)):
    """One multiplier and one addend for each channel: codes of 2, 4 or 8 bits."""

    set: Set
    bits: Annotated[int, Choice(CODE_BITS[1:])]
    shift: Shift
    multiplier: Annotated[I16, Tensor("I16", (CHANNELS,), "multipliers")]
    addend: Annotated[I32, Tensor("I32", (CHANNELS,), "multipliers")]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return codes."""
        self.require_channels(values)
        return Value("codes", channels=values[0].channels, rows=values[0].rows, set=self.set, bits=self.bits)


@dataclass(frozen=True, eq=False)
class Concatenate(Operation, op="concatenate", accepts=("codes", "codes"), many=True):
    """The channels of codes, one after the other."""

    def infer(self, values: Sequence[Value]) -> Value:
        """Return codes of the same set and bits."""
        first = values[0]
        for index, value in enumerate(values):
            same = (value.set, value.bits) == (first.set, first.bits)
            self.require_source(values, index, same, f"{first.set} {first.bits}-bit codes as {self.sources[0]!r} is")
        channels = sum(value.channels for value in values)
        require(channels <= MAX_SIZE, f"{self.name}.sources", f"of at most {MAX_SIZE} channels together", channels)
        return replace(first, channels=channels)


@dataclass(frozen=True, eq=False)
class Matmul(Operation, op="matmul", accepts=("codes",)):
    """The product of codes and binary weights."""

    inputs: Annotated[int, Integer(1, MAX_SIZE)]
    outputs: Annotated[int, Integer(1, MAX_SIZE)]
    weights: Annotated[U8, Tensor("U8", (OUTPUTS, INPUTS), "weights", packed=True)]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return sums."""
        (value,) = values
        self.require_source(values, 0, value.channels == self.inputs, f"of {count_of(self.inputs, 'channel')}")
        return make_sums(self.name, self.inputs * value.reach, channels=self.outputs, rows=value.rows)


@dataclass(frozen=True, eq=False)
class Scores(Operation, op="scores", accepts=("codes", "codes")):
    """For each head, the product of every query row and every key row."""

    heads: Annotated[int, Integer(1, HEADS.high)]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return sums of every row with every row."""
        query, key = values
        fits = query.channels % self.heads == 0
        self.require_source(values, 0, fits, f"of channels that {self.heads} divides")
        self.require_source(values, 1, key.channels == query.channels, f"of {count_of(query.channels, 'channel')}")
        bound = query.channels // self.heads * query.reach * key.reach
        return make_sums(self.name, bound, heads=self.heads, rows=query.rows)


@dataclass(frozen=True, eq=False)
class Context(Operation, op="context", accepts=("attention codes", "codes")):
    """For each head, the product of attention codes and the value rows."""

    def infer(self, values: Sequence[Value]) -> Value:
        """Return sums over the rows of a run."""
        attention, value = values
        fits = value.channels % attention.heads == 0
        self.require_source(values, 1, fits, f"of channels that {attention.heads} divides")
        bound = value.rows * attention.reach * value.reach
        return make_sums(self.name, bound, channels=value.channels, rows=value.rows)


@dataclass(frozen=True, eq=False)
class RowThreshold(Operation, op="row_threshold", accepts=("scores",)):
    """Softmax and binarization of each row of scores, by a table of exponentials."""

    bits: Annotated[int, Choice(CODE_BITS)]
    multiplier: Annotated[int, Integer(0, 65535)]
    shift: Shift
    table: Annotated[U16, Tensor("U16", (ENTRIES,), "tables")]
    levels: Annotated[I32, Tensor("I32", (LEVELS,), "tables", 0, MAX_LEVEL)]

    def check(self) -> None:
        """Check the shapes of table and levels that the definition relies on."""
        count, found = (1 << self.bits) - 1, len(self.levels)
        require(found == count, f"{self.name}.levels", f"{count_of(count, 'level')} for {self.bits}-bit codes", found)
        require(int(self.table[0]) == LARGEST_ENTRY, f"{self.name}.table[0]", str(LARGEST_ENTRY), int(self.table[0]))
        self._check_order("table", self.table[1:] <= self.table[:-1], "at most the entry before")
        self._check_order("levels", self.levels[1:] >= self.levels[:-1], "at least the level before")

    def _check_order(self, part: str, legal: NDArray[np.bool_], expected: str) -> None:
        self.refuse_first(np.concatenate([[True], legal]), part, expected)

    def infer(self, values: Sequence[Value]) -> Value:
        """Return unsigned attention codes."""
        return Value("codes", rows=values[0].rows, heads=values[0].heads, set="unsigned", bits=self.bits)


@dataclass(frozen=True, eq=False)
class HeadThreshold(Operation, op="head_threshold", accepts=("scores",)):
    """One threshold for the scores of each head."""

    thresholds: Annotated[I32, Tensor("I32", (HEADS,), "thresholds")]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return unsigned 1-bit attention codes."""
        heads = len(self.thresholds)
        self.require_source(values, 0, values[0].heads == heads, f"of {count_of(heads, 'head')}")
        self.refuse_outside("thresholds", values[0].low, values[0].high + 1)
        return Value("codes", rows=values[0].rows, heads=heads, set="unsigned", bits=1)


@dataclass(frozen=True, eq=False)
class Requantise(Operation, op="requantise", accepts=("sums",)):
    """Sums back to fixed point: one multiplier and one addend for each channel."""

    fraction: Fraction
    shift: Shift
    multiplier: Annotated[I16, Tensor("I16", (WIDTH,), "multipliers")]
    addend: Annotated[I32, Tensor("I32", (WIDTH,), "multipliers")]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return fixed rows."""
        self.require_channels(values)
        return Value("fixed", channels=values[0].channels, rows=values[0].rows, fraction=self.fraction)


@dataclass(frozen=True, eq=False)
class Add(Operation, op="add", accepts=("fixed", "fixed")):
    """The saturated sum of two values of one fraction, over the channels that both have."""

    def infer(self, values: Sequence[Value]) -> Value:
        """Return fixed rows of the same fraction."""
        return combine_alike(self, values)


@dataclass(frozen=True, eq=False)
class Maximum(Operation, op="maximum", accepts=("fixed", "fixed")):
    """The larger of two values of one fraction, over the channels that both have."""

    def infer(self, values: Sequence[Value]) -> Value:
        """Return fixed rows of the same fraction."""
        return combine_alike(self, values)


@dataclass(frozen=True, eq=False)
class Multiply(Operation, op="multiply", accepts=("fixed", "fixed")):
    """The product of two values, over the channels that both have."""

    fraction: Fraction
    shift: Shift

    def infer(self, values: Sequence[Value]) -> Value:
        """Return fixed rows."""
        return replace(narrowest(values), fraction=self.fraction)


@dataclass(frozen=True, eq=False)
class Table(Operation, op="table", accepts=("fixed",)):
    """A function of one number, by 256 straight pieces."""

    fraction: Fraction
    shift: Annotated[int, Integer(0, 8)]
    entries: Annotated[I16, Tensor("I16", (257,), "tables")]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return fixed rows."""
        return replace(values[0], fraction=self.fraction)


@dataclass(frozen=True, eq=False)
class First(Operation, op="first", accepts=("codes or fixed",)):
    """Row 0."""

    def infer(self, values: Sequence[Value]) -> Value:
        """Return a value of one row."""
        return replace(values[0], rows=1)


@dataclass(frozen=True, eq=False)
class Mean(Operation, op="mean", accepts=("fixed",)):
    """The mean of all rows of a run."""

    def infer(self, values: Sequence[Value]) -> Value:
        """Return a value of one row and of the same fraction."""
        return replace(values[0], rows=1)


@dataclass(frozen=True, eq=False)
class Classify(Operation, op="classify", accepts=("fixed",)):
    """The logits of one row."""

    shift: Shift
    weights: Annotated[I8, Tensor("I8", (CLASSES, WIDTH), "classifier")]
    bias: Annotated[I32, Tensor("I32", (CLASSES,), "classifier")]

    def infer(self, values: Sequence[Value]) -> Value:
        """Return logits."""
        self.require_source(values, 0, values[0].rows == 1, "of one row, as first or mean gives it")
        self.require_channels(values)
        return Value("logits", channels=len(self.weights), rows=1)


def narrowest(values: Sequence[Value]) -> Value:
    """Return the value with the fewest channels."""
    return min(values, key=lambda value: value.channels)


def combine_alike(operation: Operation, values: Sequence[Value]) -> Value:
    """Return the narrower of two values, which must have the same fraction."""
    fraction = values[0].fraction
    operation.require_source(values, 1, values[1].fraction == fraction, f"fixed with {fraction} fraction bits")
    return narrowest(values)

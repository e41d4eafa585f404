"""The fold: scale, bias, ReLU, shift and binarizer after a binary sum become one integer threshold per channel.

The float form is a chain of float32 operations, each of which rounds monotonically in its input, so the bit as a
function of the sum changes at most once. `fold` finds the place by bisection of the float form itself; `prove` then
compares both forms on every reachable sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.checks import MAX_SIZE, SETS

Bits = NDArray[np.bool_]
Sums = NDArray[np.int32]
_CHUNK = 1 << 20


class FoldError(ValueError):
    """A float form that cannot be folded, or a fold that differs from its float form; names the channel."""


@dataclass(frozen=True, eq=False)
class FloatForm:
    """What happens to a sum D of channel n before it is a bit again, in this order, each step rounded to float32:

        y = D * scale[n];  y = y + bias[n];  y = max(y, 0) if relu;  z = y - shift[n];  bit = z >= level

    with level 0 for the signed output set and alpha / 2 for the unsigned one.
    """

    inputs: int
    input_set: str
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    relu: bool
    shift: NDArray[np.float32]
    output_set: str
    alpha: np.float32

    def __post_init__(self) -> None:
        if isinstance(self.inputs, bool) or not isinstance(self.inputs, int) or not 1 <= self.inputs <= MAX_SIZE:
            raise FoldError(f"inputs must be an integer from 1 to {MAX_SIZE}, not {self.inputs!r}")
        for part in ("input_set", "output_set"):
            if getattr(self, part) not in SETS:
                raise FoldError(f"{part} must be one of {', '.join(SETS)}, not {getattr(self, part)!r}")
        for part in ("scale", "bias", "shift"):
            _check_vector(part, getattr(self, part), np.shape(self.scale))
        if not isinstance(self.relu, bool):
            raise FoldError(f"relu must be True or False, not {self.relu!r}")
        if not isinstance(self.alpha, np.float32):
            raise FoldError(f"alpha must be a float32, not a {type(self.alpha).__name__}")
        if not np.isfinite(self.alpha) or self.alpha <= 0:
            raise FoldError(f"alpha must be finite and above 0, not {self.alpha}")

    @property
    def outputs(self) -> int:
        """Channels."""
        return len(self.scale)

    @property
    def level(self) -> np.float32:
        """What the shifted value must reach to give a 1."""
        return np.float32(0) if self.output_set == "signed" else self.alpha / np.float32(2)

    def bits(self, sums: Sums, channels: slice = slice(None)) -> Bits:
        """Return the bits of sums [channels, any] or [any]; the float operations are those of `BinaryBlock`."""
        with np.errstate(over="ignore", under="ignore"):
            y = sums.astype(np.float32) * self.scale[channels, None]
            y = y + self.bias[channels, None]
            if self.relu:
                y = np.maximum(y, np.float32(0))
            z = y - self.shift[channels, None]
        return z >= self.level


@dataclass(frozen=True, eq=False)
class Fold:
    """The integer form: bit = (D >= thresholds[n]) XOR polarity[n]."""

    thresholds: NDArray[np.int32]
    polarity: NDArray[np.uint8]

    def bits(self, sums: Sums, channels: slice = slice(None)) -> Bits:
        """Return the bits of sums [channels, any] or [any]."""
        bits: Bits = (sums >= self.thresholds[channels, None]) ^ (self.polarity[channels, None] != 0)
        return bits


def reachable(inputs: int, input_set: str) -> Sums:
    """Return every sum that `inputs` products can have, rising; in the signed set all have the parity of `inputs`."""
    return np.arange(-inputs, inputs + 1, 2 if input_set == "signed" else 1, dtype=np.int32)


def fold(form: FloatForm) -> Fold:
    """Return the fold of a float form, found by bisection over the reachable sums.

    The threshold is the first sum with the bit of the largest sum; where that bit is 0 the polarity is 1. A channel
    that never changes has polarity 0 and the threshold -K (always 1) or K + 1 (never).
    """
    sums = reachable(form.inputs, form.input_set)
    first, last = form.bits(sums[:1])[:, 0], form.bits(sums[-1:])[:, 0]
    low = np.zeros(form.outputs, np.int64)
    high = np.full(form.outputs, len(sums) - 1)
    for _ in range(len(sums).bit_length()):
        middle = (low + high) // 2
        reached = form.bits(sums[middle][:, None])[:, 0] == last
        low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
    never = ~first & ~last
    thresholds = np.where(never, form.inputs + 1, sums[low]).astype(np.int32)
    return Fold(thresholds, (first & ~last).astype(np.uint8))


def prove(form: FloatForm, folded: Fold) -> None:
    """Compare the fold with the float form on every reachable sum of every channel."""
    sums = reachable(form.inputs, form.input_set)
    for channels in _chunks(form.outputs, len(sums)):
        expected, found = form.bits(sums, channels), folded.bits(sums, channels)
        if not np.array_equal(expected, found):
            row, column = np.argwhere(expected != found)[0]
            raise FoldError(
                f"the fold of channel {channels.start + row} must give bit {int(expected[row, column])} at the sum "
                f"{sums[column]} as the float form does, not {int(found[row, column])}"
            )


def _chunks(count: int, width: int) -> Iterator[slice]:
    step = max(1, _CHUNK // width)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _kind(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _check_vector(part: str, value: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.ndim != 1 or not len(value):
        raise FoldError(f"{part} must be a float32 vector, not {_kind(value)}")
    if value.shape != shape:
        raise FoldError(f"{part} must have {shape[0]} values as scale has, not {len(value)}")
    if not np.isfinite(value).all():
        channel = int(np.argmin(np.isfinite(value)))
        raise FoldError(f"{part} of channel {channel} must be finite, not {value[channel]}")

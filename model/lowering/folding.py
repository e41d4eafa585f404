"""The fold in general: any float form between integers and a 1-bit quantizer becomes thresholds, proved.

The form is evaluated by the operations of training themselves, in eager torch, on every integer that can reach it. Its
bits change at most once along them, or the channel has no threshold: what is returned holds for every one of them
because each was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.fold import FoldError

# Elements at a time. Rows come in multiples of what vector instructions take, so that no element is left to a scalar
# loop, whose exponentials differ in the last place.
_CHUNK = 1 << 16
_ROWS = 64

Integers = NDArray[np.int64]
Bits = NDArray[np.bool_]
Form = Callable[[Tensor], Tensor]
Codes = Callable[[Integers], Integers]


@dataclass(frozen=True)
class Domain:
    """The integers that a value can be: from low to high, every `step`-th."""

    low: int
    high: int
    step: int = 1

    def __len__(self) -> int:
        return (self.high - self.low) // self.step + 1

    def thinned(self, most: int) -> Domain:
        """Return at most so many of the integers, evenly spaced from the lowest, an odd number of steps apart."""
        return self if len(self) <= most else Domain(self.low, self.high, self.step * (-(-len(self) // most) | 1))

    def chunks(self, channels: int) -> Iterator[Integers]:
        """Yield all integers, rising, as many at a time as suit so many channels."""
        values = np.arange(self.low, self.high + 1, self.step, dtype=np.int64)
        rows = _ROWS * max(1, _CHUNK // (_ROWS * channels))
        for start in range(0, len(values), rows):
            yield values[start : start + rows]


FIXED = Domain(-(1 << 15), (1 << 15) - 1)


class NoThresholdError(FoldError):
    """Bits that change more than once: no one threshold gives them."""


@dataclass(frozen=True, eq=False)
class Fold:
    """bit = (x >= thresholds[n]) XOR polarity[n]; `constant` channels have one bit everywhere."""

    thresholds: NDArray[np.int32]
    polarity: NDArray[np.uint8]
    constant: int

    def bits(self, values: Integers) -> Bits:
        """Return the bits [any, channels] of values [any]."""
        return (values[:, None] >= self.thresholds) ^ (self.polarity != 0)


def fold(name: str, domain: Domain, form: Form, channels: int) -> Fold:
    """Return the fold of a form that gives units [any, channels] for integers [any, 1], which are floats to it.

    The thresholds are those of docs/arithmetic.md, section 4: the first integer with the bit of the last one; for a
    channel that never changes the lowest integer (always 1) or one above the highest (never).
    """
    first = bits_of(form, np.array([domain.low]))[0]
    changes, place, last = np.zeros(channels, np.int64), np.full(channels, domain.high + 1), first
    for chunk in domain.chunks(channels):
        bits = bits_of(form, chunk)
        flips = np.diff(bits, axis=0, prepend=last[None])
        found = flips.sum(0)
        fresh = (changes == 0) & (found > 0)
        place[fresh] = chunk[flips[:, fresh].argmax(0)]
        changes, last = changes + found, bits[-1]
    if (changes > 1).any():
        channel = int(changes.argmax())
        raise NoThresholdError(f"{name}: channel {channel} must change its bit once, not {changes[channel]} times")
    constant = changes == 0
    thresholds = np.where(constant & first, domain.low, place).astype(np.int32)
    return Fold(thresholds, (first & ~constant).astype(np.uint8), int(constant.sum()))


def prove(name: str, domain: Domain, form: Form, folded: Fold) -> None:
    """Compare the bits of a fold with those of its form on every integer of the domain."""
    for chunk in domain.chunks(len(folded.thresholds)):
        expected, found = bits_of(form, chunk), folded.bits(chunk)
        if not np.array_equal(expected, found):
            row, channel = np.argwhere(expected != found)[0]
            raise FoldError(
                f"{name}: channel {channel} must give bit {int(expected[row, channel])} at {chunk[row]} as the float "
                f"form does, not {int(found[row, channel])}"
            )


def count_differences(domain: Domain, form: Form, codes: Codes, channels: int) -> int:
    """Return for how many integers and channels the values of integer codes differ from the units of the form."""
    chunks = domain.chunks(channels)
    return sum(int((_evaluate(form, chunk).numpy() != codes(chunk)).sum()) for chunk in chunks)


def bits_of(form: Form, values: Integers) -> Bits:
    """Return the bits [any, channels] that the form gives for integers [any]: 1 where a unit is above 0."""
    return (_evaluate(form, values) > 0).numpy()


@torch.no_grad()
def _evaluate(form: Form, values: Integers) -> Tensor:
    padded = np.pad(values, (0, -len(values) % _ROWS), mode="edge")
    return form(torch.from_numpy(padded).float()[:, None])[: len(values)]

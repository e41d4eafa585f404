"""What all operations share (docs/arithmetic.md, section 7): rounding shifts, saturation, codes, and width checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]


class WidthError(ArithmeticError):
    """An integer that leaves the width that the document gives it: a fault of the network's checks or of the document.

    Nothing that a network and a sentence of legal form hold may cause it.
    """


def wide(what: str, numbers: ArrayLike, bits: int) -> Integers:
    """Return integers as int64; all must fit in two's complement of `bits` bits."""
    array = np.asarray(numbers)
    if array.dtype.kind not in "iu":
        raise WidthError(f"{what} must be integers, not {array.dtype}")
    half = 1 << (bits - 1)
    outside = (array < -half) | (array >= half)
    if outside.any():
        raise WidthError(f"{what} must fit in {bits} bits, not {array[outside][0]}")
    return array.astype(np.int64)


def round_shift(numbers: Integers, shift: int) -> Integers:
    """Return numbers / 2^shift rounded to nearest, a half up."""
    if shift == 0:
        return numbers
    return (numbers + (1 << (shift - 1))) >> shift


def saturate(numbers: Integers, bits: int) -> Integers:
    """Return the numbers clamped to the range of two's complement of `bits` bits."""
    half = 1 << (bits - 1)
    return np.clip(numbers, -half, half - 1)


def to_fixed(numbers: Integers) -> NDArray[np.int16]:
    """Return the numbers as a fixed value, saturated to 16 bits."""
    return saturate(numbers, 16).astype(np.int16)


def code_range(bits: int, set: str) -> tuple[int, int]:
    """Return the lowest and the highest number that a code can be; a code of one bit is 0 or 1 in both sets."""
    if bits == 1 or set == "unsigned":
        return 0, (1 << bits) - 1
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of `bits` bits of a set: bits as uint8, 0 or 1; numbers of more bits as int16."""

    numbers: NDArray[Any]
    bits: int
    set: str

    def __post_init__(self) -> None:
        low, high = code_range(self.bits, self.set)
        outside = (self.numbers < low) | (self.numbers > high)
        if outside.any():
            wrong = self.numbers[outside][0]
            raise WidthError(f"{self.set} {self.bits}-bit codes must be from {low} to {high}, not {wrong}")
        object.__setattr__(self, "numbers", self.numbers.astype(np.uint8 if self.bits == 1 else np.int16))

    @property
    def values(self) -> Integers:
        """What the codes count for in a sum: +1 or -1, 1 or 0, or the number."""
        numbers = self.numbers.astype(np.int64)
        return 2 * numbers - 1 if self.bits == 1 and self.set == "signed" else numbers

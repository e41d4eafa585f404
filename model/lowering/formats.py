"""Fixed-point formats: fractions that hold a range, and affine maps with 16-bit multipliers.

Everything is computed in float64 by operations that IEEE 754 rounds correctly, so a format depends on its inputs only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.checks import NetworkError

Floats = NDArray[np.float64]
LARGEST_FIXED = (1 << 15) - 1
LARGEST_ADDEND = (1 << 31) - 1
LARGEST_SHIFT = 31
FINEST = 20


def fraction_for(name: str, largest: float, finest: int = FINEST) -> int:
    """Return the most fraction bits, up to `finest`, with which 16 bits hold everything from -largest to largest."""
    if not 0 <= largest <= LARGEST_FIXED:
        raise NetworkError(f"{name}: must be from 0 to {LARGEST_FIXED} with its headroom, not {largest:g}")
    fraction = finest
    while largest * 2.0**fraction > LARGEST_FIXED:
        fraction -= 1
    return fraction


def round_half_up(values: Floats) -> NDArray[np.int64]:
    """Return the nearest integers, the higher one of two."""
    return np.floor(np.asarray(values, np.float64) + 0.5).astype(np.int64)


def to_int16(values: Floats) -> NDArray[np.int16]:
    """Return values rounded and clamped to what 16 bits hold on both sides of 0."""
    return np.clip(round_half_up(values), -LARGEST_FIXED, LARGEST_FIXED).astype(np.int16)


def to_int32(values: Floats) -> NDArray[np.int32]:
    """Return values rounded and clamped to what 32 bits hold on both sides of 0."""
    clamped = np.clip(np.asarray(values, np.float64), -LARGEST_ADDEND, LARGEST_ADDEND)
    return round_half_up(clamped).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Affine:
    """x -> round_shift(x * multiplier + addend, shift), one multiplier and one addend for each channel."""

    multiplier: NDArray[np.int16]
    addend: NDArray[np.int32]
    shift: int


def affine(scale: Floats, bias: Floats, lowest: int = 0) -> Affine:
    """Return the finest integer form of x -> x * scale + bias: the largest shift at which everything fits.

    Where a scale or a bias does not even fit at the shift `lowest`, it is clamped: the results saturate.
    """
    shift = LARGEST_SHIFT
    while shift > lowest and not _fits(scale * 2.0**shift, bias * 2.0**shift):
        shift -= 1
    return Affine(to_int16(scale * 2.0**shift), to_int32(bias * 2.0**shift), shift)


def _fits(multiplier: Floats, addend: Floats) -> bool:
    within = np.abs(multiplier).max() < LARGEST_FIXED + 0.5 and np.abs(addend).max() < LARGEST_ADDEND
    return bool(within)

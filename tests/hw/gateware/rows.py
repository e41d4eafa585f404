"""Rows of 16-bit numbers and their normalisation in integers, as docs/arithmetic.md has it."""

from __future__ import annotations

from math import isqrt
from random import Random

LOWEST, HIGHEST = -(1 << 15), (1 << 15) - 1


def round_shift(value: int, shift: int) -> int:
    """Return the value divided by 2^shift, rounded half up."""
    return value + (1 << shift - 1) >> shift if shift else value


def saturated(value: int, bits: int) -> int:
    """Return the value clamped to two's complement."""
    return min(max(value, -(1 << bits - 1)), (1 << bits - 1) - 1)


def inverse_root(variance: int) -> tuple[int, int]:
    """Return R and e of a V that is not 0."""
    e = (variance.bit_length() - 1) // 2
    m = variance * 2**14 // 4**e
    r = (isqrt(2**39 // (2 * (m >> 8) + 1)) + 1) >> 1
    p = r * r >> 15
    q = m * p >> 14
    return (r * (3 * 2**15 - q) + 2**15) >> 16, e


def normalised(row: list[int], epsilon: int) -> list[int]:
    """Return the g of every number of a row."""
    channels, total = len(row), sum(row)
    variance = channels * sum(x * x for x in row) - total * total + epsilon
    if variance == 0:
        return [0] * channels
    root, e = inverse_root(variance)
    return [saturated(round_shift((channels * x - total) * root, 3 + e), 18) for x in row]


def rows(random: Random) -> list[list[int]]:
    """Return rows that reach the ends of what can be, and some between."""
    outlier = [0] * 4095 + [HIGHEST]
    return [
        [0], [1], [LOWEST], [HIGHEST], [0, 1], [LOWEST, HIGHEST], [LOWEST] * 4096, [HIGHEST] * 4096, outlier,
        [-x for x in outlier], [LOWEST, HIGHEST] * 2048, [LOWEST] * 2047 + [HIGHEST] * 2049, [5] * 767 + [6],
        *([random.randint(-spread, spread) for _ in range(random.randint(1, 800))] for spread in (1, 9, 700, HIGHEST)),
    ]  # fmt: skip

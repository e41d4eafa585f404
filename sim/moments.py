"""What VECTOR holds of rows for their normalisation: the S, V, R and e of docs/arithmetic.md, section 8."""

from __future__ import annotations

import math

import numpy as np

from sim.errors import MachineError

_GUESSES = np.array([0] * 64 + [(math.isqrt(2**39 // (2 * j + 1)) + 1) >> 1 for j in range(64, 256)], np.int64)
"""The table of first guesses; the entries below 64 are never read."""

_MANTISSA_BITS = 14
_NORMALISED_BITS = 18


class Moments:
    """The sums, V, R and e of as many rows as the array has, each int64 [row], and of how many channels they are."""

    def __init__(self, rows: int) -> None:
        self.channels = np.zeros(rows, np.int64)
        self.totals = np.zeros(rows, np.int64)
        self.variances = np.zeros(rows, np.int64)
        self.roots = np.zeros(rows, np.int64)
        self.exponents = np.zeros(rows, np.int64)

    def take(self, y: np.ndarray, epsilon: int) -> None:
        """Hold those of the rows y [row, channel] from row 0 on."""
        rows, channels = y.shape
        totals = y.sum(axis=1)
        variances = channels * (y * y).sum(axis=1) - totals * totals + epsilon
        self.channels[:rows] = channels
        self.totals[:rows] = totals
        self.variances[:rows] = variances
        self.roots[:rows], self.exponents[:rows] = inverse_roots(variances)

    def normalise(self, v: np.ndarray, channels: int) -> np.ndarray:
        """Return rows [row, number], of which `channels` are valid, normalised to 12 fraction bits."""
        rows = len(v)
        for row, found in enumerate(self.channels[:rows].tolist()):
            if found != channels:
                raise MachineError(
                    f"normalise must find statistics of row {row} over {channels} channels, not {_over(found)}"
                )
        product = (channels * v - self.totals[:rows, None]) * self.roots[:rows, None]
        shift = 3 + self.exponents[:rows, None]
        normalised = saturate((product + (1 << shift - 1)) >> shift, _NORMALISED_BITS)
        return np.where(self.variances[:rows, None] == 0, 0, normalised)


def _over(channels: int) -> str:
    return f"over {channels}" if channels else "none in this run"


def inverse_roots(variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return R and e of each variance, 0 or more: R / 2^15 is about 2^e / sqrt(variance). Of 0 they mean nothing."""
    safe = np.maximum(variances, 1)
    exponents = (bit_lengths(safe) - 1) // 2
    left = _MANTISSA_BITS - 2 * exponents
    mantissas = (safe << np.maximum(left, 0)) >> np.maximum(-left, 0)
    guesses = _GUESSES[mantissas >> 8]
    squares = guesses * guesses >> 15
    products = mantissas * squares >> _MANTISSA_BITS
    return (guesses * (3 * 2**15 - products) + 2**15) >> 16, exponents


def bit_lengths(numbers: np.ndarray) -> np.ndarray:
    """Return how many bits each number, 0 or more, has."""
    return (numbers[..., None] >> np.arange(63) > 0).sum(axis=-1)


def round_shift(numbers: np.ndarray, shift: int) -> np.ndarray:
    """Return numbers / 2^shift rounded to nearest, a half up."""
    return numbers if shift == 0 else (numbers + (1 << shift - 1)) >> shift


def saturate(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Return the numbers clamped to two's complement of so many bits."""
    half = 1 << bits - 1
    return np.clip(numbers, -half, half - 1)

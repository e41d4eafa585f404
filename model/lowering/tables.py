"""Tables: exponentials of attention, levels of its codes, and functions of one number in 256 straight pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.integer_kernels import kernel
from model.lowering.formats import LARGEST_FIXED, Floats, to_int16
from model.operations import Table
from model.values import Value

LARGEST_ENTRY = 65535
LARGEST_LEVEL = 1 << 21
LEVEL_ONE = 1 << 20
MOST_ENTRIES = 1024
PIECES = 256
LARGEST_PIECE = 8
# Decimal's exponential is correctly rounded, so that a table is the same on every machine.
_EXACT = Context(prec=40)
# Beyond this distance, an exponential times 65535 rounds to 0: ln(2 * 65535).
_VANISHED = Decimal("11.7835")


def exponentials(step: Decimal, entries: int) -> NDArray[np.uint16]:
    """Return floor(65535 * exp(-i * step) + 1/2) for i from 0."""
    values = []
    for index in range(entries):
        power = _EXACT.exp(_EXACT.multiply(-step, Decimal(index)))
        values.append(int(_EXACT.add(_EXACT.multiply(power, Decimal(LARGEST_ENTRY)), Decimal("0.5"))))
    return np.array(values, np.uint16)


@dataclass(frozen=True, eq=False)
class Exponentials:
    """What a row threshold looks up: index = round_shift(distance * multiplier, shift), exp(-index * step)."""

    multiplier: int
    shift: int
    step: Decimal
    table: NDArray[np.uint16]


def score_step(scale: float, width: int) -> Decimal:
    """Return what a distance of 1 between two scores of a head stands for: scale / sqrt(width)."""
    return _EXACT.divide(Decimal(scale), _EXACT.sqrt(Decimal(width)))


def exponential_table(step: Decimal, largest: int, even: bool) -> Exponentials:
    """Return the table for distances from 0 to `largest`, each standing for `step`; `even` if all distances are even.

    The index of even distances is their half. Otherwise it is the distance itself if up to 1,024 entries reach the
    largest one or an exponential of 0; if they do not, the distance is scaled down so that they do.
    """
    if even:
        half = _EXACT.multiply(step, Decimal(2))
        return Exponentials(1, 1, half, exponentials(half, largest // 2 + 1))
    needed = min(largest + 1, _vanishing(step))
    if needed <= MOST_ENTRIES:
        return Exponentials(1, 0, step, exponentials(step, needed))
    return _scaled(step, largest)


def _vanishing(unit: Decimal) -> int:
    """Return the entries up to the first that is 0."""
    return int(_EXACT.divide(_VANISHED, unit)) + 2


def _scaled(step: Decimal, largest: int) -> Exponentials:
    reach = min(_VANISHED, _EXACT.multiply(step, Decimal(largest)))
    ratio = _EXACT.divide(_EXACT.multiply(step, Decimal(MOST_ENTRIES - 1)), reach)
    shift = 31
    while (multiplier := int(_EXACT.multiply(ratio, Decimal(1 << shift)))) > LARGEST_ENTRY:
        shift -= 1
    index_step = _EXACT.divide(_EXACT.multiply(step, Decimal(1 << shift)), Decimal(multiplier))
    return Exponentials(multiplier, shift, index_step, exponentials(index_step, MOST_ENTRIES))


def attention_levels(alpha: float, beta: float, bits: int) -> NDArray[np.int32]:
    """Return the probabilities, times 2^20, from which the codes are 1, 2, ...: beta + (k - 1/2) * alpha."""
    levels = []
    for code in range(1, 1 << bits):
        level = Fraction(beta) + Fraction(2 * code - 1, 2) * Fraction(alpha)
        levels.append(min(max(math.floor(level * LEVEL_ONE + Fraction(1, 2)), 0), LARGEST_LEVEL))
    return np.array(levels, np.int32)


def _gelu(x: float) -> float:
    return x * math.erfc(-x / math.sqrt(2)) / 2


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


# 0.01 is the slope of torch's leaky_relu.
FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "identity": lambda x: x,
    "relu": lambda x: max(x, 0.0),
    "gelu": _gelu,
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "leaky_relu": lambda x: x if x >= 0 else 0.01 * x,
    "elu": lambda x: x if x >= 0 else math.expm1(x),
    "swish": lambda x: x * _sigmoid(x),
}


def entries(function: str, source: int, target: int, shift: int) -> NDArray[np.int16]:
    """Return the 257 entries of a function from `source` to `target` fraction bits, pieces being 2^shift wide."""
    points = (np.arange(PIECES + 1) - PIECES // 2) * 2.0 ** (shift - source)
    return to_int16(apply(function, points) * 2.0**target)


def apply(function: str, points: NDArray[np.floating[Any]]) -> Floats:
    """Return the values of a function, in float64."""
    return np.array([FUNCTIONS[function](point) for point in points.tolist()])


def best_shift(function: str, source: int, target: int, largest: int) -> tuple[int, float]:
    """Return the width of pieces, as a shift, whose table is nearest to the function, and how far off it is.

    Looked at are all fixed numbers from -largest to largest; the distance is in units of 2^-target.
    """
    codes = np.arange(-largest, largest + 1)
    exact = apply(function, codes * 2.0**-source) * 2.0**target
    exact = np.clip(exact, -LARGEST_FIXED, LARGEST_FIXED)
    errors = []
    for shift in range(LARGEST_PIECE + 1):
        found = run_table(entries(function, source, target, shift), shift, codes)
        errors.append(float(np.abs(found - exact).max()))
    shift = int(np.argmin(errors))
    return shift, errors[shift]


def run_table(points: NDArray[np.int16], shift: int, x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what a table operation gives for fixed numbers."""
    value = Value("fixed")
    run = kernel(Table("table", ("input",), 0, shift, points), [value], value, torch.device("cpu"))
    return run(None, torch.from_numpy(x)).numpy().astype(np.int64)

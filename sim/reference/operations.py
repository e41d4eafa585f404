"""The operations on tokens, fixed values, codes and sums, except attention: docs/arithmetic.md, sections 8 and 10.

Each function takes and returns whole values, [n, C]. Parameters are arrays and numbers as the operations of a network
hold them; weights come unpacked, as bits.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.reference.integers import Codes, Integers, code_range, round_shift, saturate, to_fixed, wide

Fixed = NDArray[np.int16]
Sums = NDArray[np.int32]
Array = NDArray[Any]


def embed(ids: Array, types: Array, words: Array, scales: Array, positions: Array, type_rows: Array) -> Fixed:
    """Return scaled word bits plus position plus token type, for each token of a sentence."""
    rows = []
    for position, (word, kind) in enumerate(zip(ids.tolist(), types.tolist(), strict=True)):
        signs = 2 * words[word].astype(np.int64) - 1
        rows.append(signs * int(scales[word]) + wide("position", positions[position], 16) + type_rows[kind])
    return to_fixed(np.stack(rows))


def normalise(x: Array, gain: Array, offset: Array, epsilon: int, shift: int) -> Fixed:
    """Return the layer normalisation of each row."""
    normalised = np.stack([_normalised(row, epsilon) for row in wide("x", x, 16)])
    scaled = wide("normalised", normalised, 18) * wide("gain", gain, 16) + wide("offset", offset, 32)
    return to_fixed(round_shift(scaled, shift))


def _normalised(row: Integers, epsilon: int) -> Integers:
    channels, total, squares = len(row), int(row.sum()), int((row * row).sum())
    variance = channels * squares - total * total + epsilon
    wide("variance", variance, 57)
    if variance == 0:
        return np.zeros_like(row)
    root, exponent = inverse_root(variance)
    product = wide("distance x inverse root", (channels * row - total) * root, 46)
    return saturate(round_shift(product, 3 + exponent), 18)


def inverse_root(variance: int) -> tuple[int, int]:
    """Return R and e: R / 2^15 is about 2^e / sqrt(variance), for a variance of 1 or more."""
    exponent = (variance.bit_length() - 1) // 2
    mantissa = (variance << 14) >> (2 * exponent)
    guess = first_guess(mantissa >> 8)
    square = guess * guess >> 15
    product = mantissa * square >> 14
    return (guess * (3 * 2**15 - product) + 2**15) >> 16, exponent


def first_guess(index: int) -> int:
    """Return 2^15 / sqrt((index + 1/2) / 64), rounded; the index is from 64 to 255."""
    return (math.isqrt(2**39 // (2 * index + 1)) + 1) >> 1


def quantize(x: Array, bits: int, set: str, shift: int, multiplier: Array, addend: Array) -> Codes:
    """Return codes of 2, 4 or 8 bits: one affine map for each channel, clamped to the range of the codes."""
    low, high = code_range(bits, set)
    return Codes(np.clip(_affine(x, shift, multiplier, addend), low, high), bits, set)


def requantise(sums: Array, shift: int, multiplier: Array, addend: Array) -> Fixed:
    """Return sums as fixed values: one affine map for each channel, saturated."""
    return to_fixed(_affine(sums, shift, multiplier, addend))


def _affine(x: Array, shift: int, multiplier: Array, addend: Array) -> Integers:
    product = wide("x", x, 32) * wide("multiplier", multiplier, 16)
    return round_shift(product + wide("addend", addend, 32), shift)


def concatenate(parts: list[Codes]) -> Codes:
    """Return the channels of all parts, one after the other."""
    return Codes(np.concatenate([part.numbers for part in parts], axis=1), parts[0].bits, parts[0].set)


def matmul(codes: Codes, weights: Array) -> Sums:
    """Return the sums [n, N] of the codes [n, K] with weight bits [N, K]."""
    signs = 2 * weights.astype(np.int64) - 1
    return wide("sum", codes.values @ signs.T, 32).astype(np.int32)


def add(a: Array, b: Array) -> Fixed:
    """Return a + b, saturated."""
    left, right = _shared(a, b)
    return to_fixed(left + right)


def maximum(a: Array, b: Array) -> Fixed:
    """Return the larger of each two."""
    left, right = _shared(a, b)
    return to_fixed(np.maximum(left, right))


def multiply(a: Array, b: Array, shift: int) -> Fixed:
    """Return the products, shifted and saturated."""
    left, right = _shared(a, b)
    return to_fixed(round_shift(left * right, shift))


def _shared(a: Array, b: Array) -> tuple[Integers, Integers]:
    channels = min(a.shape[1], b.shape[1])
    return wide("a", a, 16)[:, :channels], wide("b", b, 16)[:, :channels]


def table(x: Array, shift: int, entries: Array) -> Fixed:
    """Return a function of each number, straight between the 257 entries; entry 128 is that of 0."""
    reach, points = 128 << shift, wide("entry", entries, 16)
    clamped = np.clip(wide("x", x, 16), -reach, reach - 1)
    piece = clamped >> shift
    left, right = points[piece + 128], points[piece + 129]
    inside = clamped - (piece << shift)
    return wide("y", left + round_shift((right - left) * inside, shift), 16).astype(np.int16)


def first(x: Codes | Array) -> Codes | Array:
    """Return row 0, which is [CLS]."""
    return Codes(x.numbers[:1], x.bits, x.set) if isinstance(x, Codes) else x[:1]


def mean(x: Array) -> Fixed:
    """Return the mean of all rows, as one row."""
    rows = len(x)
    exponent, reciprocal = mean_reciprocal(rows)
    totals = wide("total", wide("x", x, 16).sum(axis=0), 26)
    product = wide("total x reciprocal", totals * reciprocal + 2 ** (13 + exponent), 41)
    return to_fixed(product >> (14 + exponent))[np.newaxis]


def mean_reciprocal(rows: int) -> tuple[int, int]:
    """Return e and r: 1 / rows is about r / 2^(14 + e), where r has 15 bits."""
    exponent = next(e for e in itertools.count() if 2**e >= rows)
    return exponent, (2**14 * 2**exponent + rows // 2) // rows


def classify(x: Array, weights: Array, bias: Array, shift: int) -> NDArray[np.int32]:
    """Return the logits of the one row of x."""
    row = wide("x", x[0], 16)
    total = (wide("weights", weights, 8) * row).sum(axis=1) + wide("bias", bias, 32)
    return saturate(round_shift(total, shift), 32).astype(np.int32)

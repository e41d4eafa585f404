"""Compiled passes over float32 numbers for training on a CPU: each reads its operands once.

A pass goes over blocks of rows whose size follows from the shape alone. A sum is float32 within GROUP rows and float64
beyond, always in the same order; each block has a place of its own for its sums. So a result never depends on how many
threads share the blocks, nor on the width of the processor's vectors. No operations are fused and none change order:
what decides a bit rounds exactly as torch's own operations do.

Operands are addresses of contiguous float32 numbers (float64 for sums of blocks): making arrays of them in Python would
take longer than most passes do. Who calls keeps the numbers alive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Numbers = NDArray[np.float32]

GROUP = 8
"""Rows whose sum is a float32."""

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_INFINITY = np.float32(np.inf)


def compiled(function: F) -> F:
    """Compile a function that frees Python's lock while it runs, or take it from numba's cache."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # no folder for the cache can be written: compile anew in every process
        return cast(F, numba.njit(**options)(function))


def compiled_part(function: F) -> F:
    """Compile a function that only compiled functions call: it becomes one with its callers."""
    options: dict[str, Any] = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(F, numba.njit(error_model="numpy", **options)(function))


def _as_pointer(_: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return numba.types.voidptr(address), generate


_pointer: Any = intrinsic(_as_pointer)


@compiled_part
def matrix(address: int, rows: int, columns: int) -> Numbers:
    """Return the float32 numbers at an address."""
    return carray(_pointer(address), (rows, columns), np.float32)


@compiled_part
def vector(address: int, size: int) -> Numbers:
    """Return the float32 numbers at an address."""
    return carray(_pointer(address), size, np.float32)


@compiled_part
def doubles(address: int, rows: int, columns: int) -> NDArray[np.float64]:
    """Return the float64 numbers at an address."""
    return carray(_pointer(address), (rows, columns), np.float64)


@compiled_part
def shift_rows(beta: int, places: int, columns: int, wide: bool) -> Numbers:
    """Return `places` rows of shifts, one for each column if `wide`, else one for the whole row."""
    if wide:
        return matrix(beta, places, columns)
    shifts = np.empty((places, columns), np.float32)
    for place in range(places):
        shifts[place] = vector(beta, places)[place]
    return shifts


@compiled
def binarize(
    first: int,
    last: int,
    rows: int,
    columns: int,
    height: int,
    places: int,
    repeat: int,
    wide: bool,
    signed: bool,
    units: bool,
    relu: bool,
    x: int,
    alpha: int,
    beta: int,
    out: int,
) -> None:
    """Write the units or values of a binarizer of x, or of max(x, 0), for the blocks from `first` to before `last`.

    Row r of x has row r // repeat of the shifts, over and over.
    """
    least = _ZERO if relu else -_INFINITY
    size = vector(alpha, 1)[0]
    level = _ZERO if signed else size / _TWO
    high = _ONE if units else size
    low = -high if signed else _ZERO
    sources, targets = matrix(x, rows, columns), matrix(out, rows, columns)
    shifts = shift_rows(beta, places, columns, wide)
    for r in range(first * height, min(last * height, rows)):
        shift, source, target = shifts[r // repeat % places], sources[r], targets[r]
        for c in range(columns):
            target[c] = high if max(source[c], least) - shift[c] >= level else low


@compiled
def binarize_backward(
    first: int,
    last: int,
    rows: int,
    columns: int,
    height: int,
    places: int,
    repeat: int,
    wide: bool,
    signed: bool,
    units: bool,
    relu: bool,
    x: int,
    alpha: int,
    beta: int,
    gradient: int,
    out: int,
    add: bool,
    block_sums: int,
    to_alpha: bool,
) -> None:
    """Write the gradient of x or add it to `out`, and write each block's sums for the shifts and, if asked, for alpha.

    With z = x - shift, x gets t = gradient * factor where lowest <= z <= highest, else 0. A shift gets the sum of -t;
    alpha that of gradient * (above if z >= level, else below) - share * t * z. `out` may be where the gradient is.
    """
    size = vector(alpha, 1)[0]
    least = _ZERO if relu else -_INFINITY
    level = _ZERO if signed else size / _TWO
    lowest = -size if signed else _ZERO
    highest = size if signed else np.nextafter(size, _ZERO)
    factor = _ONE / size if units else _ONE
    above = _ZERO if units else _ONE
    below = -above if signed else _ZERO
    share = _ZERO if signed else _ONE / size
    sources, givens, targets = matrix(x, rows, columns), matrix(gradient, rows, columns), matrix(out, rows, columns)
    shifts = shift_rows(beta, places, columns, wide)
    through, shift_sum, alpha_sum = np.empty((3, columns), np.float32)
    for block in range(first, last):
        totals = doubles(block_sums, last, (places + 1) * columns)[block].reshape(places + 1, columns)
        totals[:] = 0.0
        start, stop = block * height, min(block * height + height, rows)
        while start < stop:
            end = min(start + GROUP, stop, (start // repeat + 1) * repeat)
            place = start // repeat % places
            shift = shifts[place]
            shift_sum[:] = _ZERO
            alpha_sum[:] = _ZERO
            for r in range(start, end):
                source, given, target = sources[r], givens[r], targets[r]
                if to_alpha:
                    for c in range(columns):
                        z = max(source[c], least) - shift[c]
                        inside = lowest <= z <= highest
                        t = given[c] * factor if inside else _ZERO
                        shift_sum[c] += t
                        alpha_sum[c] += given[c] * (above if z >= level else below)
                        alpha_sum[c] -= share * t * (z if inside else _ZERO)
                        through[c] = _ZERO if source[c] <= least else t
                else:
                    for c in range(columns):
                        z = max(source[c], least) - shift[c]
                        t = given[c] * factor if lowest <= z <= highest else _ZERO
                        shift_sum[c] += t
                        through[c] = _ZERO if source[c] <= least else t
                if add:
                    for c in range(columns):
                        target[c] += through[c]
                else:
                    for c in range(columns):
                        target[c] = through[c]
            for c in range(columns):
                totals[place, c] += shift_sum[c]
                totals[places, c] += alpha_sum[c]
            start = end


@compiled
def add_blocks(
    block_sums: int, blocks: int, places: int, columns: int, wide: bool, to_beta: int, to_alpha: int
) -> None:
    """Add up what `binarize_backward` left, block by block."""
    totals = doubles(block_sums, blocks, (places + 1) * columns)
    total = np.zeros((places + 1) * columns)
    for block in range(blocks):
        for c in range(len(total)):
            total[c] += totals[block, c]
    if wide:
        target = vector(to_beta, places * columns)
        for c in range(places * columns):
            target[c] = -total[c]
    else:
        target = vector(to_beta, places)
        for place in range(places):
            target[place] = -total[place * columns : (place + 1) * columns].sum()
    vector(to_alpha, 1)[0] = total[places * columns :].sum()


@compiled
def scale_and_shift(
    first: int, last: int, rows: int, columns: int, height: int, y: int, alpha: int, scale: int, shift: int
) -> None:
    """y = y * (alpha * scale) + shift in place, with a scale and a shift for each column; a shift of 0 is none."""
    numbers, factors = matrix(y, rows, columns), vector(alpha, 1)[0] * vector(scale, columns)
    shifts = vector(shift, columns) if shift else np.zeros(columns, np.float32)
    for r in range(first * height, min(last * height, rows)):
        row = numbers[r]
        for c in range(columns):
            row[c] = row[c] * factors[c] + shifts[c]


@compiled
def sum_columns(first: int, last: int, rows: int, columns: int, height: int, x: int, block_sums: int) -> None:
    """Write the sum over each column of each block, in float64."""
    numbers, totals = matrix(x, rows, columns), doubles(block_sums, last, columns)
    for block in range(first, last):
        total = totals[block]
        total[:] = 0.0
        for r in range(block * height, min(block * height + height, rows)):
            row = numbers[r]
            for c in range(columns):
                total[c] += np.float64(row[c])


@compiled
def mean_of_blocks(blocks: int, rows: int, columns: int, block_sums: int, mean: int) -> None:
    """Write the mean of the matrix whose sums `sum_columns` left."""
    totals, total = doubles(block_sums, blocks, columns), np.zeros(columns)
    for block in range(blocks):
        for c in range(columns):
            total[c] += totals[block, c]
    vector(mean, 1)[0] = np.float32(total.sum() / (rows * columns))


@compiled_part
def row_size(row: Numbers) -> float:
    """Return the sum of |row|, taken in float64 as four interleaved sums."""
    whole = len(row) - len(row) % 4
    p = q = s = t = 0.0
    for i in range(0, whole, 4):
        p += abs(row[i])
        q += abs(row[i + 1])
        s += abs(row[i + 2])
        t += abs(row[i + 3])
    for i in range(whole, len(row)):
        p += abs(row[i])
    return (p + q) + (s + t)


@compiled
def binary_weights(rows: int, columns: int, by_row: bool, weight: int, signs: int, scale: int) -> None:
    """Write the signs of the weights less their mean, and the mean size of each row, or that of all for each row."""
    numbers, targets, scales = matrix(weight, rows, columns), matrix(signs, rows, columns), vector(scale, rows)
    total, size = np.zeros(columns), np.zeros(columns)
    for r in range(rows):
        row = numbers[r]
        for c in range(columns):
            number = np.float64(row[c])
            total[c] += number
            size[c] += abs(number)
        if by_row:
            scales[r] = np.float32(row_size(row) / columns)
    if not by_row:
        scales[:] = np.float32(size.sum() / (rows * columns))
    centre = np.float32(total.sum() / (rows * columns))
    for r in range(rows):
        source, target = numbers[r], targets[r]
        for c in range(columns):
            target[c] = _ONE if source[c] - centre >= _ZERO else -_ONE


@compiled
def binary_words(rows: int, columns: int, words: int, centre: int, out: int) -> None:
    """Write the sign of each number less `centre` times the mean size of its row."""
    numbers, targets, middle = matrix(words, rows, columns), matrix(out, rows, columns), vector(centre, 1)[0]
    for r in range(rows):
        source, target = numbers[r], targets[r]
        high = np.float32(row_size(source) / columns)
        for c in range(columns):
            target[c] = high if source[c] - middle >= _ZERO else -high


@compiled
def finish_product(
    rows: int, columns: int, products: int, signs: int, scale: int, alpha: int, dense: int, to_alpha: int
) -> None:
    """Write dense = signs * scale * alpha and the gradient of alpha, and multiply the products by alpha.

    The products are those of gradient x units, summed over a batch; alpha gets the sum of products * signs * scale.
    """
    numbers, units = matrix(products, rows, columns), matrix(signs, rows, columns)
    targets = matrix(dense, rows, columns)
    size, scales = vector(alpha, 1)[0], vector(scale, rows)
    group, total = np.empty(columns, np.float32), np.zeros(columns)
    for start in range(0, rows, GROUP):
        group[:] = _ZERO
        for r in range(start, min(start + GROUP, rows)):
            row, unit, target, factor = numbers[r], units[r], targets[r], scales[r]
            for c in range(columns):
                weight = unit[c] * factor
                group[c] += row[c] * weight
                target[c] = weight * size
                row[c] *= size
        for c in range(columns):
            total[c] += group[c]
    vector(to_alpha, 1)[0] = total.sum()

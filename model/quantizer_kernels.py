"""Compiled passes of quantizers of 2, 4 and 8 bits; `model.kernels` says how passes go and add up."""

from __future__ import annotations

import numpy as np

from model.kernels import GROUP, compiled, doubles, matrix, shift_rows, vector

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_INFINITY = np.float32(np.inf)


@compiled
def quantize(
    first: int,
    last: int,
    rows: int,
    columns: int,
    height: int,
    places: int,
    repeat: int,
    wide: bool,
    low: int,
    high: int,
    relu: bool,
    x: int,
    alpha: int,
    beta: int,
    out: int,
) -> None:
    """Write the codes of x, or of max(x, 0), for the blocks from `first` to before `last`.

    Row r of x has row r // repeat of the shifts, over and over.
    """
    least = _ZERO if relu else -_INFINITY
    size, lowest, highest = vector(alpha, 1)[0], np.float32(low), np.float32(high)
    sources, targets = matrix(x, rows, columns), matrix(out, rows, columns)
    shifts = shift_rows(beta, places, columns, wide)
    for r in range(first * height, min(last * height, rows)):
        shift, source, target = shifts[r // repeat % places], sources[r], targets[r]
        for c in range(columns):
            number = max(source[c], least)
            code = np.floor((number - shift[c]) / size + _HALF)
            code = max(code, lowest)
            target[c] = min(code, highest)


@compiled
def quantize_backward(
    first: int,
    last: int,
    rows: int,
    columns: int,
    height: int,
    places: int,
    repeat: int,
    wide: bool,
    low: int,
    high: int,
    relu: bool,
    x: int,
    alpha: int,
    beta: int,
    gradient: int,
    out: int,
    add: bool,
    block_sums: int,
) -> None:
    """Write the gradient of x or add it to `out`, and write each block's sums for the shifts and for alpha.

    With t = (x - shift) / alpha, x gets g = gradient / alpha where low - 1/2 <= t < high + 1/2, else 0. A shift gets
    the sum of -g, alpha that of -g * t. `out` may be where the gradient is.
    """
    least = _ZERO if relu else -_INFINITY
    size, lowest, beyond = vector(alpha, 1)[0], np.float32(low) - _HALF, np.float32(high) + _HALF
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
                for c in range(columns):
                    number = max(source[c], least)
                    t = (number - shift[c]) / size
                    inside = lowest <= t < beyond
                    g = given[c] / size if inside else _ZERO
                    shift_sum[c] += g
                    alpha_sum[c] -= g * (t if inside else _ZERO)
                    through[c] = _ZERO if source[c] <= least else g
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

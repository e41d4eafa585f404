"""The operations of attention: scores, their codes, and the context; docs/arithmetic.md, sections 8 and 9."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.reference.integers import Codes, Integers, round_shift, wide

Array = NDArray[Any]
Sums = NDArray[np.int32]


def scores(queries: Codes, keys: Codes, heads: int) -> Sums:
    """Return the sums [heads, n, n] of each query row with each key row, head by head."""
    pairs = zip(_pieces(queries.values, heads), _pieces(keys.values, heads), strict=True)
    products = [query @ key.T for query, key in pairs]
    return wide("score", np.stack(products), 32).astype(np.int32)


def context(attention: Codes, values: Codes) -> Sums:
    """Return the sums [n, C] of the value rows, each counted as often as its attention code says."""
    heads = attention.values
    products = [head @ piece for head, piece in zip(heads, _pieces(values.values, len(heads)), strict=True)]
    return wide("context", np.concatenate(products, axis=1), 32).astype(np.int32)


def _pieces(rows: Integers, heads: int) -> list[Integers]:
    return np.split(rows, heads, axis=1)


def row_threshold(scores: Array, bits: int, multiplier: int, shift: int, table: Array, levels: Array) -> Codes:
    """Return unsigned codes [heads, n, n]: in each row, how many levels the softmax of each score reaches."""
    numbers = wide("scores", scores, 32)
    rows = [[_row_codes(row, multiplier, shift, table, levels) for row in head] for head in numbers]
    return Codes(np.array(rows), bits, "unsigned")


def _row_codes(row: Integers, multiplier: int, shift: int, table: Array, levels: Array) -> Integers:
    products = wide("distance x multiplier", (row.max() - row) * multiplier, 49)
    indices = np.minimum(round_shift(products, shift), len(table) - 1)
    exponentials = table.astype(np.int64)[indices]
    bounds = wide("level x sum", levels.astype(np.int64) * exponentials.sum(), 48)
    reached = exponentials[:, None] * 2**20 >= bounds[None, :]
    return reached.sum(axis=1)


def head_threshold(scores: Array, thresholds: Array) -> Codes:
    """Return 1-bit unsigned codes [heads, n, n]: which scores reach the threshold of their head."""
    return Codes(scores >= thresholds[:, None, None], 1, "unsigned")

"""Sums and attention codes in torch against the document in plain numbers, at the edges and at ties."""

import numpy as np
import pytest
import torch

from model import operations as ops
from model.bits import pack
from model.integer import split
from model.integer_kernels import float_dtype, kernel
from model.integer_layout import Batch, Layout
from model.values import Value, codes
from tests.model.plain import CPU, compute, held, round_shift, scores
from tests.model.small import draw, i32

CODES = [(name, bits) for bits in (1, 2, 4, 8) for name in ("signed", "unsigned")]


def counts_for(value, array):
    """Return what codes count for."""
    return 2 * array - 1 if value.set == "signed" and value.bits == 1 else array


@pytest.mark.parametrize(("set", "bits"), CODES)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (7, 3), (65, 9), (1000, 2)])
def test_matmul(set, bits, inputs, outputs):
    value = codes(inputs, set, bits, 8)
    x = draw(value.low, value.high, (6, inputs), np.int64)
    x[0], x[1] = value.low, value.high
    weights = draw(0, 1, (outputs, inputs), np.int64)
    weights[0] = 1
    found = compute(ops.Matmul("m", ("x",), inputs, outputs, pack(weights)), (value, x))
    assert found == (counts_for(value, x) @ (2 * weights - 1).T).tolist()
    if outputs == 1:
        assert found[1] == [inputs * value.high]


def test_the_widest_matmul_is_exact():
    value = codes(65535, "unsigned", 8, 2)
    x = np.full((2, 65535), 255)
    x[1, 0] = 254
    made = ops.Matmul("m", ("x",), 65535, 1, pack(np.ones((1, 65535), np.uint8)))
    assert compute(made, (value, x)) == [[65535 * 255], [65535 * 255 - 1]]


@pytest.mark.parametrize(("set", "bits"), CODES)
@pytest.mark.parametrize(("heads", "width"), [(1, 1), (1, 300), (3, 5), (4, 2)])
def test_scores_and_context(set, bits, heads, width):
    lengths, channels = [3, 1, 4], heads * width
    query, key = codes(channels, set, bits, 4), codes(channels, "unsigned", 8, 4)
    q, k = draw(query.low, query.high, (8, channels), np.int64), draw(0, 255, (8, channels), np.int64)
    q[:3], k[:3] = query.high, 255
    found = compute(ops.Scores("s", ("q", "k"), heads), (query, q), (key, k), lengths=lengths)
    attention = Value("codes", heads=heads, rows=4, set="unsigned", bits=8)
    padded = torch.full((3, heads, 4, 4), 0.0)
    contexts, start = [], 0
    for index, n in enumerate(lengths):
        rows = slice(start, start + n)
        start += n
        pieces = [counts_for(query, each) for each in np.split(q[rows], heads, 1)], np.split(k[rows], heads, 1)
        assert found[index] == [(a @ b.T).tolist() for a, b in zip(*pieces, strict=True)]
        weights = draw(0, 255, (heads, n, n), np.int64)
        padded[index, :, :n, :n] = torch.tensor(weights)
        contexts.append(np.concatenate([w @ a for w, a in zip(weights, pieces[0], strict=True)], 1).tolist())
    made, batch = ops.Context("c", ("a", "q")), Batch.of(lengths, CPU)
    result = made.result([attention, query])
    tensor = kernel(made, [attention, query], result, CPU)(batch, padded, held(query, q))
    assert [each.tolist() for each in split(batch, result, tensor)] == contexts


def plain_codes(row, multiplier, shift, table, levels):
    """Return the attention codes of one row of scores, as in section 9."""
    m = max(row)
    e = [table[min(round_shift((m - d) * multiplier, shift), len(table) - 1)] for d in row]
    z = sum(e)
    return [sum(each * 2**20 >= level * z for level in levels) for each in e]


def row_threshold(grids, bits=1, multiplier=1, shift=1, table=(65535, 30000, 9), levels=(1 << 19,), bound=99):
    """Return the attention codes of several sentences at once, compared with the plain ones."""
    made = ops.RowThreshold(
        "r", ("s",), bits, multiplier, shift, np.array(table, np.uint16), np.array(levels, np.int32)
    )
    source = scores(len(grids[0]), bound, 8)
    batch, longest = Batch.of([len(grid[0]) for grid in grids], CPU), max(len(grid[0]) for grid in grids)
    # What stands at keys that are not there must not matter, even if it is larger than every score.
    tensor = torch.full((len(grids), len(grids[0]), longest, longest), bound, dtype=float_dtype(source))
    for index, grid in enumerate(grids):
        n = len(grid[0])
        tensor[index, :, :n, :n] = torch.tensor(grid)
    result = made.result([source])
    given = kernel(made, [source], result, CPU)(batch, tensor)
    for index, grid in enumerate(grids):
        assert not given[index, :, :, len(grid[0]) :].any()
    found = [each.tolist() for each in split(batch, result, given)]
    assert found == [
        [[plain_codes(row, multiplier, shift, table, levels) for row in head] for head in grid] for grid in grids
    ]
    return found


def test_row_threshold_at_ties():
    # Two equal scores have a share of one half each: exactly the level.
    assert row_threshold([[[[5, 5], [5, 3]]]]) == [[[[1, 1], [1, 0]]]]
    assert row_threshold([[[[5, 5], [5, 3]]]], levels=((1 << 19) + 1,)) == [[[[0, 0], [1, 0]]]]
    assert row_threshold([[[[5, 5], [5, 3]]]], 2, levels=(1 << 18, 1 << 19, 1 << 20)) == [[[[2, 2], [2, 1]]]]


@pytest.mark.parametrize(("level", "code"), [(0, 1), (1 << 20, 1), ((1 << 20) + 1, 0), (1 << 21, 0)])
def test_row_threshold_of_one_row(level, code):
    assert row_threshold([[[[-7]], [[99]]]], levels=(level,)) == [[[[code]], [[code]]]]


def test_row_threshold_with_levels_that_all_or_none_reach():
    grid = [[[1, 99, -99], [0, 0, 0], [5, 4, 3]]]
    assert row_threshold([grid, [[[0]]]], bits=2, levels=(0, 0, 0)) == [[[[3] * 3] * 3], [[[3]]]]
    assert row_threshold([grid, [[[0]]]], levels=(0,)) == [[[[1] * 3] * 3], [[[1]]]]
    assert row_threshold([grid], bits=2, levels=(1 << 21,) * 3) == [[[[0] * 3] * 3]]
    assert row_threshold([grid], table=(65535,), levels=(1 << 18,)) == [[[[1] * 3] * 3]]
    assert row_threshold([grid], multiplier=0, levels=(1 << 18,)) == [[[[1] * 3] * 3]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_row_threshold_on_random_scores(bits):
    grids = [draw(-99, 99, (2, n, n), np.int64).tolist() for n in (5, 1, 8, 2)]
    table = sorted(draw(0, 65535, 40, np.int64).tolist(), reverse=True)
    levels = sorted(draw(0, 1 << 20, (1 << bits) - 1, np.int64).tolist())
    row_threshold(grids, bits, 7, 5, (65535, *table), levels)


def test_row_threshold_on_the_largest_scores():
    bound = (1 << 31) - 1
    grid = [[[bound, -bound], [bound, bound - 1]]]
    row_threshold([grid], 1, 65535, 31, tuple(range(65535, -1, -1)), (1 << 18,), bound)
    row_threshold([grid], 1, 65535, 0, (65535, 1), (1 << 18,), bound)


def test_head_threshold():
    made = ops.HeadThreshold("h", ("s",), i32(1, -2))
    source, batch = scores(2, 9), Batch.of([1, 2], CPU)
    tensor = torch.tensor([[[[1, 9], [9, 9]], [[-3, 9], [9, 9]]], [[[1, 0], [2, 1]], [[-2, -3], [-1, -9]]]]).float()
    result = made.result([source])
    given = kernel(made, [source], result, CPU)(batch, tensor)
    assert not given[0, :, :, 1:].any()
    assert [each.tolist() for each in split(batch, result, given)] == [
        [[[1]], [[0]]],
        [[[1, 0], [1, 1]], [[1, 0], [1, 0]]],
    ]


def test_padding_and_back():
    layout = Layout.of([2, 1, 3], CPU)
    rows = torch.arange(24).view(6, 4)
    padded = layout.pad(rows, 2)
    assert padded.shape == (3, 2, 3, 2)
    assert padded[0, 0].tolist() == [[0, 1], [4, 5], [0, 0]]
    assert padded[2, 1].tolist() == [[14, 15], [18, 19], [22, 23]]
    assert torch.equal(layout.unpad(padded), rows)
    assert layout.row.tolist() == [0, 1, 0, 0, 1, 2]
    assert layout.starts.tolist() == [0, 2, 3]

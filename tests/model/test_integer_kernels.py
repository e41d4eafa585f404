"""Each operation in torch against the document in plain numbers, one at a time, at the edges and at ties."""

import math

import numpy as np
import pytest
import torch

from model import operations as ops
from model.bits import pack
from model.integer import split, units
from model.integer_kernels import float_dtype, kernel
from model.integer_layout import Batch, Layout
from model.values import Value, codes, tokens
from tests.model.small import draw, i16, i32, make

CPU = torch.device("cpu")


def fixed(channels, rows=4, fraction=8):
    return Value("fixed", channels=channels, rows=rows, fraction=fraction)


def sums(channels, bound, rows=4):
    return Value("sums", channels=channels, rows=rows, bound=bound)


def scores(heads, bound, rows=4):
    return Value("sums", heads=heads, rows=rows, bound=bound)


def held(value, array):
    """Return a value as the kernels hold it."""
    tensor = torch.tensor(np.asarray(array), dtype=torch.int64)
    if value.kind == "codes":
        return units(value, tensor)
    return tensor.to(torch.int32 if value.kind == "fixed" else float_dtype(value))


def compute(operation, *sources, lengths=None):
    """Return what an operation gives for pairs of a value and its rows, one sentence unless lengths are given."""
    values = [value for value, _ in sources]
    batch = Batch.of(lengths or [len(sources[0][1])], CPU)
    result = operation.result(values)
    tensor = kernel(operation, values, result, CPU)(batch, *(held(value, array) for value, array in sources))
    found = split(batch, result, tensor)
    return found[0].tolist() if lengths is None else [each.tolist() for each in found]


def round_shift(x, s):
    return (x + 2 ** (s - 1)) >> s if s else x


def sat(x, bits=16):
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, x))


def plain_normalise(x, epsilon, shift, gain, offset):
    """Return one row normalised, step by step as in section 8."""
    c, s, q = len(x), sum(x), sum(each * each for each in x)
    v = c * q - s * s + epsilon
    g = [0] * c
    if v:
        e = (v.bit_length() - 1) // 2
        assert 4**e <= v < 4 ** (e + 1)
        m = v * 2**14 // 4**e
        j = m >> 8
        r = (math.isqrt(2**39 // (2 * j + 1)) + 1) >> 1
        root = (r * (3 * 2**15 - (m * (r * r >> 15) >> 14)) + 2**15) >> 16
        assert abs(root * math.sqrt(v) / 2 ** (15 + e) - 1) < 2**-13
        g = [sat(round_shift((c * each - s) * root, 3 + e), 18) for each in x]
    return [sat(round_shift(each * a + b, shift)) for each, a, b in zip(g, gain, offset, strict=True)]


def normalise(x, epsilon=0, shift=12, gain=None, offset=None):
    c = len(x[0])
    gain = np.full(c, 4096, np.int16) if gain is None else gain
    offset = np.zeros(c, np.int32) if offset is None else offset
    found = compute(ops.Normalise("n", ("x",), 8, epsilon, shift, gain, offset), (fixed(c), np.array(x, np.int64)))
    assert found == [plain_normalise(row, epsilon, shift, gain.tolist(), offset.tolist()) for row in x]
    return found


def test_embed():
    words = pack([[1, 0, 1, 1, 0, 0, 1, 0, 1], [0] * 9])
    positions = np.array([[10] * 9, [-5] * 9, [0] * 9], np.int16)
    types = np.array([[0] * 9, [1] * 9], np.int16)
    made = ops.Embed("e", ("input",), 8, words, i16(100, 3), positions, types)
    batch = Batch.of([2, 1], CPU)
    ids, kinds = torch.tensor([0, 1, 0]), torch.tensor([0, 1, 1])
    rows = kernel(made, [tokens(3)], made.result([tokens(3)]), CPU)(batch, ids, kinds).tolist()
    assert rows[0] == [110, -90, 110, 110, -90, -90, 110, -90, 110]
    assert rows[1] == [-3 - 5 + 1] * 9
    assert rows[2] == [111, -89, 111, 111, -89, -89, 111, -89, 111]


def test_embed_saturates():
    one = np.array([[32767], [-32768]], np.int16)
    made = ops.Embed("e", ("input",), 8, pack([[1], [0]]), i16(32767, 32767), one, one)
    found = kernel(made, [tokens(2)], made.result([tokens(2)]), CPU)(
        Batch.of([2], CPU), torch.tensor([0, 1]), torch.tensor([0, 1])
    )
    assert found.tolist() == [[32767], [-32768]]


@pytest.mark.parametrize("epsilon", [0, 1, 12345, (1 << 31) - 1])
@pytest.mark.parametrize("channels", [1, 2, 3, 9, 128, 1000])
def test_normalise(channels, epsilon):
    wide = draw(-32768, 32767, (4, channels)).tolist()
    narrow = [[each % 3 for each in row] for row in wide]
    gain, offset = draw(-32768, 32767, channels), draw(-(1 << 31), (1 << 31) - 1, channels, np.int32)
    normalise([*wide, *narrow], epsilon)
    normalise([*wide, *narrow], epsilon, 20, gain, offset)


def test_normalise_of_equal_channels_gives_the_offset():
    assert normalise([[7, 7, 7], [-32768] * 3, [0] * 3], 0, 2, offset=i32(4, 6, -6)) == [[1, 2, -1]] * 3
    assert normalise([[5]], 0, 1, offset=i32(8)) == [[4]]
    assert normalise([[5]], 9, 1, offset=i32(8)) == [[4]]


def test_normalise_at_the_ends():
    ends = [[32767, -32768] * 2048, [-32768, *[32767] * 4095], [32767, *[-32768] * 4095], [1, *[0] * 4095]]
    found = normalise(ends)
    assert [row[0] for row in found] == [4096, -32768, 32767, 32767]
    normalise(ends, (1 << 31) - 1, 31, np.full(4096, -32768, np.int16), np.full(4096, -(1 << 31), np.int32))


def test_normalise_saturates_the_normalised_value_at_32():
    row = [[32767, *[-32768] * 4095], [-32768, *[32767] * 4095]]
    found = normalise(row, 0, 14, np.full(4096, 1, np.int16))
    assert [each[0] for each in found] == [round_shift((1 << 17) - 1, 14), -8]


def test_binarize_fires_on_a_tie():
    made = ops.Binarize("b", ("x",), "signed", i32(5, 5, 5, 5), np.array([0, 1, 0, 1], np.uint8))
    assert compute(made, (fixed(4), [[5, 5, 4, 4], [6, 6, -9, -9]])) == [[1, 0, 0, 1]] * 2
    assert compute(made, (sums(4, 99), [[5, 5, 4, 4]])) == [[1, 0, 0, 1]]


def test_binarize_at_the_ends():
    made = ops.Binarize("b", ("x",), "unsigned", i32(-32768, 32768, 32767), np.zeros(3, np.uint8))
    assert compute(made, (fixed(3), [[-32768, 32767, 32767], [0, 0, 32766]])) == [[1, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("bound", [(1 << 24) - 1, 1 << 24, (1 << 31) - 1])
def test_binarize_tells_large_sums_apart(bound):
    made = ops.Binarize("b", ("x",), "signed", i32(bound, 1 - bound, -bound), np.zeros(3, np.uint8))
    assert compute(made, (sums(3, bound), [[bound, -bound, -bound], [bound - 1, 1 - bound, 0]])) == [
        [1, 0, 1],
        [0, 1, 1],
    ]


@pytest.mark.parametrize(
    ("set", "bits", "low", "high"), [("signed", 2, -2, 1), ("unsigned", 4, 0, 15), ("signed", 8, -128, 127)]
)
def test_quantize(set, bits, low, high):
    x = np.arange(-600, 600)
    made = ops.Quantize("q", ("x",), set, bits, 2, i16(1, -1, 3), i32(0, 1, -7))
    found = compute(made, (fixed(3), np.stack([x, x, x], 1)))
    plain = [
        [max(low, min(high, round_shift(each * m + a, 2))) for m, a in ((1, 0), (-1, 1), (3, -7))]
        for each in x.tolist()
    ]
    assert found == plain


def test_quantize_rounds_halves_up():
    made = ops.Quantize("q", ("x",), "signed", 8, 1, i16(1), i32(0))
    assert compute(made, (sums(1, 9), [[-3], [-1], [1], [3]])) == [[-1], [0], [1], [2]]


def test_quantize_at_the_ends():
    made = ops.Quantize("q", ("x",), "signed", 8, 31, i16(-32768, 32767), i32(-(1 << 31), (1 << 31) - 1))
    bound = (1 << 31) - 1
    plain = [
        [sat(round_shift(each * m + a, 31), 8) for m, a in ((-32768, -(1 << 31)), (32767, (1 << 31) - 1))]
        for each in (bound, -bound, 1, 65535)
    ]
    assert compute(made, (sums(2, bound), [[each] * 2 for each in (bound, -bound, 1, 65535)])) == plain


def test_concatenate():
    made = make("concatenate", sources=("a", "b", "a"))
    one, two = codes(2, "unsigned", 4, 4), codes(1, "unsigned", 4, 4)
    assert compute(made, (one, [[1, 2]]), (two, [[15]]), (one, [[1, 2]])) == [[1, 2, 15, 1, 2]]


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


def test_requantise():
    made = ops.Requantise("r", ("x",), 8, 3, i16(32767, -32768, 1), i32(0, 4, -5))
    x = [-(1 << 31) + 1, -4, -1, 0, 1, 2, 7, (1 << 31) - 1]
    plain = [[sat(round_shift(each * m + a, 3)) for m, a in ((32767, 0), (-32768, 4), (1, -5))] for each in x]
    assert compute(made, (sums(3, (1 << 31) - 1), [[each] * 3 for each in x])) == plain
    assert plain[0][0] == -32768 and plain[-1][0] == 32767


def test_requantise_without_a_shift():
    made = ops.Requantise("r", ("x",), 8, 0, i16(2), i32(1))
    assert compute(made, (sums(1, 9), [[-3], [4]])) == [[-5], [9]]


def test_combinations_take_the_first_channels_of_the_wider_value():
    wide, narrow = [[32767, -32768, 5, 6]], [[1, -1]]
    for made, expected in (
        (make("add"), [[32767, -32768]]),
        (make("maximum"), [[32767, -1]]),
        (make("multiply", shift=1), [[16384, 16384]]),
    ):
        assert compute(made, (fixed(4), wide), (fixed(2), narrow)) == expected
        assert compute(made, (fixed(2), narrow), (fixed(4), wide)) == expected


@pytest.mark.parametrize("shift", [0, 1, 8, 15, 30, 31])
def test_multiply(shift):
    x = [-32768, -32767, -3, -1, 0, 1, 2, 5, 181, 32767]
    pairs = [(a, b) for a in x for b in x]
    found = compute(
        make("multiply", shift=shift),
        (fixed(1, 100), [[a] for a, _ in pairs]),
        (fixed(1, 100), [[b] for _, b in pairs]),
    )
    assert found == [[sat(round_shift(a * b, shift))] for a, b in pairs]


@pytest.mark.parametrize("k", [0, 1, 5, 8])
def test_table(k):
    entries = draw(-32768, 32767, 257)
    t = entries.tolist()
    x = [*range(-32768, 32768, 7), 32767, 127 << k, (128 << k) - 1, 128 << k, -128 << k, (-128 << k) - 1]
    x = [each for each in x if -32768 <= each <= 32767]

    def plain(each):
        inside = max(-128 << k, min((128 << k) - 1, each))
        j = (inside >> k) + 128
        r = inside - ((inside >> k) << k)
        return t[j] + round_shift((t[j + 1] - t[j]) * r, k)

    made = ops.Table("t", ("x",), 8, k, entries)
    assert compute(made, (fixed(1, len(x)), [[each] for each in x])) == [[plain(each)] for each in x]


def test_first():
    rows = [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert compute(make("first"), (fixed(2), rows), lengths=[3, 1]) == [[[1, 2]], [[7, 8]]]
    assert compute(make("first"), (fixed(2, 1), rows), lengths=[1, 1, 1, 1]) == [[row] for row in rows]
    bits = [[1, 0], [0, 0], [0, 1]]
    assert compute(make("first"), (codes(2, "signed", 1, 4), bits), lengths=[2, 1]) == [[[1, 0]], [[0, 1]]]


def test_classify():
    made = ops.Classify("c", ("x",), 1, np.array([[1, -2], [127, -128]], np.int8), i32(0, -7))
    assert compute(made, (fixed(2, 1), [[5, 3]])) == [round_shift(-1, 1), round_shift(5 * 127 - 3 * 128 - 7, 1)]


def test_classify_saturates_at_32_bits():
    weights = np.stack([np.full(4096, -128), np.full(4096, 127)]).astype(np.int8)
    made = ops.Classify("c", ("x",), 0, weights, i32(-(1 << 31), (1 << 31) - 1))
    assert compute(made, (fixed(4096, 1), [[32767] * 4096])) == [-(1 << 31), (1 << 31) - 1]
    made = ops.Classify("c", ("x",), 4, weights, i32(-(1 << 31), (1 << 31) - 1))
    sums_of = [32767 * 4096 * -128 - (1 << 31), 32767 * 4096 * 127 + (1 << 31) - 1]
    assert compute(made, (fixed(4096, 1), [[32767] * 4096])) == [round_shift(each, 4) for each in sums_of]


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

"""Each operation on rows in torch against the document in plain numbers, one at a time, at the edges and at ties."""

import math

import numpy as np
import pytest
import torch

from model import operations as ops
from model.bits import pack
from model.integer_kernels import kernel
from model.integer_layout import Batch
from model.values import codes, tokens
from tests.model.plain import CPU, compute, fixed, round_shift, sat, sums
from tests.model.small import draw, i16, i32, make


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

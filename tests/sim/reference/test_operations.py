"""The operations of the reference, each against numbers worked out by hand or against plain loops over rationals."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.reference import sums as layer_sums
from sim.reference.integers import Codes, WidthError
from sim.reference.operations import (
    add,
    classify,
    concatenate,
    embed,
    first,
    matmul,
    maximum,
    multiply,
    quantize,
    requantise,
    table,
)


def fixed(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int16)


def long(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def nearest(exact: Fraction) -> int:
    """Return the nearest integer, of two the upper one."""
    return floor(exact + Fraction(1, 2))


WORDS = np.array([[1, 0, 1], [0, 0, 1]], np.uint8)
SCALES = np.array([100, -30], np.int16)
POSITIONS = fixed([1, 2, 3], [10, 20, 30])
TYPES = fixed([0, 0, 0], [1000, 2000, 3000])


def test_embed_by_hand() -> None:
    result = embed(np.array([0, 1]), np.array([0, 1]), WORDS, SCALES, POSITIONS, TYPES)
    assert result.tolist() == [[101, -98, 103], [30 + 1010, 30 + 2020, -30 + 3030]]
    assert result.dtype == np.int16
    assert embed(np.array([1]), np.array([0]), WORDS, SCALES, POSITIONS, TYPES).tolist() == [[31, 32, -27]]


def test_embed_saturates_once_at_the_end() -> None:
    words, most, least = np.array([[1], [0]], np.uint8), 32767, -32768
    for scale, position, kind, high, low in (
        (most, 1, 0, most, 1 - most),
        (most, most, most, most, most),
        (most, most, least, 32766, -32768),
        (least, least, least, least, -32768),
        (least, most, least, least, most),
    ):
        parts = (np.array([scale] * 2, np.int16), fixed([position], [position]), fixed([kind]))
        result = embed(np.array([0, 1]), np.array([0, 0]), words, *parts)
        assert result.tolist() == [[high], [low]], (scale, position, kind)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("set", ["signed", "unsigned"])
def test_quantize_both_ends(bits: int, set: str) -> None:
    low, high = (0, 2**bits - 1) if set == "unsigned" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    x = fixed([low - 1], [low], [high], [high + 1])
    codes = quantize(x, bits, set, 0, np.array([1], np.int16), long(0))
    assert codes.numbers.tolist() == [[low], [low], [high], [high]]
    assert codes.numbers.dtype == np.int16
    assert (codes.bits, codes.set) == (bits, set)


def test_quantize_by_hand() -> None:
    # (7 * 3 - 1 + 4) >> 3 = 3; (-7 * 3 - 1 + 4) >> 3 = -18 >> 3 = -3; ties: 4 >> 3 after + 4 is 1, and -4 gives 0.
    multiplier, addend = np.array([3, 1, -1], np.int16), long(-1, 0, 0)
    codes = quantize(fixed([7, 4, 4], [-7, -4, -4]), 4, "signed", 3, multiplier, addend)
    assert codes.numbers.tolist() == [[3, 1, 0], [-3, 0, 1]]


def test_quantize_takes_sums() -> None:
    codes = quantize(
        np.array([[2**31 - 1, -(2**31)]], np.int32), 8, "signed", 31, np.full(2, 100, np.int16), long(0, 0)
    )
    assert codes.numbers.tolist() == [[100, -100]]


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5),
    st.integers(-32768, 32767),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 31),
)
def test_affine_maps_against_rationals(numbers: list[int], multiplier: int, addend: int, shift: int) -> None:
    d = np.array([numbers], np.int32)
    parts = (np.full(len(numbers), multiplier, np.int16), np.full(len(numbers), addend, np.int32))
    exact = [nearest(Fraction(number * multiplier + addend, 2**shift)) for number in numbers]
    result = requantise(d, shift, *parts)
    assert result.dtype == np.int16
    assert result[0].tolist() == [min(max(number, -32768), 32767) for number in exact]
    codes = quantize(d, 4, "unsigned", shift, *parts)
    assert codes.numbers[0].tolist() == [min(max(number, 0), 15) for number in exact]


def test_requantise_by_hand() -> None:
    d = np.array([[5, -5, 1000], [0, 1, -1000]], np.int32)
    result = requantise(d, 1, np.array([3, 3, 100], np.int16), long(0, 0, 7))
    # 15 / 2 and -15 / 2 go up; 100007 / 2 and -99993 / 2 saturate.
    assert result.tolist() == [[8, -7, 32767], [0, 2, -32768]]


def test_concatenate() -> None:
    left, right = Codes(np.array([[1, 2], [3, 0]]), 2, "unsigned"), Codes(np.array([[3], [1]]), 2, "unsigned")
    result = concatenate([left, right, left])
    assert result.numbers.tolist() == [[1, 2, 3, 1, 2], [3, 0, 1, 3, 0]]
    assert (result.bits, result.set) == (2, "unsigned")
    assert concatenate([left]).numbers.tolist() == left.numbers.tolist()


def test_a_ternary_layer_is_two_binary_ones() -> None:
    random = np.random.default_rng(2)
    codes = Codes(random.integers(-8, 8, (3, 7)), 4, "signed")
    first, second = random.integers(0, 2, (2, 5, 7)).astype(np.uint8)
    ternary = first.astype(int) + second - 1
    result = matmul(concatenate([codes, codes]), np.concatenate([first, second], axis=1))
    assert result.tolist() == (codes.values @ (2 * ternary).T).tolist()


def test_matmul_by_hand() -> None:
    weights = np.array([[1, 1, 0], [0, 0, 0]], np.uint8)
    assert matmul(Codes(np.array([[1, 0, 0]]), 1, "signed"), weights).tolist() == [[1, 1]]
    assert matmul(Codes(np.array([[1, 0, 1]]), 1, "unsigned"), weights).tolist() == [[0, -2]]
    assert matmul(Codes(np.array([[-8, 7, 3]]), 4, "signed"), weights).tolist() == [[-4, -2]]
    result = matmul(Codes(np.array([[255, 255, 0]]), 8, "unsigned"), weights)
    assert result.tolist() == [[510, -510]]
    assert result.dtype == np.int32


def test_matmul_at_its_widest() -> None:
    weights = np.array([[1] * 65535, [0] * 65535], np.uint8)
    codes = Codes(np.full((1, 65535), 255), 8, "unsigned")
    assert matmul(codes, weights).tolist() == [[65535 * 255, -65535 * 255]]


@pytest.mark.parametrize(("bits", "set"), [*product([1, 2, 4, 8], ["signed", "unsigned"])])
def test_matmul_is_the_sum_of_weighed_planes(bits: int, set: str) -> None:
    random = np.random.default_rng(bits)
    weights = random.integers(0, 2, (6, 19)).astype(np.uint8)
    raw = random.integers(0, 2**bits, (5, 19))
    if bits == 1:
        planes = layer_sums(raw.astype(np.uint8), weights, set == "unsigned")
        numbers = raw
    else:
        weighs = [2**k for k in range(bits)]
        if set == "signed":
            weighs[-1] *= -1
        one_bit = [(raw >> k & 1).astype(np.uint8) for k in range(bits)]
        planes = sum(weigh * layer_sums(plane, weights, True) for weigh, plane in zip(weighs, one_bit, strict=True))
        numbers = sum(weigh * plane.astype(int) for weigh, plane in zip(weighs, one_bit, strict=True))
    assert matmul(Codes(numbers, bits, set), weights).tolist() == planes.tolist()


def test_add_maximum_multiply() -> None:
    a, b = fixed([32767, -32768, 5, -7, 3]), fixed([1, -1, -9, -7, 4])
    assert add(a, b).tolist() == [[32767, -32768, -4, -14, 7]]
    assert maximum(a, b).tolist() == [[32767, -1, 5, -7, 4]]
    assert multiply(a, b, 0).tolist() == [[32767, 32767, -45, 49, 12]]
    # 32767 / 8, 32768 / 8, -45 / 8 = -5.6, 49 / 8 = 6.1, 12 / 8 = 1.5
    assert multiply(a, b, 3).tolist() == [[4096, 4096, -6, 6, 2]]
    assert {add(a, b).dtype, maximum(a, b).dtype, multiply(a, b, 3).dtype} == {np.dtype(np.int16)}


@pytest.mark.parametrize("channels", [1, 2])
def test_the_narrower_of_two_says_how_many_channels(channels: int) -> None:
    a, b = fixed([1, -2, 3], [4, 5, -6]), fixed([10, -20], [-40, 50])[:, :channels]
    both = np.array([[11, -22], [-36, 55]])[:, :channels].tolist()
    assert add(a, b).tolist() == add(b, a).tolist() == both
    assert maximum(a, b).tolist() == maximum(b, a).tolist() == np.array([[10, -2], [4, 50]])[:, :channels].tolist()
    products = np.array([[10, 40], [-160, 250]])[:, :channels].tolist()
    assert multiply(a, b, 0).tolist() == multiply(b, a, 0).tolist() == products


def test_multiply_saturates_after_the_shift() -> None:
    a, b = fixed([-32768, -32768, 32767]), fixed([-32768, 32767, 32767])
    assert multiply(a, b, 14).tolist() == [[32767, -32768, 32767]]
    assert multiply(a, b, 15).tolist() == [[32767, -32767, 32766]]
    assert multiply(a, b, 31).tolist() == [[1, 0, 0]]


STEPS = np.array([(7 * i * i) % 2001 - 1000 for i in range(257)], np.int16)


@pytest.mark.parametrize("shift", range(9))
def test_table_against_rationals(shift: int) -> None:
    reach = 128 << shift
    x = sorted({edge + step for edge in range(-reach, reach + 1, reach // 64) for step in (-1, 0, 1)} | {-32768, 32767})
    x = [number for number in x if -32768 <= number <= 32767]
    for number, y in zip(x, table(np.array([x], np.int16), shift, STEPS)[0].tolist(), strict=True):
        inside = min(max(number, -reach), reach - 1)
        place = Fraction(inside + reach, 2**shift)
        left, right = int(STEPS[floor(place)]), int(STEPS[floor(place) + 1])
        assert y == nearest(left + (right - left) * (place - floor(place)))


def test_table_without_a_shift_is_a_list() -> None:
    entries = np.arange(257, dtype=np.int16) * 100
    assert table(fixed([-32768, -129, -128, -1, 0, 1, 127, 128, 32767]), 0, entries).tolist() == [
        [0, 0, 0, 12700, 12800, 12900, 25500, 25500, 25500]
    ]


def test_table_reaches_all_16_bits_at_its_coarsest() -> None:
    entries = np.zeros(257, np.int16)
    entries[0], entries[1], entries[255], entries[256] = -32768, 32767, -32768, 32767
    # Piece 0 rises by 65535 / 256 per step: 0, 256.0, ..., piece 255 likewise.
    x = fixed([-32768, -32767, -32513, -32512, 32512, 32513, 32767])
    result = table(x, 8, entries)
    assert result.tolist() == [[-32768, -32512, 32511, 32767, -32768, -32512, 32511]]
    assert result.dtype == np.int16


def test_a_falling_table_rounds_halves_up_too() -> None:
    entries = np.zeros(257, np.int16)
    entries[127:131] = 3, 0, -3, -6
    # Half way down from 3 to 0: 3 + ceil(-1.5) = 2; from 0 to -3: -1; from -3 to -6: -4.
    assert table(fixed([-1, 1, 3]), 1, entries).tolist() == [[2, -1, -4]]


@given(st.integers(0, 8), st.integers(0, 99), st.lists(st.integers(-32768, 32767), min_size=1, max_size=8))
def test_table_stays_between_its_entries(shift: int, seed: int, numbers: list[int]) -> None:
    entries = np.random.default_rng(seed).choice([-32768, -32767, -1, 0, 1, 32767], 257).astype(np.int16)
    pairs = [sorted(pair) for pair in pairwise(entries.tolist())]
    for number, y in zip(numbers, table(fixed(numbers), shift, entries)[0].tolist(), strict=True):
        low, high = pairs[min(max((number + (128 << shift)) // 2**shift, 0), 255)]
        assert low <= y <= high


def test_first_keeps_the_kind() -> None:
    assert np.asarray(first(fixed([1, 2], [3, 4], [5, 6]))).tolist() == [[1, 2]]
    codes = first(Codes(np.array([[-2, 1], [0, 1]]), 2, "signed"))
    assert isinstance(codes, Codes)
    assert (codes.numbers.tolist(), codes.bits, codes.set) == ([[-2, 1]], 2, "signed")


def test_classify_by_hand() -> None:
    x = fixed([10, -20, 30], [9, 9, 9])
    weights = np.array([[1, 2, 3], [-128, 127, 0]], np.int8)
    # 10 - 40 + 90 + 1 = 61 -> 61 / 4 = 15.25; -1280 - 2540 + 2 = -3818 -> -954.5 goes up.
    result = classify(x[:1], weights, long(1, 2), 2)
    assert result.tolist() == [15, -954]
    assert result.dtype == np.int32
    assert classify(x[:1], weights, long(1, 2), 0).tolist() == [61, -3818]


def test_classify_saturates() -> None:
    x = np.full((1, 4096), -32768, np.int16)
    weights = np.array([[-128] * 4096, [127] * 4096], np.int8)
    assert classify(x, weights, long(2**31 - 1, -(2**31)), 0).tolist() == [2**31 - 1, -(2**31)]
    # 2^34 + 2^31 - 1 and -(127 * 2^27 + 2^31), divided by 16.
    assert classify(x, weights, long(2**31 - 1, -(2**31)), 4).tolist() == [2**30 + 2**27, -(127 * 2**23) - 2**27]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: add(long(32768)[None], long(0)[None]), "a must fit in 16 bits, not 32768"),
        (lambda: multiply(fixed([1]), long(-32769)[None], 1), "b must fit in 16 bits, not -32769"),
        (lambda: requantise(np.array([[2**31]]), 0, long(1), long(0)), "x must fit in 32 bits, not 2147483648"),
        (lambda: requantise(long(1), 0, long(32768), long(0)), "multiplier must fit in 16 bits, not 32768"),
        (
            lambda: quantize(long(1), 2, "signed", 0, long(1), np.array([2**31])),
            "addend must fit in 32 bits, not 2147483648",
        ),
        (lambda: table(long(32768), 0, STEPS), "x must fit in 16 bits, not 32768"),
        (lambda: classify(fixed([1]), long(128)[None], long(0), 0), "weights must fit in 8 bits, not 128"),
    ],
)
def test_a_width_that_does_not_hold(call: Any, message: str) -> None:
    with pytest.raises(WidthError) as caught:
        call()
    assert str(caught.value) == message

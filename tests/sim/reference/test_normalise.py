"""Layer normalisation: by hand, against exact rational arithmetic with derived bounds, and against floats.

The bounds. The first guess is 2^15 / sqrt((j + 1/2) / 64), rounded, and m is at most 1/128 of itself away: a relative
error of at most 2^-8 before the Newton step, which leaves 3/2 of its square, 2^-15.4, below the true value. What is cut
off from m, p and q moves R up: by at most half of 2^-14 (at m = 2^14), half of 2^-13 (at p = 2^13) and half of 2^-15.
These extremes do not meet: `test_inverse_root_of_every_mantissa` goes through all of them.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.reference.operations import first_guess, inverse_root, normalise

HIGH = Fraction(1, 2**13)
HALF = Fraction(1, 2)
PRECISION = 40


def only_g(x: list[int], epsilon: int = 0) -> list[int]:
    """Return g: gain 2 and shift 1 leave it as it is, as far as it fits in 16 bits."""
    wide = np.array([x], np.int16)
    gain, offset = np.full(len(x), 2, np.int16), np.zeros(len(x), np.int32)
    return normalise(wide, gain, offset, epsilon, 1)[0].tolist()


def exact_g(row: list[int], epsilon: int) -> list[Fraction]:
    """Return 4096 * (x - mean) / deviation of each channel, to 2^-40, with sums over pairs and not over squares."""
    channels = len(row)
    variance = sum((a - b) ** 2 for i, a in enumerate(row) for b in row[:i]) + epsilon
    if variance == 0:
        return [Fraction(0)] * channels
    result = []
    for x in row:
        distance = sum(x - other for other in row)
        size = Fraction(isqrt((4096 * distance << PRECISION) ** 2 // variance), 2**PRECISION)
        result.append(size if distance > 0 else -size)
    return result


def test_by_hand() -> None:
    # S = 4, Q = 10, V = 4, e = 1, m = 2^14, r = 32641, p = q = 32514, R = 32768, g = -+2 * 32768 / 16.
    assert first_guess(64) == 32641
    assert inverse_root(4) == (32768, 1)
    assert only_g([1, 3]) == [-4096, 4096]
    # -4096 * 3 + 5 = -12283, 12293; divided by 8: -1535.4, 1536.6.
    both = normalise(np.array([[1, 3]], np.int16), np.full(2, 3, np.int16), np.full(2, 5, np.int32), 0, 3)
    assert both.tolist() == [[-1535, 1537]]
    assert both.dtype == np.int16


def test_one_newton_step_by_hand() -> None:
    # V = 3: e = 0, m = 49152, index 192, r = isqrt(1427982348 = 2^39 // 385) = 37788, halved 18894.
    assert first_guess(192) == 18894
    # p = 356983236 >> 15 = 10894, q = 49152 * 10894 >> 14 = 32682, R = (18894 * 65622 + 32768) >> 16 = 18919.
    assert inverse_root(3) == (18919, 0)


def test_first_guesses_are_rounded_roots() -> None:
    for index in range(64, 256):
        guess = first_guess(index)
        assert (2 * guess - 1) ** 2 * (2 * index + 1) <= 2**39 < (2 * guess + 1) ** 2 * (2 * index + 1)
    assert first_guess(255) == 16400


def is_inverse_root(root: int, exponent: int, variance: int) -> bool:
    """Return whether R / 2^15 * sqrt(V) / 2^e is from 1 - 2^-15 to 1 + 2^-13, both sides squared."""
    square = root * root * variance
    return (2**15 - 1) ** 2 * 4**exponent <= square and square * 2**26 <= (2**13 + 1) ** 2 * 2**30 * 4**exponent


def test_inverse_root_of_every_mantissa() -> None:
    roots = set()
    for mantissa in range(2**14, 2**16):
        root, exponent = inverse_root(mantissa)
        assert exponent == 7
        # Whatever was cut off from a larger variance: it stood between this mantissa and the next.
        assert is_inverse_root(root, exponent, mantissa)
        assert is_inverse_root(root, exponent, mantissa + 1)
        roots.add(root)
    assert (min(roots), max(roots)) == (2**14, 2**15)


@given(st.integers(1, 2**57 - 1))
def test_inverse_root(variance: int) -> None:
    root, exponent = inverse_root(variance)
    assert 4**exponent <= variance < 4 ** (exponent + 1)
    assert is_inverse_root(root, exponent, variance)


@pytest.mark.parametrize("power", range(57))
def test_inverse_root_beside_powers(power: int) -> None:
    for variance in {2**power - 1, 2**power, 2**power + 1} - {0}:
        root, exponent = inverse_root(variance)
        assert 4**exponent <= variance < 4 ** (exponent + 1)
        assert is_inverse_root(root, exponent, variance)


@pytest.mark.parametrize("row", [[0], [-32768], [32767] * 5, [-7] * 3])
def test_no_variance(row: list[int]) -> None:
    assert only_g(row) == [0] * len(row)
    offset = np.arange(len(row), dtype=np.int32) * 4 - 2
    result = normalise(np.array([row], np.int16), np.full(len(row), 9, np.int16), offset, 0, 2)
    assert result[0].tolist() == [(4 * c - 2 + 2) // 4 for c in range(len(row))]


def test_no_distance_but_an_epsilon() -> None:
    assert only_g([5, 5, 5], epsilon=1) == [0, 0, 0]


def test_epsilon_counts() -> None:
    # V = 4 + 12 = 16, so the deviation doubles.
    assert only_g([1, 3], epsilon=12) == [-2048, 2048]


def test_saturation_of_y() -> None:
    x = np.array([[1, 3]], np.int16)
    most = np.full(2, 32767, np.int16)
    assert normalise(x, most, np.zeros(2, np.int32), 0, 1).tolist() == [[-32768, 32767]]
    offset = np.array([2**31 - 1, -(2**31)], np.int32)
    assert normalise(x, most, offset, 0, 31).tolist() == [[1, -1]]


def spike(channels: int, top: int = 32767, floor: int = -32768) -> np.ndarray:
    row = np.full((1, channels), floor, np.int16)
    row[0, channels // 2] = top
    return row


@pytest.mark.parametrize("channels", [2, 65, 1023, 1024, 1026, 2000, 4096])
def test_saturation_of_g(channels: int) -> None:
    """Show that g leaves 18 bits only above 1,024 channels: no channel is more than sqrt(C - 1) deviations away."""
    gain, offset = np.full(channels, 1, np.int16), np.zeros(channels, np.int32)
    exact = isqrt(2**24 * (channels - 1))
    for row, sign in ((spike(channels), 1), (spike(channels, -32768, 32767), -1)):
        eighth = sign * int(normalise(row, gain, offset, 0, 3)[0, channels // 2])
        if channels > 1024:
            assert eighth == 2**17 // 8
        else:
            assert abs(8 * eighth - exact) <= 5 + exact * HIGH
            assert eighth < 2**17 // 8


@pytest.mark.parametrize("channels", [1, 2, 3, 767, 1024, 4096])
@pytest.mark.parametrize("epsilon", [0, 1, 2**31 - 1])
def test_extreme_rows_stay_in_their_widths(channels: int, epsilon: int) -> None:
    half = np.where(np.arange(channels) < channels // 2, 32767, -32768).astype(np.int16)
    gain, offset = np.full(channels, -32768, np.int16), np.full(channels, -(2**31), np.int32)
    for row in (half[None], spike(channels), spike(channels, -32768, 32767), np.full((1, channels), -32768, np.int16)):
        assert normalise(row, gain, offset, epsilon, 1).shape == (1, channels)


rows = st.lists(st.integers(-32768, 32767), min_size=1, max_size=40)
near = st.integers(-32768, 32757).flatmap(lambda base: st.lists(st.integers(base, base + 10), min_size=1, max_size=40))
epsilons = st.one_of(st.just(0), st.integers(0, 2**31 - 1))


@given(st.one_of(rows, near), epsilons, st.data())
def test_against_exact_arithmetic(row: list[int], epsilon: int, data: Any) -> None:
    """R is off by 2^-13 of itself and g by half a unit more; gain and offset are exact, and y is off by half a unit."""
    shift = data.draw(st.integers(1, 31))
    gains = data.draw(st.lists(st.integers(-32768, 32767), min_size=len(row), max_size=len(row)))
    offsets = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=len(row), max_size=len(row)))
    result = normalise(
        np.array([row], np.int16), np.array(gains, np.int16), np.array(offsets, np.int32), epsilon, shift
    )
    exact = exact_g(row, epsilon)
    for y, g, gain, offset in zip(result[0].tolist(), exact, gains, offsets, strict=True):
        aim = min(max((g * gain + offset) / 2**shift, Fraction(-32768)), Fraction(32767))
        error_of_g = HALF + abs(g) * HIGH + Fraction(1, 2 ** (PRECISION - 1))
        assert abs(y - aim) <= HALF + error_of_g * abs(gain) / 2**shift


@given(st.one_of(rows, near), st.integers(2, 16), st.data())
def test_within_two_units_of_floats(row: list[int], shift: int, data: Any) -> None:
    """With |gain| <= 2^shift / 4 (a gain of 1 at 10 fraction bits) and g below 7 deviations, y is off by less than 2.

    1/2 + (1/2 + 7 * 2^12 / 2^13) / 4 = 1.5
    """
    quarter = 2**shift // 4
    gains = np.array(data.draw(st.lists(st.integers(-quarter, quarter), min_size=len(row), max_size=len(row))))
    offset = data.draw(st.integers(-(2**20), 2**20))
    result = normalise(np.array([row], np.int16), gains.astype(np.int16), np.full(len(row), offset, np.int32), 0, shift)
    x = np.array(row, np.float64)
    deviation = np.sqrt(((x - x.mean()) ** 2).mean())
    normal = (x - x.mean()) / deviation if len(set(row)) > 1 else 0 * x
    floats = np.clip((normal * gains * 4096 + offset) / 2**shift, -32768, 32767)
    assert np.abs(result[0] - floats).max() <= 2


def test_rows_do_not_see_each_other() -> None:
    random = np.random.default_rng(5)
    x = random.integers(-32768, 32768, (7, 13)).astype(np.int16)
    gain, offset = random.integers(-500, 500, 13).astype(np.int16), random.integers(-9, 9, 13).astype(np.int32)
    whole = normalise(x, gain, offset, 3, 9)
    for index, row in enumerate(whole):
        assert row.tolist() == normalise(x[index : index + 1], gain, offset, 3, 9)[0].tolist()

"""Shifts, clamps, codes and width checks of the reference, against numbers worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from sim.reference.integers import Codes, WidthError, code_range, round_shift, saturate, to_fixed, wide


def test_round_shift_by_hand() -> None:
    numbers = np.array([-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6])
    assert round_shift(numbers, 0).tolist() == numbers.tolist()
    assert round_shift(numbers, 1).tolist() == [-3, -2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3, 3]
    assert round_shift(numbers, 2).tolist() == [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("shift", [0, 1, 2, 7, 31])
def test_round_shift_is_the_nearest_and_a_half_goes_up(shift: int) -> None:
    numbers = np.random.default_rng(shift).integers(-(1 << 40), 1 << 40, 200)
    exact = [floor(Fraction(number, 1 << shift) + Fraction(1, 2)) for number in numbers.tolist()]
    assert round_shift(numbers, shift).tolist() == exact


def test_saturate() -> None:
    numbers = np.array([-40000, -32769, -32768, -1, 0, 32767, 32768, 40000])
    assert to_fixed(numbers).tolist() == [-32768, -32768, -32768, -1, 0, 32767, 32767, 32767]
    assert to_fixed(numbers).dtype == np.int16
    assert saturate(np.array([-9, -8, 7, 8]), 4).tolist() == [-8, -8, 7, 7]


@pytest.mark.parametrize(
    ("bits", "set", "low", "high"),
    [
        (1, "signed", 0, 1),
        (1, "unsigned", 0, 1),
        (2, "signed", -2, 1),
        (2, "unsigned", 0, 3),
        (4, "signed", -8, 7),
        (4, "unsigned", 0, 15),
        (8, "signed", -128, 127),
        (8, "unsigned", 0, 255),
    ],
)
def test_code_range(bits: int, set: str, low: int, high: int) -> None:
    assert code_range(bits, set) == (low, high)
    codes = Codes(np.array([[low, high]]), bits, set)
    assert codes.numbers.dtype == (np.uint8 if bits == 1 else np.int16)
    assert codes.values.dtype == np.int64
    for wrong in (low - 1, high + 1):
        with pytest.raises(WidthError) as caught:
            Codes(np.array([[low, wrong]]), bits, set)
        assert str(caught.value) == f"{set} {bits}-bit codes must be from {low} to {high}, not {wrong}"


def test_what_codes_count_for() -> None:
    bits = np.array([[0, 1, 1]], np.uint8)
    assert Codes(bits, 1, "signed").values.tolist() == [[-1, 1, 1]]
    assert Codes(bits, 1, "unsigned").values.tolist() == [[0, 1, 1]]
    assert Codes(bits, 2, "signed").values.tolist() == [[0, 1, 1]]
    assert Codes(np.array([[-2, 1]]), 2, "signed").values.tolist() == [[-2, 1]]


@pytest.mark.parametrize("bits", [8, 16, 32, 46, 57])
def test_wide(bits: int) -> None:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert wide("x", [low, high], bits).tolist() == [low, high]
    for wrong in (low - 1, high + 1):
        with pytest.raises(WidthError) as caught:
            wide("x", [0, wrong], bits)
        assert str(caught.value) == f"x must fit in {bits} bits, not {wrong}"


@pytest.mark.parametrize("array", [np.zeros(2, np.uint8), np.zeros(2, np.int8), np.zeros(2, np.uint16), np.int64(3)])
def test_wide_takes_every_integer(array: Any) -> None:
    assert wide("x", array, 57).dtype == np.int64


def test_wide_refuses_what_is_no_integer() -> None:
    with pytest.raises(WidthError) as caught:
        wide("x", np.zeros(2), 57)
    assert str(caught.value) == "x must be integers, not float64"

import math
from decimal import Decimal

import numpy as np
import pytest
import torch

from model import member
from model.lowering.tables import (
    FUNCTIONS,
    attention_levels,
    best_shift,
    entries,
    exponential_table,
    exponentials,
    score_step,
)


@pytest.mark.parametrize("step", ["0.001", "0.03125", "0.5", "3", "0"])
def test_exponentials_are_rounded_half_up(step):
    found = exponentials(Decimal(step), 200)
    exact = [65535 * math.exp(-index * float(step)) for index in range(200)]
    assert found.dtype == np.uint16
    assert np.abs(found - np.array(exact)).max() <= 0.5 + 1e-9
    assert found[0] == 65535


def test_step_of_a_score_is_its_scale_over_the_root_of_the_width():
    assert score_step(0.5, 64) == Decimal("0.0625")
    assert float(score_step(0.25, 3)) == pytest.approx(0.25 / math.sqrt(3), rel=1e-15)


def test_scores_of_bits_have_one_entry_for_each_half_distance():
    found = exponential_table(Decimal("0.05"), 2 * 64, even=True)
    assert (found.multiplier, found.shift, len(found.table), found.step) == (1, 1, 65, Decimal("0.10"))
    assert found.table[10] == round(65535 * math.exp(-1))


def test_few_distances_have_an_entry_each():
    found = exponential_table(Decimal("0.001"), 1000, even=False)
    assert (found.multiplier, found.shift, len(found.table)) == (1, 0, 1001)


def test_a_table_ends_where_it_is_0():
    found = exponential_table(Decimal("0.1"), 10**6, even=False)
    assert (found.multiplier, found.shift) == (1, 0)
    assert found.table[-1] == 0
    assert found.table[-3] > 0
    assert len(found.table) < 130


@pytest.mark.parametrize(
    ("step", "largest"), [("0.0001", 10**6), ("0.0001", 50_000), ("0.00001", 2**21), ("1e-7", 2**22)]
)
def test_long_distances_are_scaled_down_to_1024_entries(step, largest):
    found = exponential_table(Decimal(step), largest, even=False)
    assert len(found.table) == 1024
    assert 2**15 <= found.multiplier < 2**16
    assert 0 < found.shift <= 31
    distances = np.linspace(0, largest, 5000).astype(np.int64)
    index = np.minimum((distances * found.multiplier + (1 << found.shift >> 1)) >> found.shift, 1023)
    exact = np.exp(-distances * float(step))
    # Half an index step, and the rounding of the entry.
    assert np.abs(found.table[index] / 65535 - exact).max() < float(found.step) / 2 + 2e-5
    assert float(found.step) <= 11.79 / 1023 * 1.0001


def test_levels_of_one_bit_and_of_two():
    assert attention_levels(0.25, 0.125, 1).tolist() == [2**18]
    assert attention_levels(0.25, 0.0, 2).tolist() == [2**17, 3 * 2**17, 5 * 2**17]


def test_levels_are_clamped_and_rounded_half_up():
    assert attention_levels(1.0, -4.0, 1).tolist() == [0]
    assert attention_levels(3.0, 2.0, 2).tolist() == [2**21] * 3
    assert attention_levels(2.0**-20, 0.0, 1).tolist() == [1]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_are_those_of_training(function):
    points = torch.linspace(-9, 9, 1001)
    exact = points if function == "identity" else member.FUNCTIONS[function](points)
    assert np.abs(exact.numpy() - [FUNCTIONS[function](x) for x in points.tolist()]).max() < 2e-6


def test_entries_stand_for_evenly_spaced_numbers():
    points = entries("identity", 12, 10, 4)
    assert points[128] == 0
    assert (points[0], points[256]) == (-128 * 4, 128 * 4)
    assert entries("relu", 12, 12, 8)[-1] == 32767


@pytest.mark.parametrize(
    ("function", "shift", "error"), [("relu", 8, 1.01), ("tanh", 8, 7), ("gelu", 8, 4), ("sigmoid", 8, 4)]
)
def test_the_best_pieces_are_as_wide_as_the_range(function, shift, error):
    found, worst = best_shift(function, 12, 14 if function in ("tanh", "sigmoid") else 12, 32767)
    assert found == shift
    assert worst < error


def test_a_narrow_range_has_narrow_pieces():
    shift, error = best_shift("gelu", 12, 12, 4096)
    assert shift in (5, 6)
    assert error < 1.1

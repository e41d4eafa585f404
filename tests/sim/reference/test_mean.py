"""The mean of rows against exact rational arithmetic: all counts of rows, at the ends of 16 bits and in between."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from sim.reference.integers import WidthError
from sim.reference.operations import mean, mean_reciprocal

COUNTS = range(1, 1025)
LOW, HIGH = -32768, 32767


def columns(rows: int) -> np.ndarray:
    """Return rows of channels that are extreme, all but extreme, mixed, and random at several sizes."""
    random = np.random.default_rng(rows)
    ends = [np.full(rows, value) for value in (LOW, HIGH, LOW + 1, HIGH - 1, -1, 0, 1)]
    # All but one row at an end, one row alone, and halves of rows at either end.
    for value in (LOW, HIGH):
        ends += [np.where(np.arange(rows) == rows - 1, other, value) for other in (0, -1 - value)]
        ends += [np.where(np.arange(rows) == 0, value, 0), np.where(np.arange(rows) % 2 == 0, value, -1 - value)]
    drawn = [random.integers(-size, size, rows) for size in (2, 100, 5000, 32768) for _ in range(4)]
    return np.stack([*ends, *drawn], axis=1).astype(np.int16)


def nearest(exact: Fraction) -> int:
    """Return the nearest integer, of two the upper one."""
    return floor(exact + Fraction(1, 2))


def as_defined(total: int, rows: int) -> int:
    """Return what the document says of a sum over rows, before it saturates."""
    e = min(e for e in range(11) if 2**e >= rows)
    r = floor(Fraction(2 ** (14 + e) + floor(Fraction(rows, 2)), rows))
    return nearest(Fraction(total * r, 2 ** (14 + e)))


def test_every_count_of_rows_is_as_the_document_defines_and_within_its_bound() -> None:
    saturated, worst = set(), Fraction(0)
    for rows in COUNTS:
        x = columns(rows)
        found = mean(x)
        assert (found.shape, found.dtype) == ((1, x.shape[1]), np.int16)
        for total, y in zip(x.astype(np.int64).sum(axis=0).tolist(), found[0].tolist(), strict=True):
            defined = as_defined(total, rows)
            assert y == max(LOW, min(HIGH, defined)), rows
            saturated.add(defined - y)
            exact = Fraction(total, rows)
            if rows & (rows - 1):
                bound = Fraction(1, 2) + Fraction(abs(total), 2 ** (15 + mean_reciprocal(rows)[0]))
                assert abs(y - exact) <= bound <= Fraction(1, 2) + abs(exact) / 2**15
            else:
                assert y == nearest(exact)
            worst = max(worst, abs(y - exact))
    # Beyond the ends by one, and no further; and the bound is no idle one.
    assert saturated == {-1, 0, 1}
    assert 1 < worst < Fraction(3, 2)


def test_the_reciprocals_have_15_bits_and_are_nearest() -> None:
    for rows in COUNTS:
        exponent, reciprocal = mean_reciprocal(rows)
        assert 2**14 <= reciprocal < 2**15
        assert 2**exponent >= rows > 2**exponent // 2
        assert abs(reciprocal - Fraction(2 ** (14 + exponent), rows)) <= Fraction(1, 2)
        assert mean_reciprocal(2 * rows) == (exponent + 1, reciprocal)


def test_by_hand() -> None:
    assert mean_reciprocal(3) == (2, 21845)
    assert mean(np.array([[4, -9], [8, 2], [-1, 0]], np.int16)).tolist() == [[4, -2]]
    # A half goes up.
    assert mean(np.array([[1, -1], [2, -2]], np.int16)).tolist() == [[2, -1]]
    assert mean(np.array([[LOW, HIGH, 7]], np.int16)).tolist() == [[LOW, HIGH, 7]]


@pytest.mark.parametrize(
    ("rows", "channel", "message"),
    [(1025, 32767, "total must fit in 26 bits, not 33586175"), (1, 32768, "x must fit in 16 bits, not 32768")],
)
def test_what_does_not_fit_is_refused(rows: int, channel: int, message: str) -> None:
    with pytest.raises(WidthError, match=f"^{message}$"):
        mean(np.full((rows, 1), channel, np.int64))

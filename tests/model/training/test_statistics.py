"""Means, deviations and Student's intervals: numbers that were worked out by hand or stand in a table."""

import pytest

from model.training.statistics import paired, student, summary


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (100, 1.984)])
def test_students_table(freedom: int, expected: float) -> None:
    assert round(student(freedom), 3) == expected


def test_a_summary_by_hand() -> None:
    found = summary([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found["mean"], found["values"]) == (3.0, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert found["deviation"] == pytest.approx(2.5**0.5)
    low, high = found["interval"]
    assert (round(low, 4), round(high, 4)) == (1.0368, 4.9632)
    assert low + high == pytest.approx(6)


def test_one_value_has_no_interval() -> None:
    assert summary([0.5]) == {"mean": 0.5, "deviation": None, "interval": None, "values": [0.5]}


def test_pairs() -> None:
    found = paired([0.8, 0.7, 0.9, 0.6], [0.7, 0.7, 0.6, 0.7])
    assert found["mean"] == pytest.approx(0.075)
    assert (found["agree"], found["seeds"]) == (2, 4)
    assert found["interval"][0] < 0 < found["interval"][1]
    assert paired([0.1, 0.2], [0.3, 0.3])["agree"] == 2
    assert paired([0.1], [0.1])["agree"] == 0

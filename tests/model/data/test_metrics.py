import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as known

from model.data.dataset import Task
from model.data.errors import DataError
from model.data.metrics import (
    METRICS,
    accuracy,
    bootstrap_interval,
    evaluate,
    f1,
    macro_f1,
    mcc,
    pearson,
    ranks,
    seed_interval,
    spearman,
    student_quantile,
)

CLASSES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)
SCORES = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=30)


@settings(max_examples=30)
@given(CLASSES)
def test_metrics_of_classes_are_those_of_scikit_learn(rows):
    found, true = np.array(rows).T
    assert accuracy(found, true) == known.accuracy_score(true, found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of a single label
        assert math.isclose(mcc(found, true), known.matthews_corrcoef(true, found), abs_tol=1e-15)
    expected = known.f1_score(true, found, average="macro", zero_division=0)
    assert math.isclose(macro_f1(found, true), expected, abs_tol=1e-15)
    expected = known.f1_score(true == 1, found == 1, zero_division=0)
    assert math.isclose(f1(found % 2 * (found < 2), true % 2 * (true < 2)), expected, abs_tol=1e-15)


@settings(max_examples=60)
@given(SCORES)
def test_correlations_are_those_of_scipy(rows):
    found, true = np.array(rows, float).T
    if np.ptp(found) and np.ptp(true):
        assert math.isclose(pearson(found, true), stats.pearsonr(found, true)[0], abs_tol=1e-14)
        assert math.isclose(spearman(found, true), stats.spearmanr(found, true)[0], abs_tol=1e-14)
    else:
        assert pearson(found, true) == spearman(found, true) == 0
    assert ranks(found).tolist() == stats.rankdata(found).tolist()


def test_exact_cases():
    found, true = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]
    assert accuracy(found, true) == 3 / 5
    assert f1(found, true) == 2 / 3
    assert macro_f1(found, true) == (2 / 3 + 1 / 2) / 2
    assert mcc(found, true) == float(Fraction(3 * 5 - 3 * 3 - 2 * 2, 25 - 9 - 4))
    assert mcc([0, 1, 2], [0, 1, 2]) == mcc([1, 0], [1, 0]) == 1
    assert mcc([0, 1], [1, 0]) == -1
    assert pearson([0, 1, 2], [5, 7, 9]) == spearman([1, 2, 9], [0, 1, 50]) == 1
    assert pearson([0, 1, 2], [9, 7, 5]) == spearman([1, 2, 9], [3, 2, 1]) == -1
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == 0.8
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0, 3.0])).tolist() == [4, 1, 4, 2, 4]


@pytest.mark.parametrize(
    ("found", "true"), [([1, 1, 1], [0, 1, 1]), ([0, 1, 1], [1, 1, 1]), ([2, 2], [2, 2]), ([0], [0])]
)
def test_mcc_of_what_does_not_vary_is_0(found, true):
    assert mcc(found, true) == 0


def test_correlations_of_what_does_not_vary_are_0():
    for found, true in (([1.0, 1.0], [0.0, 1.0]), ([0.0, 1.0], [2.0, 2.0]), ([3.0], [4.0])):
        assert pearson(found, true) == spearman(found, true) == 0


def test_f1_where_class_1_never_comes_is_0():
    assert f1([0, 0], [0, 0]) == f1([0, 0], [1, 1]) == f1([1, 1], [0, 0]) == 0
    assert macro_f1([0, 0], [0, 0]) == 1


def test_large_counts_stay_exact():
    found = np.repeat([0, 1], 3_000_000)
    assert mcc(found, found) == 1
    assert mcc(found, 1 - found) == -1


def test_correlations_of_large_and_small_numbers():
    assert math.isclose(pearson([1e300, 2e300, 3e300], [1e-300, 2e-300, 3e-300]), 1, rel_tol=1e-15)
    assert abs(pearson([1e9, 1e9 + 1, 1e9 + 2], [1, 2, 3])) <= 1


def test_evaluate_gives_the_metrics_of_the_task():
    classes = Task("made up", ("no", "yes"), ("accuracy", "f1"))
    assert evaluate(classes, [1, 0, 1], [1, 1, 1]) == {"accuracy": 2 / 3, "f1": 4 / 5}
    scores = Task("made up", (), ("pearson", "spearman"), score_range=(0, 5))
    assert evaluate(scores, np.float32([1, 2, 4]), np.float32([2, 4, 8])) == {"pearson": 1.0, "spearman": 1.0}


@pytest.mark.parametrize("name", ["accuracy", "mcc", "f1", "macro_f1"])
@pytest.mark.parametrize(
    ("found", "true", "message"),
    [
        ([], [], "predictions: must be indices of classes, not 'float64 (0,)'"),
        (np.array([], int), np.array([], int), "labels: must be at least one, not 0"),
        ([0, 1], [0], "predictions: must be 1 answers, as labels, not 2"),
        ([0.0, 1.0], [0, 1], "predictions: must be indices of classes, not 'float64 (2,)'"),
        ([0, 1], [0, -1], "labels: must be indices of classes, not 'int64 (2,)'"),
        ([[0, 1]], [0, 1], "predictions: must be indices of classes, not 'int64 (1, 2)'"),
    ],
)
def test_wrong_classes_are_refused(refused, name, found, true, message):
    assert refused(DataError, METRICS[name], found, true) == message


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(
    ("found", "true", "message"),
    [
        ([], [], "predictions: must be a list of numbers, not (0,)"),
        ([1.0, 2.0], [1.0], "predictions: must be 1 answers, as labels, not 2"),
        ([1.0, math.nan], [1.0, 2.0], "predictions: must be finite numbers, not 'some that are not'"),
        ([1.0, 2.0], [1.0, math.inf], "labels: must be finite numbers, not 'some that are not'"),
    ],
)
def test_wrong_scores_are_refused(refused, name, found, true, message):
    assert refused(DataError, METRICS[name], found, true) == message


def test_the_bootstrap_of_what_does_not_vary_is_a_point():
    for values in ([1], [0.5] * 7):
        interval = bootstrap_interval(values)
        assert interval.mean == interval.low == interval.high == values[0]
    same = bootstrap_interval([0, 1, 1, 0], [0, 1, 1, 0])
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_the_bootstrap_of_a_share_is_its_binomial():
    right = np.repeat([0, 1], [250, 750])
    interval = bootstrap_interval(right, seed=1)
    assert interval.mean == 0.75
    for bound, tail in ((interval.low, 0.025), (interval.high, 0.975)):
        assert abs(bound - stats.binom.ppf(tail, 1000, 0.75) / 1000) <= 0.002
    assert bootstrap_interval(right, seed=1) == interval
    assert bootstrap_interval(right, seed=2) != interval


def test_the_bootstrap_is_paired():
    """Two systems that differ on few examples: the difference is far surer than either figure."""
    first = np.tile([0, 1, 1, 1], 250)
    second = first.copy()
    second[np.flatnonzero(first)[:20]] = 0
    interval = bootstrap_interval(first, second)
    assert interval.mean == 0.02
    assert 0 < interval.low < 0.02 < interval.high < 0.04
    assert bootstrap_interval(second, first).mean == -0.02


def test_the_bootstrap_does_not_depend_on_how_much_is_drawn_at_once(monkeypatch):
    right = np.tile([0, 1, 1], 100)
    whole = bootstrap_interval(right, samples=500, seed=3)
    monkeypatch.setattr("model.data.metrics._MAX_DRAWS", 1000)
    assert bootstrap_interval(right, samples=500, seed=3) == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "values: must be a list of numbers, not (0,)"),
        (([1, 0], [1]), "other: must be 2 numbers, one for each example, not 1"),
        (([1, math.nan],), "values: must be finite numbers, not 'some that are not'"),
    ],
)
def test_a_wrong_bootstrap_is_refused(refused, arguments, message):
    assert refused(DataError, bootstrap_interval, *arguments) == message
    assert refused(DataError, lambda: bootstrap_interval([1], samples=0)) == "samples: must be at least 1, not 0"


@pytest.mark.parametrize("freedom", [*range(1, 41), 100, 1001])
def test_students_quantile(freedom):
    assert math.isclose(student_quantile(freedom), stats.t.ppf(0.975, freedom), rel_tol=1e-9)


def test_the_interval_over_seeds_is_students():
    values = [0.76, 0.78, 0.77, 0.75]
    interval = seed_interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert math.isclose(interval.mean, 0.765, rel_tol=1e-12)
    assert math.isclose(interval.low, low, rel_tol=1e-9) and math.isclose(interval.high, high, rel_tol=1e-9)
    assert seed_interval([0.5, 0.5]) == seed_interval([0.5] * 9)


def test_one_seed_has_no_interval(refused):
    assert refused(DataError, seed_interval, [0.5]) == "values: must be of at least two seeds, not 1"

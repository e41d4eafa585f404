"""Distributions and weights by hand in fractions, against scikit-learn, and a state that resumes to the bit."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from model.boosting import Boosting, Round, Settings, adaboost, adaboost_r2, member_seed, regression_losses, samme

SAMME = Settings(2)
EXACT = {"rtol": 1e-13, "atol": 0}


def wrong_at(labels, places, classes=2):
    """Return predictions that are right but for some places."""
    predictions = np.array(labels)
    predictions[places] = (predictions[places] + 1) % classes
    return predictions


def next_by_hand(distribution, wrong, classes):
    """Return the error and the next distribution of SAMME, by its closed form in fractions."""
    error = sum((d for d, w in zip(distribution, wrong, strict=True) if w), Fraction(0))
    scales = (1 / (classes * (1 - error)), (classes - 1) / (classes * error))
    return error, [d * scales[bool(w)] for d, w in zip(distribution, wrong, strict=True)]


def test_settings_defaults():
    assert Settings(3) == Settings(3, "boosting", "resample", "samme", "square", 0)
    assert Settings(1).chance == 0.5
    assert Settings(2).chance == 0.5
    assert Settings(4).chance == 0.75


def test_two_classes_by_hand():
    """Three of ten wrong: 3/10, ln(7/3), and then 1/14 for what was right and 1/6 for what was wrong."""
    labels = np.array([0, 1] * 5)
    boosting = Boosting(labels, SAMME)
    assert boosting.member == 0
    assert boosting.distribution.tolist() == [0.1] * 10
    made = boosting.update(wrong_at(labels, [0, 1, 2]))
    assert made.accepted
    assert_allclose([made.error, made.weight], [0.3, math.log(7 / 3)], **EXACT)
    assert_allclose(boosting.distribution, [1 / 6] * 3 + [1 / 14] * 7, **EXACT)
    made = boosting.update(wrong_at(labels, [2, 3, 4]))  # 1/6 + 2/14 = 13/42
    assert_allclose([made.error, made.weight], [13 / 42, math.log(29 / 13)], **EXACT)
    by_hand = [7 / 58, 7 / 58, 7 / 26, *[3 / 26] * 2, *[3 / 58] * 5]
    assert_allclose(boosting.distribution, by_hand, **EXACT)
    assert boosting.member == 2
    assert boosting.rounds[1] == made


def test_three_classes_by_hand():
    """Twelve of twenty wrong is better than chance for three classes: ln(8/12) + ln 2 = ln(4/3) > 0."""
    labels = np.arange(20) % 3
    boosting = Boosting(labels, Settings(3))
    made = boosting.update(wrong_at(labels, np.arange(12), 3))
    assert_allclose([made.error, made.weight], [0.6, math.log(4 / 3)], **EXACT)
    assert_allclose(boosting.distribution, [1 / 18] * 12 + [1 / 24] * 8, **EXACT)


@given(st.integers(2, 5), st.data())
def test_samme_against_its_closed_form(classes, data):
    count = data.draw(st.integers(4, 12))
    distribution = [Fraction(1, count)] * count
    for _ in range(3):
        wrong = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
        error, after = next_by_hand(distribution, wrong, classes) if any(wrong) and not all(wrong) else (0, [])
        chance = 1 - Fraction(1, classes)
        if not Fraction(1, count) <= error <= chance - Fraction(1, count):
            return
        made, found = samme(np.array([float(d) for d in distribution]), np.array(wrong), classes)
        assert made.accepted
        assert math.isclose(made.error, error, rel_tol=1e-12)
        assert math.isclose(made.weight, math.log((1 - error) / error) + math.log(classes - 1), abs_tol=1e-12)
        assert_allclose(found, [float(d) for d in after], rtol=1e-12)
        distribution = after


@given(st.lists(st.tuples(st.floats(0.01, 1), st.booleans()), min_size=4, max_size=20))
def test_adaboost_gives_the_distribution_of_samme_and_half_its_weight(examples):
    shares, wrong = np.array([s for s, _ in examples]), np.array([w for _, w in examples])
    distribution = shares / shares.sum()
    half, ours = adaboost(distribution, wrong)
    whole, theirs = samme(distribution, wrong, 2)
    assert (half.accepted, half.error) == (whole.accepted, whole.error)
    assert math.isclose(2 * half.weight, whole.weight, abs_tol=1e-15)
    assert_allclose(ours, theirs, rtol=1e-12)


def test_variant_adaboost_is_used():
    labels = np.array([0, 1] * 5)
    made = Boosting(labels, Settings(2, variant="adaboost")).update(wrong_at(labels, [0, 1, 2]))
    assert_allclose(made.weight, 0.5 * math.log(7 / 3), **EXACT)


@pytest.mark.parametrize(("classes", "clamped"), [(2, Fraction(1, 10)), (3, Fraction(1, 10))])
def test_no_error_counts_as_one_example(classes, clamped):
    labels = np.arange(10) % classes
    boosting = Boosting(labels, Settings(classes))
    made = boosting.update(labels)
    assert made.error == 0
    assert_allclose(made.weight, math.log((1 - clamped) / clamped * (classes - 1)), **EXACT)
    assert_allclose(boosting.distribution, 0.1, **EXACT)


def test_a_member_just_above_chance_counts_as_one_example_better():
    distribution = np.array([0.49, 0.01, 0.25, 0.25])
    made, _ = samme(distribution, np.array([True, False, False, False]), 2)
    assert_allclose(made.weight, math.log(3), **EXACT)  # four examples: both clamps are 1/4
    shares = np.array([0.45, *[0.55 / 9] * 9])
    made, _ = samme(shares, np.arange(10) == 0, 2)
    assert_allclose(made.weight, math.log(0.6 / 0.4), **EXACT)  # 0.45 becomes 1/2 - 1/10


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_chance_is_not_accepted(classes):
    labels = np.arange(12) % classes
    boosting = Boosting(labels, Settings(classes))
    boosting.update(wrong_at(labels, [0], classes))
    chance = 12 - 12 // classes
    boosting._distribution = np.full(12, 1 / 12)
    made = boosting.update(wrong_at(labels, np.arange(chance), classes))
    assert made == Round(made.error, 0.0, False)
    assert_allclose(made.error, 1 - 1 / classes, **EXACT)
    assert boosting.distribution.tolist() == [1 / 12] * 12


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_member_that_repeats_the_one_before_is_not_accepted(classes):
    """Show that boosting moves every member to exactly chance: the same predictions again are worth nothing."""
    labels = np.arange(31) % classes
    predictions = wrong_at(labels, [0, 3, 7, 8], classes)
    boosting = Boosting(labels, Settings(classes))
    assert boosting.update(predictions).accepted
    assert not boosting.update(predictions).accepted
    assert boosting.update(predictions).accepted


def test_r2_by_hand():
    """Errors 1, 2, 4 and five of 0: squared and relative 1/16, 1/4, 1 and 0; their mean 21/128, and beta 21/107."""
    labels = np.arange(8.0)
    boosting = Boosting(labels, Settings(1))
    made = boosting.update(labels + np.array([1, -2, 4, 0, 0, 0, 0, 0]))
    assert_allclose([made.error, made.weight], [21 / 128, math.log(107 / 21)], **EXACT)
    factors = np.array([(21 / 107) ** p for p in (15 / 16, 3 / 4, 0, 1, 1, 1, 1, 1)])
    assert_allclose(boosting.distribution, factors / factors.sum(), **EXACT)


def test_r2_losses():
    predictions, labels = np.array([0.0, 1.0, -2.0]), np.zeros(3)
    assert regression_losses(predictions, labels, "linear").tolist() == [0, 0.5, 1]
    assert regression_losses(predictions, labels, "square").tolist() == [0, 0.25, 1]
    assert_allclose(regression_losses(predictions, labels, "exponential"), 1 - np.exp([0, -0.5, -1]), **EXACT)
    assert regression_losses(labels, labels, "square").tolist() == [0, 0, 0]


@pytest.mark.parametrize("loss", ["linear", "square", "exponential"])
def test_r2_moves_towards_what_was_wrong(loss):
    labels = np.linspace(0, 1, 20)
    boosting = Boosting(labels, Settings(1, loss=loss))
    predictions = labels.copy()
    predictions[3] += 1
    predictions[4] += 0.5
    assert boosting.update(predictions).accepted
    assert boosting.distribution.argsort()[-2:].tolist() == [4, 3]


def test_r2_clamps_and_refuses_chance():
    uniform = np.full(4, 0.25)
    made, after = adaboost_r2(uniform, np.zeros(4))
    assert_allclose(made.weight, math.log(3), **EXACT)
    assert after.tolist() == uniform.tolist()
    made, after = adaboost_r2(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 0.4, 1.0]))
    assert made == Round(made.error, 0.0, False)
    assert after.tolist() == uniform.tolist()


def test_bagging():
    labels = np.arange(40) % 2
    boosting = Boosting(labels, Settings(2, "bagging", seed=3))
    counts = boosting.distribution * 40
    assert_allclose(counts, counts.round(), atol=1e-12)
    assert_allclose(counts.sum(), 40)
    assert (counts == 0).any()
    bag = np.repeat(np.arange(40), counts.round().astype(int))
    for epoch in (0, 1):
        assert np.sort(boosting.draw(40, 7, epoch)).tolist() == bag.tolist()
    assert boosting.draw(40, 7, 0).tolist() != boosting.draw(40, 7, 1).tolist()
    made = boosting.update(wrong_at(labels, [int(counts.argmax())]))
    assert made.weight == 1
    assert_allclose(made.error, counts.max() / 40)
    assert boosting.distribution.tolist() != (counts / 40).tolist()
    assert Boosting(labels, Settings(2, "bagging", seed=4)).distribution.tolist() != (counts / 40).tolist()


def test_seeds():
    labels = np.arange(10) % 2
    boosting = Boosting(labels, Settings(2, "seeds"))
    for _ in range(2):
        assert boosting.distribution.tolist() == [0.1] * 10
        assert np.sort(boosting.draw(10, 0, 0)).tolist() == list(range(10))
        made = boosting.update(1 - labels)
        assert (made.weight, made.accepted) == (1, True)
        assert_allclose(made.error, 1)


def test_bagging_of_scores_reports_the_relative_error():
    boosting = Boosting(np.zeros(4), Settings(1, "seeds"))
    assert boosting.update([0.0, 0.0, 1.0, 2.0]).error == 0.375


def test_member_seeds_differ():
    seeds = {member_seed(seed, member) for seed in range(5) for member in range(5)}
    assert len(seeds) == 25
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert member_seed(1, 2) == member_seed(1, 2)


def test_draws_follow_the_distribution():
    labels = np.array([0, 1] * 5)
    boosting = Boosting(labels, SAMME)
    boosting.update(wrong_at(labels, [0, 1, 2]))
    drawn = boosting.draw(20_000, 1, 0)
    assert drawn.dtype == np.int64
    assert_allclose(np.bincount(drawn, minlength=10) / 20_000, boosting.distribution, atol=0.012)
    assert boosting.draw(20_000, 1, 0).tolist() == drawn.tolist()
    for other in (boosting.draw(20_000, 2, 0), boosting.draw(20_000, 1, 1)):
        assert other.tolist() != drawn.tolist()


def test_an_example_without_a_share_is_never_drawn():
    boosting = Boosting(np.array([0, 1, 0, 1]), SAMME)
    boosting._distribution = np.array([0.0, 0.5, 0.0, 0.5])
    assert set(boosting.draw(1000, 0, 0).tolist()) == {1, 3}


def test_reweighting_shuffles_all_examples_and_weighs_them():
    labels = np.array([0, 1] * 5)
    boosting = Boosting(labels, Settings(2, mode="reweight"))
    boosting.update(wrong_at(labels, [0, 1, 2]))
    assert np.sort(boosting.draw(10, 1, 0)).tolist() == list(range(10))
    assert len(boosting.draw(4, 1, 0)) == 4
    assert_allclose(boosting.loss_weights, [10 / 6] * 3 + [10 / 14] * 7, **EXACT)
    assert Boosting(labels, SAMME).loss_weights.tolist() == [1] * 10


@pytest.mark.parametrize("method", ["boosting", "bagging", "seeds"])
@pytest.mark.parametrize("classes", [1, 3])
def test_resumes_to_the_bit(method, classes):
    rng = np.random.default_rng(4)
    labels = rng.random(50) if classes == 1 else rng.integers(0, 3, 50)
    settings = Settings(classes, method, seed=9)
    whole = Boosting(labels, settings)
    resumed = Boosting(labels, settings)
    for _ in range(4):
        error = rng.random(50) ** 3
        predictions = labels + error if classes == 1 else np.where(error > 0.4, (labels + 1) % 3, labels)
        assert whole.update(predictions) == resumed.update(predictions)
        resumed = Boosting.from_dict(labels, json.loads(json.dumps(resumed.to_dict())))
        assert resumed.settings == settings
        assert resumed.rounds == whole.rounds
        assert resumed.distribution.tobytes() == whole.distribution.tobytes()
        assert resumed.draw(30, 5, 2).tolist() == whole.draw(30, 5, 2).tolist()
        assert math.isclose(whole.distribution.sum(), 1, rel_tol=1e-12)


def test_a_state_cannot_be_changed_from_outside():
    boosting = Boosting(np.array([0, 1, 0, 1]), SAMME)
    boosting.distribution[:] = 9
    assert boosting.distribution.tolist() == [0.25] * 4


@pytest.mark.parametrize("classes", [2, 3])
def test_against_scikit_learn(classes):
    ensemble = pytest.importorskip("sklearn.ensemble")
    base = pytest.importorskip("sklearn.base")
    rng = np.random.default_rng(classes)
    count, members = 40, 4
    labels = rng.integers(0, classes, count)
    labels[:classes] = np.arange(classes)
    given = [np.where(rng.random(count) < 0.25, (labels + 1) % classes, labels) for _ in range(members)]
    seen, turns = [], iter(given)

    class Given(base.ClassifierMixin, base.BaseEstimator):
        """Predicts what it is given, whatever it is fitted to."""

        def fit(self, x, y, sample_weight=None):
            self.classes_, self.n_classes_ = np.arange(classes), classes
            self.predictions_ = next(turns)
            seen.append(sample_weight / sample_weight.sum())
            return self

        def predict(self, x):
            return self.predictions_[x[:, 0].astype(int)]

    theirs = ensemble.AdaBoostClassifier(Given(), n_estimators=members).fit(np.arange(count)[:, None], labels)
    ours = Boosting(labels, Settings(classes))
    for predictions, weights in zip(given, seen, strict=True):
        assert_allclose(ours.distribution, weights, rtol=1e-12)
        ours.update(predictions)
    assert_allclose([made.weight for made in ours.rounds], theirs.estimator_weights_, rtol=1e-12)
    assert_allclose([made.error for made in ours.rounds], theirs.estimator_errors_, rtol=1e-12)

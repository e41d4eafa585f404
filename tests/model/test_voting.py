"""Votes by hand, and calibration against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from model.voting import (
    MAX_BOUND,
    VoteScale,
    calibrate,
    contributions,
    expected_members,
    hard_vote,
    integer_vote,
    log_softmax,
    mean_vote,
    prefix_means,
    prefix_votes,
    soft_vote,
    swings,
)

# Three members, four examples, two classes.
LOGITS = np.array(
    [
        [[3.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]],
        [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [1.0, 1.0]],
        [[0.0, 1.0], [4.0, 0.0], [0.5, 0.0], [2.0, 2.0]],
    ]
)


def random_logits(seed, members=4, examples=60, classes=3, spread=200):
    """Return integer logits of members that mostly agree."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(1, examples, classes))
    return (spread * (common + rng.normal(size=(members, examples, classes)))).astype(np.int64)


def test_soft_vote_by_hand():
    # Sums of logits: [3, 2], [4, 3], [1.5, 3], [3, 3]; a tie is the lower class.
    assert soft_vote(LOGITS, [1, 1, 1]).tolist() == [0, 0, 1, 0]
    assert soft_vote(LOGITS, [1, 3, 1]).tolist() == [1, 1, 1, 0]
    assert soft_vote(-LOGITS, [1, 1, 1]).tolist() == [1, 1, 0, 0]


def test_hard_vote_by_hand():
    assert hard_vote(LOGITS, [1, 1, 1]).tolist() == [1, 1, 0, 0]
    assert hard_vote(LOGITS, [1, 1, 3]).tolist() == [1, 0, 0, 0]
    # Two members of equal weight that differ: the lower class.
    assert hard_vote(LOGITS[:2], [1, 1]).tolist() == [0, 1, 0, 0]


def test_probabilities_differ_from_log_probabilities():
    """One member that is almost certain outvotes two in logs; in probabilities it does not."""
    logits = np.array([[[20.0, 0.0]], [[0.0, 3.0]], [[0.0, 3.0]]])
    assert soft_vote(logits, [1, 1, 1]).tolist() == [0]
    assert soft_vote(logits, [1, 1, 1], probabilities=True).tolist() == [1]


def test_log_softmax():
    logits = np.array([[0.0, np.log(3)], [1000.0, 0.0]])
    assert_allclose(np.exp(log_softmax(logits)), [[0.25, 0.75], [1, 0]], atol=1e-15)


@given(st.integers(0, 10_000))
def test_log_probabilities_vote_like_logits(seed):
    rng = np.random.default_rng(seed)
    logits, weights = rng.normal(size=(4, 20, 3)) * 3, rng.random(4) + 0.1
    assert soft_vote(logits, weights).tolist() == (weights[:, None, None] * logits).sum(0).argmax(-1).tolist()


def test_mean_vote_by_hand():
    logits = np.array([[[1.0], [2.0]], [[4.0], [0.0]], [[1.0], [1.0]]])
    assert mean_vote(logits, [1, 2, 1]).tolist() == [2.5, 0.75]
    assert prefix_means(logits, [1, 2, 1]).tolist() == [[1, 2], [3, 2 / 3], [2.5, 0.75]]


@pytest.mark.parametrize("vote", ["soft", "hard"])
def test_prefixes_are_the_votes_of_the_first_members(vote):
    logits = random_logits(1).astype(float)
    weights = [0.5, 2.0, 1.5, 1.0]
    found = prefix_votes(logits, weights, vote)
    assert found.shape == (4, 60)
    whole = soft_vote if vote == "soft" else hard_vote
    for count in range(1, 5):
        assert found[count - 1].tolist() == whole(logits[:count], weights[:count]).tolist()
    assert found[0].tolist() == logits[0].argmax(-1).tolist()


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.integers(0, 1000))
def test_two_members_and_a_hard_vote_give_the_class_of_the_larger_weight(first, second, seed):
    logits = np.random.default_rng(seed).normal(size=(2, 30, 3))
    own = logits.argmax(-1)
    expected = own[0] if first > second else own[1]
    if first == second:
        expected = own.min(0)
    assert hard_vote(logits, [first, second]).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("logits", "weights", "message"),
    [
        (LOGITS[0], [1, 1, 1], "logits must be [members, examples, 2 or more classes], not [4, 2]"),
        (LOGITS[:, :, :1], [1, 1, 1], "logits must be [members, examples, 2 or more classes], not [3, 4, 1]"),
        (LOGITS * np.nan, [1, 1, 1], "logits must be finite, not NaN or infinite"),
        (LOGITS, [1, 1], "weights must be 3 of at least 0, the first above 0, not [1.0, 1.0]"),
        (LOGITS, [0, 1, 1], "weights must be 3 of at least 0, the first above 0, not [0.0, 1.0, 1.0]"),
        (LOGITS, [1, -1, 1], "weights must be 3 of at least 0, the first above 0, not [1.0, -1.0, 1.0]"),
        (LOGITS, [1, np.inf, 1], "weights must be 3 of at least 0, the first above 0, not [1.0, inf, 1.0]"),
    ],
)
def test_votes_refuse(refused, logits, weights, message):
    found = refused(ValueError, soft_vote, logits, weights)
    assert found.removesuffix("; leave out members that were not accepted") == message


def test_prefixes_refuse(refused):
    message = refused(TypeError, prefix_votes, LOGITS, [1, 1, 1], "mean")
    assert message == "vote must be soft or hard, not 'mean'; prefix_means is for regression"
    message = refused(ValueError, mean_vote, LOGITS, [1, 1, 1])
    assert message == "logits must have one value for each example in regression, not 2"


# --- integers --------------------------------------------------------------------------------------------------------


def test_contributions_by_hand():
    logits = np.array([[[5, -5, 1]], [[7, 7, 9]]])
    scales = [VoteScale(3, 1, 7), VoteScale(255, 0, MAX_BOUND)]
    # 5 * 3 / 2 = 7.5 goes up to 8, and the bound makes 7 of it; -7.5 goes up to -7.
    assert contributions(logits, scales).tolist() == [[[7, -7, 2]], [[1785, 1785, 2295]]]
    assert contributions(logits, scales, "hard").tolist() == [[[3, 0, 0]], [[0, 0, 255]]]
    assert contributions(logits, scales, "mean").tolist() == [[[8, -7, 2]], [[1785, 1785, 2295]]]
    assert integer_vote(logits, scales).tolist() == [2]
    assert swings(scales).tolist() == [14, 2 * MAX_BOUND]
    assert swings(scales, "hard").tolist() == [3, 255]


def test_contributions_of_the_extremes():
    logits = np.array([[[2**31 - 1, -(2**31)]]])
    assert contributions(logits, [VoteScale(65535, 31, MAX_BOUND)]).tolist() == [[[65535, -65535]]]
    assert contributions(logits, [VoteScale(65535, 0, MAX_BOUND)]).tolist() == [[[MAX_BOUND, -MAX_BOUND]]]


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
@pytest.mark.parametrize("width", [8, 16, 31])
def test_calibrated_scales_are_small_and_common(bits, width):
    logits, weights = random_logits(2), np.array([1.0, 0.31, 0.77, 0.05])
    scales = calibrate(logits, weights, bits, width=width)
    assert all(0 < scale.multiplier < 2**bits and 0 <= scale.shift <= 31 for scale in scales)
    assert all(1 <= scale.bound < 2 ** (width - 1) for scale in scales)
    free = contributions(logits, [scale._replace(bound=MAX_BOUND) for scale in scales])
    assert np.abs(free).max() < 2 ** (width - 1)
    ratios = np.array([scale.multiplier / 2.0**scale.shift for scale in scales])
    assert_allclose(ratios / ratios[0], weights, rtol=2.0 ** (2 - bits))


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_rounded_multipliers_stay_within_the_width(bits):
    for largest, weight in product(range(55, 129, 4), (0.99, 0.7)):
        logits = np.array([[[1, 0]], [[largest, -largest]]])
        scales = calibrate(logits, [1.0, weight], bits, width=8)
        free = contributions(logits, [scale._replace(bound=MAX_BOUND) for scale in scales])
        assert np.abs(free).max() < 128


def test_of_equally_early_bounds_the_largest_is_taken():
    logits = np.array([[[5, -5], [9, -9], [-7, 7]]])
    (scale,) = calibrate(logits, [1.0])
    assert scale.bound == np.abs(contributions(logits, [scale._replace(bound=MAX_BOUND)])).max()


def test_fractions_are_taken_out():
    logits = random_logits(3)
    shifted = logits * (2 ** np.array([0, 3, 1, 5]))[:, None, None]
    plain = calibrate(logits, np.ones(4))
    scaled = calibrate(shifted, np.ones(4), fractions=[0, 3, 1, 5])
    assert [scale.multiplier for scale in scaled] == [scale.multiplier for scale in plain]
    assert [s.shift - p.shift for s, p in zip(scaled, plain, strict=True)] == [0, 3, 1, 5]
    assert contributions(shifted, scaled).tolist() == contributions(logits, plain).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_the_integer_vote_is_the_float_vote(seed):
    """With eight-bit weights hardly a class changes, and with no bound and equal weights none does."""
    logits = random_logits(seed, examples=400)
    weights = np.array([1.0, 0.8, 0.6, 0.3])
    found = integer_vote(logits, calibrate(logits, weights, width=24))
    assert (found != soft_vote(logits, weights)).mean() <= 0.005
    equal = calibrate(logits, np.ones(4), width=24)
    exact = soft_vote(logits, np.ones(4))
    same = (logits.sum(0) == logits.sum(0).max(-1, keepdims=True)).sum(-1) == 1
    assert (integer_vote(logits, equal) == exact)[same].all()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_bounds_change_few_classes_and_exit_early(seed, share):
    logits = random_logits(seed, examples=200)
    scales = calibrate(logits, [1.0, 0.9, 0.8, 0.7], share=share)
    free = contributions(logits, [scale._replace(bound=MAX_BOUND) for scale in scales])
    changed = integer_vote(logits, scales) != free.sum(0).argmax(-1)
    assert changed.mean() <= share
    found = expected_members(contributions(logits, scales), swings(scales))
    best = np.inf
    for quantile in np.linspace(0, 1, 101):
        bounds = np.quantile(np.abs(free).max(-1), quantile, axis=1, method="higher")
        votes = free.clip(-bounds[:, None, None], bounds[:, None, None])
        if (votes.sum(0).argmax(-1) != free.sum(0).argmax(-1)).mean() <= share:
            best = min(best, expected_members(votes, 2 * bounds))
    assert found == best


def test_more_changes_allowed_never_exit_later():
    logits = random_logits(4, examples=300)
    expected = []
    for share in (0.0, 0.01, 0.05, 0.3):
        scales = calibrate(logits, np.ones(4), share=share)
        expected.append(expected_members(contributions(logits, scales), swings(scales)))
    assert expected == sorted(expected, reverse=True)
    assert expected[-1] < expected[0] < 4


def test_calibrated_hard_vote():
    scales = calibrate(random_logits(5, 3), [2.0, 1.0, 0.5], vote="hard")
    assert scales == [(255, 0, 1), (128, 0, 1), (64, 0, 1)]


def test_calibrated_mean():
    logits = np.array([[[1000], [-3000]], [[4000], [100]]])
    scales = calibrate(logits, [3.0, 1.0], 16, vote="mean", fractions=[10, 12], fraction=8)
    totals = integer_vote(logits, scales, "mean")
    expected = 0.75 * logits[0, :, 0] / 2**10 + 0.25 * logits[1, :, 0] / 2**12
    assert_allclose(totals / 2**8, expected, atol=1 / 2**8)


def test_a_member_without_weight_adds_nothing():
    logits = random_logits(6, 2)
    scales = calibrate(logits, [1.0, 0.0])
    assert scales[1].multiplier == 0
    assert not contributions(logits, scales)[1].any()
    assert calibrate(np.zeros((1, 3, 2), int), [1.0])[0].bound == 1


def test_calibrate_refuses(refused):
    def answer(kind, kept=np.int64, **values):
        return refused(kind, lambda: calibrate(LOGITS.astype(kept), [1, 1, 1], **values))

    message = "logits must be integers [members, examples, classes], not float64 [3, 4, 2]"
    assert answer(ValueError, np.float64) == message
    assert answer(TypeError, bits=17) == "bits must be an integer from 1 to 16, not 17"
    assert answer(TypeError, bits=True) == "bits must be an integer from 1 to 16, not True"
    assert answer(TypeError, width=1) == "width must be an integer from 2 to 31, not 1"
    assert answer(ValueError, share=1.0) == "share must be from 0 to below 1, not 1.0"
    assert answer(TypeError, vote="median") == "vote must be one of soft, hard, mean, not 'median'"
    assert answer(ValueError, fractions=[1, 2]) == "fractions must be 3 integers, one for each member, not [1, 2]"
    assert answer(ValueError, vote="mean", fraction=31).startswith("fraction must be so small that a scale fits")


def test_contributions_refuse(refused):
    message = refused(ValueError, contributions, LOGITS.astype(int), [VoteScale(1, 0, 1)])
    assert message == "scales must be one for each of 3 members, not 1"

"""The vote against the document in plain numbers, and the early exit against all that members could still say."""

from itertools import product

import numpy as np
import pytest

from model.integer_vote import count_votes
from model.network import Member
from tests.model.small import make, operations, whole


def network(vote, *settings, classes=3):
    """Return a network with a member for each multiplier, shift and bound."""
    last = make("classify", weights=np.ones((classes, 9), np.int8), bias=np.zeros(classes, np.int32))
    members = tuple(Member(f"m{index}", "classify", *each) for index, each in enumerate(settings))
    return whole(operations=(*operations()[:-1], last), members=members, vote=vote, labels=())


def votes(made, *logits):
    """Return the vote on one sentence."""
    ballot = count_votes(made, np.array(logits, np.int64)[:, None])
    return (
        ballot.contributions[:, 0].tolist(),
        ballot.totals[0].tolist(),
        int(ballot.predictions[0]),
        int(ballot.members_run[0]),
    )


def test_soft():
    made = network("soft", (3, 1, 10), (1, 0, 4))
    assert votes(made, [5, -5, 1], [9, -9, 1]) == ([[8, -7, 2], [4, -4, 1]], [12, -11, 3], 0, 2)
    assert votes(made, [100, -100, 0], [1, 1, 1])[:3] == ([[10, -10, 0], [1, 1, 1]], [11, -9, 1], 0)


def test_soft_at_the_ends():
    top = (1 << 31) - 1
    made = network("soft", (65535, 0, 1 << 30), (65535, 31, 1 << 30))
    assert votes(made, [top, -top - 1, 1], [top, -top - 1, 32769])[0] == [
        [1 << 30, -(1 << 30), 65535],
        [65535, -65535, 1],
    ]


def test_hard_takes_the_lowest_of_equal_classes():
    made = network("hard", (3,), (2,), (2,))
    assert votes(made, [1, 1, 0], [0, 5, 5], [-1, 3, 2]) == ([[3, 0, 0], [0, 2, 0], [0, 2, 0]], [3, 4, 0], 1, 3)
    assert votes(made, [1, 0, 0], [0, 0, 1], [0, 1, 1])[1:] == ([3, 2, 2], 0, 3)
    assert votes(network("hard", (2,), (2,)), [0, 0, 1], [0, 1, 0])[1:] == ([0, 2, 2], 1, 2)


def test_mean_is_not_clamped():
    made = network("mean", (3, 1, 1), (65535, 0, 1), classes=1)
    top = (1 << 31) - 1
    assert votes(made, [5], [top]) == ([[8], [65535 * top]], [8 + 65535 * top], 8 + 65535 * top, 2)


def test_a_network_without_members(network):
    ballot = count_votes(network, np.zeros((0, 4, 0), np.int64))
    assert (ballot.totals.shape, ballot.predictions.tolist(), ballot.members_run.tolist()) == (
        (4, 0),
        [-1] * 4,
        [0] * 4,
    )


@pytest.mark.parametrize(
    ("first", "run"),
    [
        ([8, 0, 0], 1),
        ([7, 0, 0], 2),
        ([0, 8, 0], 2),
        ([0, 9, 0], 1),
        ([0, 9, 1], 1),
        ([0, 9, 2], 2),
        ([1, 9, 1], 2),
        ([0, 0, 0], 2),
    ],
)
def test_the_exit_counts_ties_on_the_right_side(first, run):
    """What remains can move two totals by 8 against each other; a class before the leader would win a tie."""
    made = network("soft", (1, 0, 100), (1, 0, 4))
    assert votes(made, first, [0, 0, 0])[3] == run


@pytest.mark.parametrize("vote", ["soft", "hard"])
def test_the_exit_is_exact(vote):
    """No vote of the members that remain changes the class; without that exit, one could."""
    made = network(vote, (3, 0, 5), (2, 0, 2), (1, 0, 1), classes=2)
    rows = [[0, 0], [1, 0], [0, 1], [-9, 9], [9, -9], [3, 3]]
    every = np.array(list(product(rows, repeat=3)), np.int64)
    ballot = count_votes(made, every.transpose(1, 0, 2))
    runs = ballot.members_run
    for done in (1, 2):
        for start in product(rows, repeat=done):
            same = (every[:, :done] == np.array(start)).all((1, 2))
            classes = set(ballot.predictions[same].tolist())
            assert set((runs[same] <= done).tolist()) == {len(classes) == 1}
    assert set(runs.tolist()) == {1, 2, 3}


def test_a_member_of_no_weight_need_not_run():
    assert votes(network("hard", (1,), (0,)), [0, 0, 1], [1, 0, 0]) == ([[0, 0, 1], [0, 0, 0]], [0, 0, 1], 2, 1)

"""Contributions by hand, and the early exit against every vote that could still come."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.reference.vote import contribution, is_decided, leader, members_run, swing


def logits(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def test_leader_is_the_lowest_of_equals() -> None:
    assert leader(logits(1, 3, 3)) == 1
    assert leader(logits(-2, -2)) == 0
    assert leader(logits(-5)) == 0
    assert leader(logits(-5, -6, -4)) == 2


def test_soft_contribution() -> None:
    # 5 * 3 / 2 = 7.5 goes up; -5 * 3 / 2 = -7.5 goes up too.
    assert contribution("soft", logits(5, -5, 1), 3, 1, 100).tolist() == [8, -7, 2]
    assert contribution("soft", logits(5, -5, 1), 3, 1, 7).tolist() == [7, -7, 2]
    extremes = logits(2**31 - 1, -(2**31))
    assert contribution("soft", extremes, 65535, 0, 2**30).tolist() == [2**30, -(2**30)]
    assert contribution("soft", extremes, 65535, 31, 2**30).tolist() == [65535, -65535]
    assert contribution("soft", extremes, 0, 0, 9).tolist() == [0, 0]


def test_hard_contribution() -> None:
    assert contribution("hard", logits(1, 3, 3), 9, 5, 1).tolist() == [0, 9, 0]
    assert contribution("hard", logits(0, 0), 65535, 0, 1).tolist() == [65535, 0]
    assert contribution("hard", logits(-1, 0), 0, 0, 1).tolist() == [0, 0]


def test_mean_contribution_is_not_clamped() -> None:
    assert contribution("mean", logits(-(2**31)), 65535, 0, 1).tolist() == [-(2**31) * 65535]
    assert contribution("mean", logits(7), 3, 1, 1).tolist() == [11]


def test_swing() -> None:
    assert swing("soft", 9, 4) == 8
    assert swing("hard", 9, 4) == 9


@pytest.mark.parametrize(
    ("totals", "remaining", "decided"),
    [
        ([5, 0], 5, True),
        ([5, 0], 6, False),
        ([0, 5], 5, False),
        ([0, 5], 4, True),
        ([0, 0], 0, True),
        ([0, 0], 1, False),
        ([2, 7, 3], 4, True),
        ([3, 7, 3], 4, False),
        ([2, 7, 4], 4, False),
    ],
)
def test_is_decided_by_hand(totals: list[int], remaining: int, decided: bool) -> None:
    assert is_decided(np.array(totals), remaining) is decided


Votes = set[tuple[int, ...]]


def possible_votes(vote: str, classes: int, multiplier: int, bound: int) -> Votes:
    """Return everything that one member may contribute."""
    if vote == "soft":
        return set(product(range(-bound, bound + 1), repeat=classes))
    return {tuple(multiplier * (k == chosen) for k in range(classes)) for chosen in range(classes)}


def possible_totals(totals: tuple[int, ...], votes: list[Votes]) -> Votes:
    """Return everything that the totals may become."""
    reached = {totals}
    for choices in votes:
        reached = {tuple(map(sum, zip(total, choice, strict=True))) for total in reached for choice in choices}
    return reached


def first_decided(contributions: list[tuple[int, ...]], votes: list[Votes]) -> int:
    """Return after how many members all that may still come gives one class, by trying it all."""
    for count in range(1, len(votes) + 1):
        totals = tuple(map(sum, zip(*contributions[:count], strict=True)))
        if len({ended.index(max(ended)) for ended in possible_totals(totals, votes[count:])}) == 1:
            return count
    raise AssertionError("the last member decides")


@settings(max_examples=150)
@given(st.data(), st.sampled_from(["soft", "hard"]), st.integers(2, 3), st.integers(1, 4))
def test_early_exit_is_exact_and_as_early_as_can_be(data: Any, vote: str, classes: int, members: int) -> None:
    weights = data.draw(st.lists(st.integers(0, 5), min_size=members, max_size=members))
    bounds = data.draw(st.lists(st.integers(1, 4 - classes + 1), min_size=members, max_size=members))
    votes = [possible_votes(vote, classes, *pair) for pair in zip(weights, bounds, strict=True)]
    contributions = [data.draw(st.sampled_from(sorted(choices))) for choices in votes]
    swings = [swing(vote, *pair) for pair in zip(weights, bounds, strict=True)]
    assert members_run(np.array(contributions), swings) == first_decided(contributions, votes)


@pytest.mark.parametrize("vote", ["soft", "hard"])
def test_early_exit_of_every_small_vote(vote: str) -> None:
    """Every vote of three members with two classes: weights 1 to 3, or bounds of 1."""
    runs = []
    for weights in product([1, 2, 3], repeat=3) if vote == "hard" else [(1, 1, 1)]:
        votes = [possible_votes(vote, 2, weight, 1) for weight in weights]
        swings = [swing(vote, weight, 1) for weight in weights]
        for contributions in product(*votes):
            runs.append(members_run(np.array(contributions), swings))
            assert runs[-1] == first_decided(list(contributions), votes)
    assert set(runs) == ({1, 2, 3} if vote == "hard" else {2, 3})


def test_one_member_runs() -> None:
    assert members_run(np.array([[0, 0]]), [8]) == 1


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 2), st.integers(0, 2))
def test_two_members_and_a_hard_vote(first: int, second: int, one: int, other: int) -> None:
    """Show that the member with the larger multiplier decides, and the lower class where both are equal."""
    scores = [np.arange(3) == chosen for chosen in (one, other)]
    pairs = zip(scores, (first, second), strict=True)
    totals = sum(contribution("hard", score.astype(np.int32), weight, 0, 1) for score, weight in pairs)
    if first == second:
        assert leader(np.asarray(totals)) == (min(one, other) if first else 0)
    else:
        assert leader(np.asarray(totals)) == (one if first > second else other)

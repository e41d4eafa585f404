"""The early exit against every vote that could still come, and against the reference; the order of the members."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.voting import (
    EXHAUSTIVE,
    calibrate,
    contributions,
    exact_exit,
    expected_members,
    integer_vote,
    order_members,
    swings,
)
from sim.reference.vote import contribution, members_run, swing


def random_logits(seed, members=4, examples=60, classes=3, spread=200):
    """Return integer logits of members that mostly agree."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(1, examples, classes))
    return (spread * (common + rng.normal(size=(members, examples, classes)))).astype(np.int64)


def possible_votes(vote, classes, size):
    """Return everything that one member may contribute."""
    if vote == "soft":
        return list(product(range(-size, size + 1), repeat=classes))
    return [tuple(size * (k == chosen) for k in range(classes)) for chosen in range(classes)]


def first_decided(votes, possible):
    """Return after how many members all that may still come gives one class, by trying it all."""
    for count in range(1, len(possible) + 1):
        reached = {tuple(np.sum(votes[:count], 0).tolist())}
        for choices in possible[count:]:
            reached = {tuple(map(sum, zip(total, choice, strict=True))) for total in reached for choice in choices}
        if len({total.index(max(total)) for total in reached}) == 1:
            return count
    raise AssertionError("the last member decides")


def swing_of(vote, size):
    return 2 * size if vote == "soft" else size


def test_every_exit_of_two_members_and_two_classes():
    """Every vote of bounds 1 and 2, both ways round."""
    for bounds in ((1, 2), (2, 1), (2, 2)):
        possible = [possible_votes("soft", 2, bound) for bound in bounds]
        votes = np.array(list(product(*possible))).transpose(1, 0, 2)  # [2, B, 2]
        found = exact_exit(votes, [2 * bound for bound in bounds])
        assert found.tolist() == [first_decided(votes[:, b], possible) for b in range(votes.shape[1])]
        assert set(found) == ({2} if bounds == (1, 2) else {1, 2})


@settings(max_examples=150)
@given(st.data(), st.sampled_from(["soft", "hard"]), st.integers(2, 3), st.integers(1, 4))
def test_exits_are_exact_and_as_early_as_can_be(data, vote, classes, members):
    largest = 4 - classes + 1 if vote == "soft" else 5
    sizes = data.draw(st.lists(st.integers(1, largest), min_size=members, max_size=members))
    possible = [possible_votes(vote, classes, size) for size in sizes]
    rows = st.tuples(*(st.sampled_from(choices) for choices in possible))
    votes = np.array(data.draw(st.lists(rows, min_size=1, max_size=6))).transpose(1, 0, 2)
    found = exact_exit(votes, [swing_of(vote, size) for size in sizes])
    assert found.tolist() == [first_decided(votes[:, b], possible) for b in range(votes.shape[1])]


@pytest.mark.parametrize(("vote", "classes"), [("soft", 2), ("soft", 4), ("hard", 3)])
def test_an_exit_gives_the_class_of_the_whole_vote(vote, classes):
    logits = random_logits(7, members=6, examples=500, classes=classes)
    scales = calibrate(logits, np.linspace(1, 0.4, 6), vote=vote)
    votes = contributions(logits, scales, vote)
    run = exact_exit(votes, swings(scales, vote))
    totals = np.cumsum(votes, 0)[run - 1, np.arange(500)]
    assert totals.argmax(-1).tolist() == integer_vote(logits, scales, vote).tolist()
    assert expected_members(votes, swings(scales, vote)) == run.mean() < 6


def test_exits_are_those_of_the_reference():
    logits = random_logits(8, members=5, examples=100)
    for vote in ("soft", "hard"):
        scales = calibrate(logits, [1, 0.9, 0.5, 0.4, 0.2], vote=vote)
        votes = contributions(logits, scales, vote)
        for b in range(100):
            for member, scale in enumerate(scales):
                one = contribution(vote, logits[member, b].astype(np.int32), *scale)
                assert one.tolist() == votes[member, b].tolist()
        own = [swing(vote, scale.multiplier, scale.bound) for scale in scales]
        expected = [members_run(votes[:, b], own) for b in range(100)]
        assert exact_exit(votes, swings(scales, vote)).tolist() == expected


@pytest.mark.parametrize("vote", ["soft", "hard"])
@pytest.mark.parametrize("members", [1, 2, 5])
def test_the_best_order_is_the_best_of_all(vote, members):
    logits = random_logits(9, members=members, examples=80)
    scales = calibrate(logits, np.random.default_rng(members).random(members) + 0.2, vote=vote)
    votes, reach = contributions(logits, scales, vote), swings(scales, vote)
    every = {order: expected_members(votes[list(order)], reach[list(order)]) for order in permutations(range(members))}
    found = order_members(votes, reach)
    assert every[found] == min(every.values())
    assert found == min(order for order, expected in every.items() if expected == every[found])
    assert votes[list(found)].sum(0).tolist() == votes.sum(0).tolist()


def test_many_members_are_ordered_one_after_the_other():
    members = EXHAUSTIVE + 2
    logits = random_logits(10, members=members, examples=60)
    scales = calibrate(logits, np.linspace(0.2, 1, members))
    votes, reach = contributions(logits, scales), swings(scales)
    order = list(order_members(votes, reach))
    assert sorted(order) == list(range(members))
    assert expected_members(votes[order], reach[order]) < expected_members(votes, reach)


def test_many_members_that_are_in_a_good_order_stay():
    members = EXHAUSTIVE + 1
    votes = np.zeros((members, 2, 2), int)
    assert order_members(votes, np.full(members, 2)) == tuple(range(members))


def test_exit_refuses(refused):
    votes = np.array([[[3, 0]], [[0, 1]]])
    message = refused(ValueError, exact_exit, votes, [2, 1])
    assert message == "votes must differ between classes by at most the member's swing, not by more"
    assert refused(ValueError, exact_exit, votes, [3]) == "swing must be 2 integers, one for each member, not [3]"
    assert refused(ValueError, exact_exit, votes, [3.0, 1.0]).startswith("swing must be 2 integers")
    assert refused(ValueError, exact_exit, votes[:, :, :1], [3, 1]).startswith("votes must be of 2 or more classes")
    assert refused(ValueError, exact_exit, votes * 1.0, [3, 1]).startswith("votes must be integers")

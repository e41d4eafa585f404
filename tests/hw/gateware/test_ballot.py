"""The ballot against integers: votes of all kinds, ties, the exact swing, and every cycle."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.gateware.ballot import LATENCY, Ballot
from hw.isa import Vote
from tests.hw.gateware.clockwork import check, drive, fold, seeded, seen, simulate, simulate_with_resets
from tests.hw.gateware.members import Operands, Poll, any_logit, any_member

SOFT = {"vote": Vote.SOFT, "multiplier": 1, "bound": 1 << 30, "shift": 0, "swing": 0}


async def vote(ctx: Any, dut: Ballot, logits: list[int], member: Operands, random: Random, poll: Poll) -> None:
    """Give a member's logits with gaps; see each word once and in order, and what stands before and behind `done`."""
    before = [seen(ctx, dut, name) for name in ("outcome", "members", "total")]
    poll.add(logits, member)
    drive(ctx, dut, member | {"classes": len(logits)})
    words, since = [], 0
    waiting = [bits for logit in logits for bits in [None] * random.choice([0, 0, 1, 3]) + [logit]]
    while since <= LATENCY + 2 * len(logits):
        logit = waiting.pop(0) if waiting else None
        drive(ctx, dut, {"valid": int(logit is not None), "logit": random.getrandbits(32) if logit is None else logit})
        if logit is not None:
            assert seen(ctx, dut, "number") == len(words)
        if seen(ctx, dut, "words.valid"):
            words.append(seen(ctx, dut, "words.fold"))
            assert seen(ctx, dut, "words.end") == (len(words) == 2 * len(logits) + 1)
        assert seen(ctx, dut, "done") == (not waiting and since == LATENCY + 2 * len(logits)), since
        assert before == [seen(ctx, dut, name) for name in ("outcome", "members", "total")]
        since += not waiting
        await ctx.tick()
    assert words == [fold(word) for word in poll.words(logits)]
    found = [seen(ctx, dut, name) for name in ("outcome", "members", "total")]
    assert found == [poll.outcome(), poll.members, poll.total()]


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
@pytest.mark.parametrize("most", [7, 8])
def test_members_of_all_kinds(classes: int, most: int) -> None:
    random = seeded("ballot", classes, most)
    dut = Ballot(most)

    async def process(ctx: Any) -> None:
        poll = Poll()
        for index in range(40):
            kind = random.choice([Vote.SOFT, Vote.HARD, *([Vote.MEAN] if classes == 1 else [])])
            member = any_member(random, kind) | {"first": int(random.random() < 0.3 or index == 20)}
            member["swing"] = random.choice([0, random.getrandbits(38), random.getrandbits(random.randrange(38))])
            await vote(ctx, dut, [any_logit(random) for _ in range(classes)], member, random, poll)

    simulate(dut, process)


def test_as_many_classes_as_there_can_be() -> None:
    random, dut = seeded("most classes"), Ballot(1024)

    async def process(ctx: Any) -> None:
        poll = Poll()
        for first in (1, 0):
            logits = [random.randint(-9, 9) for _ in range(1024)]
            await vote(ctx, dut, logits, SOFT | {"first": first, "swing": 3}, random, poll)

    simulate(dut, process)


@pytest.mark.parametrize("leader", [0, 1, 2])
def test_decided_by_exactly_the_swing(leader: int) -> None:
    """A class above the leader may come up to its total, one below may not: that class would win the tie."""
    random, dut = seeded("swing", leader), Ballot(3)
    decisions: list[bool] = []

    async def process(ctx: Any) -> None:
        for other in {0, 1, 2} - {leader}:
            for gap in (99, 100, 101):
                logits = [-5000] * 3
                logits[leader], logits[other] = 1000, 1000 - gap
                poll = Poll()
                await vote(ctx, dut, logits, SOFT | {"first": 1, "swing": 100}, random, poll)
                assert poll.decided == (gap > 100 or (gap == 100 and other > leader))
                decisions.append(poll.decided)

    simulate(dut, process)
    assert {True, False} == set(decisions)


@pytest.mark.parametrize("swing", [1 << 36, 1 << 37, (1 << 38) - 1])
def test_a_swing_of_any_size_counts(swing: int) -> None:
    random, dut = seeded("largest swing", swing), Ballot(2)

    async def process(ctx: Any) -> None:
        poll = Poll()
        await vote(ctx, dut, [1000, -1000], SOFT | {"first": 1, "swing": swing}, random, poll)
        assert not poll.decided

    simulate(dut, process)


def test_ties_of_logits_and_of_totals_go_to_the_lowest_class() -> None:
    random, dut = seeded("ties"), Ballot(4)
    hard = SOFT | {"vote": Vote.HARD, "multiplier": 300}

    async def process(ctx: Any) -> None:
        poll = Poll()
        await vote(ctx, dut, [-7, 5, 5, 5], hard | {"first": 1, "swing": 299}, random, poll)
        assert (poll.leader, poll.totals, poll.decided) == (1, [0, 300, 0, 0], True)
        await vote(ctx, dut, [5, 5, -7, 5], hard | {"first": 0, "swing": 0}, random, poll)
        assert (poll.leader, poll.totals, poll.decided) == (0, [300, 300, 0, 0], True)
        await vote(ctx, dut, [0, 0, 0, 0], SOFT | {"first": 1, "swing": 1}, random, poll)
        assert (poll.leader, poll.decided, poll.members) == (0, False, 1)

    simulate(dut, process)


def test_clamps_at_the_bound_and_means_without_one() -> None:
    random, dut = seeded("bound"), Ballot(5)
    ends = [-(1 << 31), (1 << 31) - 1]

    async def process(ctx: Any) -> None:
        poll = Poll()
        for bound in (1, 100, 1 << 30):
            logits = [bound, bound + 1, -bound, -bound - 1, bound - 1]
            await vote(ctx, dut, logits, SOFT | {"first": 1, "bound": bound}, random, poll)
            assert poll.totals == [bound, bound, -bound, -bound, bound - 1]
            widest = SOFT | {"multiplier": 65535, "bound": bound, "first": 0}
            await vote(ctx, dut, [*ends, 0, 1, -1], widest, random, poll)
        for shift in (0, 31):
            for logit in ends:
                mean = SOFT | {"vote": Vote.MEAN, "multiplier": 65535, "first": 1, "bound": 0, "shift": shift}
                await vote(ctx, dut, [logit], mean, random, poll)
                assert not poll.decided

    simulate(dut, process)


def test_the_first_member_of_a_run_begins_from_0() -> None:
    """A reset in the middle of a vote drops it; what the memories hold counts for nothing after it."""
    random, dut = seeded("ballot reset"), Ballot(3)

    async def part(ctx: Any) -> None:
        assert [seen(ctx, dut, name) for name in ("outcome", "members", "total")] == [0, 0, 0]
        poll = Poll()
        for _ in range(random.randrange(3)):
            logits = [random.randint(-9, 9) for _ in range(3)]
            await vote(ctx, dut, logits, SOFT | {"first": 0, "swing": 5}, random, poll)
        for cycle in range(random.randrange(25)):
            drive(ctx, dut, {"valid": int(cycle < 3), "logit": 1000, "first": 1})
            await ctx.tick()
        drive(ctx, dut, {"valid": 0})

    simulate_with_resets(dut, 25, part)


@pytest.mark.parametrize("cycles", range(1, LATENCY + 9))
def test_a_reset_drops_a_vote_in_any_cycle(cycles: int) -> None:
    """A vote of three classes is dropped so many cycles behind its first logit; nothing of it is seen after."""
    dut, reset = Ballot(3), Signal()

    async def process(ctx: Any) -> None:
        drive(ctx, dut, SOFT | {"first": 1, "classes": 3, "logit": 1000})
        for cycle in range(40):
            drive(ctx, dut, {"valid": int(cycle < min(cycles, 3))})
            ctx.set(reset, cycle == cycles)
            if cycle > cycles:
                names = ("done", "words.valid", "outcome", "members", "total")
                check(ctx, dut, dict.fromkeys(names, 0), cycle)
            await ctx.tick()

    simulate(ResetInserter(reset)(dut), process)

"""The unit queues and the token counters, against lists and integers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.gateware.interfaces import INSTRUCTION_BITS, TOKEN_UNIT_COUNT
from hw.gateware.issue import IssueQueue, TokenCounters
from hw.isa import Unit
from tests.hw.gateware.clockwork import check, drive, seeded, simulate

UNITS = range(TOKEN_UNIT_COUNT)
ALL = (1 << TOKEN_UNIT_COUNT) - 1


def with_masks(wait: int, signal: int, rest: int = 0) -> int:
    """Return an instruction with these masks; `rest` fills the operands, so that each is told from the others."""
    return (wait << 8 | signal << 16 | rest << 24) % (1 << INSTRUCTION_BITS)


@dataclass
class QueueTwin:
    """The instructions that wait, and the signal masks of those in flight. The `own` bit waits for none of them."""

    depth: int
    own: int | None = None
    waiting: deque[int] = field(default_factory=deque)
    signals: deque[int] = field(default_factory=deque)

    def lacks(self, tokens: int) -> bool:
        if self.own is not None:
            tokens = tokens & ~(1 << self.own) | (not self.signals) << self.own
        return bool(self.waiting) and (self.waiting[0] >> 8 & ALL & ~tokens) != 0

    def issues(self, tokens: int, accept: int, hold: int) -> bool:
        return bool(self.waiting and not self.lacks(tokens) and accept and not hold)

    def outputs(self, tokens: int, accept: int, hold: int, retire: int) -> dict[str, int]:
        issues = self.issues(tokens, accept, hold)
        expected = {"space": len(self.waiting) < self.depth, "lacks_token": self.lacks(tokens), "unit.issued": issues}
        expected |= {"taken": self.waiting[0] >> 8 & ALL if issues else 0, "given": self.signals[0] if retire else 0}
        return expected | ({"unit.head": self.waiting[0]} if self.waiting else {})

    def step(self, pushed: int | None, issues: bool, retire: int) -> None:
        if retire:
            self.signals.popleft()
        if issues:
            self.signals.append(self.waiting.popleft() >> 16 & ALL)
        if pushed is not None:
            self.waiting.append(pushed)


@pytest.mark.parametrize("own", [None, Unit.VECTOR])
@pytest.mark.parametrize("hold_rate", [0.0, 0.3])
@pytest.mark.parametrize("token_rate", [0.5, 0.9])
@pytest.mark.parametrize(("depth", "in_flight"), [(1, 1), (2, 3), (4, 6), (16, 36)])
def test_queue_equals_its_twin(
    depth: int, in_flight: int, token_rate: float, hold_rate: float, own: Unit | None
) -> None:
    dut = IssueQueue(depth=depth, in_flight=in_flight, own=own)
    random, reset = seeded("issue", depth, in_flight, token_rate, hold_rate, own), Signal()

    async def process(ctx: Any) -> None:
        twin = QueueTwin(depth, own)
        for cycle in range(500):
            tokens = sum((random.random() < token_rate) << bit for bit in UNITS)
            retire = int(bool(twin.signals) and random.random() < 0.4)
            accept = int(len(twin.signals) < in_flight and random.random() < 0.7)
            hold = int(random.random() < hold_rate)
            busy = random.random() < (0.9 if cycle // 40 % 2 else 0.2)
            pushed = with_masks(random.getrandbits(5), random.getrandbits(5), random.getrandbits(140))
            push = int(len(twin.waiting) < depth and busy)
            drive(ctx, dut, {"push": push, "instruction": pushed, "tokens": tokens, "retire": retire, "hold": hold})
            drive(ctx, dut, {"unit.can_accept": accept})
            check(ctx, dut, twin.outputs(tokens, accept, hold, retire), cycle)
            twin.step(pushed if push else None, twin.issues(tokens, accept, hold), retire)
            ctx.set(reset, clear := int(cycle % 200 == 199))
            await ctx.tick()
            twin = QueueTwin(depth, own) if clear else twin

    simulate(ResetInserter(reset)(dut), process)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_full_queue_has_no_space_although_it_issues(depth: int) -> None:
    dut = IssueQueue(depth=depth, in_flight=depth)

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"push": 1, "instruction": with_masks(0, 0)})
        check(ctx, dut, {"space": 1, "unit.issued": 0}, "an instruction pushed in t is not at the head in t")
        await ctx.tick().repeat(depth)
        drive(ctx, dut, {"push": 0, "unit.can_accept": 1})
        check(ctx, dut, {"space": 0, "unit.issued": 1})
        await ctx.tick()
        check(ctx, dut, {"space": 1, "unit.issued": int(depth > 1)})

    simulate(dut, process)


@pytest.mark.parametrize("wait", range(1, ALL + 1))
def test_every_waited_for_token_must_be_there(wait: int) -> None:
    dut = IssueQueue(depth=2, in_flight=2)

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"push": 1, "instruction": with_masks(wait, ALL ^ wait), "unit.can_accept": 1})
        await ctx.tick()
        drive(ctx, dut, {"push": 0})
        for tokens in range(ALL + 1):
            drive(ctx, dut, {"tokens": tokens, "hold": 1})
            complete = wait & ~tokens == 0
            check(ctx, dut, {"lacks_token": not complete, "unit.issued": 0, "taken": 0}, "hold stops it")
            drive(ctx, dut, {"hold": 0})
            check(ctx, dut, {"unit.issued": complete, "taken": wait if complete else 0}, tokens)
        await ctx.tick()
        drive(ctx, dut, {"retire": 1})
        check(ctx, dut, {"given": ALL ^ wait, "unit.issued": 0, "lacks_token": 0})
        await ctx.tick()

    simulate(dut, process)


def test_the_own_bit_waits_until_nothing_is_outstanding() -> None:
    dut, own = IssueQueue(depth=4, in_flight=4, own=Unit.VECTOR), 1 << Unit.VECTOR

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"push": 1, "unit.can_accept": 1, "tokens": 0})
        for wait in (own, 0, own, own):
            drive(ctx, dut, {"instruction": with_masks(wait, 0), "unit.can_accept": 0})
            await ctx.tick()
        drive(ctx, dut, {"push": 0, "unit.can_accept": 1})
        check(ctx, dut, {"unit.issued": 1, "taken": own}, "the first one: nothing is outstanding")
        await ctx.tick()
        check(ctx, dut, {"unit.issued": 1, "taken": 0}, "the second one does not ask")
        await ctx.tick()
        for retire in (0, 1, 0, 1):
            drive(ctx, dut, {"retire": retire})
            check(ctx, dut, {"unit.issued": 0, "lacks_token": 1}, "not in the cycle of the last pulse either")
            await ctx.tick()
        drive(ctx, dut, {"retire": 0})
        check(ctx, dut, {"unit.issued": 1, "lacks_token": 0}, "one cycle after it")
        await ctx.tick()
        check(ctx, dut, {"unit.issued": 0, "lacks_token": 1}, "the fourth one waits for the third")
        drive(ctx, dut, {"retire": 1})
        await ctx.tick()
        drive(ctx, dut, {"retire": 0, "tokens": ALL, "unit.can_accept": 0})
        check(ctx, dut, {"unit.issued": 0, "lacks_token": 0})

    simulate(dut, process)


def available(counts: dict[tuple[int, int], int]) -> dict[str, int]:
    """Return the masks of what each consumer may take."""
    mask = sum((counts[p, c] > 0) << TOKEN_UNIT_COUNT * c + p for p in UNITS for c in UNITS if p != c)
    return {"available": mask}


@pytest.mark.parametrize("giving", [0.2, 0.5, 0.9])
def test_counters_equal_their_twin(giving: float) -> None:
    dut, random = TokenCounters(), seeded("tokens", giving)
    pairs = [(p, c) for p in UNITS for c in UNITS]

    async def process(ctx: Any) -> None:
        counts = dict.fromkeys(pairs, 0)
        for cycle in range(600):
            check(ctx, dut, available(counts), cycle)
            given = {pair: counts[pair] < 255 and random.random() < giving for pair in pairs}
            taken = {pair: counts[pair] > 0 and random.random() < 0.5 for pair in pairs}
            drive(ctx, dut, {"given": sum(g << TOKEN_UNIT_COUNT * p + c for (p, c), g in given.items())})
            drive(ctx, dut, {"taken": sum(t << TOKEN_UNIT_COUNT * c + p for (p, c), t in taken.items())})
            counts = {pair: counts[pair] + given[pair] - taken[pair] if pair[0] != pair[1] else 0 for pair in pairs}
            await ctx.tick()

    simulate(dut, process)


def test_each_pair_has_a_counter_of_8_bits_of_its_own() -> None:
    dut = TokenCounters()

    async def process(ctx: Any) -> None:
        for producer in UNITS:
            for consumer in UNITS:
                given, taken = TOKEN_UNIT_COUNT * producer + consumer, TOKEN_UNIT_COUNT * consumer + producer
                drive(ctx, dut, {"given": 1 << given, "taken": 0})
                check(ctx, dut, {"available": 0}, "given in t, there from t+1")
                await ctx.tick()
                drive(ctx, dut, {"given": 0})
                expected = {"available": 0 if producer == consumer else 1 << taken}
                check(ctx, dut, expected, (producer, consumer))
                drive(ctx, dut, {"given": 1 << given, "taken": 1 << taken})
                await ctx.tick()
                check(ctx, dut, expected, "given and taken in one cycle cancel")
                drive(ctx, dut, {"taken": 0})
                await ctx.tick().repeat(254)
                check(ctx, dut, expected, "255 tokens are held")
                drive(ctx, dut, {"taken": 0})
                await ctx.tick()
                check(ctx, dut, {"available": 0}, "the 256th is one too many for 8 bits")
                drive(ctx, dut, {"given": 0, "taken": 1 << taken})
                await ctx.tick()
                check(ctx, dut, expected, "back at 255")
                drive(ctx, dut, {"given": 0, "taken": 1 << taken})
                await ctx.tick().repeat(254)
                check(ctx, dut, expected, "the last of 255 is still there")
                await ctx.tick()
                check(ctx, dut, {"available": 0})

    simulate(dut, process)


def test_a_unit_that_is_left_out_gives_nothing() -> None:
    units = tuple(unit for unit in UNITS if unit != Unit.VECTOR)
    dut = TokenCounters(units)
    whole = (1 << TOKEN_UNIT_COUNT**2) - 1

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"given": whole})
        await ctx.tick()
        expected = {(p, c): int(p in units and c in units) for p in UNITS for c in UNITS}
        check(ctx, dut, available(expected))

    simulate(dut, process)

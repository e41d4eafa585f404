"""The limits of rows against integers: sums of entries, levels from the table, and the cycle of each limit."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.row_levels import LATENCY, RowLevels
from tests.hw.gateware.clockwork import check, drive, seeded, seen, simulate, simulate_with_resets
from tests.hw.gateware.softmaxes import limit_of

ACCELERATORS = {
    "one level": Accelerator(row_lanes=4, rows=3),
    "two planes": Accelerator(row_lanes=4, rows=1, code_bits=2, port_bits=8, word_bits=16),
    "four planes": Accelerator(row_lanes=4, rows=5, code_bits=8, port_bits=128),
}
PARTS = [19, 17]


def test_latency() -> None:
    """The last limit is written in t + LATENCY + N - 1, and first read in t + 8 + N + 4."""
    assert LATENCY == 7


def any_level(random: Random) -> int:
    return random.choice([0, 1 << 21, 1 << 20, random.randrange(1 << 21), random.randrange(99)])


def any_parts(random: Random) -> list[int]:
    """Return sums of entries that can be: of 8 lanes and of 2."""
    return [random.choice([0, count * 65535, random.randrange(count * 65535)]) for count in (8, 2)]


class Feed:
    """Rows step by step, and what must come of them by cycle."""

    def __init__(self, a: Accelerator, random: Random) -> None:
        self.a, self.random = a, random
        self.levels = [any_level(random) for _ in range(64)]
        self.planes = random.choice([planes for planes in (1, 2, 4) if planes <= a.code_bits])
        self.line = random.randrange(4)
        self.row, self.total, self.steps_left, self.ended = 0, 0, random.randint(1, 3), -99
        self.due: dict[int, tuple[int, int, int]] = {}
        self.kept: dict[tuple[int, int], int] = {}

    def step(self, cycle: int) -> dict[str, int]:
        """Return the inputs of a cycle."""
        count = 2**self.planes - 1
        parts = any_parts(self.random)
        last = int(self.steps_left <= 1 and cycle - self.ended >= count)
        valid = int(self.random.random() < 0.7)
        inputs = {"valid": valid, "last": last, "row": self.row, "parts": parts[0] | parts[1] << PARTS[0]}
        if not valid:
            return inputs
        room = 1024 * 65535 - self.total
        if sum(parts) > room:
            inputs["parts"], parts = 0, [0, 0]
        self.total += sum(parts)
        self.steps_left -= 1
        if last:
            first = self.line * (self.a.table_line_bits // 32)
            for k in range(count):
                self.due[cycle + LATENCY + k] = (self.row, k, limit_of(self.levels[first + k], self.total))
            self.ended, self.total, self.steps_left = cycle, 0, self.random.randint(1, 20)
            self.row = self.random.randrange(self.a.rows)
        return inputs

    def line_of(self, line: int, noise: int) -> int:
        """Return a line of levels; above the 22 bits of each stands what does not matter."""
        per_line = self.a.table_line_bits // 32
        here = self.levels[line * per_line : (line + 1) * per_line]
        return sum((level | noise << 22) << 32 * index for index, level in enumerate(here))


async def compare(ctx: Any, dut: RowLevels, feed: Feed, random: Random, cycles: int) -> None:
    drive(ctx, dut, {"levels": 2**feed.planes - 1, "level_line": feed.line})
    shown: dict[int, int] = {}
    for cycle in range(cycles):
        drive(ctx, dut, feed.step(cycle))
        read, read_row = random.getrandbits(1), random.randrange(feed.a.rows)
        drive(ctx, dut, {"read": read, "read_row": read_row})
        due = feed.due.get(cycle)
        check(ctx, dut, {"done": due is not None} | ({"limit": due[2]} if due else {}), cycle)
        limits = seen(ctx, dut, "limits")
        assert {k: limits >> 17 * k & 0x1FFFF for k in shown} == shown, cycle
        if read:
            shown = {k: limit for (row, k), limit in feed.kept.items() if row == read_row}
        if due:
            feed.kept[due[0], due[1]] = due[2]
        enable, line = seen(ctx, dut, "level.enable"), seen(ctx, dut, "level.line")
        await ctx.tick()
        if enable:
            drive(ctx, dut, {"level.data": feed.line_of(line, random.getrandbits(10))})
    drive(ctx, dut, {"valid": 0})


@pytest.mark.parametrize("name", ACCELERATORS)
@pytest.mark.parametrize("run", range(3))
def test_limits_equal_their_twin(name: str, run: int) -> None:
    a, random = ACCELERATORS[name], seeded("row levels", name, run)
    dut = RowLevels(a, PARTS)

    async def process(ctx: Any) -> None:
        feed = Feed(a, random)
        await compare(ctx, dut, feed, random, 700)
        assert len(feed.due) > 30

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    a, random = ACCELERATORS["four planes"], seeded("row levels reset")
    dut = RowLevels(a, PARTS)

    async def part(ctx: Any) -> None:
        await compare(ctx, dut, Feed(a, random), random, random.randrange(5, 60))

    simulate_with_resets(dut, 20, part)


@pytest.mark.parametrize(
    ("level", "total", "limit"),
    [
        (0, 1024 * 65535, 0),
        (1, 65535, 1),
        (1 << 20, 65535, 65535),
        (1 << 20, 65536, 65536),
        (1 << 21, 32768, 65536),
        (1 << 21, 32767, 65534),
        (1 << 21, 1024 * 65535, 65536),
        (16, 65536, 1),
        (16, 65537, 2),
        (8, 65536, 1),
        (16, 1024 * 65535, 1024),
    ],
)
def test_limits_by_hand(level: int, total: int, limit: int) -> None:
    """A row of one step, given in cycle 0: its limit is there in cycle 7 and can be read from the next one."""
    dut = RowLevels(Accelerator(row_lanes=1), [26])

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"valid": 1, "last": 1, "row": 2, "parts": total, "levels": 1, "read": 1, "read_row": 2})
        drive(ctx, dut, {"level.data": level})
        for cycle in range(10):
            check(ctx, dut, {"done": cycle == 7} | ({"limit": limit} if cycle == 7 else {}), cycle)
            check(ctx, dut, {"limits": limit if cycle == 9 else 0}, cycle)
            await ctx.tick()
            drive(ctx, dut, {"valid": 0})

    simulate(dut, process)

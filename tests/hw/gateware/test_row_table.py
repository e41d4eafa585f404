"""The table of rows: slices in, coefficients out, in the cycle that the contract counts with."""

from __future__ import annotations

from typing import Any

import pytest

from hw.gateware.row_table import LATENCY, RowTable
from tests.hw.gateware.clockwork import check, drive, seeded, simulate
from tests.hw.gateware.vectors import norm_of


def test_latency() -> None:
    assert LATENCY == 11


@pytest.mark.parametrize(("rows", "lanes"), [(1, 1), (3, 4), (8, 2)])
def test_rows_come_back_as_coefficients(rows: int, lanes: int) -> None:
    """Each lap gives some rows again; the others keep what they have."""
    dut, random = RowTable(rows=rows, lanes=lanes), seeded("row table", rows, lanes)

    async def give(ctx: Any, row: int, numbers: list[int], end: int) -> None:
        for start in range(0, len(numbers), lanes):
            piece = numbers[start : start + lanes]
            noise = [random.randint(-32768, 32767) for _ in range(lanes - len(piece))]
            values = sum(number % 65536 << 16 * lane for lane, number in enumerate(piece + noise))
            drive(ctx, dut, {"valid": 1, "values": values, "mask": (1 << len(piece)) - 1, "row": row})
            last = start + lanes >= len(numbers)
            drive(ctx, dut, {"last": last, "end": last and end})
            check(ctx, dut, {"done": 0}, "an end is not done before its time")
            await ctx.tick()
            drive(ctx, dut, {"valid": 0})
            for _ in range(random.choice([0, 0, 3])):
                await ctx.tick()

    async def process(ctx: Any) -> None:
        norms = {}
        for lap in range(6):
            given = random.sample(range(rows), k=rows if lap == 0 else random.randint(1, rows))
            channels, epsilon = random.randint(1, 3 * lanes), random.choice([1, random.getrandbits(31)])
            drive(ctx, dut, {"channels": channels, "epsilon": epsilon})
            for index, row in enumerate(given):
                numbers = [random.choice([-32768, 32767, random.randint(-99, 99)]) for _ in range(channels)]
                norms[row] = norm_of(numbers, epsilon)
                await give(ctx, row, numbers, index == len(given) - 1)
            for _ in range(LATENCY):
                if ctx.get(dut.done):
                    break
                await ctx.tick()
            check(ctx, dut, {"done": 1})
            await ctx.tick()
            check(ctx, dut, {"done": 0}, "for one cycle")
            for row, norm in norms.items():
                drive(ctx, dut, {"read": 1, "read_row": row})
                await ctx.tick()
                drive(ctx, dut, {"read": 0, "read_row": random.randrange(rows)})
                await ctx.tick()
                found = ctx.get(dut.coefficients)
                expected = (norm.channels * norm.root, norm.total * norm.root, norm.distance)
                assert (found["factor"], found["offset"], found["distance"]) == expected, (lap, row)

    simulate(dut, process)


def test_an_entry_is_written_with_done_and_readable_from_the_next_cycle() -> None:
    dut = RowTable(rows=2, lanes=1)

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"valid": 1, "last": 1, "end": 1, "row": 1, "values": 5, "mask": 1})
        drive(ctx, dut, {"channels": 1, "epsilon": 4, "read": 1, "read_row": 1})
        for cycle in range(LATENCY + 3):
            check(ctx, dut, {"done": cycle == LATENCY}, cycle)
            norm = norm_of([5], 4)
            expected = norm.root * norm.channels if cycle >= LATENCY + 2 else 0
            assert ctx.get(dut.coefficients)["factor"] == expected, cycle
            await ctx.tick()
            drive(ctx, dut, {"valid": 0})

    simulate(dut, process)

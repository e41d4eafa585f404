"""The transposer against a tile that is turned at once."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.arch import Accelerator
from hw.gateware.transposer import Transposer
from tests.hw.gateware.clockwork import check, drive, seeded, simulate

ACCELERATORS = [
    Accelerator(rows=4, columns=2, drain_rows=1),
    Accelerator(rows=4, columns=8, drain_rows=2),
    Accelerator(rows=8, columns=8, drain_rows=8),
    Accelerator(rows=1, columns=4),
    Accelerator(rows=4, columns=1),
]


async def give(ctx: Any, dut: Transposer, a: Accelerator, start: int, valid: int, bits: list[int]) -> None:
    """Give the group of a tile that begins at a row; rows that are not valid come as 0."""
    rows = [bits[r] if r < valid else 0 for r in range(start, start + a.drain_rows)]
    drive(ctx, dut, {"enable": 1, "last": int(start + a.drain_rows >= valid)})
    drive(ctx, dut, {"tile_rows": sum(1 << r for r in range(start, min(valid, start + a.drain_rows)))})
    drive(ctx, dut, {"rows": sum(row << a.columns * index for index, row in enumerate(rows))})


@pytest.mark.parametrize("index", range(len(ACCELERATORS)))
def test_columns_of_a_tile_with_its_last_group(index: int) -> None:
    a, random = ACCELERATORS[index], seeded("transposer", index)
    dut, reset = Transposer(a), Signal()

    async def process(ctx: Any) -> None:
        for number in range(150):
            valid = random.choice([1, a.rows, random.randint(1, a.rows)])
            bits = [random.choice([0, (1 << a.columns) - 1, random.getrandbits(a.columns)]) for _ in range(a.rows)]
            ctx.set(reset, clear := int(random.random() < 0.1))
            for start in range(0, valid, a.drain_rows):
                while random.random() < 0.3 and not clear:
                    drive(ctx, dut, {"enable": 0, "last": random.getrandbits(1), "rows": 0})
                    drive(ctx, dut, {"tile_rows": random.getrandbits(a.rows)})
                    await ctx.tick()
                await give(ctx, dut, a, start, valid, bits)
                last = start + a.drain_rows >= valid
                if last and (start == 0 or not clear):
                    columns = [sum((bits[r] >> c & 1) << r for r in range(valid)) for c in range(a.columns)]
                    check(ctx, dut, {"columns": sum(x << a.rows * c for c, x in enumerate(columns))}, number)
                await ctx.tick()

    simulate(ResetInserter(reset)(dut), process)

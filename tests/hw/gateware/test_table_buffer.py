"""The table buffer against a table: one write port, and a read port for each lane and for the levels."""

from __future__ import annotations

from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.bank import Bank, bank_sizes
from hw.gateware.table_buffer import TableBuffer
from tests.hw.gateware.cells import merged, put_banks_inside, some_line
from tests.hw.gateware.clockwork import check, drive, seeded, simulate


@pytest.mark.parametrize(("row_lanes", "port_bits"), [(1, 8), (4, 16), (2, 32), (4, 128)])
def test_table_buffer_equals_its_twin(row_lanes: int, port_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a = Accelerator(row_lanes=row_lanes, port_bits=port_bits, table_lines=5)
    put_banks_inside(monkeypatch, lambda buffer: Bank(**bank_sizes(a)[buffer]._asdict()))
    dut, random = TableBuffer(a), seeded("table buffer", row_lanes, port_bits)
    width, beats = a.table_line_bits, a.table_line_bits // port_bits

    async def process(ctx: Any) -> None:
        table, shown, level = [0] * 5, [0] * row_lanes, 0
        for cycle in range(400):
            enable, line, lane = int(random.random() < 0.7), some_line(5, random), random.randrange(beats)
            beat = random.getrandbits(port_bits)
            write = {"enable": enable, "line": line, "lane": lane, "data": beat}
            drive(ctx, dut, {f"write.{name}": value for name, value in write.items()})
            reads, lines = [random.getrandbits(1) for _ in range(2)], [some_line(5, random) for _ in range(row_lanes)]
            level_line = some_line(5, random)
            drive(ctx, dut, {"entries.enable": reads[0], "level.enable": reads[1], "level.line": level_line})
            drive(ctx, dut, {"entries.lines": sum(at << 16 * index for index, at in enumerate(lines))})
            data = sum(here << width * index for index, here in enumerate(shown))
            check(ctx, dut, {"entries.data": data, "level.data": level}, cycle)
            shown = [table[at] for at in lines] if reads[0] else shown
            level = table[level_line] if reads[1] else level
            if enable:
                table[line] = merged(table[line], beat << port_bits * lane, 1 << lane, port_bits)
            await ctx.tick()

    simulate(dut, process)

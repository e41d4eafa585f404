"""The score buffer against tables: scores where they were written, and the largest of each row in each slot."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.arch import Accelerator
from hw.gateware.bank import Bank, bank_sizes
from hw.gateware.score_buffer import MAXIMA_LATENCY, RowMaxima, ScoreBuffer
from tests.hw.gateware.cells import merged, put_banks_inside, some_line
from tests.hw.gateware.clockwork import check, drive, seeded, simulate, simulate_with_resets
from tests.hw.gateware.softmaxes import maximum_line

ACCELERATORS = {
    "wider lines": Accelerator(rows=4, columns=2, drain_rows=3, sum_bits=9, word_bits=8, row_lanes=8, score_lines=3),
    "many columns": Accelerator(rows=5, columns=16, drain_rows=2, sum_bits=31, row_lanes=1, score_slots=3),
    "one group": Accelerator(rows=2, columns=4, drain_rows=2, row_lanes=4, score_slots=1),
    "one of each": Accelerator(rows=1, columns=1, word_bits=1, sum_bits=9, port_bits=8, row_lanes=2, score_slots=16),
}


def any_sum(a: Accelerator, random: Random) -> int:
    high = (1 << a.sum_bits - 1) - 1
    return random.choice([-high - 1, high, 0, random.randint(-9, 9), random.randint(-high - 1, high)])


class Writer:
    """Groups as the drain unit writes them, and the maxima that they leave."""

    def __init__(self, a: Accelerator, random: Random) -> None:
        self.a, self.random = a, random
        self.maxima: dict[tuple[int, int], int] = {}

    def group(self) -> tuple[dict[str, int], list[list[int]]]:
        """Return a write, and the rows of its scores."""
        a, random = self.a, self.random
        group, slot = random.randrange(-(-a.rows // a.drain_rows)), random.randrange(a.score_slots)
        first_row = group * a.drain_rows
        banks = random.getrandbits(min(a.drain_rows, a.rows - first_row)) if random.random() < 0.8 else 0
        columns = (1 << random.randint(1, a.columns)) - 1
        known = all((slot, first_row + b) in self.maxima for b in range(a.drain_rows) if banks >> b & 1)
        first = random.getrandbits(1) if known else 1
        rows = [[any_sum(a, random) for _ in range(a.columns)] for _ in range(a.drain_rows)]
        for bank in range(a.drain_rows):
            if banks >> bank & 1:
                place = (slot, first_row + bank)
                valid = [total for column, total in enumerate(rows[bank]) if columns >> column & 1]
                self.maxima[place] = max(valid if first else [*valid, self.maxima[place]])
        data = [sum(total % (1 << a.sum_bits) << a.sum_bits * c for c, total in enumerate(row)) for row in rows]
        write = {"groups.banks": banks, "columns": columns, "first": first}
        write |= {"maximum_line": maximum_line(a, slot, first_row)}
        return write | {"groups.data": sum(r << a.columns * a.sum_bits * b for b, r in enumerate(data))}, rows


async def compare(ctx: Any, dut: RowMaxima, a: Accelerator, random: Random, cycles: int) -> None:
    writer = Writer(a, random)
    # What can be read was written so many cycles ago: this one, the latency, and one more.
    past: list[dict[tuple[int, int], int]] = [{} for _ in range(MAXIMA_LATENCY + 2)]
    shown: dict[int, int] = {}
    for cycle in range(cycles):
        write, _ = writer.group()
        past = [dict(writer.maxima), *past[:-1]]
        slot, group = random.randrange(a.score_slots), random.randrange(-(-a.rows // a.drain_rows))
        read, line = random.getrandbits(1), maximum_line(a, slot, group * a.drain_rows)
        drive(ctx, dut, {f"write.{name}": value for name, value in write.items()})
        drive(ctx, dut, {"read.enable": read, "read.line": line})
        fields = {b: int(ctx.get(dut.read.data[b])) for b in shown}
        assert fields == {b: m % (1 << a.sum_bits) for b, m in shown.items()}, cycle
        if read:
            rows = range(group * a.drain_rows, min((group + 1) * a.drain_rows, a.rows))
            before = past[-1]
            shown = {r % a.drain_rows: before[slot, r] for r in rows if (slot, r) in before}
        await ctx.tick()
    drive(ctx, dut, {"write.groups.banks": 0})


@pytest.mark.parametrize("name", ACCELERATORS)
def test_maxima_equal_their_twin(name: str) -> None:
    """Groups of the same rows follow each other without a pause."""
    a, random = ACCELERATORS[name], seeded("row maxima", name)
    dut = RowMaxima(a)

    async def process(ctx: Any) -> None:
        await compare(ctx, dut, a, random, 800)

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_on_its_way() -> None:
    """What was not yet written is dropped; the maxima are given anew by the first groups."""
    a, random = ACCELERATORS["wider lines"], seeded("row maxima reset")
    dut = RowMaxima(a)

    async def part(ctx: Any) -> None:
        await compare(ctx, dut, a, random, random.randrange(3, 40))

    simulate_with_resets(dut, 15, part)


def test_a_maximum_is_readable_three_cycles_behind_its_scores() -> None:
    a = Accelerator(rows=2, columns=4, drain_rows=2, sum_bits=8, word_bits=8, row_lanes=4)
    dut = RowMaxima(a)
    groups = [((-5, -3, -9, 100), 0b0111, 1, -3), ((-4, 7, 90, 90), 0b0001, 0, -3), ((-2, 7, 0, 0), 0b0011, 0, 7)]
    groups.append(((-128, -128, -127, 0), 0b0011, 1, -128))

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"read.enable": 1, "read.line": 1, "write.maximum_line": 1})
        for cycle in range(9):
            found = int(ctx.get(dut.read.data[1]))
            # Given in cycle t, addressed in t + 3, shown in t + 4.
            assert found == (groups[min(cycle, 7) - 4][3] % 256 if cycle >= 4 else 0), cycle
            drive(ctx, dut, {"write.groups.banks": 0})
            if cycle < len(groups):
                row, columns, first, _ = groups[cycle]
                bits = sum(total % 256 << 8 * c for c, total in enumerate(row))
                drive(ctx, dut, {"write.groups.banks": 0b10, "write.groups.data": bits << 32})
                drive(ctx, dut, {"write.columns": columns, "write.first": first})
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize("later", range(MAXIMA_LATENCY))
def test_a_reset_leaves_the_maxima_that_are_there(later: int) -> None:
    """A first group in 0; another one in 5 meets a reset in that cycle or behind it, before it is written."""
    dut = RowMaxima(Accelerator(rows=1, columns=1, word_bits=1, sum_bits=9, port_bits=8, row_lanes=1))
    reset = Signal()

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"read.enable": 1, "write.columns": 1, "write.first": 1})
        for cycle in range(12):
            drive(ctx, dut, {"write.groups.banks": cycle in (0, 5), "write.groups.data": 7 if cycle == 0 else 8})
            ctx.set(reset, cycle == 5 + later)
            assert cycle < 4 or int(ctx.get(dut.read.data[0])) == 7, cycle
            await ctx.tick()

    simulate(ResetInserter(reset)(dut), process)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_scores_stand_where_sums_would(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS[name], seeded("score buffer", name)
    put_banks_inside(monkeypatch, lambda buffer: Bank(**bank_sizes(a)[buffer]._asdict()))
    dut, width = ScoreBuffer(a), a.columns * a.sum_bits
    line_bits = a.score_line_sums * a.sum_bits

    async def process(ctx: Any) -> None:
        writer, table, shown = Writer(a, random), [[0] * a.score_lines for _ in range(a.drain_rows)], 0
        for cycle in range(300):
            write, _ = writer.group()
            line, position = some_line(a.score_lines, random), random.randrange(a.score_line_groups)
            drive(ctx, dut, {f"write.{name}": value for name, value in write.items()})
            drive(ctx, dut, {"write.groups.line": line, "write.groups.position": position})
            read, read_line = random.getrandbits(1), some_line(a.score_lines, random)
            drive(ctx, dut, {"scores.enable": read, "scores.line": read_line, "maxima.enable": 1})
            check(ctx, dut, {"scores.data": shown}, cycle)
            if read:
                shown = sum(table[b][read_line] << line_bits * b for b in range(a.drain_rows))
            for bank in range(a.drain_rows):
                if write["groups.banks"] >> bank & 1:
                    row = write["groups.data"] >> width * bank & (1 << width) - 1
                    table[bank][line] = merged(table[bank][line], row << width * position, 1 << position, width)
            await ctx.tick()
        drive(ctx, dut, {"write.groups.banks": 0})
        await ctx.tick().repeat(3)
        for (slot, row), largest in writer.maxima.items():
            drive(ctx, dut, {"maxima.enable": 1, "maxima.line": maximum_line(a, slot, row)})
            await ctx.tick()
            assert int(ctx.get(dut.maxima.data[row % a.drain_rows])) == largest % (1 << a.sum_bits)

    simulate(dut, process)

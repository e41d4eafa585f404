"""Banks and buffers against tables, and the choice of a piece of a line."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.buffers import Bank, LoadBuffer, OutputBuffer, banks_of, pick
from tests.hw.gateware.cells import put_banks_inside
from tests.hw.gateware.clockwork import check, drive, seeded, simulate


class Picked(wiring.Component):
    """A choice alone."""

    def __init__(self, line_bits: int, width: int) -> None:
        self._width = width
        super().__init__({"line": In(line_bits), "index": In(8), "piece": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.piece.eq(pick(self.line, self.index, self._width))
        m.d.sync += Signal().eq(0)
        return m


SHAPES = [(2, 8, 8), (3, 32, 8), (5, 64, 64), (257, 24, 2), (64, 9, 1)]


def merged(old: int, new: int, lanes: int, lane_bits: int) -> int:
    """Return a line in which the chosen lanes are new."""
    mask = 0
    for lane in range(new.bit_length() // lane_bits + 1):
        mask |= (lanes >> lane & 1) * ((1 << lane_bits) - 1) << lane * lane_bits
    return old & ~mask | new & mask


def some_line(lines: int, random: Random) -> int:
    return random.choice([0, lines - 1, random.randrange(lines), random.randrange(min(lines, 4))])


@pytest.mark.parametrize(("lines", "line_bits", "lane_bits"), SHAPES)
def test_bank_equals_its_twin(lines: int, line_bits: int, lane_bits: int) -> None:
    dut, random = Bank(lines=lines, line_bits=line_bits, lane_bits=lane_bits), seeded("bank", lines, line_bits)

    async def process(ctx: Any) -> None:
        table, shown = [0] * lines, 0
        for cycle in range(600):
            lanes = random.choice([0, 1, (1 << line_bits // lane_bits) - 1, random.getrandbits(line_bits // lane_bits)])
            write = {"write_lanes": lanes, "write_line": some_line(lines, random)}
            write |= {"write_data": random.getrandbits(line_bits) | 1 << line_bits - 1}
            read = {"read_enable": int(random.random() < 0.6), "read_line": some_line(lines, random)}
            drive(ctx, dut, write | read)
            check(ctx, dut, {"read_data": shown}, cycle)
            shown = table[read["read_line"]] if read["read_enable"] else shown
            line = write["write_line"]
            table[line] = merged(table[line], write["write_data"], lanes, lane_bits)
            await ctx.tick()

    simulate(dut, process)


def test_every_line_is_0_at_power_up_and_separate() -> None:
    dut = Bank(lines=5, line_bits=16, lane_bits=8)

    async def process(ctx: Any) -> None:
        for filled in (0, 1):
            for line in range(5):
                drive(ctx, dut, {"read_enable": 1, "read_line": line, "write_lanes": 0})
                await ctx.tick()
                check(ctx, dut, {"read_data": filled * (0x101 * line + 0x8001)}, line)
            for line in range(5):
                drive(ctx, dut, {"write_lanes": 3, "write_line": line, "write_data": 0x101 * line + 0x8001})
                await ctx.tick()

    simulate(dut, process)


def test_written_in_t_readable_from_the_next_cycle_and_held() -> None:
    dut = Bank(lines=4, line_bits=16, lane_bits=8)

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"write_lanes": 0b10, "write_line": 2, "write_data": 0xABCD})
        await ctx.tick()
        drive(ctx, dut, {"write_lanes": 0, "read_enable": 1, "read_line": 2})
        check(ctx, dut, {"read_data": 0})
        await ctx.tick()
        drive(ctx, dut, {"read_enable": 0, "read_line": 0, "write_lanes": 3, "write_line": 2, "write_data": 0x1234})
        for _ in range(3):
            check(ctx, dut, {"read_data": 0xAB00}, "held although the line is written and the address moves")
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize(("line_bits", "width"), [(8, 8), (8, 1), (64, 16), (96, 32)])
def test_pick_is_a_piece_of_the_line(line_bits: int, width: int) -> None:
    dut, random = Picked(line_bits, width), seeded("pick", line_bits, width)

    async def process(ctx: Any) -> None:
        for _ in range(20):
            line = random.getrandbits(line_bits)
            for index in range(line_bits // width):
                drive(ctx, dut, {"line": line, "index": index})
                check(ctx, dut, {"piece": line >> index * width & (1 << width) - 1}, (line, index))

    simulate(dut, process)


def test_banks_have_the_sizes_of_the_contract() -> None:
    a = Accelerator(columns=8, word_bits=64, port_bits=16, activation_lines=8, weight_lines=16, threshold_lines=5)
    a = a.replace(output_lines=2)
    lane_bits = {"activation": 16, "weight": 16, "threshold": 16, "output": 8}
    line_bits = {"activation": 64, "weight": 64, "threshold": 8 * 16, "output": 64}
    lines = {"activation": 8, "weight": 16, "threshold": 5, "output": 2}
    banks = banks_of(a)
    assert set(banks) == {f"tallybert_{name}_bank" for name in lines}
    for name, count in lines.items():
        bank = banks[f"tallybert_{name}_bank"]
        assert len(bank.write_data) == len(bank.read_data) == line_bits[name]
        assert len(bank.write_lanes) == line_bits[name] // lane_bits[name]
        assert len(bank.write_line) == len(bank.read_line) == (count - 1).bit_length()
        simulate(bank, nothing)


async def nothing(ctx: Any) -> None:
    """Let a cycle pass: a component that was never elaborated is a warning."""
    await ctx.tick()


def some_bank(random: Random, banks: int) -> int:
    return random.choice([0, banks - 1, random.randrange(banks)])


@pytest.mark.parametrize(("banks", "lines", "line_bits", "port_bits"), [(1, 2, 8, 8), (3, 5, 64, 16), (5, 4, 32, 32)])
def test_load_buffer_equals_its_twin(
    banks: int, lines: int, line_bits: int, port_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_banks_inside(monkeypatch, lambda _: Bank(lines=lines, line_bits=line_bits, lane_bits=port_bits))
    dut = LoadBuffer("activation", banks=banks, lines=lines, line_bits=line_bits, port_bits=port_bits)
    random = seeded("load buffer", banks, lines)

    async def process(ctx: Any) -> None:
        table, shown = [[0] * lines for _ in range(banks)], 0
        for cycle in range(400):
            enable, bank, line = int(random.random() < 0.7), some_bank(random, banks), some_line(lines, random)
            lane, beat = random.randrange(line_bits // port_bits), random.getrandbits(port_bits)
            read, read_line = int(random.random() < 0.6), some_line(lines, random)
            write = {"enable": enable, "bank": bank, "line": line, "lane": lane, "data": beat}
            drive(ctx, dut, {f"write.{name}": value for name, value in write.items()})
            drive(ctx, dut, {"read.enable": read, "read.line": read_line})
            check(ctx, dut, {"read.data": shown}, cycle)
            if read:
                shown = sum(table[b][read_line] << line_bits * b for b in range(banks))
            if enable:
                table[bank][line] = merged(table[bank][line], beat << port_bits * lane, 1 << lane, port_bits)
            await ctx.tick()

    simulate(dut, process)


def written(a: Accelerator, line: int, position: int, bits: int) -> int:
    """Return a line after a group: what is below stays, what is above is cleared."""
    return line & (1 << a.columns * position) - 1 | bits << a.columns * position


@pytest.mark.parametrize(
    "a",
    [
        Accelerator(rows=3, columns=4, word_bits=16, port_bits=8, drain_rows=2, output_lines=3),
        Accelerator(rows=2, columns=8, word_bits=8, port_bits=8, drain_rows=1, output_lines=2),
        Accelerator(rows=4, columns=1, word_bits=4, port_bits=16, drain_rows=4, output_lines=5),
    ],
)
def test_output_buffer_equals_its_twin(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"lines": a.output_lines, "line_bits": a.output_line_bits, "lane_bits": a.columns}
    put_banks_inside(monkeypatch, lambda _: Bank(**sizes))
    dut, random = OutputBuffer(a), seeded("output buffer", a)

    async def process(ctx: Any) -> None:
        table, shown = [[0] * a.output_lines for _ in range(a.rows)], 0
        for cycle in range(500):
            banks, line = random.choice([0, random.getrandbits(a.rows)]), some_line(a.output_lines, random)
            position = random.randrange(a.output_line_groups)
            groups = [random.getrandbits(a.columns) for _ in range(a.drain_rows)]
            data = sum(bits << a.columns * index for index, bits in enumerate(groups))
            place = {"write_banks": banks, "write_line": line, "write_position": position, "write_data": data}
            read, bank = int(random.random() < 0.6), some_bank(random, a.rows)
            lane, read_line = random.randrange(a.output_line_beats), some_line(a.output_lines, random)
            drive(ctx, dut, place | {"read_enable": read, "read_bank": bank, "read_line": read_line, "read_lane": lane})
            check(ctx, dut, {"beat": shown}, cycle)
            if read:
                shown = table[bank][read_line] >> a.port_bits * lane & (1 << a.port_bits) - 1
            for row in range(a.rows):
                if banks >> row & 1:
                    table[row][line] = written(a, table[row][line], position, groups[row % a.drain_rows])
            await ctx.tick()

    simulate(dut, process)

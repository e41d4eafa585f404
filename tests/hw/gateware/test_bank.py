"""Banks against tables, their sizes, and the choice of a piece of a line."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.bank import Bank, banks_of, pick
from tests.hw.gateware.cells import merged, some_line
from tests.hw.gateware.clockwork import check, drive, nothing, seeded, simulate


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


BANKS = [
    (
        Accelerator(columns=8, word_bits=64, port_bits=16, activation_lines=8, weight_lines=16).replace(
            threshold_lines=5, output_lines=2
        ),
        {"activation": (8, 64, 8), "weight": (16, 64, 16), "threshold": (5, 8 * 16, 16), "output": (2, 64, 8)},
    ),
    (
        Accelerator(rows=32, columns=16, word_bits=4, port_bits=8, key_lines=9),
        {
            "activation": (256, 32, 8),
            "weight": (256, 32, 8),
            "threshold": (64, 16 * 16, 8),
            "output": (64, 16, 16),
            "key": (9, 32, 16),
        },
    ),
    (
        Accelerator(rows=2, columns=8, key_lines=2),
        {
            "activation": (256, 32, 8),
            "weight": (256, 32, 32),
            "threshold": (64, 8 * 16, 32),
            "output": (64, 32, 8),
            "key": (2, 32, 2),
        },
    ),
    (
        Accelerator(rows=4, columns=8, drain_rows=2, sum_bits=13, vector_lanes=2, sum_lines=9, fixed_lines=5).replace(
            scale_lines=3, level_lines=6, port_bits=16
        ),
        {
            "activation": (256, 16, 2),
            "weight": (256, 16, 16),
            "threshold": (64, 8 * 16, 16),
            "output": (64, 16, 8),
            "sums": (9, 8 * 13, 8 * 13),
            "fixed": (5, 32, 32),
            "scale": (3, 128, 16),
            "level": (6, 128, 16),
        },
    ),
    (
        Accelerator(columns=2, sum_bits=20, vector_lanes=8, sum_lines=2, port_bits=64),
        {
            "activation": (256, 64, 2),
            "weight": (256, 64, 64),
            "threshold": (64, 64, 64),
            "output": (64, 64, 2),
            "sums": (2, 8 * 20, 2 * 20),
            "fixed": (256, 128, 128),
            "scale": (64, 512, 64),
            "level": (64, 512, 64),
        },
    ),
]


@pytest.mark.parametrize("index", range(len(BANKS)))
def test_banks_have_the_sizes_of_the_contract(index: int) -> None:
    """Each has its lines, their bits, and the bits that a write may leave alone."""
    a, expected = BANKS[index]
    banks = banks_of(a)
    assert set(banks) == {f"tallybert_{name}_bank" for name in expected}
    for name, (lines, line_bits, lane_bits) in expected.items():
        bank = banks[f"tallybert_{name}_bank"]
        assert len(bank.write_data) == len(bank.read_data) == line_bits
        assert len(bank.write_lanes) == line_bits // lane_bits
        assert len(bank.write_line) == len(bank.read_line) == (lines - 1).bit_length()
        simulate(bank, nothing)

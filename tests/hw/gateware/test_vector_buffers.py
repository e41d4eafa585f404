"""The vector unit between its real buffers: what is drained and loaded comes out as fixed numbers and codes."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.arch import Accelerator
from hw.gateware.bank import Bank, bank_sizes
from hw.gateware.buffers import ActivationBuffer, FixedBuffer, LoadBuffer, SumsBuffer
from hw.gateware.interfaces import BeatWrite, GroupWrite, Issue, LineRead
from hw.gateware.vector import LANE_MODULE, VectorUnit
from hw.gateware.vector_lane import vector_lane_of
from hw.isa import Opcode, Source
from tests.hw.gateware.cells import put_cells_inside
from tests.hw.gateware.clockwork import drive, instruction, seeded, seen, simulate
from tests.hw.gateware.rows import normalised, round_shift, saturated
from tests.hw.gateware.vectors import DEFAULTS, Operands


class Surrounded(wiring.Component):
    """The unit and its buffers; outside are the writers of sums and parameters, and the reader of activations."""

    def __init__(self, a: Accelerator) -> None:
        self._accelerator = a
        super().__init__(
            {
                "issue": In(Issue()),
                "sums": In(GroupWrite(a, a.drain_rows, a.sum_bits)),
                "scale": In(BeatWrite(a.port_bits)),
                "level": In(BeatWrite(a.port_bits)),
                "activation": In(LineRead(a.rows, a.line_bits)),
                "retire": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.unit = unit = VectorUnit(a)
        m.submodules.sums = sums = SumsBuffer(a)
        m.submodules.fixed = fixed = FixedBuffer(a)
        m.submodules.activations = activations = ActivationBuffer(a)
        for name in ("scale", "level"):
            m.submodules[name] = buffer = LoadBuffer(
                name, banks=1, lines=8, line_bits=a.parameter_line_bits, port_bits=a.port_bits
            )
            connect(m, flipped(getattr(self, name)), buffer.write)
            connect(m, getattr(unit, name), buffer.read)
        connect(m, flipped(self.issue), unit.issue)
        connect(m, flipped(self.sums), sums.write)
        connect(m, unit.sums, sums.read)
        connect(m, unit.source, fixed.source)
        connect(m, unit.residual, fixed.residual)
        connect(m, unit.fixed, fixed.write)
        connect(m, unit.activation, activations.slices)
        connect(m, flipped(self.activation), activations.read)
        m.d.comb += self.retire.eq(unit.retire)
        return m


ACCELERATORS = {
    "fewer lanes": Accelerator(rows=3, columns=8, vector_lanes=2, drain_rows=2, sum_bits=20, code_bits=4, port_bits=16),
    "more lanes": Accelerator(rows=2, columns=2, vector_lanes=8, word_bits=8, sum_bits=9, port_bits=8),
}


def surrounded(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Accelerator, Surrounded]:
    a = ACCELERATORS[name].replace(scale_lines=8, level_lines=8)
    cells = {f"tallybert_{buffer}_bank": partial(Bank, **size._asdict()) for buffer, size in bank_sizes(a).items()}
    put_cells_inside(monkeypatch, cells | {LANE_MODULE: partial(vector_lane_of, a)})
    return a, Surrounded(a)


async def load(ctx: Any, dut: Surrounded, a: Accelerator, buffer: str, entries: list[int]) -> None:
    """Load the entries of channels into a buffer, beat by beat from line 0."""
    for line in range(-(-len(entries) // a.vector_lanes)):
        here = entries[line * a.vector_lanes : (line + 1) * a.vector_lanes]
        whole = sum(entry << 64 * lane for lane, entry in enumerate(here))
        for lane in range(a.parameter_line_beats):
            beat = whole >> lane * a.port_bits & (1 << a.port_bits) - 1
            place = {"enable": 1, "line": line, "lane": lane, "data": beat}
            drive(ctx, dut, {f"{buffer}.{name}": value for name, value in place.items()})
            await ctx.tick()
    drive(ctx, dut, {f"{buffer}.enable": 0})


async def drain(ctx: Any, dut: Surrounded, a: Accelerator, rows: list[list[int]]) -> None:
    """Write sums as a SUMS does: from line 0, the rows of a group beside each other."""
    stride = -(-len(rows[0]) // a.sum_line_sums)
    for r, row in enumerate(rows):
        for n in range(0, len(row), a.columns):
            sums = [total % (1 << a.sum_bits) << a.sum_bits * c for c, total in enumerate(row[n : n + a.columns])]
            line, position = divmod(n, a.sum_line_sums)
            place = {"banks": 1 << r % a.drain_rows, "line": r // a.drain_rows * stride + line}
            place |= {"position": position // a.columns}
            place["data"] = sum(sums) << a.columns * a.sum_bits * (r % a.drain_rows)
            drive(ctx, dut, {f"sums.{name}": value for name, value in place.items()})
            await ctx.tick()
    drive(ctx, dut, {"sums.banks": 0})


async def execute(ctx: Any, dut: Surrounded, **operands: int) -> None:
    """Run one VECTOR to its end."""
    vector: Operands = DEFAULTS | operands
    drive(ctx, dut, {"issue.head": instruction(Opcode.VECTOR, **vector), "issue.issued": 1})
    await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0})
    for _ in range(500):
        if seen(ctx, dut, "retire"):
            await ctx.tick()
            return
        await ctx.tick()
    raise AssertionError("the instruction must retire")


async def codes_at(ctx: Any, dut: Surrounded, a: Accelerator, line: int, channels: int) -> list[list[int]]:
    """Return the bits of each row from a line of the activation buffer on."""
    rows = [0] * a.rows
    for offset in range(-(-channels // a.line_bits)):
        drive(ctx, dut, {"activation.enable": 1, "activation.line": line + offset})
        await ctx.tick()
        lines = seen(ctx, dut, "activation.data")
        for r in range(a.rows):
            rows[r] |= (lines >> a.line_bits * r & (1 << a.line_bits) - 1) << a.line_bits * offset
    return [[row >> c & 1 for c in range(-(-channels // a.line_bits) * a.line_bits)] for row in rows]


def some_scales(channels: int, random: Random) -> list[tuple[int, int]]:
    return [(random.randint(-3000, 3000), random.randint(-99999, 99999)) for _ in range(channels)]


def some_levels(channels: int, random: Random) -> list[list[tuple[int, int]]]:
    return [[(random.randint(-500, 500), random.getrandbits(1)) for _ in range(3)] for _ in range(channels)]


def scale_entries(scales: list[tuple[int, int]]) -> list[int]:
    return [multiplier % 65536 | addend % (1 << 32) << 16 for multiplier, addend in scales]


@pytest.mark.parametrize("name", ACCELERATORS)
def test_sums_to_a_normalised_residual_and_its_codes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requantise, requantise and add, statistics, normalise with a gain, three sets of codes: docs/arithmetic.md, 8."""
    a, dut = surrounded(name, monkeypatch)
    random, channels, shift = seeded("surrounded", name), 3 * a.vector_lanes - 1, 9
    high = (1 << a.sum_bits - 1) - 1
    sums = [[[random.randint(-high, high) for _ in range(channels)] for _ in range(a.rows)] for _ in range(2)]
    scales, gains, levels = some_scales(channels, random), some_scales(channels, random), some_levels(channels, random)
    fixed = {"channels": channels, "rows": a.rows, "shift": shift, "scale": 1, "keep": 1}
    written: list[list[list[int]]] = []

    async def process(ctx: Any) -> None:
        await load(ctx, dut, a, "scale", scale_entries(scales))
        packed = [sum((t % (1 << 17) | p << 17) << 18 * s for s, (t, p) in enumerate(lane)) for lane in levels]
        await load(ctx, dut, a, "level", packed)
        await drain(ctx, dut, a, sums[0])
        await execute(ctx, dut, **fixed, source=Source.SUMS, source_line=0, fixed_line=5)
        await drain(ctx, dut, a, sums[1])
        added = fixed | {"source": Source.SUMS, "source_line": 0, "add": 1, "add_line": 5, "fixed_line": 5}
        await execute(ctx, dut, **added, statistics=1, epsilon=1000)
        await load(ctx, dut, a, "scale", scale_entries(gains))
        codes = {"sets": 3, "code_line": 1, "code_line_1": 11, "code_line_2": 21}
        await execute(ctx, dut, **fixed, **codes, source=Source.FIXED, source_line=5, normalise=1, fixed_line=99)
        written.extend([await codes_at(ctx, dut, a, line, channels) for line in (1, 11, 21)])

    simulate(dut, process)
    for r in range(a.rows):
        kept = [[affine(total, *scales[c], shift) for c, total in enumerate(part[r])] for part in sums]
        residual = [saturated(first + second, 16) for first, second in zip(*kept, strict=True)]
        y = [affine(g, *gains[c], shift) for c, g in enumerate(normalised(residual, 1000))]
        for s in range(3):
            bits = [int((number >= levels[c][s][0]) ^ levels[c][s][1]) for c, number in enumerate(y)]
            assert written[s][r] == bits + [0] * (len(written[s][r]) - channels), (r, s)


def affine(value: int, multiplier: int, addend: int, shift: int) -> int:
    return saturated(round_shift(value * multiplier + addend, shift), 16)


@pytest.mark.parametrize("code_signed", [0, 1])
@pytest.mark.parametrize("planes", [2, 3, 4])
def test_codes_of_several_bits_become_planes(planes: int, code_signed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, dut = surrounded("fewer lanes", monkeypatch)
    random, channels = seeded("planes", planes, code_signed), 15
    low = -(1 << planes - 1) if code_signed else 0
    sums = [[random.randint(-40, 40) for _ in range(channels)] for _ in range(a.rows)]
    scales = [(random.choice([-1, 1, 2]), random.randint(-3, 3)) for _ in range(channels)]
    written: list[list[list[int]]] = []

    async def process(ctx: Any) -> None:
        await load(ctx, dut, a, "scale", scale_entries(scales))
        await drain(ctx, dut, a, sums)
        vector = {"source": Source.SUMS, "source_line": 0, "channels": channels, "rows": a.rows, "scale": 1, "shift": 2}
        coded = {"sets": 1, "planes": planes, "code_signed": code_signed, "code_line": 3, "code_line_1": 7}
        await execute(ctx, dut, **vector, **coded)
        written.extend([await codes_at(ctx, dut, a, 3 + 7 * u, channels) for u in range(planes)])

    simulate(dut, process)
    for r in range(a.rows):
        for c in range(channels):
            y = round_shift(sums[r][c] * scales[c][0] + scales[c][1], 2)
            code = min(max(y, low), low + (1 << planes) - 1)
            assert [written[u][r][c] for u in range(planes)] == [code >> planes - 1 - u & 1 for u in range(planes)]

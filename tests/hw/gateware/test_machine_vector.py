"""The vector unit in the machine: a program from the memory port to the trace and the counters."""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.array import CORRECTION_MODULE, ELEMENT_MODULE
from hw.gateware.bank import Bank, bank_sizes
from hw.gateware.element import ProcessingElement, RowCorrection
from hw.gateware.machine import Machine
from hw.gateware.vector import LANE_MODULE
from hw.gateware.vector_lane import vector_lane_of
from hw.isa import Opcode, Source, Unit, make
from tests.hw.gateware.cells import put_cells_inside
from tests.hw.gateware.clockwork import drive, fold, seen, simulate

A = Accelerator(rows=2, columns=2, word_bits=4, sum_bits=8, port_bits=64, vector_lanes=2).replace(
    activation_lines=4, weight_lines=2, threshold_lines=2, output_lines=2, sum_lines=4, fixed_lines=8
)
PROGRAM, COUNTERS = 0x100, 0x40
Record = tuple[int, int, int]


def machine(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine that holds its cells and banks itself."""
    cells = {ELEMENT_MODULE: partial(ProcessingElement, a), CORRECTION_MODULE: partial(RowCorrection, a)}
    cells |= {LANE_MODULE: partial(vector_lane_of, a)}
    cells |= {f"tallybert_{buffer}_bank": partial(Bank, **size._asdict()) for buffer, size in bank_sizes(a).items()}
    put_cells_inside(monkeypatch, cells)
    return Machine(a)


async def write(ctx: Any, dut: Machine, offset: int, value: int) -> None:
    drive(ctx, dut, {"s_axil_awvalid": 1, "s_axil_wvalid": 1, "s_axil_awaddr": offset, "s_axil_wdata": value})
    await ctx.tick()
    drive(ctx, dut, {"s_axil_awvalid": 0, "s_axil_wvalid": 0, "s_axil_bready": 1})


async def read(ctx: Any, dut: Machine, offset: int) -> int:
    drive(ctx, dut, {"s_axil_arvalid": 1, "s_axil_araddr": offset, "s_axil_rready": 1})
    await ctx.tick()
    drive(ctx, dut, {"s_axil_arvalid": 0})
    value = seen(ctx, dut, "s_axil_rdata")
    await ctx.tick()
    return value


async def run(
    ctx: Any, dut: Machine, image: bytes, length: int, pace: int = 1, open_bursts: list[int] | None = None
) -> dict[Unit, list[Record]]:
    """Run a program on a memory that sends a beat in each cycle, or in one of `pace` cycles.

    Return what the trace port shows of each unit; `open_bursts` gets the number of beats that were owed in each cycle.
    """
    await write(ctx, dut, 0x0C, PROGRAM)
    await ctx.tick()
    await write(ctx, dut, 0x10, length)
    await ctx.tick()
    await write(ctx, dut, 0x04, 1)
    beats: list[tuple[int, int]] = []
    records: dict[Unit, list[Record]] = {unit: [] for unit in Unit}
    for cycle in range(500 * pace):
        sends = bool(beats) and cycle % pace == 0
        drive(ctx, dut, {"m_axi_arready": 1, "m_axi_rvalid": sends})
        if open_bursts is not None:
            open_bursts.append(len(beats))
        if sends:
            address, last = beats.pop(0)
            drive(
                ctx, dut, {"m_axi_rdata": int.from_bytes(image[address : address + 8], "little"), "m_axi_rlast": last}
            )
        if seen(ctx, dut, "m_axi_arvalid"):
            address, count = seen(ctx, dut, "m_axi_araddr"), seen(ctx, dut, "m_axi_arlen") + 1
            beats += [(address + 8 * index, int(index == count - 1)) for index in range(count)]
        for unit in Unit:
            if seen(ctx, dut, "trace_valid") >> unit & 1:
                row = [seen(ctx, dut, f"trace_{n}") >> 32 * unit & 0xFFFFFFFF for n in ("issue", "retire", "checksum")]
                records[unit].append((row[0], row[1], row[2]))
        if seen(ctx, dut, "interrupt"):
            return records
        await ctx.tick()
    raise AssertionError("the run must end")


def test_a_program_from_sums_to_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are 0 at power-up, so that a number is its addend: 2,000 in lane 0 and -3 in lane 1."""
    transfer = {"line": 0, "row_beats": 2, "segments": 1, "segment_beats": 2, "stride": 0}
    fixed = {"source_line": 1, "channels": 2, "rows": 1, "scale": 1, "keep": 1, "fixed_line": 5}
    program = [
        make(Opcode.LOAD, buffer=3, address=0, **transfer),
        make(Opcode.LOAD, buffer=4, address=16, **transfer, signal=1 << Unit.VECTOR),
        make(Opcode.VECTOR, source=Source.SUMS, **fixed, shift=1, wait=1 << Unit.LOAD),
        make(Opcode.VECTOR, source=Source.FIXED, **(fixed | {"source_line": 5, "keep": 0, "sets": 2, "scale": 0}),
             code_line_1=1, wait=1 << Unit.VECTOR, signal=1 << Unit.LOAD),
        make(Opcode.LOAD, buffer=0, address=0, line=3, row_beats=1, segments=1, segment_beats=1, stride=0,
             wait=1 << Unit.VECTOR),
        make(Opcode.FENCE),
        make(Opcode.HALT),
    ]  # fmt: skip
    scales = b"".join((addend % (1 << 32) << 16).to_bytes(8, "little") for addend in (4000, -6))
    levels = b"".join((t % (1 << 17) | (t + 1) % (1 << 17) << 18 | 1 << 35).to_bytes(8, "little") for t in (2000, -3))
    image = (scales + levels).ljust(PROGRAM, b"\0") + b"".join(i.encode() for i in program)
    dut = machine(A, monkeypatch)

    async def process(ctx: Any) -> None:
        for _ in range(2):
            records = await run(ctx, dut, image, len(program))
            assert [len(records[unit]) for unit in Unit] == [3, 0, 0, 0, 2, 0, 2]
            first, second = records[Unit.VECTOR]
            assert first[0] == records[Unit.LOAD][1][1] + 1, "the token is there one cycle after the pulse"
            assert first[1] - first[0] == 8
            assert second[0] == first[1] + 1, "what waits for its own unit is issued one cycle after the pulse"
            assert second[1] - second[0] == 9, "two sets take a cycle more"
            assert records[Unit.LOAD][2][0] == second[1] + 1
            numbers = 2000 | (-3 % 65536) << 16
            assert first[2] == zlib.crc32(fold(numbers).to_bytes(4, "little"))
            codes = 0b11 << 32 | 0b11 << 34
            assert second[2] == zlib.crc32(fold(codes).to_bytes(4, "little")), (
                "at its threshold, and below with polarity"
            )
            counts = [[await read(ctx, dut, COUNTERS + 20 * u + 4 * s) for s in range(5)] for u in Unit]
            assert sum(counts.pop(Unit.ROW)) == 0
            assert {sum(unit) for unit in counts} == {await read(ctx, dut, 0x14)}
            busy, wait, token, issue, _ = counts[Unit.VECTOR]
            assert (busy, wait, issue) == (2, 1, 2)
            assert token > 8
            assert await read(ctx, dut, 0x18) == len(program)

    simulate(dut, process)


def test_steps_are_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VECTOR of 60 steps outlasts a watchdog of 30 cycles; the same steps held back by a token do not."""
    operands = {"source": Source.SUMS, "source_line": 0, "channels": 60, "rows": 2}
    dut = machine(A, monkeypatch)

    async def process(ctx: Any) -> None:
        await write(ctx, dut, 0x1C, 30)
        await ctx.tick()
        for wait, error in ((0, 0), (1 << Unit.DRAIN, 5)):
            program = [make(Opcode.VECTOR, **operands, wait=wait), make(Opcode.HALT)]
            await run(ctx, dut, bytes(PROGRAM) + b"".join(i.encode() for i in program), len(program))
            assert await read(ctx, dut, 0x08) >> 8 == error

    simulate(dut, process)


def test_without_lanes_the_unit_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counts are 0, nothing is traced of it, and its instructions are illegal."""
    a = A.replace(vector_lanes=0)
    dut = machine(a, monkeypatch)
    vector = make(Opcode.VECTOR, source=Source.SUMS, source_line=0, channels=1, rows=1)

    async def process(ctx: Any) -> None:
        for program, error in (([make(Opcode.HALT)], 0), ([vector, make(Opcode.HALT)], 1)):
            image = bytes(PROGRAM) + b"".join(i.encode() for i in program)
            records = await run(ctx, dut, image, len(program))
            assert not records[Unit.VECTOR]
            assert await read(ctx, dut, 0x08) >> 8 == error
            assert [await read(ctx, dut, COUNTERS + 20 * Unit.VECTOR + 4 * s) for s in range(5)] == [0] * 5
            assert await read(ctx, dut, COUNTERS + 20 * Unit.SEQUENCER) == int(error == 0)

    simulate(dut, process)

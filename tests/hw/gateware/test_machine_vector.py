"""The vector unit in the machine: a program from the memory port to the trace and the counters."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.isa import Opcode, Source, Unit, make
from tests.hw.gateware.clockwork import fold, simulate
from tests.hw.gateware.machines import COUNTERS, bits_to_activation, image_of, machine, read, run, write

A = Accelerator(rows=2, columns=2, word_bits=4, sum_bits=8, port_bits=64, vector_lanes=2).replace(
    activation_lines=4, weight_lines=2, threshold_lines=2, output_lines=2, sum_lines=4, fixed_lines=8
)


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
    image = image_of(scales + levels, program)
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


def test_codes_are_written_when_drain_does_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty groups of bits, one per cycle: four steps, two sets each, are written behind the last of them."""
    dut = machine(A, monkeypatch)
    vector = {"source": Source.SUMS, "source_line": 0, "channels": 4, "rows": 2, "sets": 2}
    program = [*bits_to_activation(30), make(Opcode.VECTOR, **vector), make(Opcode.HALT)]

    async def process(ctx: Any) -> None:
        records = await run(ctx, dut, image_of(b"", program), len(program))
        (first,), (second,) = records[Unit.DRAIN], records[Unit.VECTOR]
        assert first[1] - second[0] > 30, "the codes would have been ready before"
        assert second[1] == first[1] + 8

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
            await run(ctx, dut, image_of(b"", program), len(program))
            assert await read(ctx, dut, 0x08) >> 8 == error

    simulate(dut, process)


def test_without_lanes_the_unit_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counts are 0, nothing is traced of it, and its instructions are illegal."""
    a = A.replace(vector_lanes=0)
    dut = machine(a, monkeypatch)
    vector = make(Opcode.VECTOR, source=Source.SUMS, source_line=0, channels=1, rows=1)

    async def process(ctx: Any) -> None:
        for program, error in (([make(Opcode.HALT)], 0), ([vector, make(Opcode.HALT)], 1)):
            image = image_of(b"", program)
            records = await run(ctx, dut, image, len(program))
            assert not records[Unit.VECTOR]
            assert await read(ctx, dut, 0x08) >> 8 == error
            assert [await read(ctx, dut, COUNTERS + 20 * Unit.VECTOR + 4 * s) for s in range(5)] == [0] * 5
            assert await read(ctx, dut, COUNTERS + 20 * Unit.SEQUENCER) == int(error == 0)

    simulate(dut, process)

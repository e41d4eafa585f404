"""A cocotb test for the bench's runner: faults from outside, each followed by an exact run of the case.

Illegal instructions, a program without HALT, error responses at any read beat or write burst, START while running, a
memory that stops answering.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge

from hw.bench.case import Case, read_case
from hw.bench.cocotb_test import run_case
from hw.bench.compare import compare, is_equal
from hw.bench.driver import CONTROL, LENGTH, PROGRAM, RETIRED, STATUS, WATCHDOG, Bench
from hw.bench.memory import ReadSide, WriteSide
from hw.gateware.sequencer import ErrorCode
from hw.isa import INSTRUCTION_BYTES, Opcode

SLVERR = 2
UNKNOWN_OPCODE = bytes([max(Opcode) + 1])
LIMIT = 20_000
QUIET_CYCLES = 60
PATIENCE = 50
RUNNING, DONE, OWED = 1, 2, 4


class FaultyBench(Bench):
    """A bench that answers one read beat, or one write burst, with an error."""

    def __init__(self, dut: Any, beat_bytes: int) -> None:
        super().__init__(dut, beat_bytes)
        self.bad_beat = self.bad_response = -1
        self.beats = self.responses = 0

    def _serve_reads(self, reads: Any, now: int) -> None:
        super()._serve_reads(reads, now)
        if self._driven["m_axi_rvalid"]:
            self._drive("m_axi_rresp", SLVERR if self.beats == self.bad_beat else 0)
            self.beats += 1

    def _serve_writes(self, writes: Any, now: int) -> None:
        super()._serve_writes(writes, now)
        if self._driven["m_axi_bvalid"]:
            self._drive("m_axi_bresp", SLVERR if self.responses == self.bad_response else 0)
            self.responses += 1

    async def fail_beat(self, case: Any, *, beat: int = -1, response: int = -1) -> Any:
        """Run with one bad answer; count the answers of the run."""
        self.bad_beat, self.bad_response, self.beats, self.responses = beat, response, 0, 0
        seen = await self.run(case, LIMIT)
        self.bad_beat = self.bad_response = -1
        return seen

    async def fall_silent(self, case: Case, cycle: int) -> None:
        """Run with a memory that does nothing from a cycle on; it must end the run, and answer before the next one."""
        await self._write(WATCHDOG, PATIENCE)
        await self._write(PROGRAM, case.program.address)
        await self._write(LENGTH, len(case.program.instructions))
        await self._write(CONTROL, 1)
        memory = bytearray(case.program.image)
        reads, writes = (side(case.profile, memory, self._beat_bytes) for side in (ReadSide, WriteSide))
        for now in range(1, cycle):
            self._serve_reads(reads, now)
            self._serve_writes(writes, now)
            await FallingEdge(self._dut.clk)
        for name in ("arready", "rvalid", "awready", "wready", "bvalid"):
            self._drive(f"m_axi_{name}", 0)
        for _ in range(PATIENCE + case.cycles):
            await FallingEdge(self._dut.clk)
        status = await self._read(STATUS)
        assert status >> 8 == ErrorCode.WATCHDOG, (cycle, status)
        assert status & (RUNNING | DONE) == DONE, (cycle, status)
        for now in range(cycle, cycle + LIMIT):
            if not await self._read(STATUS) & OWED:
                break
            await self._write(CONTROL, 1)
            assert await self._read(STATUS) & RUNNING == 0, "a start must wait until the memory has answered"
            self._serve_reads(reads, now)
            self._serve_writes(writes, now)
            await FallingEdge(self._dut.clk)
            for name in ("arready", "rvalid", "awready", "wready", "bvalid"):
                self._drive(f"m_axi_{name}", 0)
        assert await self._read(STATUS) & OWED == 0, cycle
        await self._write(WATCHDOG, 1 << 24)


def altered(case: Case, index: int, data: bytes, length: int | None = None) -> Any:
    """Return something like the case, with other bytes for one instruction, or with fewer instructions."""
    image = bytearray(case.program.image)
    start = case.program.address + index * INSTRUCTION_BYTES
    image[start : start + len(data)] = data
    accelerator, address = case.program.accelerator, case.program.address
    instructions = case.program.instructions[:length]
    program = SimpleNamespace(accelerator=accelerator, address=address, image=bytes(image), instructions=instructions)
    return SimpleNamespace(program=program, profile=case.profile, folder=case.folder)


@cocotb.test()
async def survive_faults(dut: Any) -> None:
    """Each fault gives its error code and nothing else; the run after it is exact."""
    case = read_case(Path(Path(os.environ["TALLYBERT_CASES"]).read_text().strip()))
    bench = FaultyBench(dut, case.program.accelerator.beat_bytes)
    await bench.start_clock()
    for index in range(len(case.instructions)):
        seen = await bench.run(altered(case, index, UNKNOWN_OPCODE), LIMIT)
        await stay_still(bench)
        assert seen.error == ErrorCode.ILLEGAL_INSTRUCTION, index
        assert seen.retired <= index
    for length in range(1, len(case.instructions)):
        assert (await bench.run(altered(case, 0, b"", length), LIMIT)).error == ErrorCode.NO_HALT
        await stay_still(bench)
    await exact(bench, case)
    total = await bench.fail_beat(case)
    beats, responses = bench.beats, bench.responses
    assert (total.error, beats > 0, responses > 0) == (ErrorCode.NONE, True, True)
    for beat in range(beats):
        assert (await bench.fail_beat(case, beat=beat)).error == ErrorCode.READ_ERROR, beat
    await exact(bench, case)
    for response in range(responses):
        assert (await bench.fail_beat(case, response=response)).error == ErrorCode.WRITE_ERROR, response
    await start_while_running(bench, case)
    for cycle in range(2, case.cycles - PATIENCE, 7):
        await bench.fall_silent(case, cycle)
        await exact(bench, case)
    await run_case(bench, replace(case, reset_at=None))


async def stay_still(bench: Bench) -> None:
    """Watch the core after its run: it must open no burst and retire nothing."""
    before = await bench._read(RETIRED)
    for _ in range(QUIET_CYCLES):
        assert not any(int(getattr(bench._dut, f"m_axi_{name}valid").value) for name in ("ar", "aw", "w"))
        await FallingEdge(bench._dut.clk)
    assert await bench._read(RETIRED) == before


async def exact(bench: Bench, case: Case) -> None:
    """Run the case and want no difference at all."""
    result = compare(case, await bench.run(case, LIMIT))
    assert is_equal(result), result


async def start_while_running(bench: FaultyBench, case: Case) -> None:
    """Write START again in the middle of a run: it must change nothing."""
    inner = bench._serve_reads

    def serve(reads: Any, now: int) -> None:
        inner(reads, now)
        writing = int(now == case.cycles // 2)
        for name, value in (("awaddr", CONTROL), ("wdata", 1), ("awvalid", writing), ("wvalid", writing)):
            bench._drive(f"s_axil_{name}", value)

    bench._serve_reads = serve  # type: ignore[method-assign]
    await exact(bench, case)
    bench._serve_reads = inner  # type: ignore[method-assign]

"""Drive a core through its ports: clock, reset, register block, memory, trace. Everything happens at the falling edge.

In the middle of each cycle the bench samples the core's outputs, steps the memory and drives the core's inputs, so that
a ready or a response can belong to the very cycle in which the request is seen.
"""

from __future__ import annotations

from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from hw.bench.case import VOTE_REGISTERS, Case
from hw.bench.compare import Observation
from hw.bench.memory import ReadSide, WriteSide
from hw.isa import STATE_NAMES, UNIT_NAMES

CONTROL, STATUS, PROGRAM, LENGTH, CYCLES, RETIRED, WATCHDOG, COUNTERS = *range(0x04, 0x20, 4), 0x40
VOTE = 0x20
INPUTS = (
    "m_axi_arready", "m_axi_rdata", "m_axi_rresp", "m_axi_rlast", "m_axi_rvalid", "m_axi_awready", "m_axi_wready",
    "m_axi_bresp", "m_axi_bvalid", "s_axil_awaddr", "s_axil_awvalid", "s_axil_wdata", "s_axil_wstrb", "s_axil_wvalid",
    "s_axil_bready", "s_axil_araddr", "s_axil_arvalid", "s_axil_rready",
)  # fmt: skip


class HangError(AssertionError):
    """The core did not finish within the cycles it was given."""


class Bench:
    """One core under test."""

    def __init__(self, dut: Any, beat_bytes: int) -> None:
        self._dut, self._beat_bytes = dut, beat_bytes
        self._driven: dict[str, int] = {}
        self._handles = {name: getattr(dut, name) for name in INPUTS}

    async def start_clock(self) -> None:
        """Start the clock with every input at 0."""
        for name in INPUTS:
            self._drive(name, 0)
        Clock(self._dut.clk, 10, "ns").start()
        await self.reset()

    async def reset(self) -> None:
        """Hold the system reset for two cycles; inputs return to 0."""
        self._dut.rst.value = 1
        for name in INPUTS:
            self._drive(name, 0)
        for _ in range(2):
            await FallingEdge(self._dut.clk)
        self._dut.rst.value = 0
        await FallingEdge(self._dut.clk)

    async def run(self, case: Case, limit: int) -> Observation:
        """Run a case from START until the interrupt and return what the core showed."""
        await self._write(PROGRAM, case.program.address)
        await self._write(LENGTH, len(case.program.instructions))
        seen = Observation()
        memory = bytearray(case.program.image)
        await self._write(CONTROL, 1)
        await self._serve(case, memory, seen, limit)
        seen.memory = bytes(memory)
        seen.error = await self._read(STATUS) >> 8
        seen.cycles = await self._read(CYCLES)
        seen.retired = await self._read(RETIRED)
        seen.vote = tuple([await self._read(VOTE + 4 * index) for index in range(len(VOTE_REGISTERS))])
        if case.program.accelerator.counters:
            seen.states = await self._read_states()
        return seen

    async def run_into_reset(self, case: Case, cycle: int) -> None:
        """Start a case and pull the system reset in the given cycle."""
        await self._write(PROGRAM, case.program.address)
        await self._write(LENGTH, len(case.program.instructions))
        await self._write(CONTROL, 1)
        await self._serve(case, bytearray(case.program.image), Observation(), cycle, until_done=False)
        await self.reset()

    async def _serve(
        self, case: Case, memory: bytearray, seen: Observation, limit: int, until_done: bool = True
    ) -> None:
        dut = self._dut
        reads = ReadSide(case.profile, memory, self._beat_bytes)
        writes = WriteSide(case.profile, memory, self._beat_bytes)
        falling = FallingEdge(dut.clk)
        for now in range(1, limit):
            self._serve_reads(reads, now)
            self._serve_writes(writes, now)
            valid = int(dut.trace_valid.value)
            if valid:
                self._record(seen, valid)
            if until_done and int(dut.interrupt.value):
                await falling
                self._record(seen, int(dut.trace_valid.value))
                return
            await falling
        if until_done:
            raise HangError(f"{case.folder}: the core must finish within {limit} cycles")

    def _serve_reads(self, reads: ReadSide, now: int) -> None:
        dut = self._dut
        valid = bool(int(dut.m_axi_arvalid.value))
        address = int(dut.m_axi_araddr.value) if valid else 0
        beats = int(dut.m_axi_arlen.value) + 1 if valid else 0
        ready, beat = reads.step(now, valid, address, beats)
        self._drive("m_axi_arready", int(ready))
        self._drive("m_axi_rvalid", int(beat is not None))
        if beat is not None:
            self._drive("m_axi_rdata", beat[0])
            self._drive("m_axi_rlast", int(beat[1]))

    def _serve_writes(self, writes: WriteSide, now: int) -> None:
        dut = self._dut
        request, data = (False, 0, 0), (False, 0, False)
        if int(dut.m_axi_awvalid.value):
            request = (True, int(dut.m_axi_awaddr.value), int(dut.m_axi_awlen.value) + 1)
        if int(dut.m_axi_wvalid.value):
            data = (True, int(dut.m_axi_wdata.value), bool(int(dut.m_axi_wlast.value)))
        aw_ready, w_ready, b_valid = writes.step(now, request, data)
        self._drive("m_axi_awready", int(aw_ready))
        self._drive("m_axi_wready", int(w_ready))
        self._drive("m_axi_bvalid", int(b_valid))

    def _record(self, seen: Observation, valid: int) -> None:
        issue, retire, checksum = (int(getattr(self._dut, f"trace_{n}").value) for n in ("issue", "retire", "checksum"))
        for unit in range(len(UNIT_NAMES)):
            if valid >> unit & 1:
                row = tuple(number >> 32 * unit & 0xFFFFFFFF for number in (issue, retire, checksum))
                seen.records[unit].append((row[0], row[1], row[2]))

    def _drive(self, name: str, value: int) -> None:
        if self._driven.get(name) != value:
            self._driven[name] = value
            self._handles[name].value = value

    async def _write(self, offset: int, value: int) -> None:
        """Write a register; returns in the middle of the cycle after the one that accepted it."""
        for name, number in (("awaddr", offset), ("wdata", value), ("wstrb", 15), ("awvalid", 1), ("wvalid", 1)):
            self._drive(f"s_axil_{name}", number)
        self._drive("s_axil_bready", 1)
        await FallingEdge(self._dut.clk)
        for name in ("awvalid", "wvalid"):
            self._drive(f"s_axil_{name}", 0)
        if offset != CONTROL:
            await FallingEdge(self._dut.clk)

    async def _read(self, offset: int) -> int:
        for name, number in (("araddr", offset), ("arvalid", 1), ("rready", 1)):
            self._drive(f"s_axil_{name}", number)
        await FallingEdge(self._dut.clk)
        self._drive("s_axil_arvalid", 0)
        value = int(self._dut.s_axil_rdata.value)
        await FallingEdge(self._dut.clk)
        return value

    async def _read_states(self) -> list[list[int]]:
        width = len(STATE_NAMES)
        return [
            [await self._read(COUNTERS + 4 * (unit * width + state)) for state in range(width)]
            for unit in range(len(UNIT_NAMES))
        ]

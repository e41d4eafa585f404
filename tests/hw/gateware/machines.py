"""A machine as tests run it: it holds its cells itself, and programs come over its bus from a memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.array import CORRECTION_MODULE, ELEMENT_MODULE
from hw.gateware.bank import Bank, bank_sizes
from hw.gateware.element import ProcessingElement, RowCorrection
from hw.gateware.machine import Machine
from hw.gateware.row import LANE_MODULE as ROW_LANE_MODULE
from hw.gateware.row_lane import RowLane
from hw.gateware.vector import LANE_MODULE as VECTOR_LANE_MODULE
from hw.gateware.vector_lane import vector_lane_of
from hw.isa import Destination, Instruction, Opcode, Unit, make
from tests.hw.gateware.cells import put_cells_inside
from tests.hw.gateware.clockwork import drive, seen

PROGRAM, COUNTERS = 0x100, 0x40
Record = tuple[int, int, int]


def machine(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine that holds its cells and banks itself."""
    cells = {ELEMENT_MODULE: partial(ProcessingElement, a), CORRECTION_MODULE: partial(RowCorrection, a)}
    cells |= {VECTOR_LANE_MODULE: partial(vector_lane_of, a), ROW_LANE_MODULE: partial(RowLane, a)}
    cells |= {f"tallybert_{buffer}_bank": partial(Bank, **size._asdict()) for buffer, size in bank_sizes(a).items()}
    put_cells_inside(monkeypatch, cells)
    return Machine(a)


def image_of(data: bytes, program: list[Instruction]) -> bytes:
    """Return a memory with data at 0 and a program where `run` starts it."""
    return data.ljust(PROGRAM, b"\0") + b"".join(i.encode() for i in program)


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


def bits_to_activation(column_groups: int) -> list[Instruction]:
    """Return a product of lines 0, and a BINARIZE that writes activations in each cycle, twice for a column group."""
    shape = {"rows": 2, "column_groups": column_groups}
    product = {"unsigned": 0, "first": 1, "handover": 1, "words": 1, "pad": 0}
    product |= dict.fromkeys(("activation_line", "activation_stride", "weight_line", "weight_stride"), 0)
    place = {"destination": Destination.ACTIVATION, "shared": 1, "threshold_line": 0}
    place |= dict.fromkeys(("output_line", "output_group", "output_stride"), 0)
    return [make(Opcode.MATMUL, **product, **shape), make(Opcode.BINARIZE, **place, **shape)]

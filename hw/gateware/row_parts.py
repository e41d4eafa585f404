"""The row unit between its buffers, as the machine has it."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import connect

from hw.arch import Accelerator
from hw.gateware.buffers import ActivationBuffer
from hw.gateware.row import RowUnit
from hw.gateware.score_buffer import ScoreBuffer
from hw.gateware.table_buffer import TableBuffer
from hw.isa import Unit


def add_row_unit(
    m: Module,
    accelerator: Accelerator,
    clear: ResetInserter,
    units: dict[Unit, wiring.Component],
    activations: ActivationBuffer,
) -> RowUnit:
    """Return the row unit, joined with the units that are there, its buffers, and the activation buffer.

    It writes activations in cycles in which DRAIN does not, and VECTOR in those in which it does not.
    """
    m.submodules.row = clear(row := RowUnit(accelerator))
    m.submodules.scores = scores = ScoreBuffer(accelerator)
    m.submodules.tables = tables = TableBuffer(accelerator)
    connect(m, units[Unit.LOAD].table, tables.write)
    connect(m, units[Unit.DRAIN].scores, scores.write)
    connect(m, row.scores, scores.scores)
    connect(m, row.maxima, scores.maxima)
    connect(m, row.table, tables.entries)
    connect(m, row.level, tables.level)
    connect(m, row.activation, activations.row_slices)
    m.d.comb += row.taken.eq(units[Unit.DRAIN].activation.banks.any())
    return row

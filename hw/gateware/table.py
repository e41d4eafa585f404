"""The steps of a TABLE: rows, slices, in each its valid lanes. Order: docs/machine-network.md, section 2."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import Issue, instruction_layout
from hw.gateware.row_root import CHANNEL_BITS
from hw.gateware.vector_steps import VectorStep
from hw.isa import Opcode

_ROW_BITS = 7


class TableCounter(wiring.Component):
    """Walk through (row, slice, lane) of a TABLE: a step per cycle with `advance`.

    The last valid lane of a slice has `keep`.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__({"issue": In(Issue()), "advance": In(1), "step": Out(VectorStep(a))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, step = self._accelerator, self.step
        layout = instruction_layout(Opcode.TABLE)
        head, held = layout(self.issue.head), Signal(layout)
        active, moving, finishing = Signal(), Signal(), Signal()
        lane, source_line, fixed_line = Signal(range(a.vector_lanes)), Signal(16), Signal(16)
        rows_left, channels_left = Signal(_ROW_BITS), Signal(CHANNEL_BITS)
        m.d.comb += [
            moving.eq(active & self.advance),
            finishing.eq(moving & step.end),
            self.issue.can_accept.eq(~active | finishing),
            step.valid.eq(active),
            step.end.eq(step.keep & step.row_end & (rows_left == 1)),
            *(step[name].eq(1) for name in ("table", "scale", "from_fixed")),
            *(step[name].eq(1) for name in (["planes"] if a.code_bits > 1 else [])),
            step.lane.eq(lane),
            step.keep.eq((lane == a.vector_lanes - 1) | (lane + 1 == channels_left)),
            step.silent.eq(~step.keep),
            step.row_end.eq(channels_left <= a.vector_lanes),
            step.rest.eq(channels_left),
            step.source_line.eq(source_line),
            step.fixed_line.eq(fixed_line),
            step.scale_line.eq(held.table_line),
            step.shift.eq(held.shift),
        ]
        with m.If(moving):
            m.d.sync += lane.eq(lane + 1)
            with m.If(step.keep):
                m.d.sync += [
                    *(line.eq(line + 1) for line in (source_line, fixed_line)),
                    lane.eq(0),
                    channels_left.eq(Mux(step.row_end, held.channels, channels_left - a.vector_lanes)),
                    rows_left.eq(rows_left - step.row_end),
                ]
        with m.If(finishing):
            m.d.sync += active.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += [
                active.eq(1),
                held.eq(head),
                lane.eq(0),
                source_line.eq(head.source_line),
                fixed_line.eq(head.fixed_line),
                rows_left.eq(head.rows),
                channels_left.eq(head.channels),
            ]
        return m

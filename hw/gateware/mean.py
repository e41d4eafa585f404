"""The steps of a MEAN: slices, in each the rows that are added up. Order: docs/machine-network.md, section 2."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import Issue, instruction_layout
from hw.gateware.row_root import CHANNEL_BITS
from hw.gateware.vector_steps import VectorStep, slices_of
from hw.isa import Opcode

_ROW_BITS = 11


class MeanCounter(wiring.Component):
    """Walk through (slice, row) of a MEAN: a step per cycle with `advance`. The last row of a slice has `keep`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__({"issue": In(Issue()), "advance": In(1), "step": Out(VectorStep(a))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, step = self._accelerator, self.step
        layout = instruction_layout(Opcode.MEAN)
        head, held = layout(self.issue.head), Signal(layout)
        active, moving, finishing, begins = Signal(), Signal(), Signal(), Signal()
        first, line, fixed_line = Signal(16), Signal(16), Signal(16)
        rows_left, channels_left = Signal(_ROW_BITS), Signal(CHANNEL_BITS)
        m.d.comb += [
            moving.eq(active & self.advance),
            finishing.eq(moving & step.end),
            self.issue.can_accept.eq(~active | finishing),
            step.valid.eq(active),
            step.end.eq(step.keep & step.row_end),
            *(step[name].eq(1) for name in ("mean", "scale", "from_fixed", *(["planes"] if a.code_bits > 1 else []))),
            step.begins.eq(begins),
            step.keep.eq(rows_left == 1),
            step.silent.eq(~step.keep),
            step.row_end.eq(channels_left <= a.vector_lanes),
            step.rest.eq(channels_left),
            step.source_line.eq(line),
            step.fixed_line.eq(fixed_line),
            *(step[name].eq(held[name]) for name in ("multiplier", "shift")),
        ]
        with m.If(moving):
            m.d.sync += [
                begins.eq(step.keep),
                line.eq(Mux(step.keep, first + 1, line + slices_of(a, held.channels))),
                rows_left.eq(Mux(step.keep, held.rows, rows_left - 1)),
            ]
            with m.If(step.keep):
                m.d.sync += [first.eq(first + 1), fixed_line.eq(fixed_line + 1)]
                m.d.sync += channels_left.eq(channels_left - a.vector_lanes)
        with m.If(finishing):
            m.d.sync += active.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += [
                *(register.eq(1) for register in (active, begins)),
                held.eq(head),
                *(register.eq(head.source_line) for register in (first, line)),
                fixed_line.eq(head.fixed_line),
                rows_left.eq(head.rows),
                channels_left.eq(head.channels),
            ]
        return m

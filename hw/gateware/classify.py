"""The steps of a CLASSIFY: classes, in each the slices of weights and then the bias: docs/machine-network.md, 2."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import Issue, instruction_layout
from hw.gateware.row_root import CHANNEL_BITS
from hw.gateware.vector_steps import VectorStep, slices_of
from hw.isa import Opcode

CLASS_BITS = 11

#: Weights of classes in an entry of the scale buffer.
ENTRY_WEIGHTS = 8


class ClassifyCounter(wiring.Component):
    """Walk through (class, slice) of a CLASSIFY, the bias behind the slices: a step per cycle with `advance`.

    `held` is the instruction that was issued last.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        layout = instruction_layout(Opcode.CLASSIFY)
        super().__init__({"issue": In(Issue()), "advance": In(1), "step": Out(VectorStep(a)), "held": Out(layout)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, step, held = self._accelerator, self.step, self.held
        head = held.shape()(self.issue.head)
        active, moving, finishing, begins, bias = Signal(), Signal(), Signal(), Signal(), Signal()
        line, group_line, bias_line, source_line = Signal(16), Signal(16), Signal(16), Signal(16)
        number, channels_left = Signal(CLASS_BITS), Signal(CHANNEL_BITS)
        groups = (held.classes + ENTRY_WEIGHTS - 1) >> 3
        m.d.comb += [
            moving.eq(active & self.advance),
            finishing.eq(moving & step.end),
            self.issue.can_accept.eq(~active | finishing),
            step.valid.eq(active),
            step.end.eq(bias & (number + 1 == held.classes)),
            *(step[name].eq(1) for name in ("classify", "silent", "from_fixed")),
            *(step[name].eq(1) for name in (["planes"] if a.code_bits > 1 else [])),
            step.begins.eq(begins),
            step.bias.eq(bias),
            step.weight.eq(number),
            step.row_end.eq(channels_left <= a.vector_lanes),
            step.rest.eq(channels_left),
            step.source_line.eq(source_line),
            step.scale_line.eq(Mux(bias, bias_line + number, line)),
        ]
        # The first bias is asked for two cycles after the issue at the earliest: there is a cycle for the product.
        m.d.sync += bias_line.eq(held.scale_line + groups * slices_of(a, held.channels))
        with m.If(moving):
            m.d.sync += [begins.eq(bias), bias.eq(step.row_end & ~bias)]
            with m.If(bias):
                m.d.sync += [number.eq(number + 1), source_line.eq(held.source_line), channels_left.eq(held.channels)]
                with m.If(step.weight == ENTRY_WEIGHTS - 1):
                    m.d.sync += group_line.eq(line)
                with m.Else():
                    m.d.sync += line.eq(group_line)
            with m.Else():
                m.d.sync += [line.eq(line + 1), source_line.eq(source_line + 1)]
                m.d.sync += channels_left.eq(Mux(step.row_end, 0, channels_left - a.vector_lanes))
        with m.If(finishing):
            m.d.sync += active.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += [
                *(register.eq(1) for register in (active, begins)),
                *(register.eq(0) for register in (bias, number)),
                held.eq(head),
                *(register.eq(head.scale_line) for register in (line, group_line)),
                source_line.eq(head.source_line),
                channels_left.eq(head.channels),
            ]
        return m

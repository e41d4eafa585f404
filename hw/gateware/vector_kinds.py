"""The steps of the instructions that share the pipeline of the vector unit: VECTOR, MEAN, CLASSIFY and TABLE."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.classify import ClassifyCounter
from hw.gateware.interfaces import Issue, instruction_layout
from hw.gateware.mean import MeanCounter
from hw.gateware.row_root import CHANNEL_BITS, EPSILON_BITS
from hw.gateware.table import TableCounter
from hw.gateware.vector_steps import VectorCounter, VectorStep
from hw.isa import OPCODE, Opcode


class StepCounter(wiring.Component):
    """The counters of the four instructions as one: a step per cycle with `advance`, of one instruction at a time.

    Nothing is accepted while `blocked`. `channels` and `epsilon` are those of the VECTOR, `classify` is the CLASSIFY
    that was issued last.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "advance": In(1),
                "blocked": In(1),
                "channels": Out(CHANNEL_BITS),
                "epsilon": Out(EPSILON_BITS),
                "step": Out(VectorStep(a)),
                **({"classify": Out(instruction_layout(Opcode.CLASSIFY))} if a.classes else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.vector = vector = VectorCounter(a)
        m.submodules.mean = mean = MeanCounter(a)
        m.submodules.table = table = TableCounter(a)
        counters: dict[Opcode, wiring.Component] = {Opcode.VECTOR: vector, Opcode.MEAN: mean, Opcode.TABLE: table}
        if a.classes:
            m.submodules.classify = classify = ClassifyCounter(a)
            counters[Opcode.CLASSIFY] = classify
            m.d.comb += self.classify.eq(classify.held)
        opcode = self.issue.head[: OPCODE.width]
        accepts: Value = Const(1)
        step = vector.step.as_value()
        for code, counter in counters.items():
            accepts = accepts & counter.issue.can_accept
            m.d.comb += [
                counter.issue.head.eq(self.issue.head),
                counter.issue.issued.eq(self.issue.issued & (opcode == code)),
                counter.advance.eq(self.advance),
            ]
            step = Mux(counter.step.valid, counter.step.as_value(), step)
        m.d.comb += [
            vector.blocked.eq(self.blocked),
            self.issue.can_accept.eq(accepts),
            self.channels.eq(vector.channels),
            self.epsilon.eq(vector.epsilon),
            self.step.as_value().eq(step),
        ]
        return m

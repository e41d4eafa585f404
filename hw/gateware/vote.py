"""From the slices of a CLASSIFY to its logits in the output buffer, the totals and the outcome."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.arch import PARAMETER_BITS, Accelerator
from hw.gateware import ballot as ballots
from hw.gateware import logits
from hw.gateware.ballot import Ballot
from hw.gateware.bank import pick
from hw.gateware.delayed import delayed
from hw.gateware.interfaces import LineWrite, Standing, Words, instruction_layout
from hw.gateware.logits import LOGIT_BITS, WEIGHT_BITS, LogitSums
from hw.gateware.vector_lane import FIXED_BITS
from hw.isa import Opcode

#: Cycles from the bias of the last class to `done`, 2 * classes more.
LATENCY = logits.LATENCY + ballots.LATENCY


class VoteUnit(wiring.Component):
    """Take the slices of a CLASSIFY from the pipeline, and vote.

    While a step is in stage 3 (`begins` to `scale` stand on the inputs) and then in stage 4 (`values`), moving on with
    `advance`, it is taken as it leaves stage 4, if it had `valid`. `classify` must stand from the first step to `done`,
    LATENCY + 2 * classes cycles behind the cycle in which the bias of the last class leaves stage 4. `standing` is new
    one cycle later.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "advance": In(1),
                "valid": In(1),
                "begins": In(1),
                "bias": In(1),
                "weight": In(3),
                "mask": In(a.vector_lanes),
                "scale": In(a.parameter_line_bits),
                "values": In(data.ArrayLayout(FIXED_BITS, a.vector_lanes)),
                "classify": In(instruction_layout(Opcode.CLASSIFY)),
                "logits": Out(LineWrite(LOGIT_BITS)),
                "words": Out(Words()),
                "done": Out(1),
                "standing": Out(Standing()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, classify = self._accelerator, self.classify
        m.submodules.sums = sums = LogitSums(a.vector_lanes)
        m.submodules.ballot = ballot = Ballot(a.classes)
        valid = delayed(m, self.valid, "valid", enable=self.advance, reset_less=False)
        flags = delayed(m, Cat(self.begins, self.bias), "flags", enable=self.advance)
        m.d.comb += [
            sums.valid.eq(valid & self.advance),
            sums.begins.eq(flags[0]),
            sums.last.eq(flags[1]),
            *(sums.values[lane].eq(self.values[lane]) for lane in range(a.vector_lanes)),
            *(sums.weights[lane].eq(weight) for lane, weight in enumerate(self._weights(m))),
            sums.bias.eq(delayed(m, self.scale[:LOGIT_BITS], "bias", enable=self.advance)),
            sums.shift.eq(classify.shift),
            ballot.valid.eq(sums.done),
            ballot.logit.eq(sums.logit),
            ballot.shift.eq(classify.vote_shift),
            *(
                getattr(ballot, name).eq(classify[name])
                for name in ("classes", "vote", "first", "multiplier", "bound", "swing")
            ),
            self.logits.enable.eq(sums.done),
            self.logits.line.eq(classify.output_line + ballot.number),
            self.logits.data.eq(sums.logit),
            self.done.eq(ballot.done),
            *(getattr(self.standing, name).eq(getattr(ballot, name)) for name in ("outcome", "members", "total")),
        ]
        connect(m, ballot.words, flipped(self.words))
        return m

    def _weights(self, m: Module) -> list[Value]:
        """Return the weights of the step in stage 4, those of lanes that are not valid as 0."""
        weights = []
        for lane in range(self._accelerator.vector_lanes):
            entry = self.scale[lane * PARAMETER_BITS : (lane + 1) * PARAMETER_BITS]
            weight = Signal(WEIGHT_BITS, name=f"weight{lane}")
            m.d.comb += weight.eq(Mux(self.mask[lane], pick(entry, self.weight, WEIGHT_BITS), 0))
            weights.append(delayed(m, weight, f"held{lane}", enable=self.advance))
        return weights

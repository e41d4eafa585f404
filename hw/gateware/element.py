"""The two cells of the array: a processing element for each sum, a correction for each row."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.popcount import popcount


class _Accumulator(wiring.Component):
    """A word that is counted, a total that the counts are added to, and what the drain register shows of it."""

    def __init__(self, accelerator: Accelerator, total_bits: int, ports: dict[str, wiring.Member]) -> None:
        self._registers = accelerator.pipeline
        self._planes = accelerator.code_bits > 1
        super().__init__(
            {
                "advance": In(1),
                "activation": In(accelerator.word_bits),
                "unsigned_set": In(1),
                "add": In(1),
                "first": In(1),
                **({"double": In(1), "negative": In(1)} if self._planes else {}),
                "hand_over": In(1),
                "shift": In(1),
                "drain_in": In(total_bits),
                "drained": Out(total_bits),
                **ports,
            }
        )

    def _accumulate(self, m: Module, counted: Value, start: ValueLike) -> None:
        count = popcount(m, counted, registers=self._registers, enable=self.advance)
        width = len(self.drained)
        total, held = Signal(width, reset_less=True), Signal(width, reset_less=True)
        updated = Signal(width)
        m.d.comb += self.drained.eq(held)
        m.d.comb += updated.eq(self._sum(m, Mux(self.first, start, self._earlier(total)), count))
        with m.If(self.advance & self.add):
            m.d.sync += total.eq(updated)
        with m.If(self.advance & self.hand_over):
            m.d.sync += held.eq(updated)
        with m.Elif(self.shift):
            m.d.sync += held.eq(self.drain_in)

    def _earlier(self, total: Signal) -> Value:
        return Mux(self.double, total << 1, total) if self._planes else total

    def _sum(self, m: Module, base: Value, count: Value) -> Value:
        """Return base + count, or base - count: one adder, into which the sign is carried below its lowest bit."""
        if not self._planes:
            return base + count
        width = len(self.drained)
        left, right, result = Signal(width), Signal(width), Signal(width + 1)
        m.d.comb += [
            left.eq(base),
            right.eq(count),
            result.eq(Cat(self.negative, left) + Cat(self.negative, right ^ self.negative.replicate(width))),
        ]
        return result[1:]


class ProcessingElement(_Accumulator):
    """Count the matches of an activation word and a weight word and add them to a sum.

    Words entering with `advance` are counted after `pipeline` such cycles; then `add` (with `advance`) adds the count,
    to 0 if `first`, and `hand_over` copies the new sum to `drained`. `shift` replaces `drained` by `drain_in` unless a
    sum is handed over. With codes of several bits, `double` doubles what the count is added to, and `negative`
    subtracts the count.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        super().__init__(accelerator, accelerator.count_bits, {"weight": In(accelerator.word_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        match = Mux(self.unsigned_set, self.activation & self.weight, ~(self.activation ^ self.weight))
        self._accumulate(m, match[: len(self.activation)], 0)
        return m


class RowCorrection(_Accumulator):
    """Sum what a row's sums must be corrected by: word bits (signed set), ones of the activation word (unsigned set),
    nothing (`plain`).

    Timing, doubling and subtracting as in `ProcessingElement`; a sum starts at `pad`.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        pad = In(max(1, (accelerator.word_bits - 1).bit_length()))
        super().__init__(accelerator, accelerator.sum_bits, {"plain": In(1), "pad": pad})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.activation)
        counted = (self.activation | (~self.unsigned_set).replicate(width)) & (~self.plain).replicate(width)
        self._accumulate(m, counted, self.pad)
        return m

"""The two cells of the array: a processing element for each sum, a correction for each row."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.popcount import popcount


class ProcessingElement(wiring.Component):
    """Count the matches of an activation word and a weight word and add them to a sum.

    Words entering with `advance` are counted after `pipeline` such cycles; then `add` (with `advance`) adds the count,
    to 0 if `first`, and `hand_over` copies the new sum to `drained`. `shift` replaces `drained` by `drain_in` unless a
    sum is handed over.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._registers = accelerator.pipeline
        super().__init__(
            {
                "advance": In(1),
                "activation": In(accelerator.word_bits),
                "weight": In(accelerator.word_bits),
                "unsigned_set": In(1),
                "add": In(1),
                "first": In(1),
                "hand_over": In(1),
                "shift": In(1),
                "drain_in": In(accelerator.count_bits),
                "drained": Out(accelerator.count_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        match = Mux(self.unsigned_set, self.activation & self.weight, ~(self.activation ^ self.weight))
        count = popcount(m, match[: len(self.activation)], registers=self._registers, enable=self.advance)
        total = Signal(len(self.drained), reset_less=True)
        updated = Signal(len(self.drained))
        held = Signal(len(self.drained), reset_less=True)
        m.d.comb += self.drained.eq(held)
        m.d.comb += updated.eq(Mux(self.first, 0, total) + count)
        with m.If(self.advance & self.add):
            m.d.sync += total.eq(updated)
        with m.If(self.advance & self.hand_over):
            m.d.sync += held.eq(updated)
        with m.Elif(self.shift):
            m.d.sync += held.eq(self.drain_in)
        return m


class RowCorrection(wiring.Component):
    """Sum what a row's sums must be corrected by: word bits (signed set) or ones of the activation word (unsigned set).

    Timing as in `ProcessingElement`; a sum starts at `pad`.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._registers = accelerator.pipeline
        super().__init__(
            {
                "advance": In(1),
                "activation": In(accelerator.word_bits),
                "unsigned_set": In(1),
                "add": In(1),
                "first": In(1),
                "pad": In(max(1, (accelerator.word_bits - 1).bit_length())),
                "hand_over": In(1),
                "shift": In(1),
                "drain_in": In(accelerator.sum_bits),
                "drained": Out(accelerator.sum_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.activation)
        counted = self.activation | (~self.unsigned_set).replicate(width)
        count = popcount(m, counted, registers=self._registers, enable=self.advance)
        total = Signal(len(self.drained), reset_less=True)
        updated = Signal(len(self.drained))
        held = Signal(len(self.drained), reset_less=True)
        m.d.comb += self.drained.eq(held)
        m.d.comb += updated.eq(Mux(self.first, self.pad, total) + count)
        with m.If(self.advance & self.add):
            m.d.sync += total.eq(updated)
        with m.If(self.advance & self.hand_over):
            m.d.sync += held.eq(updated)
        with m.Elif(self.shift):
            m.d.sync += held.eq(self.drain_in)
        return m

"""Unit queues and dependency tokens: when a unit issues its next instruction. Timing: docs/machine.md, 3.4."""

from __future__ import annotations

from itertools import permutations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.gateware.interfaces import INSTRUCTION_BITS, TOKEN_UNIT_COUNT, Issue
from hw.isa import SIGNAL, TOKEN_UNITS, WAIT, Unit

TOKEN_BITS = 8


class IssueQueue(wiring.Component):
    """The queue of one unit. It issues its head when the unit can accept and every waited-for token is there.

    `in_flight` is the most instructions that the unit can hold between issue and retirement; `bits` is how much of an
    instruction it uses. `given` shows the signal mask of the instruction that retires, `taken` the wait mask of the one
    that is issued, each for that cycle only. Where the queue is told whose it is, the `own` unit's bit in a wait mask
    waits until none of its instructions is between issue and retirement.
    """

    def __init__(self, *, depth: int, in_flight: int, bits: int = INSTRUCTION_BITS, own: Unit | None = None) -> None:
        self._depth, self._in_flight, self._bits, self._own = depth, in_flight, bits, own
        super().__init__(
            {
                "push": In(1),
                "instruction": In(INSTRUCTION_BITS),
                "space": Out(1),
                "hold": In(1),
                "unit": Out(Issue()),
                "retire": In(1),
                "tokens": In(TOKEN_UNIT_COUNT),
                "taken": Out(TOKEN_UNIT_COUNT),
                "given": Out(TOKEN_UNIT_COUNT),
                "lacks_token": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = SyncFIFO(width=self._bits, depth=self._depth)
        m.submodules.signals = signals = SyncFIFO(width=TOKEN_UNIT_COUNT, depth=self._in_flight)
        wait, available = Signal(TOKEN_UNIT_COUNT), Signal(TOKEN_UNIT_COUNT)
        m.d.comb += [
            queue.w_en.eq(self.push),
            queue.w_data.eq(self.instruction),
            self.space.eq(queue.w_rdy),
            self.unit.head.eq(queue.r_data),
            wait.eq(queue.r_data[WAIT.offset :]),
            available.eq(self.tokens),
            self.lacks_token.eq(queue.r_rdy & ((wait & ~available) != 0)),
            self.unit.issued.eq(queue.r_rdy & ~self.lacks_token & self.unit.can_accept & ~self.hold),
            queue.r_en.eq(self.unit.issued),
            signals.w_en.eq(self.unit.issued),
            signals.w_data.eq(queue.r_data[SIGNAL.offset :]),
            signals.r_en.eq(self.retire),
            self.taken.eq(wait & self.unit.issued.replicate(TOKEN_UNIT_COUNT)),
            self.given.eq(signals.r_data & self.retire.replicate(TOKEN_UNIT_COUNT)),
        ]
        if self._own is not None:
            m.d.comb += available[self._own].eq(~signals.r_rdy)
        return m


class TokenCounters(wiring.Component):
    """A counter for each ordered pair (producer, consumer) of `units`. Given and taken in one cycle cancel.

    What another unit would have given is never available.
    """

    def __init__(self, units: tuple[Unit, ...] = TOKEN_UNITS) -> None:
        self._units = units
        masks = data.ArrayLayout(TOKEN_UNIT_COUNT, TOKEN_UNIT_COUNT)
        super().__init__({"given": In(masks), "taken": In(masks), "available": Out(masks)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for consumer, producer in permutations(self._units, 2):
            count = Signal(TOKEN_BITS, name=f"tokens_{producer:d}_{consumer:d}")
            given, taken = self.given[producer][consumer], self.taken[consumer][producer]
            m.d.sync += count.eq(count + given - taken)
            m.d.comb += self.available[consumer][producer].eq(count.any())
        return m

"""The vote: what a member's logits add to the totals of the classes, who leads, and whether that can change.

Arithmetic: docs/arithmetic.md, 11. Timing: docs/machine-network.md, 3.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.gateware.classify import CLASS_BITS
from hw.gateware.delayed import delayed
from hw.gateware.interfaces import TOTAL_BITS, Outcome, Words
from hw.gateware.logits import LOGIT_BITS
from hw.gateware.popcount import fold32
from hw.gateware.vector_lane import round_shift
from hw.isa import Vote

#: Cycles from the last logit to `done`, 2 * classes more.
LATENCY = 11

SWING_BITS = 38
_MULTIPLIER_BITS = 16
_BOUND_BITS = 31
_SHARE_BITS = LOGIT_BITS + _MULTIPLIER_BITS

#: Cycles from a logit to its share, from the read of a total to the leader that it may be, and to what is decided.
_SHARE_CYCLES = 4
_LEADER_CYCLES = 3
_DECIDED_CYCLES = 2


class Ballot(wiring.Component):
    """Take the logits of a member, class 0 first, and add its shares to the totals of the classes.

    In a cycle with `valid` the next `logit` is given, until `classes` have come; the operands must stand from the first
    one to `done`, which is 1 in cycle c + LATENCY + 2 * classes, c that of the last logit. `outcome`, `members` and
    `total`, that of the leader, are new from the next cycle on and stand until the next `done`. `number` is the class
    of the logit that is given. `words` are the logits, the totals, and the outcome with `end`, before `done`.

    `first`, or to be the first one since a reset, makes totals and members 0 before. Reset drops what is inside.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        super().__init__(
            {
                "valid": In(1),
                "logit": In(signed(LOGIT_BITS)),
                "classes": In(CLASS_BITS),
                "vote": In(2),
                "shift": In(5),
                "first": In(1),
                "multiplier": In(_MULTIPLIER_BITS),
                "bound": In(_BOUND_BITS),
                "swing": In(SWING_BITS),
                "number": Out(range(classes)),
                "words": Out(Words()),
                "done": Out(1),
                "outcome": Out(Outcome()),
                "members": Out(32),
                "total": Out(TOTAL_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last = Signal()
        m.d.comb += last.eq(self.valid & (self.number + 1 == self.classes))
        with m.If(self.valid):
            m.d.sync += self.number.eq(Mux(last, 0, self.number + 1))
        own, share = self._own_class(m), self._share(m)
        m.submodules.shares = shares = Memory(shape=_SHARE_BITS, depth=max(self._classes, 2), init=[])
        m.submodules.totals = totals = Memory(shape=TOTAL_BITS, depth=max(self._classes, 2), init=[])
        writer, reader = shares.write_port(), shares.read_port()
        total_writer, total_reader = totals.write_port(), totals.read_port()

        # Two scans over the classes: the first one adds and finds the leader, the second compares the others with it.
        adding, comparing, scanned, number = self._scan(m, delayed(m, last, "shared", cycles=4, reset_less=False))
        read, added_number = delayed(m, number, "read"), delayed(m, number, "added_number", cycles=2)
        added = delayed(m, adding, "added", cycles=2, reset_less=False)
        total = total_reader.data.as_signed()
        mine = Mux(self.vote == Vote.HARD, Mux(read == own, self.multiplier, 0), reader.data.as_signed())
        sum_of_both = Mux(self.first | (self.members == 0), 0, total) + mine
        new_total = delayed(m, sum_of_both[:TOTAL_BITS].as_signed(), "new_total")
        m.d.comb += [
            writer.en.eq(delayed(m, self.valid, "share_valid", cycles=_SHARE_CYCLES, reset_less=False)),
            writer.addr.eq(delayed(m, self.number, "share_number", cycles=_SHARE_CYCLES)),
            writer.data.eq(share),
            *(port.addr.eq(number) for port in (reader, total_reader)),
            total_writer.en.eq(added),
            total_writer.addr.eq(added_number),
            total_writer.data.eq(new_total),
        ]
        leader, largest = Signal(range(self._classes)), Signal(signed(TOTAL_BITS), reset_less=True)
        with m.If(added & ((added_number == 0) | (new_total > largest))):
            m.d.sync += [leader.eq(added_number), largest.eq(new_total)]
        decided = self._decide(m, delayed(m, comparing, "compared", reset_less=False), read, total, (leader, largest))

        end = delayed(m, scanned, "end", cycles=_DECIDED_CYCLES, reset_less=False)
        outcome = Signal(Outcome())
        m.d.comb += [
            outcome.leader.eq(leader),
            outcome.decided.eq(decided),
            self.words.valid.eq(self.valid | added | end),
            self.words.end.eq(end),
            self.words.fold.eq(Mux(self.valid, self.logit, Mux(added, fold32(m, new_total), outcome.as_value()))),
            self.done.eq(delayed(m, end, "done", cycles=3, reset_less=False)),
        ]
        with m.If(self.done):
            m.d.sync += [self.outcome.eq(outcome), self.total.eq(largest)]
            m.d.sync += self.members.eq(Mux(self.first, 0, self.members) + 1)
        return m

    def _own_class(self, m: Module) -> Signal:
        """Return the class of the largest logit that has come, the lowest of equals."""
        own, largest = Signal(range(self._classes)), Signal(signed(LOGIT_BITS), reset_less=True)
        with m.If(self.valid & ((self.number == 0) | (self.logit > largest))):
            m.d.sync += [own.eq(self.number), largest.eq(self.logit)]
        return own

    def _share(self, m: Module) -> Signal:
        """Return what a logit adds to its total in a soft vote or a mean, _SHARE_CYCLES later."""
        product = delayed(m, (self.logit * self.multiplier)[:_SHARE_BITS].as_signed(), "product", cycles=2)
        rounded = delayed(m, round_shift(m, product, self.shift), "rounded")
        low = Signal(signed(_BOUND_BITS + 1))
        m.d.comb += low.eq(-self.bound)
        clamped = Mux(rounded > self.bound, self.bound, Mux(rounded < low, low, rounded))
        return delayed(m, Mux(self.vote == Vote.SOFT, clamped, rounded)[:_SHARE_BITS].as_signed(), "share")

    def _scan(self, m: Module, shared: Value) -> tuple[Signal, Signal, Signal, Signal]:
        """Return whether the first scan or the second one reads a class, whether it is the second's last, and which.

        The first scan begins one cycle after `shared`, the second as soon as the leader is known.
        """
        adding, comparing, scanned = Signal(), Signal(), Signal()
        number, last = Signal(range(self._classes)), Signal()
        m.d.comb += [last.eq(number + 1 == self.classes), scanned.eq(comparing & last)]
        known = delayed(m, adding & last, "known", cycles=_LEADER_CYCLES - 1, reset_less=False)
        with m.If(adding | comparing):
            m.d.sync += number.eq(Mux(last, 0, number + 1))
            with m.If(last):
                m.d.sync += [adding.eq(0), comparing.eq(0)]
        with m.If(shared):
            m.d.sync += adding.eq(1)
        with m.If(known):
            m.d.sync += comparing.eq(1)
        return adding, comparing, scanned, number

    def _decide(self, m: Module, compared: Value, number: Value, total: Value, lead: tuple[Signal, Signal]) -> Value:
        """Return whether no total that has been compared can overtake the leader's by a swing, one cycle later."""
        (leader, largest), open_ = lead, Signal()
        safe = delayed(m, largest - self.swing, "safe")
        with m.If(compared & (number != leader) & ((total > safe) | ((number < leader) & (total == safe)))):
            m.d.sync += open_.eq(1)
        with m.If(self.done):
            m.d.sync += open_.eq(0)
        return ~open_ & (self.vote != Vote.MEAN)

"""One lane of the row unit: a score to its entry of the table, and to a bit. Arithmetic: docs/arithmetic.md, 9."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.bank import pick
from hw.gateware.delayed import delayed
from hw.gateware.popcount import balanced_sum
from hw.gateware.row_ports import level_bits, level_count

#: A step that is in stage 1 in cycle t has its `bit` in t + LATENCY, if the lane always advances.
LATENCY = 5

ENTRY_BITS = 16

#: A limit is at most 2^16, which no entry reaches.
LIMIT_BITS = ENTRY_BITS + 1


class RowLane(wiring.Component):
    """Take a score through five stages that move together, in cycles with `advance` only.

    A step has its `score` and the `maximum` of its row in stage 1, and the other operands stand on the inputs while it
    is in the stage that uses them; they are looked at with `advance` only:

    1. `score`, `maximum`: their distance, which is not below 0;
    2. `multiplier`: times that;
    3. `shift`, `last_entry`, `table_line`: the index is round_shift(product, shift), at most `last_entry`; `line` shows
       where its entry stands, to be read with `advance`;
    4. `table`, that line; `counts`: whether the lane is valid;
    5. `entry` is shown, 0 of a lane that is not valid; `limits`, `plane_bit`: the code is how many limits the entry
       reaches, and this is the bit of it that counts. (Codes of one bit have no `plane_bit`.)

    The `bit` of a step that is in stage 1 in cycle t is shown LATENCY cycles with `advance` later, until the next one;
    of a lane that is not valid it is 0. Throughput is one step per cycle. Nothing is reset.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "advance": In(1),
                "score": In(a.sum_bits),
                "maximum": In(a.sum_bits),
                "multiplier": In(16),
                "shift": In(5),
                "last_entry": In(16),
                "table_line": In(16),
                "line": Out(16),
                "table": In(a.table_line_bits),
                "counts": In(1),
                "entry": Out(ENTRY_BITS),
                "limits": In(LIMIT_BITS * level_count(a)),
                **({"plane_bit": In(range(a.code_bits))} if a.code_bits > 1 else {}),
                "bit": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        # What is subtracted is not above the maximum, so that the difference needs no sign.
        distance = self._held(m, (self.maximum - self.score)[: a.sum_bits], "distance")
        product = self._held(m, distance * self.multiplier, "product")

        index, beyond = self._index(m, product)
        in_a_line = (a.table_line_bits // ENTRY_BITS - 1).bit_length()
        last_line, line = ((self.table_line + (at >> in_a_line))[:16] for at in (self.last_entry, index))
        m.d.comb += self.line.eq(Mux(beyond, last_line, line))
        piece = self._held(m, Mux(beyond, self.last_entry, index)[:in_a_line], "piece")

        entry = Mux(self.counts, pick(self.table, piece, ENTRY_BITS), 0)
        m.d.comb += self.entry.eq(self._held(m, entry, "found"))
        counted = self._held(m, self.counts, "counted")

        m.d.comb += self.bit.eq(self._held(m, self._code_bit(m) & counted, "code_bit"))
        return m

    def _held(self, m: Module, value: Value, name: str) -> Signal:
        return delayed(m, value, name, enable=self.advance)

    def _index(self, m: Module, product: Signal) -> tuple[Value, Signal]:
        """Return the product divided by 2^shift, rounded half up, and whether that is beyond the last entry.

        It is shifted with one more bit below it, the bit that rounds: no case for a shift of 0.
        """
        doubled, rounded, beyond = Signal(len(product) + 1), Signal(len(product)), Signal()
        index = rounded[:ENTRY_BITS]
        m.d.comb += [
            doubled.eq(Cat(Const(0, 1), product) >> self.shift),
            rounded.eq((doubled >> 1) + doubled[0]),
            beyond.eq(rounded[ENTRY_BITS:].any() | (index > self.last_entry)),
        ]
        return index, beyond

    def _code_bit(self, m: Module) -> Value:
        """Return the bit of the code that the step asks for."""
        a = self._accelerator
        limits = [self.limits[k * LIMIT_BITS : (k + 1) * LIMIT_BITS] for k in range(level_count(a))]
        reached: list[Value] = [self.entry >= limit for limit in limits]
        if a.code_bits == 1:
            return reached[0]
        code = Signal(level_bits(a))
        m.d.comb += code.eq(balanced_sum(reached))
        return code.bit_select(self.plane_bit, 1)

"""The last stage of the vector unit: numbers to bits, a set of them in each cycle: docs/machine.md, 2 and 3.9."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import PARAMETER_BITS, Accelerator
from hw.gateware.interfaces import SliceWrite
from hw.gateware.vector_steps import SETS

_THRESHOLD_BITS = 17


class CodeWriter(wiring.Component):
    """Compare the numbers of a slice with each of its `sets` of thresholds and write the bits, set 0 first.

    In each cycle with `valid` in which the buffer is not `taken`, one set is written; `stays` is 1 until the cycle of
    the last one. A step without sets does not stay. With `coded`, bit `plane_bit` of each number is written instead.
    What is on the inputs must stand while `stays`. `bits` shows, in the last cycle, the bits of all sets.
    """

    def __init__(self, accelerator: Accelerator, value_bits: int) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "valid": In(1),
                "taken": In(1),
                "sets": In(2),
                "values": In(data.ArrayLayout(signed(value_bits), a.vector_lanes)),
                "mask": In(a.vector_lanes),
                "levels": In(a.parameter_line_bits),
                **({"coded": In(1), "plane_bit": In(range(a.code_bits))} if a.code_bits > 1 else {}),
                "row": In(range(a.rows)),
                "lines": In(data.ArrayLayout(16, SETS)),
                "position": In(range(a.line_slices)),
                "write": Out(SliceWrite(a)),
                "stays": Out(1),
                "bits": Out(data.ArrayLayout(a.vector_lanes, SETS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        chosen, bits = Signal(range(SETS)), Signal(a.vector_lanes)
        some, writes, last = Signal(), Signal(), Signal()
        m.d.comb += [
            some.eq(self.valid & self.sets.any()),
            writes.eq(some & ~self.taken),
            last.eq(chosen + 1 == self.sets),
            self.stays.eq(some & ~(writes & last)),
            bits.eq(Cat(self._bit(lane, chosen) for lane in range(a.vector_lanes)) & self.mask),
            self.write.banks.eq(Cat(writes & (self.row == row) for row in range(a.rows))),
            self.write.line.eq(Array(self.lines[s] for s in range(SETS))[chosen]),
            self.write.position.eq(self.position),
            self.write.data.eq(bits),
        ]
        with m.If(writes):
            m.d.sync += chosen.eq(Mux(last, 0, chosen + 1))
        self._show(m, writes, chosen, bits)
        return m

    def _bit(self, lane: int, chosen: Signal) -> Value:
        """Return the bit of a lane in the chosen set, or in its plane."""
        entry, value = self.levels[lane * PARAMETER_BITS :], self.values[lane]
        width = _THRESHOLD_BITS + 1
        level = Value.cast(Array(entry[s * width : (s + 1) * width] for s in range(SETS))[chosen])
        bit = (value >= level[:_THRESHOLD_BITS].as_signed()) ^ level[_THRESHOLD_BITS]
        if self._accelerator.code_bits > 1:
            bit = Mux(self.coded, value.as_unsigned().bit_select(self.plane_bit, 1), bit)
        return bit[0]

    def _show(self, m: Module, writes: Signal, chosen: Signal, bits: Signal) -> None:
        """Keep the bits of a set until the last one is written: only the trace asks for them."""
        for s in range(SETS):
            held = Signal(self._accelerator.vector_lanes, name=f"held{s}", reset_less=True)
            with m.If(writes & (chosen == s)):
                m.d.sync += held.eq(bits)
            with m.If(self.sets > s):
                m.d.comb += self.bits[s].eq(Mux(chosen == s, bits, held))

"""The planes of codes of several bits: which one a step writes, and how far behind the first it lies."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data


def walk_planes(
    m: Module, plane_bit: Value, operands: tuple[data.View, data.View], stride: Value, *, issued: Value, moving: Value
) -> tuple[Signal, Signal]:
    """Give the bit of a step's plane: the highest of the `planes` after `issued`, the next one with each `moving`.

    `operands` are those of the instruction that is issued, and of the one that was. Return whether the plane is the
    last one of its slice, behind which the first one follows again, and by how many lines it lies behind the first.
    """
    head, held = operands
    bit, lines, last = Signal(plane_bit.shape()), Signal(16), Signal()
    m.d.comb += [plane_bit.eq(bit), last.eq(bit == 0)]
    with m.If(moving):
        m.d.sync += [bit.eq(bit - 1), lines.eq(lines + stride)]
        with m.If(last):
            m.d.sync += [bit.eq(held.planes - 1), lines.eq(0)]
    with m.If(issued):
        m.d.sync += [bit.eq(head.planes - 1), lines.eq(0)]
    return last, lines

"""The sums of a row that normalise needs: of its numbers, and of their squares."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.gateware.delayed import delayed
from hw.gateware.popcount import balanced_sum
from hw.gateware.row_root import SQUARES_BITS, TOTAL_BITS

#: Cycles from the last slice of a row to its sums.
LATENCY = 3


class RowSums(wiring.Component):
    """Add up the numbers of a row, and their squares, slice by slice.

    In a cycle with `valid` a slice is given: `values`, of which those named in `mask` count. With `last` it ends its
    row, and LATENCY cycles later `done` shows `total`, `squares` and, as `done_tag`, the `tag` of that slice, for one
    cycle. A slice can enter in each cycle, also the first of the next row behind a last one; there may be cycles
    between slices. A row has at most 4,096 numbers that count. After a reset the next slice begins a row.
    """

    def __init__(self, lanes: int, tag_bits: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "values": In(data.ArrayLayout(signed(16), lanes)),
                "mask": In(lanes),
                "tag": In(tag_bits),
                "done": Out(1),
                "done_tag": Out(tag_bits),
                "total": Out(signed(TOTAL_BITS)),
                "squares": Out(SQUARES_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        counted = [Signal(signed(16), name=f"counted{index}") for index in range(self._lanes)]
        m.d.comb += [c.eq(Mux(self.mask[index], self.values[index], 0)) for index, c in enumerate(counted)]
        values = [delayed(m, value, "value") for value in counted]
        squares = [delayed(m, (value * value)[:31], "square") for value in counted]
        total_of_slice = delayed(m, balanced_sum(values), "total_of_slice")
        squares_of_slice = delayed(m, balanced_sum(squares), "squares_of_slice")

        valid = delayed(m, self.valid, "valid", cycles=LATENCY - 1, reset_less=False)
        last = delayed(m, self.last, "last", cycles=LATENCY - 1)
        begins = Signal(init=1)
        total, squares_sum = Signal(signed(TOTAL_BITS), reset_less=True), Signal(SQUARES_BITS, reset_less=True)
        with m.If(valid):
            m.d.sync += [
                begins.eq(last),
                total.eq(Mux(begins, 0, total) + total_of_slice),
                squares_sum.eq(Mux(begins, 0, squares_sum) + squares_of_slice),
            ]
        m.d.comb += [
            self.done.eq(delayed(m, valid & last, "done", reset_less=False)),
            self.done_tag.eq(delayed(m, self.tag, "done_tag", cycles=LATENCY)),
            self.total.eq(total),
            self.squares.eq(squares_sum),
        ]
        return m

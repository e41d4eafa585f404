"""The logits of a CLASSIFY: products of a slice, their sum, the sum of the slices, bias, shift, clamp."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.gateware.delayed import delayed
from hw.gateware.popcount import balanced_sum
from hw.gateware.vector_lane import FIXED_BITS, round_shift, saturate

#: Cycles from the bias of a class to its logit.
LATENCY = 6

LOGIT_BITS = 32
WEIGHT_BITS = 8
_PRODUCT_BITS = FIXED_BITS + WEIGHT_BITS

#: 4,096 products of 2^22 at most, and a bias.
_TOTAL_BITS = 36


class LogitSums(wiring.Component):
    """Add up products of numbers and weights, slice by slice.

    In a cycle with `valid` a slice is given; with `begins` it is the first one of its class. With `last`, behind the
    slices of the class, `bias` is added instead, and LATENCY cycles later `done` shows the `logit` for one cycle:
    round_shift(sum, shift), clamped. `shift` must stand until then. A slice can be given in each cycle, and there
    may be cycles between. Reset drops what is inside.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "valid": In(1),
                "begins": In(1),
                "last": In(1),
                "values": In(data.ArrayLayout(signed(FIXED_BITS), lanes)),
                "weights": In(data.ArrayLayout(signed(WEIGHT_BITS), lanes)),
                "bias": In(signed(LOGIT_BITS)),
                "shift": In(5),
                "done": Out(1),
                "logit": Out(signed(LOGIT_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Cycles 1 to 3: products, the sums of some of them, and their sum; a bias takes the place of the last one.
        products: list[Value] = [
            delayed(m, (self.values[lane] * self.weights[lane])[:_PRODUCT_BITS].as_signed(), "product")
            for lane in range(self._lanes)
        ]
        half = 1 << (self._lanes - 1).bit_length() // 2
        groups = [delayed(m, balanced_sum(products[i : i + half]), "group") for i in range(0, self._lanes, half)]
        bias = delayed(m, self.bias, "bias", cycles=2)
        last = delayed(m, self.last, "last", cycles=2)
        term = delayed(m, Mux(last, bias, balanced_sum(groups)), "term")

        # Cycle 4: the sum of the class.
        valid = delayed(m, self.valid, "valid", cycles=3, reset_less=False)
        flags = delayed(m, Cat(self.begins, self.last), "flags", cycles=3)
        total = Signal(signed(_TOTAL_BITS), reset_less=True)
        with m.If(valid):
            m.d.sync += total.eq(Mux(flags[0], 0, total) + term)

        # Cycles 5 and 6.
        rounded = delayed(m, round_shift(m, total, self.shift), "rounded")
        done = delayed(m, valid & flags[1], "done", cycles=3, reset_less=False)
        m.d.comb += [self.done.eq(done), self.logit.eq(delayed(m, saturate(m, rounded, LOGIT_BITS), "logit"))]
        return m

"""From the sums of a row to the coefficients that normalise it. Arithmetic: docs/arithmetic.md, 8, normalise."""

from __future__ import annotations

from math import isqrt

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.gateware.delayed import delayed

#: Cycles from a row's sums to its coefficients.
LATENCY = 8

CHANNEL_BITS = 13
TOTAL_BITS = 28
SQUARES_BITS = 43
EPSILON_BITS = 31
FACTOR_BITS = 30
OFFSET_BITS = 46
DISTANCE_BITS = 5

_VARIANCE_BITS = 54
_MANTISSA_BITS = 16

#: The first guess of R for m >> 8. V = 0 alone has an m of 0, and the guess of 0 makes its R 0.
_GUESSES = [0] * 64 + [(isqrt((1 << 39) // (2 * j + 1)) + 1) >> 1 for j in range(64, 256)]
_GUESS_BITS = 15


class RowRoot(wiring.Component):
    """Turn C, S, Q of a row into C * R, S * R and 3 + e, with V = C * Q - S^2 + epsilon and R / 2^15 = 2^e / sqrt(V).

    What is given with `valid` comes out LATENCY cycles later with `done`, `done_tag` being its `tag`; a row can enter
    in each cycle, and nothing stalls. Where V = 0, `factor` and `offset` are 0 and `distance` means nothing. The sums
    must be those of C (1 to 4,096) numbers of 16 bits. Reset drops the rows that are inside.
    """

    def __init__(self, tag_bits: int) -> None:
        super().__init__(
            {
                "valid": In(1),
                "channels": In(CHANNEL_BITS),
                "total": In(signed(TOTAL_BITS)),
                "squares": In(SQUARES_BITS),
                "epsilon": In(EPSILON_BITS),
                "tag": In(tag_bits),
                "done": Out(1),
                "done_tag": Out(tag_bits),
                "factor": Out(FACTOR_BITS),
                "offset": Out(signed(OFFSET_BITS)),
                "distance": Out(DISTANCE_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Cycles 1 to 4: V, and V in normal form, of which m is the top.
        normal, zeros = self._normal(m, self._variance(m))
        mantissa = normal[-_MANTISSA_BITS:]
        # Cycles 5 to 7: the guess, and one Newton step.
        root = self._root(m, mantissa)
        # Cycle 8.
        channels = delayed(m, self.channels, "channels", cycles=LATENCY - 1)
        total = delayed(m, self.total, "total", cycles=LATENCY - 1)
        zeros = delayed(m, zeros, "zeros", cycles=3)
        largest = 3 + _VARIANCE_BITS // 2 - 1
        m.d.comb += [
            self.done.eq(delayed(m, self.valid, "done", cycles=LATENCY, reset_less=False)),
            self.done_tag.eq(delayed(m, self.tag, "done_tag", cycles=LATENCY)),
            self.factor.eq(delayed(m, channels * root, "factor")),
            self.offset.eq(delayed(m, total * root, "offset")),
            self.distance.eq(delayed(m, (largest - zeros)[:DISTANCE_BITS], "distance")),
        ]
        return m

    def _variance(self, m: Module) -> Signal:
        """Return V, two cycles later. V of 16-bit numbers is less than 2^54, so its terms are needed modulo 2^54."""
        of_squares = delayed(m, (self.channels * self.squares)[:_VARIANCE_BITS], "of_squares")
        of_total = delayed(m, (self.total * self.total)[:_VARIANCE_BITS], "of_total")
        epsilon = delayed(m, self.epsilon, "epsilon")
        return delayed(m, (of_squares - of_total + epsilon)[:_VARIANCE_BITS], "variance")

    def _normal(self, m: Module, variance: Signal) -> tuple[Signal, Signal]:
        """Return V shifted up by its leading zeros, in pairs, and the number of these pairs; two cycles later."""
        found: list[Value] = []
        value = variance
        for register_behind, pairs in ((False, 16), (True, 8), (False, 4), (False, 2), (True, 1)):
            shifted = Signal(_VARIANCE_BITS, name=f"shifted{pairs}")
            none = Signal(name=f"none{pairs}")
            m.d.comb += none.eq(~value[-2 * pairs :].any())
            m.d.comb += shifted.eq(Mux(none, value << 2 * pairs, value))
            found.insert(0, none)
            value = shifted
            if register_behind:
                value = delayed(m, shifted, f"normal{pairs}")
                found = list(delayed(m, Cat(found), f"zeros{pairs}"))
        return value, Cat(found)

    def _root(self, m: Module, mantissa: Value) -> Signal:
        """Return R, three cycles later. The table holds the guess and its square, which saves a multiplication."""
        table = Array((guess * guess >> 15) << _GUESS_BITS | guess for guess in _GUESSES)
        entry = delayed(m, Value.cast(table[mantissa[8:]]), "entry")
        mantissa = delayed(m, mantissa, "mantissa")
        error = delayed(m, (mantissa * entry[_GUESS_BITS:])[14:30], "error")
        guess = delayed(m, entry[:_GUESS_BITS], "guess")
        correction = ((3 << 15) - error)[:17]
        return delayed(m, (guess * correction + (1 << 15))[16:32], "root")

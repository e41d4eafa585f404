"""One lane of the vector unit: normalise, scale, clamp, add or compare. Arithmetic: docs/arithmetic.md, 7, 8 and 10."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.delayed import delayed
from hw.gateware.embedding import text_sum
from hw.gateware.pieces import DOUBLED_BITS
from hw.gateware.row_root import DISTANCE_BITS, FACTOR_BITS, OFFSET_BITS

#: A step that is in stage 1 in cycle t has its `result` in t + LATENCY, if the lane always advances.
LATENCY = 5

FIXED_BITS = 16

#: Bits of a sum of 1,024 fixed numbers.
TOTAL_BITS = 26
_NORMALISED_BITS = 18


def result_bits(sum_bits: int) -> int:
    """Return the width of a lane's result: of sums that pass, or of what is normalised."""
    return max(sum_bits, _NORMALISED_BITS)


def round_shift(m: Module, value: Value, shift: Value) -> Signal:
    """Return (value + 2^(shift-1)) >> shift, or the value itself for a shift of 0, exactly.

    The value is shifted with one more bit below it, the bit that rounds: no case for 0, no wider adder.
    """
    doubled = Signal(signed(len(value) + 1))
    rounded = Signal(signed(len(value)))
    m.d.comb += [
        doubled.eq(Cat(Const(0, 1), value).as_signed() >> shift),
        rounded.eq((doubled >> 1) + doubled[0]),
    ]
    return rounded


def saturate(m: Module, value: Value, bits: int) -> Value:
    """Return a signed value of more than `bits` bits, clamped to `bits`-bit two's complement."""
    wide = Signal(signed(len(value)))
    m.d.comb += wide.eq(value)
    sign = wide[-1]
    outside = (wide[bits - 1 : -1] ^ sign.replicate(len(wide) - bits)).any()
    return Mux(outside, Cat((~sign).replicate(bits - 1), sign), wide[:bits]).as_signed()


class VectorLane(wiring.Component):
    """Take a fixed number or a sum through five stages that move together, in cycles with `advance` only.

    A step has its `value` in stage 1, and the other operands stand on the inputs while it is in the stage that uses
    them; they are looked at with `advance` only:

    1. `value`, `normalise`, `factor` = C * R, `offset` = S * R: the product value * factor - offset, where the low 16
       bits of `value` are a fixed number (C * x - S) * R of a row, see `RowRoot`;
    2. `distance`: v = sat_18(round_shift(product, distance)) where the step has `normalise`, else v = value;
    3. `scale`, `multiplier`, `addend`: v * multiplier + addend;
    4. `shift`, `limit`, `unsigned_set`: y = round_shift(v * multiplier + addend, shift) where the step has `scale`,
       clamped to -limit - 1 ... limit or, with `unsigned_set`, to 0 ... limit, else y = v; a limit is 2^k - 1, with a k
       of 15 for fixed numbers, b - 1 for signed and b for unsigned codes of b bits;
    5. `add`, `maximum`, `residual`: sat_16(y + residual) where `add`, or with `maximum` the larger of both, else y.

    Where the step has `mean` in stage 2, v is the sum of the fixed numbers since the last one that had `begins` in
    stage 1, this one's included; they follow each other without a gap. `passed` is the low 16 bits of v of the step in
    stage 4.

    Where the step has `from_piece` in stage 2, v is `doubled`, that is 2 * r of a step of a TABLE. `clamped` is the low
    16 bits of y of the step in stage 5. Where that has `collects`, the result becomes `first`, `clamped` of lane 0, if
    it is this lane's `turn`, and else stays as it was: lane 0 makes the numbers of a slice one after the other.

    A lane for `text` also takes, in stage 1, `bit`, `word_scale`, `place` and `kind`: their sum, clamped to 16 bits,
    is v where the step has `text` in stage 2.

    The result of a step that is in stage 1 in cycle t is on `result` LATENCY cycles with `advance` later, until the
    next one; throughput is one step per cycle. Nothing is reset: what is in the stages is whatever came in.
    """

    def __init__(self, sum_bits: int, text: bool = False) -> None:
        self._width, self._text = result_bits(sum_bits), text
        of_text = {"bit": In(1), "word_scale": In(16), "place": In(16), "kind": In(16), "text": In(1)}
        super().__init__(
            {
                "advance": In(1),
                "value": In(signed(max(sum_bits, FIXED_BITS))),
                "begins": In(1),
                "mean": In(1),
                "from_piece": In(1),
                "doubled": In(DOUBLED_BITS),
                "normalise": In(1),
                "factor": In(FACTOR_BITS),
                "offset": In(signed(OFFSET_BITS)),
                "distance": In(DISTANCE_BITS),
                "scale": In(1),
                "multiplier": In(signed(16)),
                "addend": In(signed(32)),
                "shift": In(5),
                "limit": In(FIXED_BITS - 1),
                "unsigned_set": In(1),
                "add": In(1),
                "maximum": In(1),
                "residual": In(signed(FIXED_BITS)),
                "collects": In(1),
                "turn": In(1),
                "first": In(signed(FIXED_BITS)),
                **(of_text if text else {}),
                "passed": Out(signed(FIXED_BITS)),
                "clamped": Out(signed(FIXED_BITS)),
                "result": Out(signed(self._width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given = self._held(m, self.value, "given")
        normalised = self._held(m, self.normalise, "normalised")
        product = self._held(m, self.value[:FIXED_BITS].as_signed() * self.factor - self.offset, "product")

        g = saturate(m, round_shift(m, product, self.distance), _NORMALISED_BITS)
        number: Value = Mux(normalised, g, given)
        if self._text:
            total = text_sum(m, bit=self.bit, scale=self.word_scale, place=self.place, kind=self.kind)
            number = Mux(self.text, saturate(m, self._held(m, total, "total"), FIXED_BITS), number)
        number = Mux(self.from_piece, self.doubled, Mux(self.mean, self._mean_total(m), number))
        v = self._held(m, number, "v")

        passed = self._held(m, v[: self._width].as_signed(), "passed")
        m.d.comb += self.passed.eq(passed)
        scaled = self._held(m, self.scale, "scaled")
        # |v * multiplier| <= 2^(bits of v + 14) and |addend| <= 2^31: their sum needs no bit more than the product.
        affine = (v * self.multiplier + self.addend)[: len(v) + 16].as_signed()
        affine = self._held(m, affine, "affine")

        clamped = self._clamp(m, round_shift(m, affine, self.shift))
        y = self._held(m, Mux(scaled, clamped, passed), "y")

        larger = Mux(y > self.residual, y, self.residual)
        added = Mux(self.maximum, larger, saturate(m, y + self.residual, FIXED_BITS))
        result = Mux(self.collects, self.first, Mux(self.add, added, y))
        taken = self.advance & (~self.collects | self.turn)
        m.d.comb += [self.clamped.eq(y), self.result.eq(delayed(m, result, "result", enable=taken))]
        return m

    def _mean_total(self, m: Module) -> Signal:
        """Return the sum of the numbers of a slice that have come, in stage 2."""
        total = Signal(signed(TOTAL_BITS), reset_less=True)
        with m.If(self.advance):
            m.d.sync += total.eq(Mux(self.begins, 0, total) + self.value[:FIXED_BITS].as_signed())
        return total

    def _held(self, m: Module, value: Value, name: str) -> Signal:
        return delayed(m, value, name, enable=self.advance)

    def _clamp(self, m: Module, value: Signal) -> Value:
        """Return the value clamped: to -2^k (or 0) ... 2^k - 1, of which 2^k - 1 is a mask."""
        mask = self.limit
        magnitude = Signal(len(value) - 1)
        sign = value[-1]
        below_zero = sign & self.unsigned_set
        m.d.comb += magnitude.eq(value[:-1] ^ sign.replicate(len(value) - 1))
        outside = (magnitude[: len(mask)] & ~mask).any() | magnitude[len(mask) :].any()
        bound = Cat(mask ^ sign.replicate(len(mask)), sign)
        return Mux(below_zero, 0, Mux(outside, bound, value[:FIXED_BITS])).as_signed()


def vector_lane_of(accelerator: Accelerator) -> VectorLane:
    """Return the lane of an accelerator's vector unit."""
    return VectorLane(accelerator.sum_bits, text=accelerator.token_lines > 0)

"""The straight pieces of a TABLE: which one a number is on, and what its entry holds: docs/arithmetic.md, 10."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import PARAMETER_BITS, Accelerator
from hw.gateware.bank import pick
from hw.gateware.delayed import delayed

#: Bits of the number of a piece, and of the shift that says how long pieces are.
PIECE_BITS = 8
_SHIFT_BITS = 4

#: Bits of a place in a piece, and of its double.
_PLACE_BITS = 8
DOUBLED_BITS = _PLACE_BITS + 1

_NUMBER_BITS = 16
_BASE_BITS = 32
_ODD_BIT = _NUMBER_BITS + _BASE_BITS


class PieceFinder(wiring.Component):
    """Take a number of a slice through three stages that move together, in cycles with `advance` only.

    1. `slice`, `lane`: the number x;
    2. `shift`, at most 8: x', piece j of it and the place r in that piece; `line` is j div L, L numbers in a slice, and
       `doubled` is 2 * r;
    3. `entries`, the line that has the piece: `multiplier` and `addend` of entry j mod L, with which the number is
       round_shift(doubled * multiplier + addend, shift).

    Inputs stand while the step is in their stage; outputs are those of the step in their stage. Nothing is reset.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._lanes = lanes = accelerator.vector_lanes
        super().__init__(
            {
                "advance": In(1),
                "slice": In(lanes * _NUMBER_BITS),
                "lane": In(range(lanes)),
                "shift": In(_SHIFT_BITS),
                "line": Out(PIECE_BITS),
                "doubled": Out(DOUBLED_BITS),
                "entries": In(lanes * PARAMETER_BITS),
                "multiplier": Out(_NUMBER_BITS),
                "addend": Out(_BASE_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lane_bits = (self._lanes - 1).bit_length()
        number, piece, place = Signal(signed(_NUMBER_BITS)), Signal(PIECE_BITS), Signal(_PLACE_BITS)
        m.d.comb += number.eq(delayed(m, pick(self.slice, self.lane, _NUMBER_BITS), "number", enable=self.advance))
        self._split(m, number, piece, place)
        m.d.comb += [self.line.eq(piece >> lane_bits), self.doubled.eq(place << 1)]

        index = delayed(m, piece[:lane_bits], "index", enable=self.advance)
        place = delayed(m, place, "place", enable=self.advance)
        entry = pick(self.entries, index, PARAMETER_BITS)
        odd = Mux(entry[_ODD_BIT], place, 0)
        m.d.comb += [self.multiplier.eq(entry), self.addend.eq(entry[_NUMBER_BITS:_ODD_BIT] + odd)]
        return m

    def _split(self, m: Module, number: Signal, piece: Signal, place: Signal) -> None:
        """Clamp a number to the pieces and split it: what is outside is at the near end of the first or the last."""
        whole, mask = Signal(signed(_NUMBER_BITS)), Signal(_PLACE_BITS)
        sign = number[-1]
        outside = (whole[PIECE_BITS - 1 : -1] ^ sign.replicate(_NUMBER_BITS - PIECE_BITS)).any()
        m.d.comb += [
            whole.eq(number >> self.shift),
            mask.eq((1 << self.shift) - 1),
            piece.eq(Mux(outside, (~sign).replicate(PIECE_BITS), Cat(whole[: PIECE_BITS - 1], ~sign))),
            place.eq(Mux(outside, (~sign).replicate(_PLACE_BITS), number[:_PLACE_BITS]) & mask),
        ]

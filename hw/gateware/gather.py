"""Where the segments of a LOAD with `gather` begin: the ids of the token buffer. Timing: docs/machine-network.md, 3."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.bank import pick
from hw.gateware.interfaces import ADDRESS_BITS, LineRead

ID_BITS = 16
_STRIDE_BITS = 4


class Gather(wiring.Component):
    """Give the `offset` of each segment: id * 2^stride, the id read from the token buffer, or 0 without `gather`.

    A transfer that is started in cycle t, or a segment of it that ends in t (`segment_end`: its last burst is selected,
    and another segment follows), has its `offset` from t+3, and `waits` is 1 in t+1 and t+2. Without `gather` the
    offset is 0 from t+1, and nothing waits. A start may fall in any cycle in which nothing waits.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        super().__init__(
            {
                "start": In(1),
                "gather": In(1),
                "token": In(16),
                "stride": In(_STRIDE_BITS),
                "segment_end": In(1),
                "ids": Out(LineRead(1, accelerator.token_line_bits)),
                "waits": Out(1),
                "offset": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self._accelerator.token_line_bits
        piece_bits = (width // ID_BITS - 1).bit_length()
        active, reads, found = Signal(), Signal(), Signal()
        index, stride, piece = Signal(17), Signal(_STRIDE_BITS), Signal(piece_bits)
        m.d.comb += [
            self.ids.enable.eq(reads),
            self.ids.line.eq(index >> piece_bits),
            self.waits.eq(reads | found),
        ]
        m.d.sync += [reads.eq(self.segment_end & active), found.eq(reads)]
        with m.If(reads):
            m.d.sync += [index.eq(index + 1), piece.eq(index[:piece_bits])]
        with m.If(found):
            m.d.sync += self.offset.eq(pick(self.ids.data[0], piece, ID_BITS) << stride)
        with m.If(self.start):
            m.d.sync += [
                active.eq(self.gather),
                reads.eq(self.gather),
                index.eq(self.token),
                stride.eq(self.stride),
                self.offset.eq(0),
            ]
        return m

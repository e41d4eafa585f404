"""What LOAD and STORE share: splitting a transfer into bursts, and walking through the rows of a banked buffer."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import ADDRESS_BITS, BurstRequest

PAGE_BYTES = 4096


class BurstSplitter(wiring.Component):
    """Offer the bursts of a transfer one by one: segment by segment, never longer than `burst_beats`, never across 4
    KiB.

    `start` with the operands in cycle t offers the first burst from t+1; a burst selected in t is followed by the next
    from t+1. `segment_end` tells that the burst offered is its segment's last one, `last` the transfer's.
    `finishing` is 1 in the cycle in which the transfer's last burst is selected. A start may fall in that cycle.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        super().__init__(
            {
                "start": In(1),
                "address": In(ADDRESS_BITS),
                "segments": In(16),
                "segment_beats": In(16),
                "stride": In(ADDRESS_BITS),
                "request": Out(BurstRequest()),
                "segment_end": Out(1),
                "last": Out(1),
                "finishing": Out(1),
                "active": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat_shift = (self._accelerator.beat_bytes - 1).bit_length()
        segment, current = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        segment_beats, stride = Signal(16), Signal(ADDRESS_BITS)
        beats_left, segments_left = Signal(16), Signal(16)
        to_page = Signal(range(PAGE_BYTES + 1))
        beats = Signal(9)
        longest = min(self._accelerator.burst_beats, PAGE_BYTES >> beat_shift)
        in_page = Signal(range(longest + 1))
        m.d.comb += [
            to_page.eq((PAGE_BYTES - current[:12]) >> beat_shift),
            in_page.eq(Mux(to_page < longest, to_page, longest)),
            beats.eq(Mux(beats_left < in_page, beats_left, in_page)),
            self.request.valid.eq(self.active),
            self.request.address.eq(current),
            self.request.beats.eq(beats),
            self.segment_end.eq(beats == beats_left),
            self.last.eq(self.segment_end & (segments_left == 1)),
            self.finishing.eq(self.request.selected & self.last),
        ]
        with m.If(self.request.selected):
            m.d.sync += [current.eq(current + (beats << beat_shift)), beats_left.eq(beats_left - beats)]
            with m.If(self.segment_end):
                m.d.sync += [
                    segment.eq(segment + stride),
                    current.eq(segment + stride),
                    beats_left.eq(segment_beats),
                    segments_left.eq(segments_left - 1),
                ]
        with m.If(self.finishing):
            m.d.sync += self.active.eq(0)
        with m.If(self.start):
            m.d.sync += [
                self.active.eq(1),
                segment.eq(self.address),
                current.eq(self.address),
                stride.eq(self.stride),
                segment_beats.eq(self.segment_beats),
                beats_left.eq(self.segment_beats),
                segments_left.eq(self.segments),
            ]
        return m


class TransferLayout(data.StructLayout):
    """What the data side of LOAD and STORE must know of a transfer."""

    def __init__(self) -> None:
        super().__init__({"buffer": 4, "line": 16, "row_beats": 16, "segments": 16, "segment_beats": 16})


class RowWalker(wiring.Component):
    """Give bank, line and lane of each beat of a transfer, and say which beat is the last.

    A pure follower of `step`: outputs describe the current beat, `step` moves to the next in the following cycle. After
    the last beat it stands at the first beat of whatever transfer comes next.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "transfer": In(TransferLayout()),
                "banks": In(7),
                "line_beats": In(11),
                "step": In(1),
                "bank": Out(7),
                "line": Out(16),
                "lane": Out(10),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row_start, offset = Signal(16), Signal(16)
        row_beat, segment_beat, segment = Signal(16), Signal(16), Signal(16)
        row_end, line_end, segment_end = Signal(), Signal(), Signal()
        m.d.comb += [
            self.line.eq(self.transfer.line + offset),
            line_end.eq(self.lane == self.line_beats - 1),
            row_end.eq(row_beat == self.transfer.row_beats - 1),
            segment_end.eq(segment_beat == self.transfer.segment_beats - 1),
            self.last.eq(segment_end & (segment == self.transfer.segments - 1)),
        ]
        with m.If(self.step):
            m.d.sync += [
                row_beat.eq(Mux(row_end, 0, row_beat + 1)),
                segment_beat.eq(Mux(segment_end, 0, segment_beat + 1)),
                segment.eq(segment + segment_end),
                self.lane.eq(Mux(line_end | row_end, 0, self.lane + 1)),
                offset.eq(offset + line_end),
            ]
            with m.If(row_end):
                m.d.sync += [self.bank.eq(self.bank + 1), offset.eq(row_start)]
                with m.If(self.bank == self.banks - 1):
                    m.d.sync += [self.bank.eq(0), row_start.eq(offset + 1), offset.eq(offset + 1)]
            with m.If(self.last):
                state = (row_beat, segment_beat, segment, self.lane, offset, row_start, self.bank)
                m.d.sync += [register.eq(0) for register in state]
        return m

"""Instruction fetch and the read side of the memory port. Timing: docs/machine.md, 3.1 and 3.2."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import ADDRESS_BITS, INSTRUCTION_BITS, BurstRequest, fetched_bits
from hw.isa import INSTRUCTION_BYTES


class Fetch(wiring.Component):
    """Read the program ahead of the sequencer, one burst per instruction, at most `fetch_depth` instructions ahead.

    An instruction whose last beat arrives in cycle t is on `instruction` from t+1 at the earliest. `exhausted` tells
    that the whole program has been taken.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "running": In(1),
                "program": In(ADDRESS_BITS),
                "length": In(32),
                "request": Out(BurstRequest()),
                "beat_valid": In(1),
                "beat": In(a.port_bits),
                "valid": Out(1),
                "instruction": Out(INSTRUCTION_BITS),
                "take": In(1),
                "exhausted": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.queue = queue = SyncFIFO(width=fetched_bits(a), depth=a.fetch_depth)
        following, reserved = Signal(32), Signal(range(a.fetch_depth + 1))
        m.d.comb += [
            self.request.valid.eq(self.running & (following < self.length) & (reserved < a.fetch_depth)),
            self.request.address.eq(self.program + following * INSTRUCTION_BYTES),
            self.request.beats.eq(a.instruction_beats),
            self.valid.eq(queue.r_rdy),
            self.instruction.eq(queue.r_data),
            queue.r_en.eq(self.take),
            self.exhausted.eq((following == self.length) & (reserved == 0)),
        ]
        m.d.sync += [
            following.eq(following + self.request.selected),
            reserved.eq(reserved + self.request.selected - self.take),
        ]
        self._assemble(m, queue)
        return m

    def _assemble(self, m: Module, queue: SyncFIFO) -> None:
        beats, width = self._accelerator.instruction_beats, self._accelerator.port_bits
        if beats == 1:
            m.d.comb += [queue.w_data.eq(self.beat), queue.w_en.eq(self.beat_valid)]
            return
        earlier = Signal(width * (beats - 1))
        index = Signal(range(beats))
        m.d.comb += [
            queue.w_data.eq(Cat(earlier, self.beat)),
            queue.w_en.eq(self.beat_valid & (index == beats - 1)),
        ]
        with m.If(self.beat_valid):
            m.d.sync += [earlier.eq(Cat(earlier, self.beat)[width:]), index.eq(index + 1)]


class ReadChannels(wiring.Signature):
    """AR and R of the memory port, as the core drives them; R is always accepted."""

    def __init__(self, port_bits: int) -> None:
        super().__init__(
            {
                "ar_valid": Out(1),
                "ar_ready": In(1),
                "ar_address": Out(ADDRESS_BITS),
                "ar_beats": Out(9),
                "r_valid": In(1),
                "r_data": In(port_bits),
                "r_last": In(1),
            }
        )


class ReadArbiter(wiring.Component):
    """Put requests on AR, fetch before load, and hand the beats to whoever asked: the head of the owner queue.

    A request selected in cycle t is on AR from t+1. `hold` stops selecting; `busy` tells that bursts are open.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        super().__init__(
            {
                "fetch": In(BurstRequest()),
                "load": In(BurstRequest()),
                "channels": Out(ReadChannels(accelerator.port_bits)),
                "fetch_beat": Out(1),
                "load_beat": Out(1),
                "hold": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        channels = self.channels
        m.submodules.owners = owners = SyncFIFO(width=1, depth=self._accelerator.reads_in_flight)
        may_select = Signal()
        m.d.comb += [
            may_select.eq((~channels.ar_valid | channels.ar_ready) & owners.w_rdy & ~self.hold),
            self.fetch.selected.eq(may_select & self.fetch.valid),
            self.load.selected.eq(may_select & self.load.valid & ~self.fetch.valid),
            owners.w_en.eq(self.fetch.selected | self.load.selected),
            owners.w_data.eq(self.load.selected),
            owners.r_en.eq(channels.r_valid & channels.r_last),
            self.fetch_beat.eq(channels.r_valid & ~owners.r_data),
            self.load_beat.eq(channels.r_valid & owners.r_data),
            self.busy.eq(owners.r_rdy),
        ]
        with m.If(channels.ar_ready):
            m.d.sync += channels.ar_valid.eq(0)
        for request in (self.load, self.fetch):
            with m.If(request.selected):
                m.d.sync += [
                    channels.ar_valid.eq(1),
                    channels.ar_address.eq(request.address),
                    channels.ar_beats.eq(request.beats),
                ]
        return m

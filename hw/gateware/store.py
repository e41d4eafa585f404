"""The store unit: output buffer to memory. Timing: docs/machine.md, 3.8."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.bursts import BurstSplitter, RowWalker, TransferLayout
from hw.gateware.interfaces import ADDRESS_BITS, Issue, Words, instruction_layout
from hw.gateware.popcount import fold32
from hw.isa import Opcode


class WriteChannels(wiring.Signature):
    """AW, W and B of the memory port, as the core drives them."""

    def __init__(self, port_bits: int) -> None:
        super().__init__(
            {
                "aw_valid": Out(1),
                "aw_ready": In(1),
                "aw_address": Out(ADDRESS_BITS),
                "aw_beats": Out(9),
                "w_valid": Out(1),
                "w_ready": In(1),
                "w_data": Out(port_bits),
                "w_last": Out(1),
                "b_valid": In(1),
            }
        )


class StoreUnit(wiring.Component):
    """Request stage (AW), data stage (W) and responses (B), joined by the transfer, data and response queues.

    The retirement pulse of a STORE is the cycle of its last response. `hold` stops new bursts; `busy` tells that bursts
    are open.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "channels": Out(WriteChannels(a.port_bits)),
                "hold": In(1),
                "read_enable": Out(1),
                "read_bank": Out(7),
                "read_line": Out(16),
                "read_lane": Out(8),
                "beat": In(a.port_bits),
                "retire": Out(1),
                "words": Out(Words()),
                "pending": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.transfers = transfers = SyncFIFO(width=TransferLayout().size, depth=a.transfers_in_flight)
        m.submodules.bursts = bursts = SyncFIFO(width=9, depth=a.writes_in_flight)
        m.submodules.responses = responses = SyncFIFO(width=1, depth=a.writes_in_flight)
        self._request(m, transfers, bursts, responses)
        self._send(m, transfers, bursts)
        m.d.comb += [
            responses.r_en.eq(self.channels.b_valid),
            self.retire.eq(self.channels.b_valid & responses.r_data),
            self.pending.eq(transfers.r_rdy | responses.r_rdy),
            self.busy.eq(responses.r_rdy),
        ]
        return m

    def _request(self, m: Module, transfers: SyncFIFO, bursts: SyncFIFO, responses: SyncFIFO) -> None:
        channels = self.channels
        instruction = instruction_layout(Opcode.STORE)(self.issue.head)
        m.submodules.splitter = splitter = BurstSplitter(self._accelerator)
        transfer = TransferLayout()(transfers.w_data)
        m.d.comb += [
            self.issue.can_accept.eq((~splitter.active | splitter.finishing) & transfers.w_rdy),
            splitter.start.eq(self.issue.issued),
            splitter.address.eq(instruction.address),
            splitter.segments.eq(instruction.segments),
            splitter.segment_beats.eq(instruction.segment_beats),
            splitter.stride.eq(instruction.stride),
            transfers.w_en.eq(self.issue.issued),
            transfer.line.eq(instruction.line),
            transfer.row_beats.eq(instruction.row_beats),
            transfer.segments.eq(instruction.segments),
            transfer.segment_beats.eq(instruction.segment_beats),
            splitter.request.selected.eq(
                splitter.request.valid & (~channels.aw_valid | channels.aw_ready) & responses.w_rdy & ~self.hold
            ),
            responses.w_en.eq(splitter.request.selected),
            responses.w_data.eq(splitter.last),
            bursts.w_en.eq(splitter.request.selected),
            bursts.w_data.eq(splitter.request.beats),
        ]
        with m.If(splitter.request.selected):
            m.d.sync += [
                channels.aw_valid.eq(1),
                channels.aw_address.eq(splitter.request.address),
                channels.aw_beats.eq(splitter.request.beats),
            ]
        with m.Elif(channels.aw_ready):
            m.d.sync += channels.aw_valid.eq(0)

    def _send(self, m: Module, transfers: SyncFIFO, bursts: SyncFIFO) -> None:
        a, channels = self._accelerator, self.channels
        m.submodules.walker = walker = RowWalker()
        sent = Signal(9)
        burst_end, instruction_end = Signal(), Signal()
        transfer = Signal(data.StructLayout(TransferLayout().members))
        m.d.comb += [
            transfer.eq(transfers.r_data),
            walker.transfer.eq(transfer),
            walker.banks.eq(a.rows),
            walker.line_beats.eq(a.output_line_beats),
            self.read_enable.eq(bursts.r_rdy & (~channels.w_valid | channels.w_ready)),
            self.read_bank.eq(walker.bank),
            self.read_line.eq(walker.line),
            self.read_lane.eq(walker.lane),
            walker.step.eq(self.read_enable),
            burst_end.eq(sent == bursts.r_data - 1),
            bursts.r_en.eq(self.read_enable & burst_end),
            transfers.r_en.eq(self.read_enable & walker.last),
            channels.w_data.eq(self.beat),
            self.words.valid.eq(channels.w_valid & channels.w_ready),
            self.words.fold.eq(fold32(m, self.beat)),
            self.words.end.eq(self.words.valid & instruction_end),
        ]
        with m.If(self.read_enable):
            m.d.sync += [
                channels.w_valid.eq(1),
                channels.w_last.eq(burst_end),
                instruction_end.eq(walker.last),
                sent.eq(sent + 1),
            ]
            with m.If(burst_end):
                m.d.sync += sent.eq(0)
        with m.Elif(channels.w_ready):
            m.d.sync += channels.w_valid.eq(0)

"""The load unit: memory to buffers. Timing: docs/machine.md, 3.5."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.arch import Accelerator
from hw.gateware.bursts import BurstSplitter, RowWalker, TransferLayout
from hw.gateware.gather import Gather
from hw.gateware.interfaces import BeatWrite, BurstRequest, Issue, LineRead, Words, instruction_layout
from hw.gateware.popcount import fold32
from hw.isa import Buffer, Opcode


class LoadUnit(wiring.Component):
    """Request stage (bursts to the arbiter) and response stage (beats to the buffers), joined by the transfer queue.

    A beat that arrives in cycle t is written in t; the retirement pulse of a LOAD is one cycle after its last beat.
    With `gather` the first burst of each segment is offered two cycles later than without: its id is read from `ids`.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "request": Out(BurstRequest()),
                "beat_valid": In(1),
                "beat": In(a.port_bits),
                "activation": Out(BeatWrite(a.port_bits)),
                "weight": Out(BeatWrite(a.port_bits)),
                "threshold": Out(BeatWrite(a.port_bits)),
                **({name: Out(BeatWrite(a.port_bits)) for name in ("scale", "level")} if a.vector_lanes else {}),
                **({"table": Out(BeatWrite(a.port_bits))} if a.row_lanes else {}),
                **({name: Out(BeatWrite(a.port_bits)) for name in _TEXT} if a.token_lines else {}),
                **({"ids": Out(LineRead(1, a.token_line_bits))} if a.token_lines else {}),
                "retire": Out(1),
                "words": Out(Words()),
                "pending": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        instruction = instruction_layout(Opcode.LOAD)(self.issue.head)
        m.submodules.splitter = splitter = BurstSplitter(a)
        m.submodules.transfers = transfers = SyncFIFO(width=TransferLayout().size, depth=a.transfers_in_flight)
        m.submodules.walker = walker = RowWalker()
        if a.token_lines:
            self._gather(m, instruction, splitter)
        else:
            connect(m, splitter.request, flipped(self.request))
            m.d.comb += splitter.stride.eq(instruction.stride)
        transfer = TransferLayout()(transfers.w_data)
        m.d.comb += [
            self.issue.can_accept.eq((~splitter.active | splitter.finishing) & transfers.w_rdy),
            splitter.start.eq(self.issue.issued),
            transfers.w_en.eq(self.issue.issued),
            *(getattr(splitter, name).eq(instruction[name]) for name in _SPLIT_OPERANDS),
            *(transfer[name].eq(instruction[name]) for name in transfer.shape().members),
        ]
        self._respond(m, transfers, walker)
        return m

    def _gather(self, m: Module, instruction: data.View, splitter: BurstSplitter) -> None:
        """Offer the bursts of the splitter, whose segments all begin at the first address, at the places of the ids."""
        m.submodules.gather = gather = Gather(self._accelerator)
        connect(m, gather.ids, flipped(self.ids))
        m.d.comb += [
            splitter.stride.eq(Mux(instruction.gather, 0, instruction.stride)),
            gather.start.eq(self.issue.issued),
            *(getattr(gather, name).eq(instruction[name]) for name in ("gather", "token", "stride")),
            gather.segment_end.eq(self.request.selected & splitter.segment_end & ~splitter.last),
            self.request.valid.eq(splitter.request.valid & ~gather.waits),
            self.request.address.eq(splitter.request.address + gather.offset),
            self.request.beats.eq(splitter.request.beats),
            splitter.request.selected.eq(self.request.selected),
        ]

    def _respond(self, m: Module, transfers: SyncFIFO, walker: RowWalker) -> None:
        a = self._accelerator
        current = TransferLayout()(transfers.r_data)
        writes = {Buffer.ACTIVATION: self.activation, Buffer.WEIGHT: self.weight, Buffer.THRESHOLD: self.threshold}
        line_bits = {Buffer.ACTIVATION: a.line_bits, Buffer.WEIGHT: a.line_bits}
        line_bits |= {Buffer.THRESHOLD: a.threshold_line_bits}
        if a.vector_lanes:
            writes |= {Buffer.SCALE: self.scale, Buffer.LEVEL: self.level}
            line_bits |= dict.fromkeys((Buffer.SCALE, Buffer.LEVEL), a.parameter_line_bits)
        if a.row_lanes:
            writes |= {Buffer.TABLE: self.table}
            line_bits |= {Buffer.TABLE: a.table_line_bits}
        if a.token_lines:
            writes |= {Buffer.TOKEN: self.token, Buffer.WORD: self.word, Buffer.EMBEDDING: self.embedding}
            line_bits |= {Buffer.TOKEN: a.token_line_bits, Buffer.WORD: a.word_line_bits}
            line_bits |= {Buffer.EMBEDDING: a.embedding_line_bits}
        numbers = range(max(line_bits) + 1)
        banks = Array(
            {Buffer.ACTIVATION: a.rows, Buffer.WEIGHT: a.columns}.get(Buffer(number), 1) for number in numbers
        )
        line_beats = [line_bits.get(Buffer(number), a.port_bits) // a.port_bits for number in numbers]
        last_beat = Signal()
        m.d.comb += [
            walker.transfer.eq(current),
            walker.banks.eq(banks[current.buffer]),
            walker.line_beats.eq(Array(line_beats)[current.buffer]),
            walker.step.eq(self.beat_valid),
            last_beat.eq(self.beat_valid & walker.last),
            transfers.r_en.eq(last_beat),
            self.pending.eq(transfers.r_rdy),
            self.words.valid.eq(self.beat_valid),
            self.words.fold.eq(fold32(m, self.beat)),
            self.words.end.eq(last_beat),
        ]
        m.d.sync += self.retire.eq(last_beat)
        for buffer, write in writes.items():
            m.d.comb += [
                write.enable.eq(self.beat_valid & (current.buffer == buffer)),
                write.bank.eq(walker.bank),
                write.line.eq(walker.line),
                write.lane.eq(walker.lane),
                write.data.eq(self.beat),
            ]


_SPLIT_OPERANDS = ("address", "segments", "segment_beats")
_TEXT = ("token", "word", "embedding")

"""The drain unit: drained sums to bits in the output, activation or key buffer, or as they are to the sums or score
buffer.

Timing: docs/machine.md, 3.7.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.arch import Accelerator
from hw.gateware.groups import GroupCounter, Place, takes_sums
from hw.gateware.interfaces import Drain, GroupWrite, Issue, KeyWrite, LineRead, Words
from hw.gateware.popcount import fold32
from hw.gateware.row_ports import ScoreWrite
from hw.gateware.transposer import Transposer
from hw.isa import Destination


class DrainUnit(wiring.Component):
    """Take groups of rows from the drain register, compare, write bits or sums.

    A group taken in cycle t is compared in t+1 and written in t+2, a transposed tile with its last group; throughput is
    one group per cycle. The retirement pulse is three cycles after the last group was taken.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "drain": In(Drain(a)),
                "threshold": Out(LineRead(1, a.threshold_line_bits)),
                "output": Out(GroupWrite(a, a.rows)),
                "activation": Out(GroupWrite(a, a.rows)),
                **({"key": Out(KeyWrite(a))} if a.key_lines else {}),
                **({"sums": Out(GroupWrite(a, a.drain_rows, a.sum_bits))} if a.vector_lanes else {}),
                **({"scores": Out(ScoreWrite(a))} if a.row_lanes else {}),
                "retire": Out(1),
                "words": Out(Words()),
                "active": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.counter = counter = GroupCounter(a)
        connect(m, counter.issue, flipped(self.issue))
        taken, compared = Signal(Place(a)), Signal(Place(a))
        rows = Signal.like(self.drain.rows)
        bits = Signal(data.ArrayLayout(a.columns, a.drain_rows))
        done = Signal()
        totals = self._totals(m, rows)
        m.d.sync += [
            taken.eq(counter.place),
            rows.eq(self.drain.rows),
            compared.eq(taken),
            bits.eq(self._compare(totals, taken)),
            done.eq(compared.valid & compared.end),
        ]
        m.d.comb += [
            counter.full.eq(self.drain.full),
            self.drain.take.eq(counter.take),
            self.drain.release.eq(counter.release),
            self.threshold.enable.eq(counter.take),
            self.threshold.line.eq(counter.threshold_line),
            self.active.eq(counter.active),
            self.retire.eq(done),
            self.words.valid.eq(compared.valid),
            self.words.end.eq(compared.valid & compared.end),
            self.words.fold.eq(fold32(m, bits)),
        ]
        for destination, port in ((Destination.OUTPUT, self.output), (Destination.ACTIVATION, self.activation)):
            self._write(m, port, compared, bits, destination, compared.tile_rows)
        if a.key_lines:
            self._write_keys(m, compared, bits)
        if takes_sums(a):
            self._write_sums(m, compared, totals)
        return m

    def _totals(self, m: Module, rows: Signal) -> list[list[Signal]]:
        """Return D of each sum of a group of rows."""
        a = self._accelerator
        totals = []
        for index in range(a.drain_rows):
            totals.append([Signal(signed(a.sum_bits), name=f"total_{index}_{c}") for c in range(a.columns)])
            for total, count in zip(totals[-1], rows[index].sums, strict=True):
                m.d.comb += total.eq((count << 1) - rows[index].correction)
        return totals

    def _compare(self, totals: list[list[Signal]], place: Signal) -> Cat:
        """Return the bits of a group of rows beside the threshold line read for it; what is not valid gives 0."""
        a = self._accelerator
        entries = self.threshold.data[0]
        width = a.threshold_entry_bits
        result = []
        for index in range(a.drain_rows):
            for column in range(a.columns):
                entry = entries[column * width : (column + 1) * width]
                fires = totals[index][column] >= entry[: a.sum_bits].as_signed()
                result.append((fires ^ entry[width - 1]) & place.rows[index] & place.columns[column])
        return Cat(*result)

    def _write(
        self, m: Module, port: GroupWrite, place: Signal, bits: Signal, destination: Destination, banks: Value
    ) -> None:
        m.d.comb += [port.line.eq(place.line), port.position.eq(place.position), port.data.eq(bits)]
        is_bits = ~place.sums if takes_sums(self._accelerator) else 1
        with m.If(place.valid & (place.destination == destination) & is_bits):
            m.d.comb += port.banks.eq(banks)

    def _write_sums(self, m: Module, place: Signal, totals: list[list[Signal]]) -> None:
        """Write a group's sums as they are; of columns that are not valid 0. The words are those of what is written."""
        a = self._accelerator
        formed = Signal(data.ArrayLayout(data.ArrayLayout(a.sum_bits, a.columns), a.drain_rows))
        m.d.sync += [formed[r][c].eq(total) for r, row in enumerate(totals) for c, total in enumerate(row)]
        rows = []
        for row in range(a.drain_rows):
            rows.append(Signal(a.columns * a.sum_bits, name=f"written{row}"))
            m.d.comb += rows[row].eq(Cat(Mux(place.columns[c], formed[row][c], 0) for c in range(a.columns)))
        fold = fold32(m, Cat(Mux(place.rows[row], written, 0) for row, written in enumerate(rows)))
        with m.If(place.sums):
            m.d.comb += self.words.fold.eq(fold)
        to_score = place.score if a.row_lanes else Const(0)
        if a.vector_lanes:
            self._write_group(m, self.sums, place, rows, ~to_score)
        if a.row_lanes:
            self._write_group(m, self.scores.groups, place, rows, to_score)
            m.d.comb += [getattr(self.scores, n).eq(place[n]) for n in ("columns", "first", "maximum_line")]

    def _write_group(self, m: Module, port: GroupWrite, place: Signal, rows: list[Signal], chosen: Value) -> None:
        m.d.comb += [port.line.eq(place.line), port.position.eq(place.position), port.data.eq(Cat(rows))]
        with m.If(place.valid & place.sums & chosen):
            m.d.comb += port.banks.eq(place.rows)

    def _write_keys(self, m: Module, place: Signal, bits: Signal) -> None:
        """Write a group to the block of banks that its keys stand in, or all banks with the last group of a tile."""
        a = self._accelerator
        m.submodules.transposer = transposer = Transposer(a)
        blocks = [place.block == block for block in range(a.columns // a.drain_rows)]
        of_rows = Cat(blocks[c // a.drain_rows] & place.rows[c % a.drain_rows] for c in range(a.columns))
        of_columns = place.release.replicate(a.columns)
        banks = Signal(a.columns)
        with m.If(place.transpose):
            m.d.comb += banks.eq(of_columns)
        with m.Else():
            m.d.comb += banks.eq(of_rows)
        self._write(m, self.key.groups, place, bits, Destination.KEY, banks)
        m.d.comb += [
            transposer.enable.eq(place.valid & place.transpose),
            transposer.last.eq(place.release),
            transposer.tile_rows.eq(place.tile_rows),
            transposer.rows.eq(bits),
            self.key.transposed.eq(place.transpose),
            self.key.tile.eq(transposer.columns),
        ]

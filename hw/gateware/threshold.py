"""The threshold unit: drained sums to bits in the output buffer. Timing: docs/machine.md, 3.7."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, flipped

from hw.arch import Accelerator
from hw.gateware.interfaces import Drain, Issue, LineRead, Words, instruction_layout
from hw.gateware.popcount import fold32
from hw.isa import Opcode


class Place(data.StructLayout):
    """Where a group goes: what accompanies it through the compare pipeline."""

    def __init__(self, accelerator: Accelerator) -> None:
        super().__init__(
            {
                "valid": 1,
                "end": 1,
                "banks": accelerator.rows,
                "rows": accelerator.drain_rows,
                "line": 16,
                "position": 16,
            }
        )


class GroupCounter(wiring.Component):
    """Walk through (row tile, column group, drain rows) of a BINARIZE: a group in each cycle with a full drain."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "full": In(1),
                "active": Out(1),
                "take": Out(1),
                "release": Out(1),
                "threshold_line": Out(16),
                "place": Out(Place(a)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        layout = instruction_layout(Opcode.BINARIZE)
        head, held = layout(self.issue.head), Signal(layout)
        group_shift = (a.output_line_groups - 1).bit_length()
        column, rows_left, groups_left = Signal(16), Signal(16), Signal(16)
        row_line = Signal(16)
        taken = Signal(range(a.rows + 1))
        tile_rows = Signal(range(a.rows + 1))
        column_end, tile_row_end, finishing = Signal(), Signal(), Signal()
        position = Signal(17)
        m.d.comb += [
            tile_row_end.eq(rows_left <= a.rows),
            tile_rows.eq(Mux(tile_row_end, rows_left, a.rows)),
            column_end.eq(groups_left == 1),
            self.take.eq(self.active & self.full),
            self.release.eq(self.take & (tile_rows <= taken + a.drain_rows)),
            finishing.eq(self.release & column_end & tile_row_end),
            self.issue.can_accept.eq(~self.active | finishing),
            self.threshold_line.eq(held.threshold_line + column),
            position.eq(held.output_group + column),
            self.place.valid.eq(self.take),
            self.place.end.eq(finishing),
            self.place.line.eq(row_line + (position >> group_shift)),
            self.place.position.eq(position[:group_shift]),
            self.place.rows.eq(Cat(taken + index < tile_rows for index in range(a.drain_rows))),
            self.place.banks.eq(
                Cat((taken <= bank) & (bank < taken + a.drain_rows) & (bank < tile_rows) for bank in range(a.rows))
            ),
        ]
        with m.If(self.take):
            m.d.sync += taken.eq(taken + a.drain_rows)
        with m.If(self.release):
            m.d.sync += [taken.eq(0), column.eq(column + 1), groups_left.eq(groups_left - 1)]
            with m.If(column_end):
                m.d.sync += [column.eq(0), groups_left.eq(held.column_groups)]
                m.d.sync += [row_line.eq(row_line + held.output_stride), rows_left.eq(rows_left - a.rows)]
        with m.If(finishing):
            m.d.sync += self.active.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += [
                self.active.eq(1),
                held.eq(head),
                column.eq(0),
                row_line.eq(head.output_line),
                rows_left.eq(head.rows),
                groups_left.eq(head.column_groups),
            ]
        return m


class ThresholdUnit(wiring.Component):
    """Take groups of rows from the drain register, compare, write bits.

    A group taken in cycle t is compared in t+1 and written in t+2; throughput is one group per cycle. The retirement
    pulse is three cycles after the last group was taken.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "drain": In(Drain(a)),
                "threshold": Out(LineRead(1, a.threshold_line_bits)),
                "write_banks": Out(a.rows),
                "write_line": Out(16),
                "write_position": Out(16),
                "write_data": Out(data.ArrayLayout(a.columns, a.drain_rows)),
                "retire": Out(1),
                "words": Out(Words()),
                "active": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.counter = counter = GroupCounter(a)
        wiring.connect(m, counter.issue, flipped(self.issue))
        taken, compared = Signal(Place(a)), Signal(Place(a))
        rows = Signal.like(self.drain.rows)
        bits = Signal(data.ArrayLayout(a.columns, a.drain_rows))
        done = Signal()
        m.d.sync += [
            taken.eq(counter.place),
            rows.eq(self.drain.rows),
            compared.eq(taken),
            bits.eq(self._compare(rows, taken)),
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
            self.write_banks.eq(Mux(compared.valid, compared.banks, 0)),
            self.write_line.eq(compared.line),
            self.write_position.eq(compared.position),
            self.write_data.eq(bits),
            self.words.valid.eq(compared.valid),
            self.words.end.eq(compared.valid & compared.end),
            self.words.fold.eq(fold32(m, bits)),
        ]
        return m

    def _compare(self, rows: Signal, place: Signal) -> Cat:
        """Return the bits of a group of rows beside the threshold line read for it; rows not valid give 0."""
        a = self._accelerator
        entries = self.threshold.data[0]
        width = a.threshold_entry_bits
        result = []
        for index in range(a.drain_rows):
            for column in range(a.columns):
                entry = entries[column * width : (column + 1) * width]
                total = (rows[index].sums[column] << 1) - rows[index].correction
                fires = total[: a.sum_bits].as_signed() >= entry[: a.sum_bits].as_signed()
                result.append((fires ^ entry[width - 1]) & place.rows[index])
        return Cat(*result)

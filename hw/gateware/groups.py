"""The groups of a BINARIZE or a SUMS: which rows and columns are taken, where they go: docs/machine.md, section 2."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import Issue, instruction_layout
from hw.gateware.row_ports import group_bits, maximum_line_bits
from hw.isa import Destination, Opcode, SumsDestination


def takes_sums(accelerator: Accelerator) -> bool:
    """Return whether a SUMS has anywhere to go: a vector unit or a row unit."""
    return bool(accelerator.vector_lanes or accelerator.row_lanes)


class Place(data.StructLayout):
    """Where a group goes: what accompanies it through the compare pipeline.

    `tile_rows` names its rows in the tile, `rows` those of the group that are valid, `columns` the valid columns.
    `block` counts the banks of the key buffer by groups. Of a SUMS `sums` is 1, and the destination means nothing;
    `score` says that it goes to the score buffer, `first` marks the first column group and `maximum_line` is that of
    its rows.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        a = accelerator
        keys = {"release": 1, "transpose": 1, "block": range(a.columns // a.drain_rows)} if a.key_lines else {}
        super().__init__(
            {
                "valid": 1,
                "end": 1,
                "destination": 2,
                "tile_rows": a.rows,
                "rows": a.drain_rows,
                "columns": a.columns,
                "line": 16,
                "position": 16,
                **keys,
                **({"sums": 1} if takes_sums(a) else {}),
                **({"score": 1, "first": 1, "maximum_line": maximum_line_bits(a)} if a.row_lanes else {}),
            }
        )


class GroupCounter(wiring.Component):
    """Walk through (row tile, column group, drain rows): a group in each cycle with a full drain.

    The operands of a SUMS stand where those of a BINARIZE do.
    """

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
        column, rows_left, groups_left = Signal(16), Signal(16), Signal(16)
        line, position = Signal(16), Signal(17)
        taken = Signal(range(a.rows + 1))
        tile_rows = Signal(range(a.rows + 1))
        column_end, tile_row_end, finishing = Signal(), Signal(), Signal()
        spare = held.spare[: (a.columns - 1).bit_length()]
        m.d.comb += [
            tile_row_end.eq(rows_left <= a.rows),
            tile_rows.eq(Mux(tile_row_end, rows_left, a.rows)),
            column_end.eq(groups_left == 1),
            self.take.eq(self.active & self.full),
            self.release.eq(self.take & (tile_rows <= taken + a.drain_rows)),
            finishing.eq(self.release & column_end & tile_row_end),
            self.issue.can_accept.eq(~self.active | finishing),
            self.threshold_line.eq(held.threshold_line + Mux(held.shared, 0, column)),
            position.eq(held.output_group + column),
            self.place.valid.eq(self.take),
            self.place.end.eq(finishing),
            self.place.destination.eq(held.destination),
            self.place.rows.eq(Cat(taken + index < tile_rows for index in range(a.drain_rows))),
            self.place.tile_rows.eq(
                Cat((taken <= row) & (row < taken + a.drain_rows) & (row < tile_rows) for row in range(a.rows))
            ),
            self.place.columns.eq(Cat(~column_end | (spare <= a.columns - 1 - c) for c in range(a.columns))),
        ]
        self._locate(m, held, line, position)
        with m.If(self.take):
            m.d.sync += taken.eq(taken + a.drain_rows)
        with m.If(self.release):
            m.d.sync += [taken.eq(0), column.eq(column + 1), groups_left.eq(groups_left - 1)]
            with m.If(column_end):
                m.d.sync += [column.eq(0), groups_left.eq(held.column_groups)]
                m.d.sync += [line.eq(line + held.output_stride), rows_left.eq(rows_left - a.rows)]
        if a.key_lines:
            self._walk_keys(m, (head, held), line, position, column_end)
        if takes_sums(a):
            self._walk_sums(m, held, line)
        if a.row_lanes:
            self._walk_scores(m, held, column)
        with m.If(finishing):
            m.d.sync += self.active.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += [
                self.active.eq(1),
                held.eq(head),
                column.eq(0),
                line.eq(head.output_line),
                rows_left.eq(head.rows),
                groups_left.eq(head.column_groups),
            ]
        return m

    def _locate(self, m: Module, held: data.View, line: Signal, position: Signal) -> None:
        """Split a position in a line offset and a position in that line: by how many stand in a line of a buffer."""
        a, place = self._accelerator, self.place
        splits: list[tuple[Value, int]] = [(Const(1), a.output_line_groups)]
        splits.append((held.destination != Destination.OUTPUT, a.line_groups))
        if a.key_lines:
            splits.append((held.transpose, a.line_row_groups))
        if a.vector_lanes:
            splits.append((held.opcode == Opcode.SUMS, a.sum_line_groups))
        if a.row_lanes:
            splits.append((place.sums & place.score, a.score_line_groups))
        for condition, in_a_line in splits:
            shift = (in_a_line - 1).bit_length()
            with m.If(condition):
                m.d.comb += [place.line.eq(line + (position >> shift)), place.position.eq(position[:shift])]

    def _walk_sums(self, m: Module, held: data.View, line: Signal) -> None:
        """Let the line follow the groups of rows; each column group begins at the first one."""
        m.d.comb += self.place.sums.eq(held.opcode == Opcode.SUMS)
        with m.If(self.place.sums & self.take):
            m.d.sync += line.eq(Mux(self.release, held.output_line, line + held.output_stride))

    def _walk_scores(self, m: Module, held: data.View, column: Signal) -> None:
        """Give the line of the maxima: the slot, and which group of its tile's rows this is."""
        place, group = self.place, Signal(group_bits(self._accelerator))
        sums = instruction_layout(Opcode.SUMS)(Value.cast(held))
        m.d.comb += [
            place.score.eq(sums.destination == SumsDestination.SCORE),
            place.first.eq(column == 0),
            place.maximum_line.eq(Cat(group, sums.slot)),
        ]
        with m.If(self.take):
            m.d.sync += group.eq(Mux(self.release, 0, group + 1))

    def _walk_keys(
        self, m: Module, operands: tuple[data.View, data.View], line: Signal, position: Signal, column_end: Signal
    ) -> None:
        """Let the line follow the keys: from bank to bank and, after the last one, to the next line.

        Each column group of a row tile begins at the tile's first key. Transposed, the column groups are the lines.
        """
        a, (head, held) = self._accelerator, operands
        last_block = a.columns // a.drain_rows - 1
        block, tile_block, next_block = Signal(range(last_block + 1)), Signal(range(last_block + 1)), Signal(16)
        row_tile, tile_line, next_line = Signal(16), Signal(16), Signal(16)
        m.d.comb += [
            next_block.eq(block + 1),
            next_line.eq(line + Mux(held.transpose | (block == last_block), held.output_stride, 0)),
            self.place.release.eq(self.release),
            self.place.transpose.eq(held.transpose),
            self.place.block.eq(block),
        ]
        with m.If(held.transpose):
            m.d.comb += position.eq(held.output_group + row_tile)
            with m.If(self.release):
                m.d.sync += line.eq(next_line)
                with m.If(column_end):
                    m.d.sync += [line.eq(held.output_line), row_tile.eq(row_tile + 1)]
        with m.Elif(self.take & (held.destination == Destination.KEY)):
            m.d.sync += [block.eq(next_block), line.eq(next_line)]
            with m.If(self.release & column_end):
                m.d.sync += [tile_block.eq(next_block), tile_line.eq(next_line)]
            with m.Elif(self.release):
                m.d.sync += [block.eq(tile_block), line.eq(tile_line)]
        with m.If(self.issue.issued):
            m.d.sync += [
                row_tile.eq(0),
                *(register.eq(head.output_bank[(a.drain_rows - 1).bit_length() :]) for register in (block, tile_block)),
                tile_line.eq(head.output_line),
            ]

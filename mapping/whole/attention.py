"""Attention codes: the scores of queries and keys, and SOFTMAX or a threshold of each head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hw.isa import Destination, Opcode, SumsDestination, Unit
from mapping.whole.context import Context, Stored
from mapping.whole.copies import operand_of
from mapping.whole.kinds import MAX_SHIFT, Kinds
from mapping.whole.operands import heads_of
from mapping.whole.work import Area, Datum, Parcel

if TYPE_CHECKING:
    from mapping.whole.emitter import Emitter

_GAP = 20


def scores(c: Context, o: Any) -> None:
    """`scores`, and what makes codes of them: for each row tile and head its sums and SOFTMAX, or bits at once."""
    for reader in c.readers[o.name]:
        codes = _attention_codes(c, reader)
        for t, rows in enumerate(c.tiles(o.name)):
            for head in range(o.heads):
                if reader.op == "row_threshold":
                    _softmax(c, o, reader, codes, t, rows, head)
                else:
                    _head_threshold(c, o, reader, codes, t, rows, head)


def _attention_codes(c: Context, o: Any) -> list[list[Datum]]:
    """Return the data of attention codes, by row tile and head."""
    bits, lines = getattr(o, "bits", 1), c.parameters.lines_of(c.rows_of(o.name))
    if bits > c.accelerator.code_bits:
        raise c.refuse(o, f"array.code_bits must be at least {bits}, not {c.accelerator.code_bits}")
    if bits > 4:
        raise c.refuse(o, f"attention codes must be of at most 4 bits here, not {bits}")
    heads = c.value(o.name).heads
    data = [
        [Datum(f"{o.name}[{t}, {h}]", c.area("activation", bits * lines, o.name)) for h in range(heads)]
        for t in range(len(c.tiles(o.name)))
    ]
    c.stored[o.name, "attention"] = Stored([d for row in data for d in row], lines=lines, plane_lines=lines)
    return data


class _Scores:
    """The MATMUL of a row tile of queries with all keys, for one head."""

    def __init__(self, c: Context, o: Any, tile: int, rows: int, head: int) -> None:
        a, (queries, keys) = c.accelerator, o.sources
        self.kinds = Kinds(c, o, queries, keys)
        _, self.width = heads_of(c, o)
        self._queries, self._keys = operand_of(c, o, queries), operand_of(c, o, keys)
        self.left, self.left_lines = self._queries.data[tile * o.heads + head], self._queries.lines
        self.keys, self.key_lines = self._keys.data[head :: o.heads], self._keys.lines
        self.stride = o.heads * self.key_lines
        self.head, self.rows, self.count = head, rows, c.rows_of(o.name)
        self.groups = -(-self.count // a.columns)
        self.spare = self.groups * a.columns - self.count
        self.words = c.parameters.words_of(self.width)
        self.pad = 0 if self.kinds.unsigned else self.words * a.word_bits - self.width
        self.kinds.check_inputs(self.words)
        self.cycles = self.groups * max(self.words * self.kinds.pairs, -(-rows // a.drain_rows))

    def emit(self, e: Emitter) -> None:
        """Add the MATMUL."""
        left, right = self.left.line + self.head * self.left_lines, self.keys[0].line + self.head * self.key_lines
        e.add(
            Opcode.MATMUL,
            self.kinds.operands(self._queries, self._keys)
            | {"first": 1, "handover": 1, "keys": 1, "activation_line": left, "weight_line": right}
            | {"words": self.words, "pad": self.pad, "rows": self.rows, "column_groups": self.groups}
            | {"activation_stride": 0, "weight_stride": self.stride},
            [
                *(
                    ("activation", left + plane * self._queries.plane_lines, self.left_lines)
                    for plane in range(self.kinds.left_planes)
                ),
                *(
                    ("key", right + plane * self._keys.plane_lines + group * self.stride, self.key_lines)
                    for plane in range(self.kinds.right_planes)
                    for group in range(self.groups)
                ),
            ],
        )

    @property
    def shape(self) -> dict[str, int]:
        """Operands that the instruction behind it shares."""
        return {"rows": self.rows, "column_groups": self.groups, "spare": self.spare}


def _softmax(c: Context, o: Any, reader: Any, codes: list[list[Datum]], tile: int, rows: int, head: int) -> None:
    a = c.accelerator
    product = _Scores(c, o, tile, rows, head)
    if reader.shift + product.kinds.plain > MAX_SHIFT:
        raise c.refuse(reader, f"twice the scores must not need a shift above {MAX_SHIFT} here")
    row_lines = -(-product.count // a.score_line_sums)
    area = c.area("score", -(-rows // a.drain_rows) * row_lines, f"{o.name}[{tile}, {head}]")
    scored = Datum(area.name, area)
    slot = Datum(area.name, Area("slot", 1, area.name))
    parcel, table_lines = _table(c, reader)
    target = codes[tile][head]
    slices = -(-product.count // a.row_lanes)

    def sums(e: Emitter) -> None:
        product.emit(e)
        e.add(
            Opcode.SUMS,
            product.shape
            | {"destination": SumsDestination.SCORE, "slot": slot.line, "output_line": scored.line}
            | {"output_group": 0, "output_stride": row_lines},
            [],
            [("score", scored.line, area.lines), ("slot", slot.line, 1)],
        )

    def softmax(e: Emitter) -> None:
        e.add(
            Opcode.SOFTMAX,
            {"score_line": scored.line, "code_line": target.line, "keys": product.count, "rows": rows}
            | {"code_plane_stride": c.stored[reader.name, "attention"].lines, "slot": slot.line}
            | {"table_line": parcel.line, "last_entry": len(reader.table) - 1, "multiplier": reader.multiplier}
            | {
                "shift": reader.shift + product.kinds.plain,
                "planes": reader.bits,
                "level_line": parcel.line + table_lines,
            },
            [("score", scored.line, area.lines), ("slot", slot.line, 1), ("table", parcel.line, parcel.lines)],
            [("activation", target.line, target.area.lines)],
        )

    place = f"[{tile}, {head}]"
    c.add(
        o.name + place,
        Unit.ARRAY,
        product.cycles,
        sums,
        reads=[product.left, *product.keys],
        writes=[scored, slot],
        turn=c.attention_turn(o.name, 0, tile, head),
    )
    cycles = rows * (max(slices, (1 << reader.bits) - 1) + slices * reader.bits) + _GAP
    c.add(
        reader.name + place,
        Unit.ROW,
        cycles,
        softmax,
        reads=[scored, slot],
        writes=[target],
        parcels=[parcel],
        turn=c.attention_turn(o.name, 0, tile, head),
    )


def _table(c: Context, reader: Any) -> tuple[Parcel, int]:
    """Return the entries and levels of a row_threshold, and the line of them in which the levels begin."""
    name = f"{reader.name}.table"
    made = c.parameters.once(("table", reader.name), lambda: c.parameters.table(name, reader.table, reader.levels))
    return made, c.parameters.table_lines(len(reader.table))


def _head_threshold(c: Context, o: Any, reader: Any, codes: list[list[Datum]], tile: int, rows: int, head: int) -> None:
    product = _Scores(c, o, tile, rows, head)
    target = codes[tile][head]
    parcel = c.parameters.once(
        ("thresholds", reader.name, head),
        lambda: c.parameters.thresholds(
            f"{reader.name}.thresholds[{head}]",
            np.repeat(product.kinds.thresholds(reader.thresholds[head]), c.accelerator.columns),
            np.zeros(c.accelerator.columns, np.int64),
            [np.arange(c.accelerator.columns)],
        ),
    )

    def emit(e: Emitter) -> None:
        product.emit(e)
        e.add(
            Opcode.BINARIZE,
            product.shape
            | {"destination": Destination.ACTIVATION, "shared": 1, "threshold_line": parcel.line}
            | {"output_line": target.line, "output_group": 0, "output_stride": 0},
            [("threshold", parcel.line, 1)],
            [("activation", target.line, target.area.lines)],
        )

    c.add(
        f"{reader.name}[{tile}, {head}]",
        Unit.ARRAY,
        product.cycles,
        emit,
        reads=[product.left, *product.keys],
        writes=[target],
        parcels=[parcel],
        turn=c.attention_turn(o.name, 0, tile, head),
    )

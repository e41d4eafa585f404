"""Context: products of attention codes and values, and the codes that are made of their sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hw.isa import Destination, Opcode, Unit
from mapping.whole.context import Context
from mapping.whole.copies import operand_of
from mapping.whole.kinds import MAX_SHIFT, Kinds
from mapping.whole.operands import heads_of, scores_of
from mapping.whole.parameters import Packing
from mapping.whole.products import Sums
from mapping.whole.rows import Pass, codes_of
from mapping.whole.streams import planes
from mapping.whole.work import Datum, Emit, Parcel, Work

if TYPE_CHECKING:
    from mapping.whole.emitter import Emitter


class _Heads:
    """The MATMULs of attention codes and values; the channels of a head begin at a column group of their own."""

    def __init__(self, c: Context, o: Any) -> None:
        a, (codes, values) = c.accelerator, o.sources
        self.c, self.o = c, o
        self.heads, self.width = heads_of(c, o)
        self.groups = -(-self.width // a.columns)
        self.spare = self.groups * a.columns - self.width
        self.kinds = Kinds(c, o, codes, values)
        self.codes, self.values = c.stored[codes, "attention"], operand_of(c, o, values)
        rows = c.rows_of(values)
        self.stride, self.words = c.parameters.lines_of(rows), c.parameters.words_of(rows)
        self.kinds.check_inputs(self.words)
        pitch = self.groups * a.columns
        self.packing = Packing(self.heads, self.width, pitch if self.heads > 1 else self.width)

    def channels(self, head: int) -> list[np.ndarray]:
        """Return the column groups of a head."""
        return self.c.groups(np.arange(head * self.width, (head + 1) * self.width))

    def reads(self, tile: int, head: int) -> list[Datum]:
        """Return the data of a row tile and a head."""
        return [self.codes.data[tile * self.heads + head], *self.values.data[head :: self.heads]]

    def cycles(self, rows: int) -> int:
        """About how long a row tile of a head takes."""
        return self.groups * max(self.words * self.kinds.pairs, -(-rows // self.c.accelerator.drain_rows))

    def turn(self, tile: int, head: int) -> tuple[int, ...]:
        """Return the turn of the work of a row tile and a head."""
        return self.c.attention_turn(scores_of(self.c, self.o), 0, tile, head)

    def matmul(self, e: Emitter, tile: int, rows: int, head: int) -> None:
        """Add the MATMUL."""
        left = self.codes.data[tile * self.heads + head].line
        lines = self.groups * self.stride
        right = self.values.data[head].line + head * lines
        e.add(
            Opcode.MATMUL,
            self.kinds.operands(self.codes, self.values)
            | {"first": 1, "handover": 1, "keys": 1, "activation_line": left, "weight_line": right, "pad": 0}
            | {"words": self.words, "rows": rows, "column_groups": self.groups}
            | {"activation_stride": 0, "weight_stride": self.stride},
            [
                ("activation", left, self.kinds.left_planes * self.codes.plane_lines),
                *(("key", right + v * self.values.plane_lines, lines) for v in range(self.kinds.right_planes)),
            ],
        )


def context(c: Context, o: Any) -> None:
    """`context`: for each row tile and head a product, to bits of the next layer or to sums that VECTOR reads."""
    heads = _Heads(c, o)
    for reader in c.readers[o.name]:
        if reader.op == "binarize":
            _bits(heads, reader)
        elif reader.op == "quantize":
            _codes(heads, reader)
        else:
            raise c.refuse(reader, "context must become codes at once here")


def _bits(heads: _Heads, reader: Any) -> None:
    c = heads.c
    stored = codes_of(c, reader.name, heads.packing)
    for t, rows in enumerate(c.tiles(reader.name)):
        last: Work | None = None
        for head in range(heads.heads):
            parcel = _thresholds(heads, reader, head)
            last = c.add(
                f"{reader.name}[{t}, {head}]",
                Unit.ARRAY,
                heads.cycles(rows),
                _binarize(heads, (t, rows, head), parcel, stored.data[t]),
                reads=heads.reads(t, head),
                writes=[stored.data[t]],
                parcels=[parcel],
                after=[last] if last is not None else [],
                turn=heads.turn(t, head),
            )


def _thresholds(heads: _Heads, reader: Any, head: int) -> Parcel:
    parameters, thresholds = heads.c.parameters, heads.kinds.thresholds(reader.thresholds)
    name = f"{reader.name}.thresholds[{head}]"
    return parameters.once(
        ("thresholds", reader.name, head),
        lambda: parameters.thresholds(name, thresholds, reader.polarity, heads.channels(head)),
    )


def _binarize(heads: _Heads, where: tuple[int, int, int], parcel: Parcel, datum: Datum) -> Emit:
    (tile, rows, head), groups, a = where, heads.groups, heads.c.accelerator
    place = head * groups
    first, last = place // a.line_groups, (place + groups - 1) // a.line_groups

    def emit(e: Emitter) -> None:
        heads.matmul(e, tile, rows, head)
        e.add(
            Opcode.BINARIZE,
            {"destination": Destination.ACTIVATION, "threshold_line": parcel.line, "output_line": datum.line}
            | {"output_group": place, "output_stride": 0, "rows": rows, "column_groups": groups, "spare": heads.spare},
            [("threshold", parcel.line, groups)],
            [("activation", datum.line + first, last - first + 1)],
        )

    return emit


def _codes(heads: _Heads, reader: Any) -> None:
    """Codes of several bits: the sums of all heads, and a VECTOR over them and the gaps between the heads."""
    c, doubled = heads.c, heads.kinds.plain
    addends = reader.addend.astype(np.int64) << doubled
    if reader.shift + doubled > MAX_SHIFT or addends.min() < -(1 << 31) or addends.max() >= 1 << 31:
        raise c.refuse(reader, "twice the sums must not need a shift above 31 or an addend of more than 32 bits here")
    codes_of(c, reader.name, heads.packing)
    sums = Sums(c, reader.name, heads.heads * heads.groups * c.accelerator.columns)
    spread = np.zeros((2, heads.packing.bits), np.int64)
    spread[:, heads.packing.positions()] = reader.multiplier, reader.addend
    for t, rows in enumerate(c.tiles(reader.name)):
        for head in range(heads.heads):

            def emit(e: Emitter, t: int = t, rows: int = rows, head: int = head) -> None:
                heads.matmul(e, t, rows, head)
                sums.add(e, t, rows, heads.groups, heads.spare, head * heads.groups)

            c.add(
                f"{reader.name}.sums[{t}, {head}]",
                Unit.ARRAY,
                heads.cycles(rows),
                emit,
                reads=heads.reads(t, head),
                writes=[sums.data[t]],
                turn=heads.turn(t, head),
            )
        one = Pass(c, rows, heads.packing.bits)
        one.from_sums(sums.data[t])
        one.scaled(reader, spread[0], spread[1], doubled)
        planes(c, reader, one, t)

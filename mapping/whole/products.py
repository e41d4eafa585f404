"""ARRAY's and DRAIN's work: products of codes with weights, and where their sums or bits go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hw.isa import Destination, Opcode, Unit
from mapping.whole.context import Context
from mapping.whole.operands import Target, operand_targets
from mapping.whole.rows import Pass, codes_of
from mapping.whole.streams import planes, requantise
from mapping.whole.work import Datum, Emit, Parcel, Work
from model.bits import unpack
from model.operation import Operation

if TYPE_CHECKING:
    from mapping.whole.emitter import Emitter

PANEL_WORDS = 192
"""The most words of a panel, unless one column group has more: what is more urgent waits that long for the array."""


@dataclass(frozen=True)
class Panel:
    """Column groups of a product that one MATMUL makes: their channels, and the first group of its destination."""

    groups: tuple[np.ndarray, ...]
    place: int
    head: int = 0

    @property
    def spare(self) -> int:
        """Columns of the last group without a channel."""
        return int((self.groups[-1] < 0).sum())


def panels(c: Context, o: Any, channels: int, heads: int, row_lines: int) -> list[Panel]:
    """Cut the channels of a product: head by head (or all in one for heads of 1), as many groups as weights fit."""
    most = c.accelerator.weight_lines // 2 // row_lines or c.accelerator.weight_lines // row_lines
    if not most:
        have = c.accelerator.weight_lines
        raise c.refuse(o, f"buffers.weight_lines must be at least {row_lines}, not {have}")
    words = row_lines * c.accelerator.line_words
    most = min(most, c.accelerator.threshold_lines, max(1, PANEL_WORDS // words))
    result = []
    for head in range(heads):
        width = channels // heads
        groups = c.groups(np.arange(head * width, (head + 1) * width))
        starts = range(0, len(groups), most)
        result += [Panel(tuple(groups[start : start + most]), start, head) for start in starts]
    return result


class Bits(Protocol):
    """A product whose sums become bits: it is cut into panels, each with its weights and thresholds."""

    panels: list[Panel]

    def left(self, tile: int, panel: Panel, /) -> Datum:
        """Return the codes of a row tile that a panel meets."""

    def weights(self, panel: Panel) -> Parcel:
        """Return the weights of a panel."""

    def thresholds(self, o: Any, panel: Panel, /) -> Parcel:
        """Return the thresholds of a panel, for the operation that makes the bits."""

    def matmul(self, e: Emitter, tile: int, rows: int, panel: Panel) -> None:
        """Add the MATMUL of a row tile and a panel."""

    def cycles(self, rows: int, panel: Panel) -> int:
        """About how long that takes."""


class Product:
    """A matmul, one MATMUL for each row tile and panel; what follows a hand-over is given by the destination."""

    def __init__(self, c: Context, o: Any, heads: int = 1) -> None:
        self.c, self.o = c, o
        (source,) = o.sources
        self.source = c.stored[source, "flat"]
        self.packing = self.source.packing
        self.value = c.value(source)
        self.row_lines = c.parameters.lines_of(self.packing.bits)
        self.words = c.parameters.words_of(self.packing.bits)
        self.panels = panels(c, o, o.outputs, heads, self.row_lines)
        self.bits = unpack(o.weights, o.inputs)
        c.check_sums(o, self.words * c.accelerator.word_bits * ((1 << self.value.bits) - 1))
        if self.value.bits > c.accelerator.code_bits:
            raise c.refuse(o, f"array.code_bits must be at least {self.value.bits}, not {c.accelerator.code_bits}")

    def left(self, tile: int, _panel: Panel) -> Datum:
        """Return the codes of a row tile that a panel meets."""
        return self.source.data[tile]

    def weights(self, panel: Panel) -> Parcel:
        """Return the weights of a panel."""
        key = ("weights", self.o.name, panel.head, panel.place, len(self.panels))
        name = f"{self.o.name}.weights[{panel.head}, {panel.place}]"
        return self.c.parameters.once(
            key, lambda: self.c.parameters.weights(name, self.bits, panel.groups, self.packing)
        )

    def thresholds(self, o: Any, panel: Panel) -> Parcel:
        """Return the thresholds of a panel."""
        key = ("thresholds", o.name, panel.head, panel.place, len(self.panels))
        name = f"{o.name}.thresholds[{panel.head}, {panel.place}]"
        return self.c.parameters.once(
            key, lambda: self.c.parameters.thresholds(name, o.thresholds, o.polarity, panel.groups)
        )

    def matmul(self, e: Emitter, tile: int, rows: int, panel: Panel) -> None:
        """Add the MATMUL."""
        signed = self.value.set == "signed" and self.value.bits == 1
        weights, left = self.weights(panel), self.source.data[tile]
        planes = self.value.bits
        e.add(
            Opcode.MATMUL,
            {
                "unsigned": int(not signed),
                "first": 1,
                "handover": 1,
                "activation_line": left.line,
                "weight_line": weights.line,
                "words": self.words,
                "pad": self.c.parameters.pad(self.packing) if signed else 0,
                "rows": rows,
                "column_groups": len(panel.groups),
                "activation_stride": 0,
                "weight_stride": self.row_lines,
                "activation_planes": planes,
                "activation_plane_stride": self.source.plane_lines if planes > 1 else 0,
                "activation_negative": int(planes > 1 and self.value.set == "signed"),
            },
            [
                ("activation", left.line, self.row_lines * planes),
                ("weight", weights.line, len(panel.groups) * self.row_lines),
            ],
        )

    def cycles(self, rows: int, panel: Panel) -> int:
        """About how long a tile of a panel takes."""
        drain = -(-rows // self.c.accelerator.drain_rows)
        pairs = self.words * self.value.bits
        return len(panel.groups) * max(pairs, drain)


@dataclass(frozen=True)
class _Place:
    """Operands of a BINARIZE for one panel: its first line is `line` behind the datum's; the lines that it touches too.

    Pieces with the same `chain` must be written in the order in which they are made: each clears what is behind it.
    """

    operands: dict[str, int]
    line: int
    touched: tuple[tuple[int, int], ...]
    chain: tuple[int, ...]


def _place(c: Context, target: Target, tile: int, rows: int, panel: Panel, plane: int) -> _Place:
    a, count, stride, before = c.accelerator, len(panel.groups), target.stride, plane * target.plane_lines
    if target.layout == "value":
        operands = {"destination": Destination.KEY, "transpose": 1, "output_group": tile, "output_stride": stride}
        line = before + (panel.head * target.lines // stride + panel.place) * stride
        written = line + tile // a.line_row_groups
        touched = tuple((written + n * stride, 1) for n in range(count))
        return _Place(operands, line, touched, (panel.head, panel.place))
    line, first = before + panel.head * target.lines, panel.place // a.line_groups
    lines = (panel.place + count - 1) // a.line_groups - first + 1
    operands = {"output_group": panel.place, "output_stride": stride}
    blocks = 1
    if target.layout == "key":
        start, end = tile * a.rows, tile * a.rows + rows - 1
        line += start // a.columns * stride
        blocks += end // a.columns - start // a.columns
        operands |= {"destination": Destination.KEY, "output_bank": start % a.columns}
    else:
        operands["destination"] = Destination.ACTIVATION
    touched = tuple((line + first + n * stride, lines) for n in range(blocks))
    return _Place(operands, line, touched, (tile, panel.head))


def bits_of(c: Context, product: Bits, o: Any, target: Target, plane: int = 0) -> None:
    """Let the bits of a product go to the activation or key buffer, as a plane of a value."""
    latest: dict[tuple[int, ...], Work] = {}
    parts = len(target.data) // len(c.tiles(o.name))
    space = "key" if target.layout in ("key", "value") else "activation"
    for t, rows in enumerate(c.tiles(o.name)):
        for panel in product.panels:
            place = _place(c, target, t, rows, panel, plane)
            datum = target.data[t * parts + panel.head]
            before = latest.get(place.chain)
            latest[place.chain] = c.add(
                f"{o.name}[{t}, {panel.head}, {panel.place}]",
                Unit.ARRAY,
                product.cycles(rows, panel),
                _binarize(product, o, (t, rows, panel), place, datum, space),
                reads=[product.left(t, panel)],
                writes=[datum],
                parcels=[product.weights(panel), product.thresholds(o, panel)],
                after=[before] if before is not None else [],
                turn=c.attention_turn(target.scores, 1, panel.head) if target.scores else None,
            )


def _binarize(product: Bits, o: Any, where: tuple[int, int, Panel], place: _Place, datum: Datum, space: str) -> Emit:
    tile, rows, panel = where
    thresholds = product.thresholds(o, panel)

    def emit(e: Emitter) -> None:
        product.matmul(e, tile, rows, panel)
        places = {"threshold_line": thresholds.line, "output_line": datum.line + place.line}
        e.add(
            Opcode.BINARIZE,
            {"rows": rows, "column_groups": len(panel.groups), "spare": panel.spare} | place.operands | places,
            [("threshold", thresholds.line, len(panel.groups))],
            [(space, datum.line + first, lines) for first, lines in place.touched],
        )

    return emit


class Sums:
    """Rows of sums in the sums buffer, for an operation that VECTOR makes of them: a datum for each row tile."""

    def __init__(self, c: Context, name: str, channels: int) -> None:
        a = c.accelerator
        self._row_lines = -(-channels // a.sum_line_sums)
        lines = [-(-rows // a.drain_rows) * self._row_lines for rows in c.tiles(name)]
        areas = [c.area("sums", count, f"{name}.sums") for count in lines]
        self.data = [Datum(f"{name}.sums[{t}]", area) for t, area in enumerate(areas)]

    def add(self, e: Emitter, tile: int, rows: int, groups: int, spare: int, place: int) -> None:
        """Add the SUMS behind a MATMUL, whose first column group goes to a place in the rows."""
        datum = self.data[tile]
        e.add(
            Opcode.SUMS,
            {"output_line": datum.line, "output_group": place, "output_stride": self._row_lines}
            | {"rows": rows, "column_groups": groups, "spare": spare},
            [],
            [("sums", datum.line, datum.area.lines)],
        )


def sums_of(c: Context, product: Product, o: Any) -> list[Datum]:
    """Let the sums of a product go to the sums buffer, for the operation o; return one datum for each row tile."""
    sums = Sums(c, o.name, product.o.outputs)
    for t, rows in enumerate(c.tiles(o.name)):
        for panel in product.panels:

            def emit(e: Emitter, t: int = t, rows: int = rows, panel: Panel = panel) -> None:
                product.matmul(e, t, rows, panel)
                sums.add(e, t, rows, len(panel.groups), panel.spare, panel.place)

            c.add(
                f"{o.name}.sums[{t}, {panel.place}]",
                Unit.ARRAY,
                product.cycles(rows, panel),
                emit,
                reads=[product.source.data[t]],
                writes=[sums.data[t]],
                parcels=[product.weights(panel)],
            )
    return sums.data


def matmul(c: Context, o: Operation) -> None:
    """`matmul`, once for each operation that reads its sums."""
    for reader in c.readers[o.name]:
        if reader.op == "binarize":
            _binarized(c, o, reader)
        elif reader.op == "requantise":
            requantise(c, reader, sums_of(c, Product(c, o), reader))
        elif reader.op == "quantize":
            _quantized(c, o, reader)
        else:
            raise c.refuse(reader, "the machine cannot read the sums of a matmul so")


def _quantized(c: Context, o: Operation, reader: Any) -> None:
    data = sums_of(c, Product(c, o), reader)
    for t, rows in enumerate(c.tiles(reader.name)):
        one = Pass(c, rows, c.value(reader.name).channels)
        one.from_sums(data[t])
        one.scaled(reader, reader.multiplier, reader.addend)
        planes(c, reader, one, t)


def _binarized(c: Context, o: Operation, reader: Any) -> None:
    for target, heads in operand_targets(c, reader):
        bits_of(c, Product(c, o, heads), reader, target)
    if any(r.op in ("matmul", "first", "concatenate") for r in c.readers[reader.name]):
        flat = codes_of(c, reader.name)
        bits_of(c, Product(c, o), reader, Target("flat", tuple(flat.data), flat.plane_lines, flat.plane_lines))

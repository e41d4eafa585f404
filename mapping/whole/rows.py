"""Fixed rows: where they stand, the passes of VECTOR over a row tile, codes of rows, `mean` and `first`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hw.isa import Opcode, Source, Unit
from mapping.whole.context import Context, Stored
from mapping.whole.parameters import Packing, flat
from mapping.whole.work import Datum, Parcel, Work
from model.operation import Operation
from model.operations import Binarize

if TYPE_CHECKING:
    from mapping.whole.emitter import Emitter

SETS = 3
_SETTLE = 20
"""Cycles that statistics hold up what comes behind them."""

SPACE = "fixed"


def fixed_of(c: Context, name: str) -> Stored:
    """Return a fixed value as it stands in the fixed buffer."""
    return c.stored[name, SPACE]


def keep(c: Context, name: str, over: str | None = None) -> Stored:
    """Make room for a fixed value: an area of its own, or the lines of a value that nobody reads any more behind it."""
    slices, height = c.slices(c.value(name).channels), c.accelerator.rows
    old = None if over is None else fixed_of(c, over)
    if old is not None and not old.shared:
        data = [Datum(f"{name}[{t}]", d.area, d.offset, replaces=d) for t, d in enumerate(old.data)]
    else:
        area = c.area(SPACE, c.rows_of(name) * slices, name)
        data = [Datum(f"{name}[{t}]", area, t * height * slices) for t in range(len(c.tiles(name)))]
    c.stored[name, SPACE] = Stored(data)
    return c.stored[name, SPACE]


def next_codes(c: Context, name: str) -> list[Binarize]:
    """Return operations that make 1-bit codes of a fixed value for this member: as many as one VECTOR can write.

    What codes other members need is made with them.
    """
    makers = [o for o in c.readers[name] if isinstance(o, Binarize) and o.name in c.needed]
    return [o for o in makers if o.name not in c.done][:SETS]


class Pass:
    """One VECTOR over one row tile, put together step by step; `emit` adds it to a program."""

    def __init__(self, c: Context, rows: int, channels: int) -> None:
        self.c, self.rows, self.channels = c, rows, channels
        self.slices = c.slices(channels)
        self.operands: dict[str, int] = {"rows": rows, "channels": channels}
        self.lines: dict[str, tuple[Any, int]] = {}
        self.reads: list[tuple[str, str, int]] = []
        self.writes: list[tuple[str, str, int]] = []
        self.data: list[Datum] = []
        self.made: list[Datum] = []
        self.parcels: list[Parcel] = []

    def read(self, operand: str, item: Datum | Parcel, space: str, lines: int, offset: int = 0) -> None:
        """Let an operand be a line of a datum or parcel, from which on so many lines are read."""
        self.lines[operand] = (item, offset)
        self.reads.append((operand, space, lines))
        if isinstance(item, Parcel):
            self.parcels.append(item)
        else:
            self.data.append(item)

    def write(self, operand: str, item: Datum, space: str, lines: int, offset: int = 0) -> None:
        """Let an operand be a line of a datum, from which on so many lines are written."""
        self.lines[operand] = (item, offset)
        self.writes.append((operand, space, lines))
        self.made.append(item)

    def from_fixed(self, datum: Datum) -> None:
        """Read fixed rows."""
        self.operands["source"] = Source.FIXED
        self.read("source_line", datum, SPACE, self.rows * self.slices)

    def from_sums(self, datum: Datum) -> None:
        """Read the sums of a row tile."""
        a = self.c.accelerator
        self.operands["source"] = Source.SUMS
        row_lines = -(-self.channels // a.sum_line_sums)
        self.read("source_line", datum, "sums", -(-self.rows // a.drain_rows) * row_lines)

    def scaled(self, operation: Any, multiplier: Any, addend: Any, doubled: int = 0) -> None:
        """Multiply, add and shift with the parameters of an operation; `doubled` if the value is twice its own."""
        parcel = self.c.parameters.once(
            ("scale", operation.name),
            lambda: self.c.parameters.scales(f"{operation.name}.scale", multiplier, addend.astype(np.int64) << doubled),
        )
        self.operands |= {"scale": 1, "shift": operation.shift + doubled}
        self.read("scale_line", parcel, "scale", self.slices)

    def coded(self, makers: list[Binarize], tile: int) -> None:
        """Write 1-bit codes, a set for each operation that makes some."""
        if not makers:
            return
        self.c.done.update(o.name for o in makers)
        parcel = self.c.parameters.once(
            ("level", tuple(o.name for o in makers)),
            lambda: self.c.parameters.levels(
                f"{makers[0].name}.levels",
                [(o.thresholds, o.polarity) for o in makers],
            ),
        )
        self.operands["sets"] = len(makers)
        self.read("level_line", parcel, "level", self.slices)
        for operand, maker in zip(("code_line", "code_line_1", "code_line_2"), makers, strict=False):
            datum = codes_of(self.c, maker.name).data[tile]
            self.write(operand, datum, "activation", datum.area.lines)

    def emit(self, e: Emitter) -> None:
        """Add the instruction."""
        lines = {operand: item.line + offset for operand, (item, offset) in self.lines.items()}
        reads = [(space, lines[operand], count) for operand, space, count in self.reads]
        writes = [(space, lines[operand], count) for operand, space, count in self.writes]
        statistics = bool(self.operands.get("statistics"))
        e.add(Opcode.VECTOR, self.operands | lines, reads, writes, settles=statistics)

    @property
    def cycles(self) -> int:
        """About how long it takes."""
        steps = self.rows * self.slices * max(1, self.operands.get("sets", 0)) * self.operands.get("planes", 1)
        return steps + (_SETTLE if self.operands.get("statistics") else 0)


def codes_of(c: Context, name: str, packing: Packing | None = None) -> Stored:
    """Return codes of rows in the activation buffer, one tile after the other.

    The first call decides where in a row the channels stand: as a packing says, or without gaps.
    """
    key = (name, "flat")
    if key not in c.stored:
        value = c.value(name)
        packing = packing or flat(value.channels)
        lines = c.parameters.lines_of(packing.bits)
        tiles = range(len(c.tiles(name)))
        data = [Datum(f"{name}[{t}]", c.area("activation", lines * value.bits, name)) for t in tiles]
        c.stored[key] = Stored(data, packing, plane_lines=lines)
    return c.stored[key]


def add_passes(c: Context, name: str, passes: list[Pass]) -> Work:
    """Append one or more passes over a row tile as one work."""

    def emit(e: Emitter) -> None:
        for one in passes:
            one.emit(e)

    made = [datum for one in passes for datum in one.made]
    reads = [datum for one in passes for datum in one.data if datum not in made]
    parcels = [parcel for one in passes for parcel in one.parcels]
    return c.add(name, Unit.VECTOR, sum(one.cycles for one in passes), emit, reads=reads, writes=made, parcels=parcels)


def mean(c: Context, o: Operation) -> None:
    """`mean`: MEAN over all rows of the run."""
    (source,) = o.sources
    n, channels = c.rows_of(source), c.value(source).channels
    slices, exponent = c.slices(channels), (n - 1).bit_length()
    factor = ((1 << 14 + exponent) + n // 2) // n
    stored, target = fixed_of(c, source), keep(c, o.name)
    operands = {"multiplier": factor, "shift": 14 + exponent, "rows": n, "channels": channels}

    def emit(e: Emitter) -> None:
        line, to = stored.data[0].line, target.data[0].line
        e.add(
            Opcode.MEAN,
            operands | {"source_line": line, "fixed_line": to},
            [(SPACE, line, n * slices)],
            [(SPACE, to, slices)],
        )

    c.add(o.name, Unit.VECTOR, n * slices, emit, reads=stored.data, writes=target.data)


def first(c: Context, o: Operation) -> None:
    """`first`: the first row, where it stands."""
    (source,) = o.sources
    for layout in (SPACE, "flat"):
        if (source, layout) in c.stored:
            stored = c.stored[source, layout]
            c.stored[o.name, layout] = replace(stored, data=stored.data[:1], shared=True)

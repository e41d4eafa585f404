"""Fixed values of two others, `add`, `maximum` and `multiply`, and of one by a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hw.isa import Opcode, Source, Unit
from mapping.whole.context import Context
from mapping.whole.rows import SPACE, Pass, add_passes, fixed_of, keep
from mapping.whole.streams import begin

if TYPE_CHECKING:
    from mapping.whole.emitter import Emitter


def combine(c: Context, o: Any) -> None:
    """`add`, `maximum` or `multiply` of two values that are there, unless it was made with what one of them is."""
    if o.name in c.done:
        return
    if len({c.value(source).channels for source in o.sources}) > 1:
        _row_by_row(c, o)
        return
    left, right = (fixed_of(c, source) for source in o.sources)
    passes = []
    for t, rows in enumerate(c.tiles(o.name)):
        one = _pass(c, o, rows)
        one.read("source_line", left.data[t], SPACE, rows * one.slices)
        one.read("add_line", right.data[t], SPACE, rows * one.slices)
        passes.append(one)
    begin(c, o.name, passes)


def _pass(c: Context, o: Any, rows: int) -> Pass:
    one = Pass(c, rows, c.value(o.name).channels)
    one.operands["source"] = Source.FIXED
    match o.op:
        case "multiply":
            one.operands |= {"scale": 1, "multiply": 1, "shift": o.shift}
        case "maximum":
            one.operands |= {"add": 1, "maximum": 1}
        case _:
            one.operands["add"] = 1
    return one


def _row_by_row(c: Context, o: Any) -> None:
    """Combine the first channels of values of different widths: a VECTOR takes rows of one width, so one row each."""
    c.done.add(o.name)
    stored, sources = keep(c, o.name), [fixed_of(c, source) for source in o.sources]
    widths = [c.slices(c.value(source).channels) for source in o.sources]
    for t, rows in enumerate(c.tiles(o.name)):
        passes = []
        for r in range(rows):
            one = _pass(c, o, 1)
            for operand, source, width in zip(("source_line", "add_line"), sources, widths, strict=True):
                one.read(operand, source.data[t], SPACE, one.slices, r * width)
            one.operands["keep"] = 1
            one.write("fixed_line", stored.data[t], SPACE, one.slices, r * one.slices)
            passes.append(one)
        add_passes(c, f"{o.name}[{t}]", passes)


def table(c: Context, o: Any) -> None:
    """`table`: one channel after the other, over the lines of the value where nothing else reads it."""
    (source,) = o.sources
    channels, stored = c.value(o.name).channels, fixed_of(c, source)
    target = keep(c, o.name, source if len(c.readers[source]) == 1 else None)
    pieces = c.parameters.once(("pieces", o.name), lambda: c.parameters.pieces(f"{o.name}.pieces", o.entries, o.shift))
    for t, rows in enumerate(c.tiles(o.name)):
        old, new, lines = stored.data[t], target.data[t], rows * c.slices(channels)

        def emit(e: Emitter, old: Any = old, new: Any = new, rows: int = rows, lines: int = lines) -> None:
            e.add(
                Opcode.TABLE,
                {"source_line": old.line, "fixed_line": new.line, "table_line": pieces.line}
                | {"channels": channels, "rows": rows, "shift": o.shift},
                [(SPACE, old.line, lines), ("scale", pieces.line, pieces.lines)],
                [(SPACE, new.line, lines)],
            )

        c.add(f"{o.name}[{t}]", Unit.VECTOR, rows * channels, emit, reads=[old], writes=[new], parcels=[pieces])

"""Footprints of VECTOR, MEAN, TABLE, CLASSIFY and SOFTMAX."""

from __future__ import annotations

from hw.isa import Source, Vote
from mapping.footprints.base import MAX_CHANNELS, Box, Footprint, Put, Sizes, Where, span, tiles

MAX_EPSILON = (1 << 31) - 1
MAX_KEYS = MAX_MEAN_ROWS = 1024
MAX_MEAN_SHIFT = 24
MEAN_FACTOR = 1 << 15
MAX_TABLE_ROWS = 64
MAX_TABLE_SHIFT = 8
TABLE_PIECES = 256
SOFTMAX_PLANES = (1, 2, 4)

Read = tuple[str, Box]


def _slices(sizes: Sizes, where: Where) -> int:
    """Check `channels` and return how many slices they are."""
    where.require(sizes.accelerator.vector_lanes, "vector_lanes", f"at least 1 for {where.instruction.opcode.name}", 0)
    where.at_most("channels", MAX_CHANNELS)
    return -(-where["channels"] // sizes.accelerator.vector_lanes)


def vector(sizes: Sizes, where: Where) -> Footprint:
    """Return what a VECTOR touches."""
    a, slices = sizes.accelerator, _slices(sizes, where)
    where.at_most("rows", a.rows, "the array's ")
    where.at_most("epsilon", MAX_EPSILON)
    where.require(where["source"] <= Source.EMBEDDING, "source", "sums (0), fixed (1) or embedding (2)", 3)
    source = Source(where["source"])
    where.require(
        source is not Source.EMBEDDING or sizes.lines["embedding"],
        "source",
        "sums (0) or fixed (1) where there is no token buffer",
        int(source),
    )
    _check_steps(where, source)
    _check_operation(where)
    _check_planes(sizes, where)
    steps = where["rows"] * slices
    reads = list(_sources(sizes, where, source, slices))
    if where["scale"] and not where["multiply"]:
        reads.append(("scale", Box(1, where["scale_line"], slices)))
    if where["add"] or where["multiply"]:
        reads.append(("fixed", Box(1, where["add_line"], steps)))
    if where["sets"] and where["planes"] == 1:
        reads.append(("level", Box(1, where["level_line"], slices)))
    writes = list(_codes(sizes, where, slices))
    if where["keep"]:
        writes.append(Put("fixed", Box(1, where["fixed_line"], steps)))
        _check_replaced(where, source, steps)
    return _inside(sizes, where, reads, writes)


def _check_steps(where: Where, source: Source) -> None:
    """Check which steps can be taken together."""
    if source is not Source.FIXED:
        where.zero("normalise", "where source is not fixed (1)")
    if source is Source.EMBEDDING:
        for name in ("scale", "add", "maximum", "multiply"):
            where.zero(name, "where source is embedding (2)")
    else:
        where.zero("typed", "where source is not embedding (2)")
    wide = "where normalise is 1" if where["normalise"] else "where source is sums (0)"
    if not where["scale"] and (where["normalise"] or source is Source.SUMS):
        for name in ("add", "keep", "statistics"):
            where.zero(name, f"{wide} without scale")


def _check_operation(where: Where) -> None:
    """Check what is made of the numbers of `add_line`."""
    if not where["add"]:
        where.zero("maximum", "where add is 0")
    if not where["scale"]:
        where.zero("multiply", "where scale is 0")
    if where["multiply"]:
        where.zero("add", "where multiply is 1")


def _check_planes(sizes: Sizes, where: Where) -> None:
    where.at_most("planes", sizes.accelerator.code_bits, "code_bits, ")
    if where["planes"] == 1:
        return
    where.require(where["scale"], "scale", "1 where planes is more than 1", 0)
    where.require(where["sets"] == 1, "sets", "1 where planes is more than 1", where["sets"])
    for name in ("normalise", "add", "keep", "statistics"):
        where.zero(name, "where planes is more than 1")


def _check_replaced(where: Where, source: Source, steps: int) -> None:
    """Check that no step reads what another step of the instruction writes."""
    for name, there in (("source_line", source is Source.FIXED), ("add_line", where["add"] or where["multiply"])):
        if there:
            _apart(where, name, steps)


def _apart(where: Where, name: str, lines: int) -> None:
    """Check that as many lines as are written, from another one on, are the same ones or none of them."""
    line, written = where[name], where["fixed_line"]
    apart = line == written or abs(line - written) >= lines
    where.require(apart, name, f"fixed_line {written} or at least {lines} lines away from it", line)


def _sources(sizes: Sizes, where: Where, source: Source, slices: int) -> list[Read]:
    a, line, rows = sizes.accelerator, where["source_line"], where["rows"]
    if source is Source.FIXED:
        return [("fixed", Box(1, line, rows * slices))]
    if source is Source.SUMS:
        row = -(-where["channels"] // a.sum_line_sums) * a.sum_line_groups
        groups = -(-where["channels"] // a.columns)
        return [("sums", box) for box in tiles(line * a.sum_line_groups, row, groups, rows, a.drain_rows)]
    word = 1 + -(-slices // a.word_line_slices)
    return [
        ("word", Box(1, line, rows * word)),
        ("embedding", Box(1, where["add_line"], rows * slices)),
        ("embedding", Box(1, where["scale_line"], slices * (rows if where["typed"] else 1))),
    ]


def _codes(sizes: Sizes, where: Where, slices: int) -> list[Put]:
    a, sets, planes = sizes.accelerator, where["sets"], where["planes"]
    if not sets:
        return []
    start, lines, low, high = span(where["code_group"], slices, a.line_slices)
    low, high, rows = low * a.vector_lanes, high * a.vector_lanes, where["rows"]
    line = where["code_line"]
    if planes > 1:
        _plane_stride(where, "code_line_1", lines)
        box = Box(rows, line + start, lines, ((planes, where["code_line_1"]),))
        return [Put("activation", box, low, high)]
    names = ("code_line", "code_line_1", "code_line_2")[:sets]
    for index, name in enumerate(names):
        for other in names[:index]:
            apart = abs(where[name] - where[other]) >= lines
            where.require(apart, name, f"at least {lines} lines away from {other} {where[other]}", where[name])
    return [Put("activation", Box(rows, where[name] + start, lines), low, high) for name in names]


def _plane_stride(where: Where, name: str, lines: int) -> None:
    where.require(where[name] >= lines, name, f"at least the {lines} lines of a plane", where[name])


def mean(sizes: Sizes, where: Where) -> Footprint:
    """Return what a MEAN touches."""
    slices = _slices(sizes, where)
    where.at_most("rows", MAX_MEAN_ROWS)
    where.at_most("shift", MAX_MEAN_SHIFT)
    where.at_most("multiplier", MEAN_FACTOR - 1)
    read, written = Box(1, where["source_line"], where["rows"] * slices), Box(1, where["fixed_line"], slices)
    apart = written.stop <= read.start or written.start >= read.stop
    where.require(
        apart, "fixed_line", f"apart from the lines {read.start}-{read.stop - 1} that are read", written.start
    )
    return _inside(sizes, where, [("fixed", read)], [Put("fixed", written)])


def table(sizes: Sizes, where: Where) -> Footprint:
    """Return what a TABLE touches."""
    lines = where["rows"] * _slices(sizes, where)
    where.at_most("rows", MAX_TABLE_ROWS)
    where.at_most("shift", MAX_TABLE_SHIFT)
    _apart(where, "source_line", lines)
    pieces = Box(1, where["table_line"], -(-TABLE_PIECES // sizes.accelerator.vector_lanes))
    reads = [("fixed", Box(1, where["source_line"], lines)), ("scale", pieces)]
    return _inside(sizes, where, reads, [Put("fixed", Box(1, where["fixed_line"], lines))])


def classify(sizes: Sizes, where: Where) -> Footprint:
    """Return what a CLASSIFY touches."""
    slices, classes = _slices(sizes, where), where["classes"]
    where.at_most("classes", sizes.accelerator.classes, "the accelerator's ")
    where.require(where["vote"] <= Vote.MEAN, "vote", "soft (0), hard (1) or mean (2)", where["vote"])
    if where["vote"] == Vote.SOFT:
        where.require(where["bound"], "bound", "at least 1 where vote is soft (0)", 0)
    if where["vote"] == Vote.MEAN:
        where.require(classes == 1, "classes", "1 where vote is mean (2)", classes)
    reads = [
        ("fixed", Box(1, where["source_line"], slices)),
        ("scale", Box(1, where["scale_line"], -(-classes // 8) * slices + classes)),
    ]
    return _inside(sizes, where, reads, [Put("output", Box(1, where["output_line"], classes))])


def softmax(sizes: Sizes, where: Where) -> Footprint:
    """Return what a SOFTMAX touches."""
    a, keys, planes, rows = sizes.accelerator, where["keys"], where["planes"], where["rows"]
    where.require(a.row_lanes, "row_lanes", "at least 1 for SOFTMAX", 0)
    where.at_most("rows", a.rows, "the array's ")
    where.at_most("keys", MAX_KEYS)
    where.require(planes in SOFTMAX_PLANES, "planes", "1, 2 or 4", planes)
    where.at_most("planes", a.code_bits, "code_bits, ")
    where.at_most("slot", a.score_slots - 1)
    row = -(-keys // a.score_line_sums) * a.score_line_groups
    first = where["score_line"] * a.score_line_groups
    scores = tiles(first, row, -(-keys // a.columns), rows, a.drain_rows)
    reads = [("score", box) for box in scores]
    reads.append(("slot", Box(1, where["slot"], 1)))
    entries = -(-(where["last_entry"] + 1) * 16 // a.table_line_bits)
    levels = -(-((1 << planes) - 1) * 32 // a.table_line_bits)
    reads += [("table", Box(1, where["table_line"], entries)), ("table", Box(1, where["level_line"], levels))]
    start, lines, low, high = span(where["code_group"], -(-keys // a.row_lanes), a.line_row_slices)
    repeats: tuple[tuple[int, int], ...] = ()
    if planes > 1:
        _plane_stride(where, "code_plane_stride", lines)
        repeats = ((planes, where["code_plane_stride"]),)
    box = Box(rows, where["code_line"] + start, lines, repeats)
    codes = Put("activation", box, low * a.row_lanes, high * a.row_lanes)
    return _inside(sizes, where, reads, [codes], together=True)


def _inside(sizes: Sizes, where: Where, reads: list[Read], writes: list[Put], together: bool = False) -> Footprint:
    for name, box in reads:
        sizes.inside(where, name, (box,))
    for put in writes:
        sizes.inside(where, put.space, (put.box,))
    return Footprint(tuple(reads), tuple(writes), together=together)

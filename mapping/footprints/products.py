"""Footprints of MATMUL, BINARIZE and SUMS."""

from __future__ import annotations

from hw.isa import Destination, SumsDestination
from mapping.footprints.base import Box, Footprint, Put, Sizes, Where, span, tiles


def row_tiles(sizes: Sizes, where: Where) -> int:
    """Return the number of row tiles of a MATMUL, BINARIZE or SUMS."""
    return -(-where["rows"] // sizes.accelerator.rows)


def largest_product(where: Where) -> int:
    """Return what one input of a MATMUL can add to a sum, with its planes and `plain`."""
    return ((1 << where["activation_planes"]) - 1) * ((1 << where["weight_planes"]) - 1) << where["plain"]


def matmul(sizes: Sizes, where: Where, spare: int) -> Footprint:
    """Return what a MATMUL touches; `spare` columns of its last column group do not matter to anybody."""
    a = sizes.accelerator
    single = row_tiles(sizes, where) == 1 and where["column_groups"] == 1
    whole = where["first"] and where["handover"]
    where.require(single or whole, "rows and column_groups", "one tile without first and handover", "more")
    _check_kind(sizes, where)
    left = (where["activation_planes"], where["activation_plane_stride"])
    right = (where["weight_planes"], where["weight_plane_stride"])
    length = -(-where["words"] // a.line_words)
    activations = tiles(where["activation_line"], where["activation_stride"], length, where["rows"], a.rows, left)
    columns = where["column_groups"] * a.columns - min(spare, a.columns - 1)
    weights = tiles(where["weight_line"], where["weight_stride"], length, columns, a.columns, right)
    name = "key" if where["keys"] else "weight"
    sizes.inside(where, "activation", activations)
    sizes.inside(where, name, weights)
    return Footprint((*[("activation", box) for box in activations], *[(name, box) for box in weights]))


def _check_kind(sizes: Sizes, where: Where) -> None:
    """Check set, padding and planes."""
    a, unsigned = sizes.accelerator, where["unsigned"]
    pad_limit = a.word_bits if where["first"] and not unsigned else 1
    where.require(where["pad"] < pad_limit, "pad", f"less than {pad_limit} here", where["pad"])
    if where["keys"] and not a.key_lines:
        where.zero("keys", "where there is no key buffer")
    if not unsigned:
        where.zero("plain", "where unsigned is 0")
    whole = unsigned and where["first"] and where["handover"]
    for side in ("activation", "weight"):
        planes, negative = f"{side}_planes", f"{side}_negative"
        where.at_most(planes, a.code_bits, "code_bits, ")
        if not whole:
            where.require(where[planes] == 1, planes, "1 where unsigned, first or handover is 0", where[planes])
            where.zero(negative, "where unsigned, first or handover is 0")
        if a.code_bits == 1:
            where.zero(negative, "where code_bits is 1")
    if not where["plain"]:
        where.require(where["weight_planes"] == 1, "weight_planes", "1 where plain is 0", where["weight_planes"])


def binarize(sizes: Sizes, where: Where) -> Footprint:
    """Return what a BINARIZE touches."""
    a, groups = sizes.accelerator, where["column_groups"]
    legal = where["destination"] <= (Destination.KEY if a.key_lines else Destination.ACTIVATION)
    names = "output (0), activation (1) or key (2)" if a.key_lines else "output (0) or activation (1)"
    where.require(legal, "destination", names, where["destination"])
    _check_spare(sizes, where)
    thresholds = Box(1, where["threshold_line"], 1 if where["shared"] else groups)
    sizes.inside(where, "threshold", (thresholds,))
    destination = Destination(where["destination"])
    if destination is not Destination.KEY:
        where.zero("transpose", "where destination is not key (2)")
    if destination is not Destination.KEY or where["transpose"]:
        where.zero("output_bank", "where no rows go to the key buffer")
    if destination is not Destination.KEY:
        writes = _put_rows(sizes, where, destination.name.lower())
    elif where["transpose"]:
        writes = _put_transposed(sizes, where)
    else:
        writes = _put_keys(sizes, where)
    sizes.inside(where, destination.name.lower(), [put.box for put in writes])
    return Footprint((("threshold", thresholds),), writes)


def _put_rows(sizes: Sizes, where: Where, name: str) -> tuple[Put, ...]:
    """Return the positions of rows in the banks of the array's rows."""
    a = sizes.accelerator
    start, lines, low, high = span(where["output_group"], where["column_groups"], sizes.line_bits[name] // a.columns)
    _check_stride(where, row_tiles(sizes, where), lines)
    boxes = tiles(where["output_line"] + start, where["output_stride"], lines, where["rows"], a.rows)
    return _puts(name, boxes, lines, low * a.columns, high * a.columns)


def _puts(name: str, boxes: tuple[Box, ...], lines: int, low: int, high: int) -> tuple[Put, ...]:
    """Return boxes with the bits of their lines; boxes of several tiles in one piece are cut up again."""
    return tuple([Put(name, box if box.length == lines else _cut(box, lines), low, high) for box in boxes])


def _cut(box: Box, lines: int) -> Box:
    return box._replace(length=lines, repeats=((box.length // lines, lines), *box.repeats))


def _put_transposed(sizes: Sizes, where: Where) -> tuple[Put, ...]:
    """Return the positions of columns in all banks: row tiles one behind the other, a line for each column group."""
    a = sizes.accelerator
    start, lines, low, high = span(where["output_group"], row_tiles(sizes, where), a.line_row_groups)
    _check_stride(where, where["column_groups"], lines)
    columns = where["column_groups"] * a.columns
    boxes = tiles(where["output_line"] + start, where["output_stride"], lines, columns, a.columns)
    return _puts("key", boxes, lines, low * a.rows, high * a.rows)


def _put_keys(sizes: Sizes, where: Where) -> tuple[Put, ...]:
    """Return the positions of keys, which go round the banks of the array's columns from `output_bank` on."""
    a, bank, rows = sizes.accelerator, where["output_bank"], where["rows"]
    together = min(a.rows, a.columns)
    where.require(
        bank < a.columns and bank % together == 0,
        "output_bank",
        f"a multiple of {together} below the {a.columns} columns",
        bank,
    )
    start, lines, low, high = span(where["output_group"], where["column_groups"], a.line_groups)
    _check_stride(where, -(-(bank + rows) // a.columns), lines)
    line, stride = where["output_line"] + start, where["output_stride"]
    boxes: tuple[Box, ...] = ()
    if bank:
        first = min(rows, a.columns - bank)
        boxes, rows, line = (Box(first, line, lines, bank=bank),), rows - first, line + stride
    if rows:
        boxes += tiles(line, stride, lines, rows, a.columns)
    return _puts("key", boxes, lines, low * a.columns, high * a.columns)


def sums(sizes: Sizes, where: Where) -> Footprint:
    """Return what a SUMS touches."""
    a, destination = sizes.accelerator, SumsDestination(where["destination"])
    name = destination.name.lower()
    where.require(
        sizes.lines[name], "destination", f"other than {name} where there is no {name} buffer", int(destination)
    )
    where.at_most("rows", a.rows, "the array's ")
    _check_spare(sizes, where)
    parts = sizes.parts[name]
    start, lines, low, _ = span(where["output_group"], where["column_groups"], parts)
    _check_stride(where, -(-where["rows"] // a.drain_rows), lines)
    first = (where["output_line"] + start) * parts + low
    boxes = tiles(first, where["output_stride"] * parts, where["column_groups"], where["rows"], a.drain_rows)
    sizes.inside(where, name, boxes)
    writes = [Put(name, box) for box in boxes]
    if destination is SumsDestination.SUMS:
        where.zero("slot", "where destination is sums (0)")
    else:
        slot = Box(1, where["slot"], 1)
        where.at_most("slot", a.score_slots - 1)
        writes.append(Put("slot", slot))
    return Footprint(writes=tuple(writes))


def _check_spare(sizes: Sizes, where: Where) -> None:
    columns = sizes.accelerator.columns
    where.require(where["spare"] < columns, "spare", f"less than the {columns} columns", where["spare"])


def _check_stride(where: Where, count: int, lines: int) -> None:
    stride = where["output_stride"]
    where.require(count == 1 or stride >= lines, "output_stride", f"at least the {lines} lines of a tile", stride)

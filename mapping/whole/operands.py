"""Where the bits of a product go: queries, keys and values, as products of codes with codes read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mapping.whole.context import Context, Stored
from mapping.whole.work import Datum


@dataclass(frozen=True)
class Target:
    """Where the bits of a product go. `lines` are those from one head to the next, `stride` is the operand."""

    layout: str
    data: tuple[Datum, ...]
    lines: int
    stride: int = 0
    scores: str = ""


def operand_targets(c: Context, o: Any) -> list[tuple[Target, int]]:
    """Return where the 1-bit codes that o makes are needed as operands of attention, and in how many heads."""
    result = []
    for reader in c.readers[o.name]:
        if reader.op not in ("scores", "context"):
            continue
        heads, width = heads_of(c, reader)
        layout = _layout(c, o, reader)
        key = (o.name, f"{layout} {heads}")
        if key not in c.stored:
            target = replace(_MAKE[layout](c, o.name, heads, width), scores=scores_of(c, reader))
            c.stored[key] = Stored(list(target.data), lines=target.lines)
            result.append((target, heads))
    return result


def _layout(c: Context, o: Any, reader: Any) -> str:
    """Return what the codes are for a reader."""
    if reader.op == "context":
        return "value"
    if reader.sources[0] == reader.sources[1]:
        raise c.refuse(reader, "queries and keys must be different values")
    return "query" if reader.sources[0] == o.name else "key"


def _queries(c: Context, name: str, heads: int, width: int) -> Target:
    """Each head of a row begins at a line of the activation buffer."""
    lines = c.parameters.lines_of(width)
    tiles = range(len(c.tiles(name)))
    areas = [c.area("activation", heads * lines, name) for t in tiles]
    data = [Datum(f"{name}[{t}, {head}]", area) for t, area in enumerate(areas) for head in range(heads)]
    return Target("query", tuple(data), lines)


def _keys(c: Context, name: str, heads: int, width: int) -> Target:
    """The same in the key buffer, a row for each key."""
    lines = c.parameters.lines_of(width)
    stride = heads * lines
    return Target("key", _shared(c, name, heads, -(-c.rows_of(name) // c.accelerator.columns) * stride), lines, stride)


def _values(c: Context, name: str, heads: int, width: int) -> Target:
    """Turned round: a row of the key buffer for each channel, of all rows of the run."""
    stride = c.parameters.lines_of(c.rows_of(name))
    lines = -(-width // c.accelerator.columns) * stride
    return Target("value", _shared(c, name, heads, heads * lines), lines, stride)


_MAKE = {"query": _queries, "key": _keys, "value": _values}


def _shared(c: Context, name: str, heads: int, lines: int) -> tuple[Datum, ...]:
    area = c.area("key", lines, name)
    tiles = range(len(c.tiles(name)))
    return tuple(Datum(f"{name}[{t}, {head}]", area) for t in tiles for head in range(heads))


def operand_of(c: Context, reader: Any, name: str, layout: str) -> Stored:
    """Return an operand of attention as it stands in its buffer; only a product can write it there."""
    if (name, layout) not in c.stored:
        raise c.refuse(reader, f"{name} must be bits that a matmul makes, not those of {c.operations[name].op}")
    return c.stored[name, layout]


def scores_of(c: Context, reader: Any) -> str:
    """Return the scores that an operation of attention belongs to: itself, or those of its codes."""
    return str(reader.name if reader.op == "scores" else c.operations[reader.sources[0]].sources[0])


def heads_of(c: Context, reader: Any) -> tuple[int, int]:
    """Return how many heads an operation of attention has, and the channels of one."""
    if reader.op == "scores":
        return reader.heads, c.value(reader.sources[0]).channels // reader.heads
    heads = c.value(reader.sources[0]).heads
    return heads, c.value(reader.sources[1]).channels // heads

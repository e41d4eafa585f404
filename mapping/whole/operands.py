"""Where the bits of a product go: queries, keys and values, as products of codes with codes read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mapping.whole.context import Context, Stored
from mapping.whole.work import Datum


@dataclass(frozen=True)
class Target:
    """Where the bits of a product go.

    `lines` are those from one head to the next, `plane_lines` those from one plane to the next,
    `stride` is the operand.
    """

    layout: str
    data: tuple[Datum, ...]
    lines: int
    plane_lines: int
    stride: int = 0
    scores: str = ""


def operand_targets(c: Context, o: Any) -> list[tuple[Target, int]]:
    """Return where the 1-bit codes that o makes are needed as operands of attention, and in how many heads."""
    return [
        (target_of(c, o.name, reader), heads_of(c, reader)[0])
        for reader in c.readers[o.name]
        if reader.op in ("scores", "context") and operand_key(c, o.name, reader) not in c.stored
    ]


def operand_key(c: Context, name: str, reader: Any) -> tuple[str, str]:
    """Return under which name a value is stored for a reader of attention."""
    return name, f"{_layout(name, reader)} {heads_of(c, reader)[0]}"


def target_of(c: Context, name: str, reader: Any) -> Target:
    """Return where a value is to stand for a reader of attention, with all its planes."""
    if reader.op == "scores" and reader.sources[0] == reader.sources[1]:
        raise c.refuse(reader, "queries and keys must be different values")
    heads, width = heads_of(c, reader)
    made = _MAKE[_layout(name, reader)](c, name, heads, width)
    target = replace(made, scores=scores_of(c, reader))
    c.stored[operand_key(c, name, reader)] = Stored(
        list(target.data), lines=target.lines, plane_lines=target.plane_lines
    )
    return target


def _layout(name: str, reader: Any) -> str:
    """Return what the codes are for a reader."""
    if reader.op == "context":
        return "value"
    return "query" if reader.sources[0] == name else "key"


def _queries(c: Context, name: str, heads: int, width: int) -> Target:
    """Each head of a row begins at a line of the activation buffer."""
    lines, planes = c.parameters.lines_of(width), c.value(name).bits
    areas = [c.area("activation", heads * lines * planes, name) for _ in c.tiles(name)]
    data = [Datum(f"{name}[{t}, {head}]", area) for t, area in enumerate(areas) for head in range(heads)]
    return Target("query", tuple(data), lines, heads * lines)


def _keys(c: Context, name: str, heads: int, width: int) -> Target:
    """The same in the key buffer, a row for each key."""
    lines = c.parameters.lines_of(width)
    stride = heads * lines
    return _shared(
        c, name, heads, Target("key", (), lines, -(-c.rows_of(name) // c.accelerator.columns) * stride, stride)
    )


def _values(c: Context, name: str, heads: int, width: int) -> Target:
    """Turned round: a row of the key buffer for each channel, of all rows of the run."""
    stride = c.parameters.lines_of(c.rows_of(name))
    lines = -(-width // c.accelerator.columns) * stride
    return _shared(c, name, heads, Target("value", (), lines, heads * lines, stride))


_MAKE = {"query": _queries, "key": _keys, "value": _values}


def _shared(c: Context, name: str, heads: int, target: Target) -> Target:
    area = c.area("key", target.plane_lines * c.value(name).bits, name)
    tiles = range(len(c.tiles(name)))
    return replace(target, data=tuple(Datum(f"{name}[{t}, {head}]", area) for t in tiles for head in range(heads)))


def scores_of(c: Context, reader: Any) -> str:
    """Return the scores that an operation of attention belongs to: itself, or those of its codes."""
    return str(reader.name if reader.op == "scores" else c.operations[reader.sources[0]].sources[0])


def heads_of(c: Context, reader: Any) -> tuple[int, int]:
    """Return how many heads an operation of attention has, and the channels of one."""
    if reader.op == "scores":
        return reader.heads, c.value(reader.sources[0]).channels // reader.heads
    heads = c.value(reader.sources[0]).heads
    return heads, c.value(reader.sources[1]).channels // heads

"""The residual stream: embed, requantise, add, normalise, and the codes that are made of fixed rows."""

from __future__ import annotations

from typing import Any

from hw.isa import Source
from mapping.whole.context import Context
from mapping.whole.embedding import EmbeddingTables
from mapping.whole.rows import SPACE, Pass, add_passes, codes_of, fixed_of, keep, next_codes
from mapping.whole.work import Datum
from model.operation import Operation


def begin(c: Context, name: str, passes: list[Pass], over: str | None = None) -> None:
    """Finish what makes a fixed value: keep it, take its statistics, make its first codes; then what follows of it.

    A value that `normalise` alone reads is normalised in the same work, over its own lines.
    """
    c.done.add(name)
    readers, fused = c.readers[name], next_codes(c, name)
    norms = [o for o in readers if o.op == "normalise"]
    kept = len(fused) < len(readers) or not readers
    stored = keep(c, name, over) if kept else None
    for t, one in enumerate(passes):
        if stored is not None:
            one.operands["keep"] = 1
            one.write("fixed_line", stored.data[t], SPACE, one.rows * one.slices)
        one.coded(fused, t)
    rest = [o for o in readers if o not in fused]
    if len(rest) == 1 and norms and not fused:
        _normalise(c, norms[0], passes)
        return
    for t, one in enumerate(passes):
        add_passes(c, f"{name}[{t}]", [one])


def _normalise(c: Context, o: Any, before: list[Pass] | None = None) -> None:
    """Normalise a value behind the passes that make it, or behind passes for its statistics alone."""
    (source,) = o.sources
    stored, channels = fixed_of(c, source), c.value(source).channels
    chains, last = [], []
    for t, rows in enumerate(c.tiles(source)):
        if before is None:
            first = Pass(c, rows, channels)
            first.from_fixed(stored.data[t])
        else:
            first = before[t]
        first.operands |= {"statistics": 1, "epsilon": o.epsilon}
        norm = Pass(c, rows, channels)
        norm.operands["normalise"] = 1
        norm.from_fixed(stored.data[t])
        norm.scaled(o, o.gain, o.offset)
        chains.append(first)
        last.append(norm)
    alone = len(c.readers[source]) == 1
    _finish_norm(c, o.name, chains, last, source if alone else None)


def _finish_norm(c: Context, name: str, firsts: list[Pass], norms: list[Pass], over: str | None) -> None:
    c.done.add(name)
    readers, fused = c.readers[name], next_codes(c, name)
    stored = keep(c, name, over) if len(fused) < len(readers) else None
    for t, norm in enumerate(norms):
        if stored is not None:
            norm.operands["keep"] = 1
            norm.write("fixed_line", stored.data[t], SPACE, norm.rows * norm.slices)
        norm.coded(fused, t)
        add_passes(c, f"{name}[{t}]", [firsts[t], norm])


def normalise(c: Context, o: Operation) -> None:
    """`normalise` of a value that others read too; where it is the only reader it was done with the value."""
    if o.name not in c.done:
        _normalise(c, o)


def binarize(c: Context, o: Operation) -> None:
    """`binarize` of a fixed value that was not made with it, and what else is to be made of the value."""
    (name,) = o.sources
    if o.name in c.done or c.value(name).kind != "fixed":
        return
    stored, makers = fixed_of(c, name), next_codes(c, name)
    for t, rows in enumerate(c.tiles(name)):
        one = Pass(c, rows, c.value(name).channels)
        one.from_fixed(stored.data[t])
        one.coded(makers, t)
        add_passes(c, f"{makers[0].name}[{t}]", [one])


def quantize_fixed(c: Context, o: Any) -> None:
    """`quantize` of a fixed value: planes of codes."""
    stored = fixed_of(c, o.sources[0])
    for t, rows in enumerate(c.tiles(o.name)):
        one = Pass(c, rows, c.value(o.name).channels)
        one.from_fixed(stored.data[t])
        one.scaled(o, o.multiplier, o.addend)
        planes(c, o, one, t)


def planes(c: Context, o: Any, one: Pass, tile: int) -> None:
    """Let a pass, which is scaled, write codes of several bits, and append it."""
    if o.bits > c.accelerator.code_bits:
        raise c.refuse(o, f"array.code_bits must be at least {o.bits}, not {c.accelerator.code_bits}")
    target = codes_of(c, o.name)
    one.operands |= {"sets": 1, "planes": o.bits, "code_signed": int(o.set == "signed")}
    one.operands["code_line_1"] = target.plane_lines
    one.write("code_line", target.data[tile], "activation", target.plane_lines * o.bits)
    add_passes(c, f"{o.name}[{tile}]", [one])


def requantise(c: Context, o: Any, sums: list[Datum]) -> None:
    """`requantise`, with the `add` behind it where that is its only reader and the other value is there."""
    passes = []
    adding = _adding(c, o)
    for t, rows in enumerate(c.tiles(o.name)):
        one = Pass(c, rows, c.value(o.name).channels)
        one.from_sums(sums[t])
        one.scaled(o, o.multiplier, o.addend)
        passes.append(one)
    if adding is None:
        begin(c, o.name, passes)
        return
    other = next(source for source in adding.sources if source != o.name)
    begin(c, adding.name, _with_residual(c, passes, other), _replaced(c, adding, other))


def _adding(c: Context, o: Operation) -> Operation | None:
    """Return the add that a requantise can be done with."""
    readers = c.readers[o.name]
    if len(readers) != 1 or readers[0].op != "add" or len(set(readers[0].sources)) == 1:
        return None
    other = next(source for source in readers[0].sources if source != o.name)
    same = c.value(other).channels == c.value(o.name).channels
    return readers[0] if same and (other, SPACE) in c.stored else None


def _with_residual(c: Context, passes: list[Pass], other: str) -> list[Pass]:
    for t, one in enumerate(passes):
        one.operands["add"] = 1
        one.read("add_line", fixed_of(c, other).data[t], SPACE, one.rows * one.slices)
    return passes


def _replaced(c: Context, o: Operation, other: str) -> str | None:
    """Return the residual if its lines can be overwritten: what else reads it was done when it was made."""
    rest = [reader for reader in c.readers[other] if reader.name not in c.done]
    return other if rest == [o] else None


def embed(c: Context, o: Any) -> None:
    """`embed`: words are gathered, positions and types loaded, and joined by VECTOR."""
    a = c.accelerator
    tables = EmbeddingTables(c, o)
    passes = []
    for t, rows in enumerate(c.tiles(o.name)):
        one = Pass(c, rows, c.value(o.name).channels)
        one.operands["source"] = Source.EMBEDDING
        first = t * a.rows
        words = tables.words(first, rows)
        one.read("source_line", words, "word", words.lines)
        positions = tables.positions(first, rows)
        one.read("add_line", positions, "embedding", positions.lines)
        _type_line(one, tables, list(c.types[first : first + rows]), first)
        passes.append(one)
    begin(c, o.name, passes)


def _type_line(one: Pass, tables: EmbeddingTables, types: list[int], first: int) -> None:
    if len(set(types)) == 1:
        one.read("scale_line", tables.types(), "embedding", one.slices, types[0] * one.slices)
        return
    parcel = tables.typed(types, first)
    one.operands["typed"] = 1
    one.read("scale_line", parcel, "embedding", parcel.lines)

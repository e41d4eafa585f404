"""An instruction in words: its operands, the lines of buffers that it reads and writes, and its piece of memory.

The lines are those of the checker's footprints, all banks taken together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from hw.isa import FIELDS, Buffer, Destination, Instruction, Opcode, Source, SumsDestination, Vote
from hw.program import Program
from mapping.errors import CheckError
from mapping.footprint import footprint
from mapping.footprints.base import Box, Segments, Sizes, Where
from mapping.handover import spares

MOST_RANGES = 3
"""Ranges of lines that are written out; of more, the first and how many there are."""

_CHOICES: dict[tuple[Opcode, str], type[IntEnum]] = {
    (Opcode.LOAD, "buffer"): Buffer,
    (Opcode.BINARIZE, "destination"): Destination,
    (Opcode.SUMS, "destination"): SumsDestination,
    (Opcode.VECTOR, "source"): Source,
    (Opcode.CLASSIFY, "vote"): Vote,
}
"""Operands that name something."""

_PLACES = ("address", "buffer", "line", "stride")
"""Operands that say where in memory or in which lines, beside those that end with _line."""


@dataclass(frozen=True)
class Touched:
    """What an instruction reads and writes: buffers with their lines in rising order, and memory.

    `region` is the one that a LOAD or STORE goes to, empty for all others; `memory` says where in it, in words. Where
    an operand breaks a rule of the checker nothing is known, and `problem` says which.
    """

    reads: dict[str, np.ndarray]
    writes: dict[str, np.ndarray]
    region: str = ""
    memory: str = ""
    problem: str = ""


def touch_all(program: Program, instructions: Sequence[Instruction]) -> tuple[Touched, ...]:
    """Return what each instruction touches."""
    sizes = Sizes(program.accelerator)
    places = [Where(number, instruction) for number, instruction in enumerate(instructions)]
    spare = spares(places)
    return tuple(_touch(sizes, program, where, spare.get(where.index, 0)) for where in places)


def _touch(sizes: Sizes, program: Program, where: Where, spare: int) -> Touched:
    try:
        found = footprint(sizes, where, spare)
    except CheckError as error:
        return Touched({}, {}, problem=str(error).removeprefix(str(where.error(""))))
    reads = _lines(sizes, found.reads)
    writes = _lines(sizes, [(put.space, put.box) for put in found.writes])
    if found.memory is None:
        return Touched(reads, writes)
    region, memory = _place(program, found.memory, found.gather)
    return Touched(reads, writes, region, memory)


def _lines(sizes: Sizes, boxes: Iterable[tuple[str, Box]]) -> dict[str, np.ndarray]:
    """Return the lines of some boxes, buffer by buffer."""
    lines: dict[str, np.ndarray] = {}
    for name, box in boxes:
        cells = np.arange(box.start, box.start + box.length)
        for count, distance in box.repeats:
            cells = (np.arange(count)[:, None] * distance + cells).ravel()
        parts = sizes.parts.get(name, 1)
        lines[name] = np.union1d(lines.get(name, cells[:0]), cells // parts)
    return lines


def _place(program: Program, memory: Segments, gather: bool) -> tuple[str, str]:
    """Return the region of a transfer, and its place there in words."""
    inside = [r for r in program.regions if r.address <= memory.address < r.end]
    name, start = (inside[0].name, memory.address - inside[0].address) if inside else ("", memory.address)
    if gather:
        return name, f"{name or 'memory'}+{start:#x}, {memory.size} bytes at each id times {memory.stride}"
    several = f"{memory.number} x " if memory.number > 1 else ""
    apart = f", {memory.stride} apart" if memory.number > 1 else ""
    return name, f"{name or 'memory'}+{start:#x}, {several}{memory.size} bytes{apart}"


def ranges(lines: np.ndarray) -> str:
    """Return lines, which rise, as ranges: 0-3, 8, 12-15."""
    cuts = np.flatnonzero(np.diff(lines) > 1) + 1
    pieces = [(int(piece[0]), int(piece[-1])) for piece in np.split(lines, cuts)]
    texts = [str(low) if low == high else f"{low}-{high}" for low, high in pieces[:MOST_RANGES]]
    more = f" and {len(pieces) - MOST_RANGES} more up to {pieces[-1][1]}" if len(pieces) > MOST_RANGES else ""
    return f"{', '.join(texts)}{more}"


def line_text(lines: dict[str, np.ndarray]) -> str:
    """Return buffers and their lines: activation 0-3, weight 8."""
    return ", ".join(f"{name} {ranges(numbers)}" for name, numbers in lines.items())


def operands(i: Instruction) -> dict[str, Any]:
    """Return the operands that are not their defaults (0 where there is none), those that name something by name."""
    found: dict[str, Any] = {}
    for field, value in zip(FIELDS[i.opcode], i.operands, strict=True):
        choices = _CHOICES.get((i.opcode, field.name))
        if choices is not None:
            found[field.name] = choices(value).name.lower()
        elif value != (field.default or 0):
            found[field.name] = value
    return found


def operand_text(i: Instruction) -> str:
    """Return the operands in words: flags by their names alone, and no lines and addresses, which `Touched` has."""
    flags = {field.name for field in FIELDS[i.opcode] if field.width == 1}
    shown = []
    for name, value in operands(i).items():
        if name in flags and (i.opcode, name) not in _CHOICES:
            shown.append(name)
        elif name not in _PLACES and not name.endswith("_line"):
            shown.append(f"{name}={value}")
    return " ".join(shown)


def touched_text(found: Touched) -> str:
    """Return what goes from where to where: memory or lines that are read, an arrow, and what is written."""
    sources = ", ".join(text for text in (line_text(found.reads), found.memory if found.writes else "") if text)
    results = line_text(found.writes) or found.memory
    return f"{sources} -> {results}".strip() if results else sources

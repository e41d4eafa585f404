"""Cells of buffers, sizes of an accelerator, and an instruction in its program: what all footprints are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hw.arch import Accelerator
from hw.isa import FIELDS, Buffer, Instruction
from mapping.errors import CheckError

MAX_CHANNELS = 4096

_NAMES = {opcode: tuple(field.name for field in fields) for opcode, fields in FIELDS.items()}


class Box(NamedTuple):
    """Cells of a space: `length` of them from `start` on, in `banks` banks from `bank` on.

    Each (count, distance) of `repeats` puts all that so many times, so many cells apart.
    """

    banks: int
    start: int
    length: int
    repeats: tuple[tuple[int, int], ...] = ()
    bank: int = 0

    @property
    def stop(self) -> int:
        """The first cell behind the last one."""
        stop = self.start + self.length
        for count, distance in self.repeats:
            stop += (count - 1) * distance
        return stop


class Put(NamedTuple):
    """Cells that are written. Of lines that hold positions: from bit `low` of the first to bit `high` of the last.

    `high` = 0 stands for whole cells.
    """

    space: str
    box: Box
    low: int = 0
    high: int = 0


class Segments(NamedTuple):
    """Pieces of memory of one size."""

    address: int
    size: int
    number: int
    stride: int

    @property
    def end(self) -> int:
        """The first address behind the last piece."""
        return self.address + (self.number - 1) * self.stride + self.size


@dataclass(frozen=True)
class Footprint:
    """What one instruction reads and writes.

    `together` says that one instruction must have left all of what is read of the score buffer and its slot.
    """

    reads: tuple[tuple[str, Box], ...] = ()
    writes: tuple[Put, ...] = ()
    memory: Segments | None = None
    gather: bool = False
    together: bool = False


class Where:
    """An instruction in its program, with its operands by name; refuses in one grammar."""

    def __init__(self, index: int, instruction: Instruction) -> None:
        self.index = index
        self.instruction = instruction
        self.operands = dict(zip(_NAMES[instruction.opcode], instruction.operands, strict=True))

    def require(self, holds: object, what: str, constraint: str, found: object) -> None:
        """Raise unless something holds."""
        if not holds:
            raise self.error(f"{what} must be {constraint}, not {found}")

    def zero(self, name: str, where: str) -> None:
        """Raise unless an operand is 0, as it must be in some case."""
        if self.operands[name]:
            raise self.error(f"{name} must be 0 {where}, not {self.operands[name]}")

    def at_most(self, name: str, limit: int, what: str = "") -> None:
        """Raise if an operand is above its limit."""
        if self.operands[name] > limit:
            raise self.error(f"{name} must be at most {what}{limit}, not {self.operands[name]}")

    def error(self, text: str) -> CheckError:
        """Return an error that names this instruction."""
        return CheckError(f"program: instruction {self.index} ({self.instruction}): {text}")

    def __getitem__(self, name: str) -> int:
        return self.operands[name]


class Sizes:
    """Banks, lines, and cells of a line of each buffer; a buffer that is left out has no lines."""

    def __init__(self, accelerator: Accelerator) -> None:
        a = self.accelerator = accelerator
        vector, row, text = a.vector_lanes > 0, a.row_lanes > 0, a.token_lines > 0
        self.banks = dict.fromkeys(("threshold", "slot", "fixed", "scale", "level"), 1)
        self.banks |= dict.fromkeys(("table", "token", "word", "embedding"), 1)
        self.banks |= {"activation": a.rows, "weight": a.columns, "key": a.columns, "output": a.rows}
        self.banks |= {"sums": a.drain_rows, "score": a.drain_rows}
        self.lines = {"activation": a.activation_lines, "weight": a.weight_lines, "key": a.key_lines}
        self.lines |= {"threshold": a.threshold_lines, "output": a.output_lines}
        self.lines |= {"sums": a.sum_lines * vector, "fixed": a.fixed_lines * vector}
        self.lines |= {"scale": a.scale_lines * vector, "level": a.level_lines * vector}
        self.lines |= {"score": a.score_lines * row, "slot": a.score_slots * row, "table": a.table_lines * row}
        self.lines |= {"token": a.token_lines, "word": a.word_lines * text, "embedding": a.embedding_lines * text}
        self.parts = {"sums": a.sum_line_groups, "score": a.score_line_groups}
        """Cells of a line: groups of `columns` sums. Elsewhere a line is a cell."""
        self.line_bits = {"activation": a.line_bits, "key": a.line_bits, "output": a.output_line_bits}
        """Bits of the lines that hold positions."""
        beats = {"activation": a.line_bits, "weight": a.line_bits, "threshold": a.threshold_line_bits}
        beats |= {"table": a.table_line_bits, "token": a.token_line_bits}
        if vector:
            beats |= {"scale": a.parameter_line_bits, "level": a.parameter_line_bits}
            beats |= {"word": a.word_line_bits, "embedding": a.embedding_line_bits}
        self.line_beats = {name: bits // a.port_bits for name, bits in beats.items() if self.lines[name]}
        """Beats of the lines that a LOAD can fill."""
        self.loaded = {b.value: b.name.lower() for b in Buffer if b.name.lower() in self.line_beats}
        """The buffers that a LOAD can name."""

    def inside(self, where: Where, name: str, boxes: Sequence[Box]) -> None:
        """Check that cells are in their buffer."""
        end = -(-max([box.stop for box in boxes]) // self.parts.get(name, 1))
        if end > self.lines[name]:
            raise where.error(f"last {name} line must be at most {self.lines[name] - 1}, not {end - 1}")


def tiles(
    line: int, distance: int, length: int, rows: int, banks: int, planes: tuple[int, int] = (1, 0)
) -> tuple[Box, ...]:
    """Return the lines of rows that go round the banks, `length` lines for each, `distance` lines apart."""
    full, rest = divmod(rows, banks)
    repeats = (planes,) if planes[0] > 1 and planes[1] else ()
    boxes = []
    if full > 1 and distance == length:
        boxes.append(Box(banks, line, full * length, repeats))
    elif full:
        boxes.append(Box(banks, line, length, ((full, distance), *repeats) if full > 1 and distance else repeats))
    if rest:
        boxes.append(Box(rest, line + full * distance, length, repeats))
    return tuple(boxes)


def span(first: int, count: int, line_positions: int) -> tuple[int, int, int, int]:
    """Return where `count` positions from `first` on stand: first line, lines, first position, end in the last line."""
    last = first + count - 1
    low = first // line_positions
    return low, last // line_positions - low + 1, first % line_positions, last % line_positions + 1

"""What each instruction of a finished program touches, by docs/machine.md alone, with the rules for its operands.

Part of the checker: nothing here comes from the code that makes programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hw.arch import Accelerator
from hw.isa import FIELDS, Buffer, Instruction, Opcode
from mapping.errors import CheckError

ADDRESSES = 1 << 32


class Rect(NamedTuple):
    """The lines `start` up to `stop` in the banks from 0 up to `banks`."""

    banks: int
    start: int
    stop: int


class Positions(NamedTuple):
    """Column groups of an output row tile: from position `first` of line `start` up to `end` of line stop - 1."""

    banks: int
    start: int
    stop: int
    first: int
    end: int


@dataclass(frozen=True)
class Footprint:
    """Buffer lines by buffer name, output positions, and memory segments as (address, bytes), of one instruction."""

    reads: tuple[tuple[str, tuple[Rect, ...]], ...] = ()
    writes: tuple[tuple[str, tuple[Rect, ...]], ...] = ()
    positions: tuple[Positions, ...] = ()
    memory: tuple[tuple[int, int], ...] = ()


class Where:
    """An instruction in its program, with its operands by name; refuses in one grammar."""

    def __init__(self, index: int, instruction: Instruction) -> None:
        self.index = index
        self.instruction = instruction
        names = (field.name for field in FIELDS[instruction.opcode])
        self.operands = dict(zip(names, instruction.operands, strict=True))

    def require(self, holds: bool, what: str, constraint: str, found: object) -> None:
        """Raise unless something holds."""
        if not holds:
            raise self.error(f"{what} must be {constraint}, not {found}")

    def error(self, text: str) -> CheckError:
        """Return an error that names this instruction."""
        return CheckError(f"program: instruction {self.index} ({self.instruction}): {text}")

    def __getitem__(self, name: str) -> int:
        return self.operands[name]


def footprint(accelerator: Accelerator, where: Where) -> Footprint:
    """Return what an instruction touches; raise CheckError if an operand breaks a rule or leaves a buffer."""
    opcode = where.instruction.opcode
    legal = opcode not in (Opcode.SUMS, Opcode.VECTOR)
    where.require(legal, "opcode", "other than SUMS and VECTOR in the program of a layer", opcode.name)
    for field in FIELDS[opcode]:
        if field.default is not None:
            holds = where[field.name] == field.default
            where.require(holds, field.name, f"{field.default} in the program of a layer", where[field.name])
    match opcode:
        case Opcode.LOAD:
            return _load(accelerator, where)
        case Opcode.MATMUL:
            return _matmul(accelerator, where)
        case Opcode.BINARIZE:
            return _binarize(accelerator, where)
        case Opcode.STORE:
            return _store(accelerator, where)
    return Footprint()


def row_tiles(accelerator: Accelerator, where: Where) -> int:
    """Return the number of row tiles of a MATMUL or BINARIZE."""
    return -(-where["rows"] // accelerator.rows)


def _load(accelerator: Accelerator, where: Where) -> Footprint:
    number = where["buffer"]
    where.require(number <= Buffer.THRESHOLD, "buffer", "activation (0), weight (1) or threshold (2)", number)
    name, banks, beats, lines = {
        Buffer.ACTIVATION: ("activation", accelerator.rows, accelerator.line_beats, accelerator.activation_lines),
        Buffer.WEIGHT: ("weight", accelerator.columns, accelerator.line_beats, accelerator.weight_lines),
        Buffer.THRESHOLD: ("threshold", 1, accelerator.threshold_line_beats, accelerator.threshold_lines),
    }[Buffer(number)]
    where.require(
        where["row_beats"] % beats == 0, "row_beats", f"a multiple of the {beats} beats of a line", where["row_beats"]
    )
    rects = _rows(where["line"], _row_count(where), banks, where["row_beats"] // beats)
    _inside(where, name, rects, lines)
    return Footprint(writes=((name, rects),), memory=_segments(accelerator, where))


def _store(accelerator: Accelerator, where: Where) -> Footprint:
    lines_of_a_row = -(-where["row_beats"] // accelerator.output_line_beats)
    rects = _rows(where["line"], _row_count(where), accelerator.rows, lines_of_a_row)
    _inside(where, "output", rects, accelerator.output_lines)
    segments = _segments(accelerator, where)
    size = segments[0][1]
    apart = where["segments"] == 1 or where["stride"] >= size
    where.require(apart, "stride", f"at least the {size} bytes of a segment", where["stride"])
    return Footprint(reads=(("output", rects),), memory=segments)


def _matmul(accelerator: Accelerator, where: Where) -> Footprint:
    single = row_tiles(accelerator, where) == 1 and where["column_groups"] == 1
    whole = where["first"] and where["handover"]
    where.require(bool(single or whole), "rows and column_groups", "one tile without first and handover", "more")
    pad_limit = accelerator.word_bits if where["first"] and not where["unsigned"] else 1
    where.require(where["pad"] < pad_limit, "pad", f"less than {pad_limit} here", where["pad"])
    length = -(-where["words"] // accelerator.line_words)
    activations = _tiles(where["activation_line"], where["activation_stride"], length, where["rows"], accelerator.rows)
    columns = where["column_groups"] * accelerator.columns
    weights = _tiles(where["weight_line"], where["weight_stride"], length, columns, accelerator.columns)
    _inside(where, "activation", activations, accelerator.activation_lines)
    _inside(where, "weight", weights, accelerator.weight_lines)
    return Footprint(reads=(("activation", activations), ("weight", weights)))


def _binarize(accelerator: Accelerator, where: Where) -> Footprint:
    groups, line = accelerator.output_line_groups, where["threshold_line"]
    thresholds = (Rect(1, line, line + where["column_groups"]),)
    _inside(where, "threshold", thresholds, accelerator.threshold_lines)
    low, last = where["output_group"], where["output_group"] + where["column_groups"] - 1
    lines = last // groups - low // groups + 1
    tiles, stride = row_tiles(accelerator, where), where["output_stride"]
    where.require(tiles == 1 or stride >= lines, "output_stride", f"at least the {lines} lines of a tile", stride)
    positions = []
    for tile in range(tiles):
        start = where["output_line"] + tile * stride + low // groups
        banks = min(accelerator.rows, where["rows"] - tile * accelerator.rows)
        positions.append(Positions(banks, start, start + lines, low % groups, last % groups + 1))
    rects = tuple(Rect(*position[:3]) for position in positions)
    _inside(where, "output", rects, accelerator.output_lines)
    return Footprint(reads=(("threshold", thresholds),), writes=(("output", rects),), positions=tuple(positions))


def _row_count(where: Where) -> int:
    beats, row = where["segments"] * where["segment_beats"], where["row_beats"]
    where.require(beats % row == 0, "segments x segment_beats", f"a multiple of row_beats ({row})", beats)
    return beats // row


def _segments(accelerator: Accelerator, where: Where) -> tuple[tuple[int, int], ...]:
    """Return the memory segments of a transfer, aligned and inside the address space."""
    for name in ("address", "stride") if where["segments"] > 1 else ("address",):
        aligned = where[name] % accelerator.beat_bytes == 0
        where.require(aligned, name, f"a multiple of the {accelerator.beat_bytes} bytes of a beat", where[name])
    size = where["segment_beats"] * accelerator.beat_bytes
    end = where["address"] + (where["segments"] - 1) * where["stride"] + size
    where.require(end <= ADDRESSES, "end of the last segment", f"at most {ADDRESSES:#x}", f"{end:#x}")
    if where["segments"] > 1 and where["stride"] == size:
        return ((where["address"], where["segments"] * size),)
    return tuple((where["address"] + index * where["stride"], size) for index in range(where["segments"]))


def _rows(line: int, rows: int, banks: int, length: int) -> tuple[Rect, ...]:
    """Return the lines of rows that go round the banks, `length` lines for each."""
    full, rest = divmod(rows, banks)
    middle = line + full * length
    rects = (Rect(banks, line, middle), Rect(rest, middle, middle + length))
    return tuple(rect for rect in rects if rect.banks and rect.start < rect.stop)


def _tiles(line: int, stride: int, length: int, rows: int, banks: int) -> tuple[Rect, ...]:
    """Return the lines of tiles that stand `stride` lines apart."""
    if stride == length or rows <= banks:
        return _rows(line, rows, banks, length)
    return tuple(
        Rect(min(banks, rows - first), start := line + first // banks * stride, start + length)
        for first in range(0, rows, banks)
    )


def _inside(where: Where, name: str, rects: tuple[Rect, ...], lines: int) -> None:
    end = max(rect.stop for rect in rects)
    where.require(end <= lines, f"last {name} line", f"at most {lines - 1}", end - 1)

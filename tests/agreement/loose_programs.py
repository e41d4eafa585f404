"""Random programs that no mapper would make: negative strides, output groups at an offset, long rows, sums in pieces.

Only what is written in one phase and read in another is kept apart by a FENCE; within a phase everything overlaps.
"""

from __future__ import annotations

from random import Random

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction, Opcode, make
from hw.program import Program, Region

SPACE = 1 << 13
"""Bytes of the memory that programs read, and of the memory that they write."""


class LooseProgram:
    """Builds one program: every line of the buffers is loaded first, then phases of products, stores and new loads."""

    def __init__(self, accelerator: Accelerator, random: Random) -> None:
        self.a = accelerator
        self.random = random
        self.instructions: list[Instruction] = []

    def build(self, phases: int) -> Program:
        """Return the program with its memory."""
        for buffer in Buffer:
            self._fill(buffer)
        for _ in range(phases):
            self._add(Opcode.FENCE)
            for _ in range(self._number(1, 4)):
                self._product()
            self._add(Opcode.FENCE)
            for _ in range(self._number(1, 3)):
                self.random.choice([self._store, self._load])()
        self._add(Opcode.HALT)
        code = b"".join(instruction.encode() for instruction in self.instructions)
        image = self.random.randbytes(SPACE) + bytes(SPACE) + code
        regions = (
            Region("data", 0, SPACE, "read"),
            Region("results", SPACE, SPACE, "write"),
            Region("program", 2 * SPACE, len(code), "program"),
        )
        return Program(self.a, tuple(self.instructions), 2 * SPACE, regions, image)

    def _add(self, opcode: Opcode, **operands: int) -> None:
        self.instructions.append(make(opcode, **operands))

    def _number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def _buffer(self, buffer: Buffer) -> tuple[int, int, int]:
        """Return banks, lines and beats of a line."""
        a = self.a
        return {
            Buffer.ACTIVATION: (a.rows, a.activation_lines, a.line_beats),
            Buffer.WEIGHT: (a.columns, a.weight_lines, a.line_beats),
            Buffer.THRESHOLD: (1, a.threshold_lines, a.threshold_line_beats),
        }[buffer]

    def _fill(self, buffer: Buffer) -> None:
        """Load every line of a buffer, in rows of one line each: the same memory again and again where it is short."""
        banks, lines, line_beats = self._buffer(buffer)
        most = SPACE // self.a.beat_bytes // line_beats // banks * banks
        for first in range(0, banks * lines, most):
            rows = min(most, banks * lines - first)
            shape = {"row_beats": line_beats, "segments": 1, "segment_beats": rows * line_beats, "stride": 0}
            self._add(Opcode.LOAD, buffer=buffer, address=0, line=first // banks, **shape)

    def _load(self) -> None:
        buffer = self.random.choice(list(Buffer))
        banks, lines, line_beats = self._buffer(buffer)
        row_lines = self._number(1, min(lines, 5))
        rows = self._number(1, min(lines // row_lines, 4) * banks)
        line = self._number(0, lines - -(-rows // banks) * row_lines)
        self._transfer(Opcode.LOAD, 0, rows, row_lines * line_beats, line=line, buffer=buffer)

    def _store(self) -> None:
        a = self.a
        row_lines = self._number(1, min(a.output_lines, 3))
        row_beats = (row_lines - 1) * a.output_line_beats + self._number(1, a.output_line_beats)
        rows = self._number(1, min(a.output_lines // row_lines, 4) * a.rows)
        line = self._number(0, a.output_lines - -(-rows // a.rows) * row_lines)
        self._transfer(Opcode.STORE, SPACE, rows, row_beats, line=line)

    def _transfer(self, opcode: Opcode, base: int, rows: int, row_beats: int, **more: int) -> None:
        """Add a transfer of rows, in segments that do not overlap, upward or downward in memory."""
        beat = self.a.beat_bytes
        rows = max(1, min(rows, SPACE // 4 // beat // row_beats))
        total = rows * row_beats
        segments = self.random.choice([n for n in range(1, min(total, 64) + 1) if total % n == 0])
        size = total // segments * beat
        stride = size + self._number(0, (SPACE - segments * size) // segments // beat) * beat
        extent = (segments - 1) * stride + size
        start = base + self._number(0, (SPACE - extent) // beat) * beat
        if self.random.random() < 0.5:
            start, stride = start + (segments - 1) * stride, -stride % (1 << 32)
        shape = {"row_beats": row_beats, "segments": segments, "segment_beats": total // segments}
        self._add(opcode, address=start, stride=stride, **shape, **more)

    def _product(self) -> None:
        a = self.a
        if self.random.random() < 0.4:
            self._sum_in_pieces()
            return
        words = self._number(1, self._most_words())
        rows, groups = self._number(1, 4 * a.rows), self._number(1, min(3, a.threshold_lines))
        tiles = -(-rows // a.rows)
        unsigned = self._number(0, 1)
        pad = 0 if unsigned else self._number(0, a.word_bits - 1)
        self._matmul(words, rows, groups, tiles, unsigned=unsigned, first=1, handover=1, pad=pad)
        self._binarize(rows, groups, tiles)

    def _sum_in_pieces(self) -> None:
        """Add one tile whose sum is made by several instructions, each from lines of its own."""
        a = self.a
        rows, left = self._number(1, a.rows), self._most_words()
        unsigned, pieces = self._number(0, 1), []
        while left and len(pieces) < 4:
            pieces.append(self._number(1, left))
            left -= pieces[-1]
        for place, words in enumerate(pieces):
            ends = {"first": int(place == 0), "handover": int(place == len(pieces) - 1)}
            self._matmul(words, rows, 1, 1, unsigned=unsigned, pad=0, **ends)
        self._binarize(rows, 1, 1)

    def _most_words(self) -> int:
        """Return the words that a sum can add up and that the lines of both buffers hold."""
        a = self.a
        return min(a.max_inputs // a.word_bits, min(a.activation_lines, a.weight_lines) * a.line_words, 100)

    def _matmul(self, words: int, rows: int, groups: int, tiles: int, **flags: int) -> None:
        a, lines = self.a, -(-words // self.a.line_words)
        operands = dict(
            zip(("activation_line", "activation_stride"), self._places(a.activation_lines, lines, tiles), strict=True)
        )
        operands |= dict(
            zip(("weight_line", "weight_stride"), self._places(a.weight_lines, lines, groups), strict=True)
        )
        self._add(Opcode.MATMUL, words=words, rows=rows, column_groups=groups, **operands, **flags)

    def _places(self, lines: int, needed: int, count: int) -> tuple[int, int]:
        """Return a first line and a stride for `count` pieces of `needed` lines each; pieces may overlap."""
        stride = self._number(0, (lines - needed) // max(1, count - 1)) if count > 1 else self._number(0, 65535)
        reach = needed + (count - 1) * stride if count > 1 else needed
        return self._number(0, lines - reach), stride

    def _binarize(self, rows: int, groups: int, tiles: int) -> None:
        a = self.a
        offset = self._number(0, max(0, a.output_lines * a.output_line_groups // 2 - groups))
        needed = -(-(offset + groups) // a.output_line_groups)
        line, stride = self._places(a.output_lines, needed, tiles)
        threshold = self._number(0, a.threshold_lines - groups)
        shape = {"rows": rows, "column_groups": groups}
        self._add(
            Opcode.BINARIZE,
            threshold_line=threshold,
            output_line=line,
            output_group=offset,
            output_stride=stride,
            **shape,
        )

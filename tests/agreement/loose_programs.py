"""Random programs that no mapper would make: negative strides, output groups at an offset, long rows, sums in pieces,
any number of planes, products whose bits become operands of later ones.

Only what is written in one phase and read in another is kept apart by a FENCE; within a phase everything overlaps.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

from hw.arch import Accelerator
from hw.isa import Buffer, Destination, Instruction, Opcode, Unit, make
from hw.program import Program, Region
from tests.agreement.loose_vectors import LooseVectors

SPACE = 1 << 13
"""Bytes of the memory that programs read, and of the memory that they write."""


class LooseProgram:
    """Builds one program: every line of the buffers is loaded first, then phases of products, stores and new loads."""

    def __init__(self, accelerator: Accelerator, random: Random) -> None:
        self.a = accelerator
        self.random = random
        self.instructions: list[Instruction] = []
        self.destination = Destination.OUTPUT
        self.readable: dict[str, range] = {}
        self.writable = range(0)
        self.right, self.transpose, self.line_pieces = "weight", 0, 1
        self.vectors = LooseVectors(accelerator, random)
        self.sums_are_written = False
        self.buffers = [b for b in Buffer if accelerator.vector_lanes or b not in (Buffer.SCALE, Buffer.LEVEL)]

    def build(self, phases: int) -> Program:
        """Return the program with its memory."""
        for buffer in self.buffers:
            self._fill(buffer)
        for _ in range(phases):
            self._add(Opcode.FENCE)
            self._products()
            self._add(Opcode.FENCE)
            for _ in range(self._number(1, 3)):
                self.random.choice([self._store, self._load])()
        self._add(Opcode.HALT)
        self._add_tokens()
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

    def _add_tokens(self) -> None:
        """Let instructions wait for earlier ones of other units, but none for a MATMUL that ends only behind it."""
        instructions = self.instructions
        for producer, first in enumerate(instructions):
            consumer = producer + self._number(1, 9)
            if self.random.random() < 0.5 or consumer >= len(instructions):
                continue
            second = instructions[consumer]
            hands_over = first.opcode is Opcode.MATMUL and first.handover
            units = {first.unit, second.unit}
            if len(units) == 1 or Unit.SEQUENCER in units or (hands_over and consumer == producer + 1):
                continue
            bits = 1 << first.unit, 1 << second.unit
            if not (second.wait & bits[0] or first.signal & bits[1]):
                instructions[producer] = replace(instructions[producer], signal=first.signal | bits[1])
                instructions[consumer] = replace(second, wait=second.wait | bits[0])

    def _number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def _buffer(self, buffer: Buffer) -> tuple[int, int, int]:
        """Return banks, lines and beats of a line."""
        a = self.a
        return {
            Buffer.ACTIVATION: (a.rows, a.activation_lines, a.line_beats),
            Buffer.WEIGHT: (a.columns, a.weight_lines, a.line_beats),
            Buffer.THRESHOLD: (1, a.threshold_lines, a.threshold_line_beats),
            Buffer.SCALE: (1, a.scale_lines, a.parameter_line_beats),
            Buffer.LEVEL: (1, a.level_lines, a.parameter_line_beats),
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
        buffer = self.random.choice(self.buffers)
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

    # --- products ------------------------------------------------------------------------------------------------

    def _products(self) -> None:
        """Add products that all write one buffer, or sums too, or vectors beside them.

        Of a buffer that is read and written they read and write different lines.
        """
        a = self.a
        destinations = [Destination.OUTPUT, Destination.ACTIVATION] + [Destination.KEY] * (a.key_lines > 0)
        self.destination = self.random.choice(destinations)
        self.readable = {
            "activation": range(a.activation_lines),
            "weight": range(a.weight_lines),
            "key": range(a.key_lines),
        }
        self.writable = range(a.output_lines)
        if self.destination is not Destination.OUTPUT:
            name = self.destination.name.lower()
            self.readable[name], self.writable = self._cut(self.readable[name])
        self.sums_are_written = a.vector_lanes > 0 and self.random.random() < 0.4
        if not a.vector_lanes or self.sums_are_written:
            todo = [self._product] * self._number(1, 4)
        else:
            codes = range(0)
            if len(self.readable["activation"]) > 1:
                self.readable["activation"], codes = self._cut(self.readable["activation"])
            vector = partial(self._vector, codes)
            todo = [self._product] * self._number(0, 3) + [vector] * self._number(1, 6)
            self.random.shuffle(todo)
        for add in todo:
            add()

    def _cut(self, space: range) -> list[range]:
        """Return the lines in two parts, either first."""
        cut = space.start + self._number(1, len(space) - 1)
        parts = [range(space.start, cut), range(cut, space.stop)]
        self.random.shuffle(parts)
        return parts

    def _vector(self, codes: range) -> None:
        self._add(Opcode.VECTOR, **self.vectors.make(codes))

    def _product(self) -> None:
        a = self.a
        self.right = self.random.choice(["weight", "key"]) if a.key_lines else "weight"
        if self.random.random() < 0.3:
            self._sum_in_pieces()
            return
        planes = self._planes()
        words = self._number(1, self._most_words(planes))
        rows, groups = self._number(1, 4 * a.rows), self._number(1, min(3, a.threshold_lines))
        pad = 0 if planes["unsigned"] else self._number(0, a.word_bits - 1)
        sums = self.sums_are_written and self.random.random() < 0.6
        rows, groups = self._room_for_sums(groups) if sums else self._room(rows, groups)
        self._matmul(words, rows, groups, first=1, handover=1, pad=pad, **planes)
        (self._sums if sums else self._binarize)(rows, groups)

    def _planes(self) -> dict[str, int]:
        """Return what a sum is made of: one plane of each operand or several, the first of which may be subtracted."""
        a, random = self.a, self.random
        if random.random() < 0.4:
            return {"unsigned": self._number(0, 1), "activation_planes": 1, "weight_planes": 1, "plain": 0}
        while True:
            plain = self._number(0, 1)
            planes = (self._number(1, a.code_bits), self._number(1, a.code_bits) if plain else 1)
            form = {"unsigned": 1, "plain": plain, "activation_planes": planes[0], "weight_planes": planes[1]}
            if self._most_words(form) > 0:
                signs = 1 if a.code_bits > 1 else 0
                return form | {"activation_negative": self._number(0, signs), "weight_negative": self._number(0, signs)}

    def _sum_in_pieces(self) -> None:
        """Add one tile whose sum is made by several instructions, each from lines of its own."""
        a = self.a
        form = {"unsigned": self._number(0, 1), "activation_planes": 1, "weight_planes": 1, "plain": 0}
        form["plain"] = form["unsigned"] and self._number(0, 1)
        if self._most_words(form) < 1:
            form["plain"] = 0
        left, pieces = self._most_words(form), []
        while left > 0 and len(pieces) < 4:
            pieces.append(self._number(1, left))
            left -= pieces[-1]
        rows, _ = self._room(self._number(1, a.rows), 1)
        for place, words in enumerate(pieces):
            ends = {"first": int(place == 0), "handover": int(place == len(pieces) - 1)}
            self._matmul(words, rows, 1, pad=0, **form, **ends)
        self._binarize(rows, 1)

    def _most_words(self, form: dict[str, int]) -> int:
        """Return the words that a sum of this form can add up and that the planes in both buffers have lines for."""
        a = self.a
        planes = form["activation_planes"], form["weight_planes"]
        bits = a.max_inputs // ((1 << planes[0]) - 1) // ((1 << planes[1]) - 1) // (1 + form["plain"])
        lines = min(len(self.readable["activation"]) // planes[0], len(self.readable[self.right]) // planes[1])
        return min(bits // a.word_bits, lines * a.line_words, 100)

    def _matmul(self, words: int, rows: int, groups: int, **form: int) -> None:
        a, lines = self.a, -(-words // self.a.line_words)
        operands: dict[str, int] = {"keys": int(self.right == "key")}
        for name, space, count in (
            ("activation", self.readable["activation"], -(-rows // a.rows)),
            ("weight", self.readable[self.right], groups),
        ):
            planes = form[f"{name}_planes"]
            plane_stride = self._number(0, (len(space) - lines) // (planes - 1) if planes > 1 else 9)
            reach = lines + (planes - 1) * plane_stride
            first, stride = self._places(space, reach, count)
            operands |= {f"{name}_line": first, f"{name}_stride": stride, f"{name}_plane_stride": plane_stride}
        self._add(Opcode.MATMUL, words=words, rows=rows, column_groups=groups, **operands, **form)

    def _places(self, space: range, needed: int, count: int) -> tuple[int, int]:
        """Return a first line and a stride for `count` pieces of `needed` lines each; pieces may overlap."""
        lines = len(space)
        stride = self._number(0, (lines - needed) // max(1, count - 1)) if count > 1 else self._number(0, 65535)
        reach = needed + (count - 1) * stride if count > 1 else needed
        return space.start + self._number(0, lines - reach), stride

    # --- where bits go -------------------------------------------------------------------------------------------

    def _room(self, rows: int, groups: int) -> tuple[int, int]:
        """Choose how bits are written; return as many rows and column groups as there is room for."""
        a = self.a
        self.transpose = int(self.destination is Destination.KEY and self.random.random() < 0.5)
        pieces = {
            Destination.OUTPUT: a.output_line_groups,
            Destination.ACTIVATION: a.line_groups,
            Destination.KEY: a.line_row_groups if self.transpose else a.line_groups,
        }
        self.line_pieces = pieces[self.destination]
        most = len(self.writable) * self.line_pieces
        if self.transpose:
            return min(rows, most * a.rows), groups
        return rows, min(groups, most)

    def _room_for_sums(self, groups: int) -> tuple[int, int]:
        a = self.a
        rows = self._number(1, min(a.rows, a.sum_lines * a.drain_rows))
        return rows, min(groups, a.sum_lines // -(-rows // a.drain_rows) * a.sum_line_groups)

    def _sums(self, rows: int, groups: int) -> None:
        a, blocks = self.a, -(-rows // self.a.drain_rows)
        offset = self._number(0, a.sum_lines // blocks * a.sum_line_groups - groups)
        line, stride = self._places(range(a.sum_lines), -(-(offset + groups) // a.sum_line_groups), blocks)
        shape = {"rows": rows, "column_groups": groups, "spare": self._number(0, a.columns - 1)}
        self._add(Opcode.SUMS, output_line=line, output_group=offset, output_stride=stride, **shape)

    def _binarize(self, rows: int, groups: int) -> None:
        a = self.a
        tiles, bank = -(-rows // a.rows), 0
        along, across = (tiles, groups) if self.transpose else (groups, tiles)
        if self.destination is Destination.KEY and not self.transpose:
            unit = min(a.rows, a.columns)
            bank = unit * self._number(0, a.columns // unit - 1)
            across = -(-(bank + rows) // a.columns)
        offset = self._number(0, len(self.writable) * self.line_pieces - along)
        needed = -(-(offset + along) // self.line_pieces)
        line, stride = self._places(self.writable, needed, across)
        shared = self._number(0, 1)
        self._add(
            Opcode.BINARIZE,
            destination=self.destination,
            transpose=self.transpose,
            shared=shared,
            threshold_line=self._number(0, a.threshold_lines - (1 if shared else groups)),
            output_line=line,
            output_group=offset,
            output_stride=stride,
            output_bank=bank,
            spare=self.random.choice([0, self._number(0, a.columns - 1)]),
            rows=rows,
            column_groups=groups,
        )

"""Tiny programs built by hand, and random ones that run to their end, for the tests of the simulator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw.arch import Accelerator
from hw.isa import OWN_WAITS, TOKEN_UNITS, Instruction, Opcode, Source, Unit, Vote, make
from hw.program import Program, Region

LOAD, ARRAY, DRAIN, STORE, VECTOR, ROW = 1, 2, 4, 8, 16, 32
"""Bits of the token masks."""

_TRANSFER = {"address": 0, "line": 0, "row_beats": 1, "segments": 1, "segment_beats": 1, "stride": 0}
_MATMUL = {"unsigned": 0, "first": 1, "handover": 0, "activation_line": 0, "weight_line": 0, "words": 1, "pad": 0}
_MATMUL |= {"rows": 1, "column_groups": 1, "activation_stride": 0, "weight_stride": 0}
_BINARIZE = {"threshold_line": 0, "output_line": 0, "output_group": 0, "output_stride": 0}
_BINARIZE |= {"rows": 1, "column_groups": 1}
_SUMS = {"output_line": 0, "output_group": 0, "output_stride": 0, "rows": 1, "column_groups": 1}
_VECTOR = {"source": Source.FIXED, "source_line": 0, "channels": 1, "rows": 1}
_SOFTMAX = {"score_line": 0, "code_line": 0, "keys": 1, "rows": 1, "table_line": 0, "last_entry": 0}
_SOFTMAX |= {"multiplier": 1, "shift": 0, "level_line": 0}
_MEAN = {"source_line": 0, "fixed_line": 1, "multiplier": 1 << 14, "channels": 1, "shift": 14, "rows": 1}
_TABLE = {"source_line": 0, "fixed_line": 0, "table_line": 0, "channels": 1, "rows": 1, "shift": 0}
_CLASSIFY = {"source_line": 0, "scale_line": 0, "output_line": 0, "classes": 1, "shift": 0, "channels": 1}
_CLASSIFY |= {"vote_shift": 0, "vote": Vote.SOFT, "first": 1, "multiplier": 1, "bound": 1 << 30}

FENCE = make(Opcode.FENCE)
HALT = make(Opcode.HALT)
EXIT = make(Opcode.EXIT)


def load(**changes: int) -> Instruction:
    """Return a LOAD of one beat to the activation buffer, or as changed."""
    return make(Opcode.LOAD, **({"buffer": 0} | _TRANSFER | changes))


def store(**changes: int) -> Instruction:
    """Return a STORE of one beat, or as changed."""
    return make(Opcode.STORE, **(_TRANSFER | changes))


def matmul(**changes: int) -> Instruction:
    """Return a MATMUL of one word and one tile that stays in the array, or as changed."""
    return make(Opcode.MATMUL, **(_MATMUL | changes))


def binarize(**changes: int) -> Instruction:
    """Return a BINARIZE of one row and one column group, or as changed."""
    return make(Opcode.BINARIZE, **(_BINARIZE | changes))


def sums(**changes: int) -> Instruction:
    """Return a SUMS of one row and one column group, or as changed."""
    return make(Opcode.SUMS, **(_SUMS | changes))


def vector(**changes: int) -> Instruction:
    """Return a VECTOR that reads one channel of one row of the fixed buffer and writes nothing, or as changed."""
    return make(Opcode.VECTOR, **(_VECTOR | changes))


def softmax(**changes: int) -> Instruction:
    """Return a SOFTMAX of one key in one row, with one plane and a table of one entry, or as changed."""
    return make(Opcode.SOFTMAX, **(_SOFTMAX | changes))


def mean(**changes: int) -> Instruction:
    """Return a MEAN of one channel of one row, from line 0 of the fixed buffer to line 1, or as changed."""
    return make(Opcode.MEAN, **(_MEAN | changes))


def table(**changes: int) -> Instruction:
    """Return a TABLE of one channel of one row, in place, or as changed."""
    return make(Opcode.TABLE, **(_TABLE | changes))


def classify(**changes: int) -> Instruction:
    """Return the first CLASSIFY of one channel and one class, with a soft vote, or as changed."""
    return make(Opcode.CLASSIFY, **(_CLASSIFY | changes))


def program(accelerator: Accelerator, instructions: Sequence[Instruction], data: bytes = b"") -> Program:
    """Return a program with `data` from address 0 and the instructions behind it."""
    address = -(-len(data) // 32) * 32
    code = b"".join(instruction.encode() for instruction in instructions)
    image = data.ljust(address, b"\0") + code
    regions = (Region("data", 0, len(data), "write"), Region("program", address, len(code), "program"))
    return Program(accelerator, tuple(instructions), address, regions, image)


class RandomProgram:
    """Random instructions for the timing model, whose values mean nothing, and which always run to their HALT.

    An instruction waits only for tokens that instructions before it give, so each can issue when those have retired.
    """

    def __init__(self, accelerator: Accelerator, random: np.random.Generator) -> None:
        self.accelerator = accelerator
        self.random = random
        self.given = np.zeros((len(TOKEN_UNITS), len(TOKEN_UNITS)), int)

    def build(self, length: int) -> list[Instruction]:
        """Return about `length` instructions and a HALT."""
        result: list[Instruction] = []
        while len(result) < length:
            result += self._some()
        return [*result, HALT]

    def _number(self, high: int) -> int:
        return int(self.random.integers(1, high + 1))

    def _some(self) -> list[Instruction]:
        kinds = [range(10), range(10, 14), range(14, 18)]
        there = [True, self.accelerator.vector_lanes > 0, self.accelerator.row_lanes > 0]
        kind = self.random.choice([k for some, is_there in zip(kinds, there, strict=True) if is_there for k in some])
        if kind == 0 and self.accelerator.token_lines:
            return [load(buffer=7, gather=1, **self._gathered(), **self._tokens(Unit.LOAD))]
        if kind < 3:
            return [load(buffer=int(self.random.integers(0, 3)), **self._transfer(), **self._tokens(Unit.LOAD))]
        if kind < 5:
            return [store(**self._transfer(), **self._tokens(Unit.STORE))]
        if kind == 5:
            planes = {"activation_planes": self._number(3), "weight_planes": self._number(3)}
            rows = self.accelerator.rows
            return [matmul(words=self._number(5), rows=rows, **planes, **self._tokens(Unit.ARRAY))]
        if kind == 6:
            return [EXIT if self.accelerator.classes and self.random.integers(0, 2) else FENCE]
        if kind < 10:
            return self._drained()
        return [self._vector() if kind < 14 else self._softmax()]

    def _drained(self) -> list[Instruction]:
        shape = {"rows": self._number(3 * self.accelerator.rows), "column_groups": self._number(3)}
        waits = self._wait(Unit.DRAIN)
        first = matmul(words=self._number(6), handover=1, **shape, **self._tokens(Unit.ARRAY))
        last = {"wait": waits, "signal": self._signal(Unit.DRAIN), **shape}
        destination = int(self.random.integers(0, 4 if self.accelerator.vector_lanes else 2))
        return [first, sums(**last) if destination > 1 else binarize(destination=destination, **last)]

    def _vector(self) -> Instruction:
        kind = self.random.integers(0, 7)
        channels, rows = self._number(4 * self.accelerator.vector_lanes), self._number(self.accelerator.rows)
        if kind == 0:
            return mean(channels=channels, rows=self._number(9), **self._tokens(Unit.VECTOR))
        if kind == 1 and self.accelerator.classes:
            classes = self._number(self.accelerator.classes)
            return classify(channels=channels, classes=classes, **self._tokens(Unit.VECTOR))
        if kind == 2:
            return table(channels=channels, rows=self._number(4), **self._tokens(Unit.VECTOR))
        some = {name: int(self.random.integers(0, 2)) for name in ("source", "statistics")}
        some |= {"sets": int(self.random.integers(0, 4)), "planes": self._number(2)}
        return vector(channels=channels, rows=rows, **some, **self._tokens(Unit.VECTOR))

    def _softmax(self) -> Instruction:
        shape = {"keys": self._number(5 * self.accelerator.row_lanes), "rows": self._number(self.accelerator.rows)}
        return softmax(planes=int(self.random.choice([1, 2, 4])), **shape, **self._tokens(Unit.ROW))

    def _transfer(self) -> dict[str, int]:
        beat = self.accelerator.beat_bytes
        return {
            "address": int(self.random.integers(0, 8192)) // beat * beat,
            "segments": self._number(3),
            "segment_beats": self._number(24),
            "stride": int(self.random.integers(0, 8192)) // beat * beat,
        }

    def _gathered(self) -> dict[str, int]:
        beats = self._number(min(24, 4096 // self.accelerator.beat_bytes))
        stride = (beats * self.accelerator.beat_bytes - 1).bit_length()
        address = int(self.random.integers(0, 8192)) >> stride << stride
        return {"address": address, "segments": self._number(4), "segment_beats": beats, "stride": stride}

    def _tokens(self, unit: Unit) -> dict[str, int]:
        own = 1 << unit if unit in OWN_WAITS and self.random.integers(0, 2) else 0
        return {"wait": self._wait(unit) | own, "signal": self._signal(unit)}

    def _wait(self, unit: Unit) -> int:
        producers = [p for p in TOKEN_UNITS if self.given[p, unit] > 0 and self.random.integers(0, 2)]
        for producer in producers:
            self.given[producer, unit] -= 1
        return sum(1 << producer for producer in producers)

    def _signal(self, unit: Unit) -> int:
        consumers = [c for c in TOKEN_UNITS if c != unit and self.random.integers(0, 3) == 0]
        for consumer in consumers:
            self.given[unit, consumer] += 1
        return sum(1 << consumer for consumer in consumers)


def random_accelerator(random: np.random.Generator) -> Accelerator:
    """Return an accelerator with random sizes of everything that matters to time."""

    def choose(*values: int) -> int:
        return int(random.choice(values))

    rows, word_bits, vector_lanes = choose(1, 2, 3, 5), choose(4, 16, 64), choose(0, 1, 2, 8)
    return Accelerator(
        rows=rows,
        columns=choose(1, 2, 8),
        word_bits=word_bits,
        pipeline=choose(*range(word_bits.bit_length())),
        drain_rows=choose(*range(1, rows + 1)),
        vector_lanes=vector_lanes,
        token_lines=64 if vector_lanes else 0,
        classes=choose(1, 3, 40) if vector_lanes else 0,
        row_lanes=choose(0, 1, 2, 8),
        port_bits=choose(8, 32, 256),
        burst_beats=choose(1, 3, 16, 256),
        reads_in_flight=choose(1, 2, 4),
        writes_in_flight=choose(1, 2, 4),
        fetch_depth=choose(1, 2, 4),
        queue_depth=choose(1, 2, 4),
        transfers_in_flight=choose(1, 2, 4),
    )

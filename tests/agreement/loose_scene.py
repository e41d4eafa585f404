"""What all parts of a loose program share: the accelerator, the random numbers, the order, the memory, and a machine.

The machine of the simulator executes each instruction as it is added. So the next ones can be chosen by what is there:
a level that a number of the table meets exactly, a swing that just decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

import numpy as np

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction, Opcode, Unit, make
from hw.program import Program, Region
from sim.machine import Machine
from tests.agreement.loose_accesses import buffer_shape
from tests.agreement.loose_order import Order

SPACE = 1 << 13
"""Bytes of the memory that programs read, and of the memory that they write."""

PLACED = 1 << 14
"""Bytes of the memory for what is chosen on the way."""

_CANDIDATES = 3

T = TypeVar("T")


class Scene:
    """One program on its way."""

    def __init__(self, accelerator: Accelerator, random: Random) -> None:
        self.a = accelerator
        self.random = random
        self.order = Order(accelerator, random)
        self.image = bytearray(random.randbytes(SPACE) + bytes(SPACE + PLACED))
        self.machine = Machine(accelerator, np.frombuffer(bytes(self.image), np.uint8).copy())
        self.placed = 2 * SPACE
        self.buffers = [b for b in Buffer if buffer_shape(accelerator, b)[1]]

    def program(self) -> Program:
        """Return what has been added as a program with its memory."""
        code = b"".join(instruction.encode() for instruction in self.order.instructions)
        start = len(self.image)
        regions = (
            Region("data", 0, SPACE, "read"),
            Region("results", SPACE, SPACE, "write"),
            Region("chosen", 2 * SPACE, PLACED, "read"),
            Region("program", start, len(code), "program"),
        )
        return Program(self.a, tuple(self.order.instructions), start, regions, bytes(self.image) + code)

    # --- random numbers ------------------------------------------------------------------------------------------

    def number(self, low: int, high: int) -> int:
        """Return a number from low to high."""
        return self.random.randint(low, high)

    def either(self, *options: T) -> T:
        """Return one of some values."""
        return self.random.choice(options)

    def rarely(self) -> bool:
        """Return True once in a while."""
        return self.random.random() < 0.2

    def cut(self, space: range) -> list[range]:
        """Return the lines in two parts, either first."""
        cut = space.start + self.number(1, len(space) - 1)
        parts = [range(space.start, cut), range(cut, space.stop)]
        self.random.shuffle(parts)
        return parts

    def places(self, space: range, needed: int, count: int) -> tuple[int, int]:
        """Return a first line and a stride for `count` pieces of `needed` lines each; pieces may overlap."""
        lines = len(space)
        stride = self.number(0, (lines - needed) // max(1, count - 1)) if count > 1 else self.number(0, 65535)
        reach = needed + (count - 1) * stride if count > 1 else needed
        return space.start + self.number(0, lines - reach), stride

    # --- instructions --------------------------------------------------------------------------------------------

    def add(self, *instructions: Instruction) -> None:
        """Add instructions; what follows a MATMUL in one call is not parted from it."""
        behind = False
        for i in instructions:
            if i.unit is Unit.SEQUENCER:
                self.order.fence(i)
            else:
                self.order.add(i, behind)
            self.machine.execute(i)
            behind = i.opcode is Opcode.MATMUL

    def add_best(self, make_candidate: Callable[[], Sequence[Instruction]]) -> bool:
        """Add what has to wait least of several candidates; return whether there was one that is not empty."""
        candidates = [c for c in (make_candidate() for _ in range(_CANDIDATES)) if c]
        if candidates:
            self.add(*min(candidates, key=lambda c: sum(map(self.order.obstacles, c))))
        return bool(candidates)

    def place(self, data: bytes) -> int | None:
        """Put data into the memory, from a whole beat on; return its address, or None where there is no room."""
        start = -(-self.placed // self.a.beat_bytes) * self.a.beat_bytes
        end = start + len(data)
        if end > len(self.image):
            return None
        self.image[start:end] = data
        self.machine.memory[start:end] = np.frombuffer(data, np.uint8)
        self.placed = end
        return start

    def bring(self, buffer: Buffer, line: int, data: bytes) -> bool:
        """Load chosen data, filled up with random bytes, into whole lines of a buffer of one bank."""
        _, _, line_beats = buffer_shape(self.a, buffer)
        line_bytes = line_beats * self.a.beat_bytes
        lines = -(-len(data) // line_bytes)
        address = self.place(data + self.random.randbytes(lines * line_bytes - len(data)))
        if address is None:
            return False
        shape = {"row_beats": line_beats, "segments": 1, "segment_beats": lines * line_beats, "stride": 0}
        self.add(make(Opcode.LOAD, buffer=buffer, address=address, line=line, **shape))
        return True

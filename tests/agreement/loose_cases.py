"""Groups of random programs that no mapper would make."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hw.program import Program
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.timing import simulate
from tests.agreement.compare import ProgramCase
from tests.agreement.loose_programs import LooseProgram
from tests.agreement.points import random_memory, random_network_accelerator

PROGRAMS_PER_GROUP = 3
MOST_CYCLES = 6000
_TRIES = 4


@dataclass(frozen=True)
class LooseCase(ProgramCase):
    """One program that no mapper would make."""

    def __str__(self) -> str:
        a = self.program.accelerator
        return (
            f"case {self.number}: {len(self.program.instructions)} instructions on {a.rows}x{a.columns}x{a.word_bits}, "
            f"{a.vector_lanes} vector lanes, {a.row_lanes} row lanes, {a.classes} classes, port {a.port_bits}, "
            f"{self.memory.to_dict()}"
        )


def loose_group(seed: int, number: int) -> list[LooseCase]:
    """Return the cases of one group; the same seed and number give the same cases on every machine.

    The first one starts with buffers of zeros; the others follow without a reset, or after one in flight.
    """
    random = Random(f"loose {seed} {number}")
    accelerator = random_network_accelerator(random)
    cases: list[LooseCase] = []
    for place in range(PROGRAMS_PER_GROUP):
        program = LooseProgram(accelerator, random).build(random.randint(4, 28), clean=place > 0)
        rate = random.random() if place and random.random() < 0.3 else None
        memory = _memory(random, program)
        index = number * PROGRAMS_PER_GROUP + place
        cases.append(LooseCase(index, program, memory, before=tuple(cases), reset_rate=rate))
    return cases


def _memory(random: Random, program: Program) -> MemoryProfile:
    """Return a memory, one that is not too slow for a long program."""
    end = execute(program).end
    for _ in range(_TRIES):
        memory = random_memory(random)
        if simulate(program.accelerator, program.instructions, memory, end).cycles <= MOST_CYCLES:
            return memory
    return MemoryProfile()

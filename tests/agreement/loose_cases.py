"""Groups of random programs that no mapper would make, and their comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hw.bench.build import build
from hw.bench.runner import run
from hw.gateware.verilog import generate
from hw.program import Program
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.timing import simulate
from tallybert.hardware import write_program_case
from tests.agreement.loose_programs import LooseProgram
from tests.agreement.points import random_accelerator, random_memory

PROGRAMS_PER_GROUP = 2


@dataclass(frozen=True)
class LooseCase:
    """One program with its memory."""

    number: int
    program: Program
    memory: MemoryProfile

    def __str__(self) -> str:
        a = self.program.accelerator
        return (
            f"case {self.number}: {len(self.program.instructions)} instructions on {a.rows}x{a.columns}x{a.word_bits}, "
            f"{a.vector_lanes} vector lanes, port {a.port_bits}, {self.memory.to_dict()}"
        )


def loose_group(seed: int, number: int) -> list[LooseCase]:
    """Return the cases of one group; the same seed and number give the same cases on every machine."""
    random = Random(f"loose {seed} {number}")
    accelerator = random_accelerator(random)
    programs = [LooseProgram(accelerator, random).build(random.randint(1, 4)) for _ in range(PROGRAMS_PER_GROUP)]
    first = number * PROGRAMS_PER_GROUP
    return [LooseCase(first + place, program, random_memory(random)) for place, program in enumerate(programs)]


def compare_loose(cases: Sequence[LooseCase], simulator: str, cache: Path, work: Path) -> list[dict[str, Any]]:
    """Return the bench's result of each case, each in a simulation of its own: what buffers hold at first is 0."""
    built = build(generate(cases[0].program.accelerator), simulator, cache)
    results = []
    for case in cases:
        program, folder = case.program, work / f"case{case.number}"
        timing = simulate(program.accelerator, program.instructions, case.memory)
        write_program_case(folder, program, timing, execute(program), case.memory)
        results += run(built, simulator, [folder], work / f"run{case.number}")
    return results

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
from tests.agreement.points import random_memory, random_network_accelerator

PROGRAMS_PER_GROUP = 3
MOST_CYCLES = 6000
_TRIES = 4


@dataclass(frozen=True)
class LooseCase:
    """One program with its memory, the cases that run before it in the same simulation, and where a reset comes."""

    number: int
    program: Program
    memory: MemoryProfile
    before: tuple[LooseCase, ...] = ()
    reset_rate: float | None = None

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
        cases.append(LooseCase(number * PROGRAMS_PER_GROUP + place, program, memory, tuple(cases), rate))
    return cases


def _memory(random: Random, program: Program) -> MemoryProfile:
    """Return a memory, one that is not too slow for a long program."""
    end = execute(program).end
    for _ in range(_TRIES):
        memory = random_memory(random)
        if simulate(program.accelerator, program.instructions, memory, end).cycles <= MOST_CYCLES:
            return memory
    return MemoryProfile()


def compare_loose(cases: Sequence[Any], simulator: str, cache: Path, work: Path) -> list[dict[str, Any]]:
    """Return the bench's result of each case: a simulation for each first one, with those that follow it."""
    built = build(generate(cases[0].program.accelerator), simulator, cache)
    chains: list[list[Any]] = []
    for case in cases:
        before = list(getattr(case, "before", ()))
        if before and chains and [c.number for c in chains[-1]] == [c.number for c in before]:
            chains[-1].append(case)
        else:
            chains.append([*before, case])
    results = {}
    for chain in chains:
        folders = [_write(case, work / f"case{case.number}") for case in chain]
        found = run(built, simulator, folders, work / f"run{chain[-1].number}")
        results |= {case.number: result for case, result in zip(chain, found, strict=True)}
    return [results[case.number] for case in cases]


def _write(case: Any, folder: Path) -> Path:
    program, execution = case.program, execute(case.program)
    timing = simulate(program.accelerator, program.instructions, case.memory, execution.end)
    rate = getattr(case, "reset_rate", None)
    reset_at = None if rate is None else 1 + int(rate * timing.cycles)
    write_program_case(folder, program, timing, execution, case.memory, reset_at)
    return folder

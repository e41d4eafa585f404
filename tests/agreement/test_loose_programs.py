"""RTL = simulator for programs that no mapper makes, each in a simulation of its own, from a seed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from hw.bench.build import build, default_cache, missing_tool
from hw.bench.case import write_expectation
from hw.bench.compare import is_equal
from hw.bench.runner import run
from hw.gateware.verilog import generate
from hw.isa import Opcode
from hw.program import Program
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.timing import simulate
from tests.agreement.loose_programs import LooseProgram
from tests.agreement.points import random_accelerator, random_memory

SEED = 20261121
ACCELERATORS = 5
PROGRAMS = 2


def made(number: int) -> list[tuple[Program, MemoryProfile]]:
    """Return the programs of an accelerator, each with a memory."""
    random = Random(f"loose {SEED} {number}")
    accelerator = random_accelerator(random)
    programs = [LooseProgram(accelerator, random).build(phases=random.randint(1, 4)) for _ in range(PROGRAMS)]
    return [(program, random_memory(random)) for program in programs]


def write_case(folder: Path, program: Program, memory: MemoryProfile) -> Path:
    timing, execution = simulate(program.accelerator, program.instructions, memory), execute(program)
    program.save(folder)
    columns = (timing.issue, timing.retire, execution.checksums)
    write_expectation(
        folder,
        profile=memory.to_dict(),
        trace=[[int(number) for number in row] for row in zip(*columns, strict=True)],
        cycles=timing.cycles,
        states=timing.states.tolist(),
        memory=execution.memory.tobytes(),
    )
    return folder


@pytest.mark.icarus
@pytest.mark.parametrize("number", range(ACCELERATORS))
def test_loose_programs_agree(number: int, tmp_path: Path) -> None:
    if missing := missing_tool("icarus"):
        pytest.skip(missing)
    print(f"seed {SEED}, accelerator {number}")
    programs = made(number)
    built = build(generate(programs[0][0].accelerator), "icarus", default_cache())
    for place, (program, memory) in enumerate(programs):
        folder = write_case(tmp_path / f"case{place}", program, memory)
        (result,) = run(built, "icarus", [folder], tmp_path / f"work{place}")
        assert is_equal(result), (number, place, result)


def test_they_reach_what_mappers_never_use() -> None:
    instructions = [i for number in range(40) for program, _ in made(number) for i in program.instructions]
    moves = [i for i in instructions if i.opcode in (Opcode.LOAD, Opcode.STORE)]
    products = [i for i in instructions if i.opcode is Opcode.MATMUL]
    outputs = [i for i in instructions if i.opcode is Opcode.BINARIZE]
    assert any(i.stride >> 31 for i in moves if i.opcode is Opcode.STORE)
    assert any(i.stride >> 31 for i in moves if i.opcode is Opcode.LOAD and i.buffer == 2 and i.segments > 1)
    assert any(i.output_group for i in outputs) and any(i.output_stride > 1 for i in outputs if i.rows > 7)
    assert any(i.words > 64 for i in products) and any(i.rows > 7 for i in products)
    assert any(not i.first and i.handover for i in products) and any(i.activation_stride == 0 for i in products)
    assert any(i.activation_planes > 2 for i in products) and any(i.weight_planes > 1 for i in products)
    assert any(i.activation_negative != i.weight_negative for i in products) and any(i.keys for i in products)
    assert {(0, 0), (1, 0), (2, 0), (2, 1)} == {(i.destination, i.transpose) for i in outputs}
    assert any(i.shared for i in outputs) and any(i.spare for i in outputs) and any(i.output_bank for i in outputs)

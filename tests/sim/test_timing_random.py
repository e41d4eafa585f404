"""The timing model on random programs: what must hold for every program, and that sleeping changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import TOKEN_UNITS, Instruction, Opcode
from sim import state, timing
from sim.memory import MemoryProfile
from sim.timing import simulate
from tests.sim.programs import RandomProgram, random_accelerator
from tests.sim.test_timing import check_states

PROFILES = [
    MemoryProfile(latency=1, write_latency=1),
    MemoryProfile(),
    MemoryProfile(latency=3, write_latency=40, interval=2),
    MemoryProfile(latency=30, jitter=25, stall_rate=100, stall_max=9, seed=11),
]
BUSY_COLUMN = 0


def random_case(seed: int) -> tuple[Accelerator, list[Instruction]]:
    """Return an accelerator and a program for it."""
    random = np.random.default_rng(seed)
    accelerator = random_accelerator(random)
    return accelerator, RandomProgram(accelerator, random).build(60)


def work(accelerator: Accelerator, instruction: Instruction) -> int:
    """Return in how many cycles an instruction makes its unit busy."""
    i = instruction
    match i.opcode:
        case Opcode.LOAD | Opcode.STORE:
            return i.segments * i.segment_beats
        case Opcode.MATMUL:
            planes = i.activation_planes * i.weight_planes
            return i.words * planes * -(-i.rows // accelerator.rows) * i.column_groups
        case Opcode.VECTOR:
            return i.rows * -(-i.channels // accelerator.vector_lanes) * i.planes
        case Opcode.MEAN:
            return i.rows * -(-i.channels // accelerator.vector_lanes)
        case Opcode.TABLE:
            return i.rows * i.channels
        case Opcode.CLASSIFY:
            return i.classes * (1 + -(-i.channels // accelerator.vector_lanes))
        case Opcode.SOFTMAX:
            slices = -(-i.keys // accelerator.row_lanes)
            return i.rows * (max(slices, 2**i.planes - 1) + slices * i.planes)
        case Opcode.BINARIZE | Opcode.SUMS:
            full, rest = divmod(i.rows, accelerator.rows)
            groups = full * -(-accelerator.rows // accelerator.drain_rows) + -(-rest // accelerator.drain_rows)
            return groups * i.column_groups
        case _:
            return 0


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(15))
def test_invariants(seed: int, profile: MemoryProfile) -> None:
    accelerator, instructions = random_case(seed)
    result = simulate(accelerator, instructions, profile)
    check_states(accelerator, result)
    assert result.cycles == result.retire[-1] + 1
    busy = [sum(work(accelerator, i) for i in instructions if i.unit == unit) for unit in TOKEN_UNITS]
    assert result.states[:, BUSY_COLUMN].tolist() == [*busy, len(instructions)]
    for unit in TOKEN_UNITS:
        mine = [index for index, i in enumerate(instructions) if i.unit == unit]
        assert (np.diff(result.issue[mine]) > 0).all()
        assert (np.diff(result.retire[mine]) > 0).all()
        assert (result.retire[mine] > result.issue[mine]).all()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(15))
def test_sleeping_changes_nothing(seed: int, profile: MemoryProfile) -> None:
    accelerator, instructions = random_case(seed)
    result = simulate(accelerator, instructions, profile)
    registers = state.initial_state(accelerator, tuple(instructions), profile)
    registers.config["vigilant"] = 1
    assert timing._run(registers) == result.cycles
    assert registers.issue.tolist() == result.issue.tolist()
    assert registers.retire.tolist() == result.retire.tolist()
    assert registers.states.tolist() == result.states.tolist()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(15))
def test_a_taken_exit_changes_nothing_before_it(seed: int, profile: MemoryProfile) -> None:
    accelerator, instructions = random_case(seed)
    whole = simulate(accelerator, instructions, profile)
    for end in (index for index, i in enumerate(instructions) if i.opcode is Opcode.EXIT):
        part = simulate(accelerator, instructions, profile, end)
        check_states(accelerator, part)
        assert part.cycles == whole.retire[end] + 1
        for found, expected in ((part.issue, whole.issue), (part.retire, whole.retire)):
            assert found[: end + 1].tolist() == expected[: end + 1].tolist()
            assert (found[end + 1 :] == state.NEVER).all()


def test_runs_do_not_depend_on_each_other() -> None:
    accelerator, instructions = random_case(1)
    results = [simulate(accelerator, instructions, profile) for profile in (PROFILES[3], PROFILES[0], PROFILES[3])]
    assert results[0].retire.tolist() == results[2].retire.tolist() != results[1].retire.tolist()

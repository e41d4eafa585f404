"""A recorded run against the run that is not recorded, and against cycles computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hw.isa import STATE_NAMES, Instruction, Unit
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.recording import Recording, record_run
from sim.timing import TimingError, simulate
from tests.agreement.chain import chained_program
from tests.sim.programs import ARRAY, HALT, LOAD, load, matmul, store
from tests.sim.test_timing import INSTANT, QUICK
from tests.sim.test_timing_random import PROFILES, random_case

BUSY, WAIT, TOKEN, ISSUE, EMPTY = range(5)
PROFILE_IDS = ["quick", "usual", "slow", "jitter"]


def record(instructions: list[Instruction], **changes: Any) -> Recording:
    """Return the recording of a run on QUICK, changed."""
    return record_run(QUICK.replace(**changes), instructions, INSTANT)


@pytest.mark.parametrize("profile", PROFILES, ids=PROFILE_IDS)
@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_run_that_is_not_recorded(seed: int, profile: MemoryProfile) -> None:
    accelerator, instructions = random_case(seed)
    found, expected = record_run(accelerator, instructions, profile), simulate(accelerator, instructions, profile)
    assert found.timing.cycles == expected.cycles
    for name in ("issue", "retire", "states"):
        assert (getattr(found.timing, name) == getattr(expected, name)).all()
    assert found.states.shape == (len(Unit), expected.cycles)
    for unit in Unit:
        if expected.states[unit].any():
            counts = np.bincount(found.states[unit], minlength=len(STATE_NAMES))
            assert counts.tolist() == expected.states[unit].tolist()


@pytest.mark.parametrize("seed", range(4))
def test_beats(seed: int) -> None:
    accelerator, instructions = random_case(seed)
    found = record_run(accelerator, instructions, PROFILES[-1])
    beats = dict.fromkeys(Unit, 0)
    for i in instructions:
        beats[i.unit] += i.segments * i.segment_beats if i.unit in (Unit.LOAD, Unit.STORE) else 0
    assert found.fetched.sum() == len(instructions) * accelerator.instruction_beats
    assert found.loaded.sum() == beats[Unit.LOAD]
    assert found.read.sum() == found.stored.sum() == beats[Unit.STORE]
    assert not (found.fetched & found.loaded).any()


def test_every_state_by_hand() -> None:
    """The LOAD is taken in 4, issues in 5, is selected in 6, on AR in 7, its beat on R in 8; it retires in 9."""
    found = record([load(signal=ARRAY), matmul(wait=LOAD), HALT])
    assert found.timing.issue.tolist() == [5, 10, 6]
    states = found.states
    assert states[Unit.LOAD].tolist() == [EMPTY] * 5 + [ISSUE, WAIT, WAIT, BUSY] + [EMPTY] * 7
    assert states[Unit.ARRAY].tolist() == [EMPTY] * 6 + [TOKEN] * 4 + [ISSUE, BUSY] + [EMPTY] * 4
    assert states[Unit.SEQUENCER].tolist() == [EMPTY] * 4 + [BUSY, BUSY] + [WAIT] * 9 + [BUSY]
    assert np.flatnonzero(found.fetched).tolist() == [3, 4, 5]
    assert np.flatnonzero(found.loaded).tolist() == [8]


def test_a_store_reads_a_beat_in_the_cycle_before_it_is_on_w() -> None:
    found = record([store(segments=1, segment_beats=2, row_beats=2), HALT])
    read, stored = np.flatnonzero(found.read), np.flatnonzero(found.stored)
    assert (stored - read).tolist() == [1, 1]


def test_a_run_that_an_exit_ends() -> None:
    program = chained_program()
    end = execute(program).end
    assert end < len(program.instructions) - 1
    found = record_run(program.accelerator, program.instructions, INSTANT, end)
    assert found.states.shape[1] == found.timing.cycles == found.timing.retire[end] + 1


def test_a_program_that_stops_for_ever() -> None:
    with pytest.raises(TimingError, match="program must run to its HALT, not stop for ever"):
        record([matmul(wait=LOAD), HALT])

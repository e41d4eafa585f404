"""What units do from when to when, held against the counts of the simulator and the work of each instruction."""

from __future__ import annotations

import numpy as np
import pytest

from hw.isa import Unit
from sim.memory import MemoryProfile
from sim.recording import record_run
from tallybert.activity import BUSY, EMPTY, ISSUE, TOKEN, WAIT, activities
from tallybert.lives import NOBODY, live
from tests.sim.programs import HALT, softmax
from tests.sim.test_timing import INSTANT, QUICK
from tests.sim.test_timing_random import PROFILES, work
from tests.tallybert.recorded import PROFILE_IDS, chain, layer, random_run


@pytest.mark.parametrize("profile", PROFILES, ids=PROFILE_IDS)
@pytest.mark.parametrize("seed", range(6))
class TestRandomPrograms:
    def test_intervals_follow_each_other_and_add_up(self, seed: int, profile: MemoryProfile) -> None:
        _, _, recording, _, activities = random_run(seed, profile)
        for unit, activity in activities.items():
            assert activity.starts[0] == 0 and activity.stops[-1] == recording.timing.cycles
            assert (activity.starts[1:] == activity.stops[:-1]).all()
            lengths = activity.stops - activity.starts
            counts = [int(lengths[activity.states == state].sum()) for state in range(5)]
            assert counts == recording.timing.states[unit].tolist()

    def test_each_instruction_is_busy_as_long_as_its_work(self, seed: int, profile: MemoryProfile) -> None:
        accelerator, instructions, recording, lives, activities = random_run(seed, profile)
        for number, i in enumerate(instructions):
            if i.unit is not Unit.SEQUENCER:
                starts, stops = activities[i.unit].busy_of(number)
                assert (stops - starts).sum() == work(accelerator, i)
                assert activities[i.unit].done_before(number, recording.timing.cycles) == work(accelerator, i)
                assert (starts > lives.issue[number]).all() and (stops <= lives.retire[number]).all()

    def test_whom_a_state_is_about(self, seed: int, profile: MemoryProfile) -> None:
        _, instructions, _, lives, activities = random_run(seed, profile)
        for unit, activity in activities.items():
            for start, stop, state, number in zip(
                activity.starts, activity.stops, activity.states, activity.subjects, strict=True
            ):
                assert (number == NOBODY) == (state == EMPTY)
                assert state == EMPTY or unit is Unit.SEQUENCER or instructions[number].unit is unit
                if state == ISSUE:
                    assert (start, stop) == (lives.issue[number], lives.issue[number] + 1)
                if state == TOKEN and unit is not Unit.SEQUENCER:
                    assert lives.head[number] <= start and stop <= lives.issue[number]
                if state == WAIT and unit is Unit.DRAIN:
                    assert activity.next_busy(int(number), int(stop)) != NOBODY
                if state == WAIT and unit is not Unit.SEQUENCER:
                    assert lives.issue[number] < start and stop <= lives.retire[number] + (unit is Unit.STORE)


def test_row_waits_for_the_second_pass_of_the_instruction_that_goes_on_then() -> None:
    """The second SOFTMAX pauses between its passes from 23 on, while the first one is in the pipeline until 28."""
    accelerator = QUICK.replace(row_lanes=4, vector_lanes=4, code_bits=4)
    instructions = [softmax(), softmax(), HALT]
    recording = record_run(accelerator, instructions, INSTANT)
    lives = live(accelerator, instructions, recording)
    row = activities(recording, lives, instructions)[Unit.ROW]
    found = zip(row.starts.tolist(), row.states.tolist(), row.subjects.tolist(), strict=True)
    assert [part for part in found if part[1] not in (EMPTY, ISSUE)] == [
        *((6, BUSY, 0), (7, WAIT, 0), (21, BUSY, 0), (22, BUSY, 1), (23, WAIT, 1), (37, BUSY, 1)),
    ]
    assert lives.retire[0] == 28


def test_the_interval_of_a_cycle() -> None:
    activity = chain().activities[Unit.ARRAY]
    for number, (start, stop) in enumerate(zip(activity.starts, activity.stops, strict=True)):
        assert activity.at(int(start)) == activity.at(int(stop) - 1) == number


def test_the_next_busy_cycle() -> None:
    activity = layer().activities[Unit.LOAD]
    starts, stops = activity.busy_of(0)
    busy = [cycle for start, stop in zip(starts, stops, strict=True) for cycle in range(start, stop)]
    for cycle in range(layer().cycles):
        assert activity.next_busy(0, cycle) == min((c for c in busy if c >= cycle), default=NOBODY)
        assert activity.done_before(0, cycle) == sum(c < cycle for c in busy)


def test_a_unit_that_was_left_out_has_no_activity() -> None:
    assert Unit.VECTOR not in layer().activities and Unit.ROW not in layer().activities
    assert np.count_nonzero(layer().activities[Unit.ARRAY].states == BUSY)

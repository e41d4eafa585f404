"""Lives of instructions, held against the rules of docs/machine.md on random programs, and cycles computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hw.isa import TOKEN_UNITS, Instruction, Unit
from sim.memory import MemoryProfile
from sim.recording import record_run
from tallybert.lives import NOBODY, Cause, Lives, causes, live
from tests.sim.programs import ARRAY, DRAIN, FENCE, HALT, LOAD, binarize, load, matmul, store, vector
from tests.sim.test_timing import INSTANT, QUICK
from tests.sim.test_timing_random import PROFILES
from tests.tallybert.recorded import PROFILE_IDS, chain, random_run

TOKEN, ISSUE = 2, 3


def lives_of(instructions: list[Instruction], **changes: int) -> Lives:
    """Return the lives of instructions on QUICK, changed."""
    accelerator = QUICK.replace(**changes)
    return live(accelerator, instructions, record_run(accelerator, instructions, INSTANT))


def why(instructions: list[Instruction], number: int, **changes: int) -> list[Cause]:
    """Return why an instruction stood."""
    return causes(lives_of(instructions, **changes), QUICK.replace(**changes), instructions, number)


@pytest.mark.parametrize("profile", PROFILES, ids=PROFILE_IDS)
@pytest.mark.parametrize("seed", range(6))
class TestRandomPrograms:
    def test_the_order_of_a_life(self, seed: int, profile: MemoryProfile) -> None:
        _, instructions, recording, lives, _ = random_run(seed, profile)
        assert len(lives.fetched) == len(lives.taken) == len(instructions)
        assert (lives.issue == recording.timing.issue).all() and (lives.retire == recording.timing.retire).all()
        owned = np.array([i.unit is not Unit.SEQUENCER for i in instructions])
        assert (np.diff(lives.fetched) > 0).all() and (np.diff(lives.taken) > 0).all()
        assert (lives.fetched < lives.taken).all()
        assert (lives.taken < lives.head)[owned].all() and (lives.head <= lives.issue).all()
        assert (lives.head == lives.issue)[~owned].all() and (lives.taken == lives.retire)[~owned].all()

    def test_queues_are_never_too_full(self, seed: int, profile: MemoryProfile) -> None:
        accelerator, _, _, lives, _ = random_run(seed, profile)
        for unit in TOKEN_UNITS:
            mine = lives.order[unit]
            for cycle in lives.taken[mine]:
                assert ((lives.taken[mine] < cycle) & (lives.issue[mine] >= cycle)).sum() < accelerator.queue_depth

    def test_a_token_is_given_before_it_is_taken(self, seed: int, profile: MemoryProfile) -> None:
        _, instructions, _, lives, _ = random_run(seed, profile)
        for number, i in enumerate(instructions):
            waits = {u for u in TOKEN_UNITS if i.wait >> u & 1}
            assert {*lives.givers[number]} == waits - _nobody_before(lives, number, i)
            for unit, giver in lives.givers[number].items():
                assert instructions[giver].unit is unit
                assert lives.retire[giver] < lives.issue[number]
                assert unit is i.unit or lives.takers[giver][i.unit] == number
            assert {*lives.takers[number]} == {u for u in TOKEN_UNITS if i.signal >> u & 1}

    def test_causes_cover_the_cycles_that_an_instruction_stood(self, seed: int, profile: MemoryProfile) -> None:
        accelerator, instructions, _, lives, _ = random_run(seed, profile)
        for number, i in enumerate(instructions):
            start, stop = int(lives.head[number]), int(lives.issue[number])
            if i.unit is Unit.SEQUENCER:
                start, stop = stop, int(lives.retire[number])
            found = causes(lives, accelerator, instructions, number)
            covered = {cycle for cause in found for cycle in range(cause.start, cause.stop)}
            assert covered == set(range(start, stop))
            assert lives.stood[number] == len(covered)

    def test_a_unit_without_its_token_says_so(self, seed: int, profile: MemoryProfile) -> None:
        """Each cycle in state token is one in which the head lacks a token, and no issue cycle is."""
        accelerator, instructions, recording, lives, activities = random_run(seed, profile)
        for unit in TOKEN_UNITS:
            lacking: set[int] = set()
            for number in lives.order[unit]:
                for cause in causes(lives, accelerator, instructions, int(number)):
                    if cause.kind in ("token", "own"):
                        lacking |= set(range(cause.start, cause.stop))
            if unit in activities:
                assert set(np.flatnonzero(recording.states[unit] == TOKEN).tolist()) <= lacking
                idle = recording.states[unit] >= TOKEN
                assert {cycle for cycle in lacking if idle[cycle]} == set(
                    np.flatnonzero(recording.states[unit] == TOKEN).tolist()
                )

    def test_the_transfer_queue_is_full_where_it_is_said_to_be(self, seed: int, profile: MemoryProfile) -> None:
        accelerator, instructions, _, lives, _ = random_run(seed, profile)
        for unit in (Unit.LOAD, Unit.STORE):
            mine = lives.order[unit]
            left = np.array([lives.left[int(number)] for number in mine])
            for number in mine:
                for cause in causes(lives, accelerator, instructions, int(number)):
                    for cycle in range(cause.start, cause.stop):
                        level = ((lives.issue[mine] < cycle) & (left >= cycle)).sum()
                        full = level >= accelerator.transfers_in_flight
                        assert cause.kind != "transfers" or full
                        assert cause.kind != "unit" or not full


def _nobody_before(lives: Lives, number: int, i: Instruction) -> set[Unit]:
    """Return the own unit of its first instruction, which has nobody to wait for."""
    return {i.unit} if i.unit is not Unit.SEQUENCER and lives.order[i.unit][0] == number else set()


class TestByHand:
    def test_instruction_n_is_taken_in_n_plus_4(self) -> None:
        lives = lives_of([load(), matmul(), HALT])
        assert lives.fetched.tolist() == [3, 4, 5]
        assert lives.taken.tolist()[:2] == [4, 5]
        assert lives.head.tolist() == [5, 6, 6]

    def test_a_token(self) -> None:
        instructions = [load(signal=ARRAY), matmul(wait=LOAD), HALT]
        assert why(instructions, 1) == [Cause("token", 6, 10, 0, Unit.LOAD)]
        assert lives_of(instructions).takers[0] == {Unit.ARRAY: 1}

    def test_a_token_that_stays(self) -> None:
        assert lives_of([load(signal=DRAIN), HALT]).takers[0] == {Unit.DRAIN: NOBODY}

    def test_the_second_wait_pairs_with_the_second_signal(self) -> None:
        instructions = [load(signal=ARRAY), load(signal=ARRAY), matmul(wait=LOAD), matmul(wait=LOAD), HALT]
        assert [lives_of(instructions).givers[n] for n in (2, 3)] == [{Unit.LOAD: 0}, {Unit.LOAD: 1}]

    def test_its_own_unit(self) -> None:
        (cause,) = why([load(), load(wait=LOAD), HALT], 1)
        assert (cause.kind, cause.instruction, cause.unit) == ("own", 0, Unit.LOAD)

    def test_a_busy_unit(self) -> None:
        """Ten steps enter from 6 to 15; in that last cycle the next one is accepted."""
        assert why([matmul(words=10), matmul(), HALT], 1) == [Cause("unit", 6, 15, 0, Unit.ARRAY)]

    def test_a_full_transfer_queue(self) -> None:
        found = why([load(), load(), HALT], 1, transfers_in_flight=1)
        assert [cause.kind for cause in found] == ["transfers"]
        assert found[0].stop == lives_of([load(), load(), HALT], transfers_in_flight=1).left[0] + 1

    def test_a_full_transfer_queue_of_stores(self) -> None:
        program = [store(segment_beats=9, row_beats=9, segments=1), store(), HALT]
        (cause,) = why(program, 1, transfers_in_flight=1)
        assert (cause.kind, cause.instruction) == ("transfers", 0)
        read = record_run(QUICK.replace(transfers_in_flight=1), program, INSTANT).read
        assert lives_of(program, transfers_in_flight=1).left[0] == np.flatnonzero(read)[8] == cause.stop - 1

    def test_a_fence(self) -> None:
        lives = lives_of([load(), FENCE, HALT])
        assert lives.stood[1] == lives.retire[1] - lives.issue[1] > 0
        assert why([load(), FENCE, HALT], 1) == [Cause("fence", 5, int(lives.retire[1]), 0, Unit.SEQUENCER)]

    def test_nothing_in_the_way(self) -> None:
        assert why([matmul(handover=1), binarize(), HALT], 0) == []


def test_an_exit_ends_the_lives() -> None:
    play = chain()
    assert len(play.lives.issue) == len(play.instructions) < len(play.program.instructions)
    assert play.lives.retire[-1] + 1 == play.cycles


def test_statistics_keep_the_next_one_out() -> None:
    accelerator = {"vector_lanes": 2, "fixed_lines": 64}
    found = why([vector(statistics=1), vector(fixed_line=1), HALT], 1, **accelerator)
    assert [(cause.kind, cause.unit) for cause in found] == [("unit", Unit.VECTOR)]

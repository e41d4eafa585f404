"""VECTOR and SUMS in time against cycles computed by hand from section 3.9 of docs/machine.md.

As in `test_timing`, instruction n can issue from cycle n + 5. A VECTOR issued in t has its first step enter in t + 1,
in stage 6 in t + 7, and, where nothing holds it, its pulse in t + 8.
"""

from __future__ import annotations

from typing import Any

import pytest

from hw.isa import Instruction
from sim.timing import Timing, TimingError, simulate
from tests.sim.programs import ARRAY, FENCE, HALT, LOAD, VECTOR, binarize, load, matmul, sums, vector
from tests.sim.test_timing import INSTANT, QUICK
from tests.sim.test_timing import run as run_any

ACTIVATION = {"destination": 1}
ROW = 4
"""VECTOR's row of the states."""


def run(*instructions: Instruction, **changes: Any) -> Timing:
    """Return the timing on QUICK with four lanes, changed, of instructions and a HALT."""
    return run_any([*instructions, HALT], **({"vector_lanes": 4} | changes))


def test_one_step() -> None:
    timing = run(vector())
    assert timing.issue.tolist() == [5, 5]
    assert timing.retire.tolist() == [13, 14]
    assert timing.states[ROW].tolist() == [1, 0, 0, 1, 13]


@pytest.mark.parametrize(
    ("operands", "steps"),
    [
        ({"channels": 4}, 1),
        ({"channels": 5}, 2),
        ({"channels": 11, "rows": 2}, 6),
        ({"channels": 11, "rows": 2, "planes": 2, "sets": 1}, 12),
        ({"channels": 4096, "rows": 2, "planes": 8, "sets": 1}, 16384),
    ],
)
def test_a_step_enters_in_each_cycle(operands: dict[str, int], steps: int) -> None:
    timing = run(vector(**operands))
    assert timing.retire[0] == 12 + steps
    assert timing.states[ROW].tolist() == [steps, 0, 0, 1, 13]


@pytest.mark.parametrize("lanes", [1, 2, 128])
def test_lanes_make_slices(lanes: int) -> None:
    assert run(vector(channels=100), vector_lanes=lanes).retire[0] == 12 + -(-100 // lanes)


@pytest.mark.parametrize("source", [0, 1])
@pytest.mark.parametrize("flags", [{}, {"scale": 1}, {"scale": 1, "add": 1, "keep": 1, "shift": 9}])
def test_what_a_step_does_takes_no_time(source: int, flags: dict[str, int]) -> None:
    assert run(vector(source=source, channels=9, **flags)).retire[0] == 12 + 3


@pytest.mark.parametrize("steps", [1, 2, 5, 6, 7, 20])
@pytest.mark.parametrize("sets", [1, 2, 3])
def test_sets_are_written_one_after_the_other(steps: int, sets: int) -> None:
    # The first step is in stage 6 from 12; from there on a set is written in each cycle.
    timing = run(vector(channels=4 * steps, sets=sets))
    assert timing.retire[0] == 12 + steps * sets
    assert timing.states[ROW].tolist() == [steps, steps * (sets - 1), 0, 1, 13]


def test_a_step_stands_until_its_last_set_is_written() -> None:
    # Three steps enter in 6, 7, 8; they are in stage 6 in 12 to 14, 15 to 17 and 18 to 20. Nothing moves in the first
    # two cycles of each, so the eight steps of the second, issued in 8, enter in 9, 10, 11, 14, 17, 20, 21 and 22.
    timing = run(vector(channels=12, sets=3), vector(channels=32))
    assert timing.issue[:2].tolist() == [5, 8]
    assert timing.retire[0] == 12 + 9
    # Its first step is in stage 6 in 21, its last one seven cycles later.
    assert timing.retire[1] == 21 + 7 + 1
    assert timing.states[ROW].tolist()[:4] == [11, 6, 0, 1]


# --- DRAIN at the activation buffer ----------------------------------------------------------------------------------


def beside(drain: Instruction, **operands: int) -> Timing:
    """Return the timing of a VECTOR beside a drained MATMUL of four tiles of two rows: groups are taken in 9 to 16."""
    return run(matmul(handover=1, rows=2, column_groups=4), drain, vector(**operands), key_lines=8)


def test_vector_stands_still_while_drain_writes_activations() -> None:
    # Written in 11 to 18. The VECTOR is issued in 7, so it is in stage 6 from 14, and writes in 19.
    shape = {"rows": 2, "column_groups": 4}
    timing = beside(binarize(**ACTIVATION, **shape), sets=1)
    assert timing.issue[2] == 7
    assert timing.retire[1:3].tolist() == [16 + 3, 20]
    assert timing.states[ROW].tolist()[:4] == [1, 5, 0, 1]


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("drain", [{}, {"destination": 2}, {"destination": 2, "transpose": 1}, None])
def test_nothing_else_of_drain_holds_vector(drain: dict[str, int] | None, sets: int) -> None:
    shape = {"rows": 2, "column_groups": 4}
    timing = beside(sums(**shape) if drain is None else binarize(**shape, **drain), sets=sets)
    assert timing.retire[1:3].tolist() == [16 + 3, 14 + sets]


def test_a_step_without_codes_is_not_held() -> None:
    shape = {"rows": 2, "column_groups": 4}
    timing = beside(binarize(**ACTIVATION, **shape))
    assert timing.retire[2] == 15
    assert timing.states[ROW].tolist()[:4] == [1, 0, 0, 1]


def test_sets_go_between_the_writes_of_drain() -> None:
    # Steps of three words: the tiles are taken in 11, 14, 17 and 20 and written in 13, 16, 19 and 22. Two steps with
    # three sets, issued in 7, the first in stage 6 from 14: written in 14, 15, 17, then in 18, 20, 21.
    shape = {"column_groups": 4}
    timing = run(
        matmul(handover=1, words=3, **shape), binarize(**ACTIVATION, **shape), vector(sets=3, channels=8), FENCE
    )
    assert timing.retire[:4].tolist() == [5 + 12 + 3, 20 + 3, 22, 24]
    assert timing.states[ROW].tolist()[:4] == [2, 6, 0, 1]


def test_writes_before_and_behind_a_step_do_not_hold_it() -> None:
    # A MATMUL issued in t is in the drain register from t + 4; its two rows are written in t + 6 and t + 7. The pair to
    # activation is issued from 7, 8 and 6 on, the VECTOR in 9, 7 and 5: in stage 6 from 16, 14 and 12.
    plain = [matmul(handover=1, rows=2), binarize(rows=2)]
    writing = [matmul(handover=1, rows=2), binarize(rows=2, **ACTIVATION)]
    assert run(*plain, *writing, vector(sets=1)).retire[4] == 16 + 1
    assert run(*plain, vector(sets=1), *writing).retire[2] == 16 + 1
    # Behind the pair to activation one to output, which is written in 13 to 20.
    more = {"rows": 2, "column_groups": 4}
    assert run(*writing, matmul(handover=1, **more), binarize(**more), vector(sets=1)).retire[4] == 16 + 1
    # Two steps with two sets, written in 14 to 17.
    assert run(vector(sets=2, channels=8), *writing).retire[0] == 17 + 1


# --- statistics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sets", [0, 1, 3])
@pytest.mark.parametrize("steps", [1, 7])
def test_statistics_take_eleven_cycles_more(steps: int, sets: int) -> None:
    timing = run(vector(statistics=1, sets=sets, channels=4 * steps))
    assert timing.retire[0] == 12 + steps * max(sets, 1) + 11
    assert timing.states[ROW, 1] == steps * max(sets - 1, 0)


def test_nothing_is_accepted_while_statistics_are_outstanding() -> None:
    # The pulse is in 24. All that time the second has its tokens, so VECTOR is empty.
    timing = run(vector(statistics=1), vector())
    assert timing.issue[:2].tolist() == [5, 25]
    assert timing.retire[:2].tolist() == [24, 33]
    assert timing.states[ROW].tolist() == [2, 0, 0, 2, timing.cycles - 4]


def test_an_earlier_pulse_does_not_end_statistics() -> None:
    # Five steps in 6 to 10, their pulse in 17; the one with statistics in 11, its pulse in 17 + 12.
    timing = run(vector(channels=20), vector(statistics=1), vector(), vector())
    assert timing.issue[:4].tolist() == [5, 10, 30, 31]
    assert timing.retire[:4].tolist() == [17, 29, 38, 39]


def test_statistics_may_follow_each_other() -> None:
    timing = run(vector(statistics=1), vector(statistics=1), vector(statistics=1))
    assert timing.issue[:3].tolist() == [5, 25, 45]
    assert timing.retire[:3].tolist() == [24, 44, 64]


# --- issue and tokens ------------------------------------------------------------------------------------------------


def test_instructions_follow_without_a_gap() -> None:
    timing = run(*[vector(channels=12)] * 3)
    assert timing.issue[:3].tolist() == [5, 8, 11]
    assert timing.retire[:3].tolist() == [15, 18, 21]
    assert timing.states[ROW].tolist() == [9, 0, 0, 1, timing.cycles - 10]


def test_own_bit_waits_for_all_that_was_issued() -> None:
    # The first is issued in 5, the second in 6; their pulses are in 13 and 14. The third is at the head from 7.
    timing = run(vector(), vector(), vector(wait=VECTOR), vector())
    assert timing.issue[:4].tolist() == [5, 6, 15, 16]
    assert timing.retire[:4].tolist() == [13, 14, 23, 24]
    assert timing.states[ROW].tolist() == [4, 0, 7, 2, timing.cycles - 13]


def test_own_bit_of_the_first_one_waits_for_nothing() -> None:
    assert run(vector(wait=VECTOR)).issue[0] == 5


def test_own_bit_behind_statistics() -> None:
    timing = run(vector(statistics=1), vector(wait=VECTOR))
    assert timing.issue[1] == 25
    assert timing.states[ROW].tolist()[:4] == [2, 0, 18, 2]


def test_tokens_to_vector() -> None:
    # The LOAD's pulse is in 9; at the head from 6, the VECTOR lacks the token until 9.
    timing = run(load(signal=VECTOR), vector(wait=LOAD))
    assert timing.retire[0] == 9
    assert timing.issue[1] == 10
    assert timing.states[ROW].tolist()[:4] == [1, 0, 4, 1]


def test_tokens_from_vector() -> None:
    timing = run(vector(signal=ARRAY | LOAD), matmul(wait=VECTOR), load(wait=VECTOR))
    assert timing.retire[0] == 13
    assert timing.issue[1:3].tolist() == [14, 14]


def test_a_token_and_the_own_bit() -> None:
    # The pulses of LOADs behind each other are in 9 and 10, that of the VECTOR issued in 10 in 18.
    timing = run(load(signal=VECTOR), load(signal=VECTOR), vector(wait=LOAD), vector(wait=LOAD | VECTOR))
    assert timing.issue[2:4].tolist() == [10, 19]


def test_the_own_bit_takes_no_token() -> None:
    timing = run(*[vector(wait=VECTOR)] * 3, matmul())
    assert timing.issue[:3].tolist() == [5, 14, 23]


def test_fence_waits_for_vector() -> None:
    assert run(vector(), FENCE, vector()).issue[:3].tolist() == [5, 5, 16]


def test_the_sequencer_holds_an_instruction_while_vectors_queue_is_full() -> None:
    timing = run(vector(channels=32), vector(), vector(), queue_depth=1)
    assert timing.issue[:3].tolist() == [5, 13, 15]


def test_sums_take_the_time_of_a_binarize() -> None:
    shape = {"rows": 2, "column_groups": 3}
    one = run(matmul(handover=1, **shape), sums(**shape), drain_rows=1)
    other = run(matmul(handover=1, **shape), binarize(**shape), drain_rows=1)
    assert one.retire.tolist() == other.retire.tolist() == [13, 17, 18]
    assert one.states.tolist() == other.states.tolist()


def test_vector_needs_lanes() -> None:
    with pytest.raises(TimingError) as caught:
        simulate(QUICK, [vector(), HALT], INSTANT)
    assert str(caught.value) == f"instruction 0 ({vector()}): vector_lanes must be at least 1 for VECTOR, not 0"
    simulate(QUICK, [matmul(), HALT], INSTANT)

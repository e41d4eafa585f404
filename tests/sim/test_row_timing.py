"""SOFTMAX in time against cycles computed by hand from section 3 of docs/machine-network.md.

As in `test_timing`, instruction n can issue from cycle n + 5. A SOFTMAX issued in t has its first step enter in t + 1.
A step that enters in t leaves stage 6 in t + 6 where nothing holds it. A first pass whose last step enters in t is
followed by the second one from t + 14 + N on, N the number of levels.
"""

from __future__ import annotations

from typing import Any

import pytest

from hw.isa import Instruction, Unit
from sim.timing import Timing, TimingError, simulate
from tests.sim.programs import (
    ARRAY,
    DRAIN,
    FENCE,
    HALT,
    LOAD,
    ROW,
    VECTOR,
    binarize,
    load,
    matmul,
    softmax,
    sums,
    vector,
)
from tests.sim.test_timing import INSTANT, QUICK
from tests.sim.test_timing import run as run_any

ACTIVATION = {"destination": 1}


def run(*instructions: Instruction, **changes: Any) -> Timing:
    """Return the timing on QUICK with four lanes of ROW and of VECTOR, changed, of instructions and a HALT."""
    return run_any([*instructions, HALT], **({"row_lanes": 4, "vector_lanes": 4, "code_bits": 4} | changes))


def states(timing: Timing) -> list[int]:
    """Return in how many cycles ROW is busy, waiting, lacking a token, and issuing."""
    return timing.states[Unit.ROW].tolist()[:4]


def test_one_step_in_each_pass() -> None:
    # The first pass in 6, which leaves in 12; the second in 12 + 8 + 1 = 21, which leaves in 27.
    timing = run(softmax())
    assert timing.issue.tolist() == [5, 5]
    assert timing.retire.tolist() == [28, 29]
    assert timing.states[Unit.ROW].tolist() == [2, 14, 0, 1, 13]


@pytest.mark.parametrize(
    ("operands", "first", "second", "levels"),
    [
        ({"keys": 4}, 1, 1, 1),
        ({"keys": 5}, 2, 2, 1),
        ({"keys": 5, "rows": 2}, 4, 4, 1),
        ({"keys": 5, "planes": 2}, 3, 4, 3),
        ({"keys": 13, "planes": 2, "rows": 2}, 8, 16, 3),
        ({"keys": 4, "planes": 4}, 15, 4, 15),
        ({"keys": 61, "planes": 4, "rows": 2}, 32, 128, 15),
        ({"keys": 1024, "rows": 2}, 512, 512, 1),
    ],
)
def test_passes(operands: dict[str, int], first: int, second: int, levels: int) -> None:
    # The first pass enters in 6 to 5 + first, and is through in 11 + first.
    timing = run(softmax(**operands))
    begin = 11 + first + 8 + levels
    assert timing.retire[0] == begin + second - 1 + 7
    assert states(timing) == [first + second, 5 + 8 + levels, 0, 1]


def test_what_does_not_matter() -> None:
    one = run(softmax(keys=9, planes=2))
    places = {"multiplier": 77, "shift": 9, "last_entry": 999, "code_group": 3, "slot": 1, "code_plane_stride": 4}
    other = run(softmax(keys=9, planes=2, score_line=7, code_line=5, table_line=9, level_line=3, **places))
    assert one.retire.tolist() == other.retire.tolist()


@pytest.mark.parametrize("lanes", [1, 2, 128])
def test_lanes_make_slices(lanes: int) -> None:
    slices = -(-100 // lanes)
    assert run(softmax(keys=100), row_lanes=lanes).retire[0] == 11 + slices + 9 + slices - 1 + 7


# --- one instruction behind the other --------------------------------------------------------------------------------


def test_the_next_is_accepted_in_the_last_step_of_the_second_pass() -> None:
    # Steps in 6, 7 and in 22, 23; the next is issued in 23 and enters in 24, 25, and in 31 + 9 = 40, 41.
    timing = run(softmax(keys=8), softmax(keys=8))
    assert timing.issue[:2].tolist() == [5, 23]
    assert timing.retire[:2].tolist() == [30, 48]
    assert states(timing) == [8, 28, 0, 1]


def test_a_first_pass_stands_behind_a_step_that_is_not_written() -> None:
    # The second pass enters in 21, and the next instruction, issued in 21, its first pass in 22.
    alone, held = (run(softmax(), softmax(), *more) for more in ([], writes(2, 26, 29)))
    assert alone.issue[:2].tolist() == held.issue[:2].tolist() == [5, 21]
    # They leave in 27 and 28, so the other second pass is in 28 + 9.
    assert alone.retire[:2].tolist() == [28, 44]
    # Where DRAIN writes in 26 to 29, they leave in 30 and 31.
    assert held.retire[:2].tolist() == [31, 47]
    assert states(held)[:2] == [4, 14 + 3 + 14]


# --- DRAIN and VECTOR at the activation buffer -----------------------------------------------------------------------


def writes(number: int, first: int, last: int) -> list[Instruction]:
    """Return a pair, as the last of the instructions from `number` on, that writes activations in `first` to `last`.

    A MATMUL issued in t has its first tile in the drain register from t + 4, and that is written from t + 6 on. Before
    it is one of as many steps as it is to be late.
    """
    shape = {"rows": 2, "column_groups": (last - first + 1) // 2}
    return [matmul(words=first - 11 - number), matmul(handover=1, **shape), binarize(**ACTIVATION, **shape)]


@pytest.mark.parametrize(
    ("first", "last", "late"),
    [(22, 25, 0), (24, 27, 1), (26, 27, 1), (26, 29, 3), (28, 31, 0), (26, 33, 7)],
)
def test_row_stands_still_while_drain_writes_activations(first: int, last: int, late: int) -> None:
    # The only step of the second pass is in stage 6 from 27.
    timing = run(softmax(), *writes(1, first, last))
    assert timing.retire[-2] == last + 1
    assert timing.retire[0] == 28 + late
    assert states(timing) == [2, 14 + late, 0, 1]


@pytest.mark.parametrize("drain", [{}, {"destination": 2}, None])
def test_nothing_else_of_drain_holds_row(drain: dict[str, int] | None) -> None:
    *before, _ = writes(1, 24, 31)
    shape = {"rows": 2, "column_groups": 4}
    last = sums(**shape) if drain is None else binarize(**shape, **drain)
    timing = run(softmax(), *before, last, key_lines=8)
    assert timing.retire[-2] == 32
    assert timing.retire[0] == 28


def test_a_first_pass_is_not_held() -> None:
    # Twenty steps of a first pass in 6 to 25 while DRAIN writes in 13 to 20.
    timing = run(softmax(keys=80), *writes(1, 13, 20))
    assert timing.retire[0] == 11 + 20 + 9 + 19 + 7


@pytest.mark.parametrize(("sets", "late"), [(0, 0), (1, 1), (2, 1), (3, 1)])
def test_vector_stands_still_while_row_writes_activations(sets: int, late: int) -> None:
    # ROW has its step in stage 6 from 27. The LOAD of n beats from 9 on gives its token in 9 + n; with n = 10 the
    # VECTOR is issued in 20, and its step is in stage 6 from 27.
    timing = run(softmax(), load(segment_beats=10, signal=VECTOR), vector(sets=sets, wait=LOAD), burst_beats=16)
    assert timing.issue[2] == 20
    assert timing.retire[2] == 27 + max(sets, 1) + late
    assert timing.retire[0] == 28
    assert states(timing) == [2, 14, 0, 1]


def test_steps_go_between_those_of_vector() -> None:
    timing = run(softmax(keys=8), load(segment_beats=10, signal=VECTOR), vector(sets=1, channels=12, wait=LOAD))
    assert timing.issue[2] == 20
    # ROW's steps, in 22 and 23, are written in 28 and 29, VECTOR's in 27, 30 and 31.
    assert timing.retire[2] == 32
    assert timing.retire[0] == 30
    assert states(timing) == [4, 14, 0, 1]


def test_drain_goes_before_row_and_that_before_vector() -> None:
    # DRAIN writes in 26 to 29; ROW, in stage 6 from 27, in 30; VECTOR, there from 27, in 31 and 32.
    tokens = {"segment_beats": 10, "signal": VECTOR}
    timing = run(softmax(), load(**tokens), vector(sets=2, wait=LOAD), *writes(3, 26, 29))
    assert timing.retire[2] == 33
    assert timing.retire[0] == 31


# --- issue and tokens ------------------------------------------------------------------------------------------------


def test_tokens() -> None:
    timing = run(load(signal=ROW), softmax(wait=LOAD, signal=ARRAY | DRAIN), matmul(wait=ROW))
    assert timing.retire[0] == 9
    assert timing.issue[1] == 10
    assert timing.retire[1] == 33
    assert timing.issue[2] == 34
    assert states(timing) == [2, 14, 4, 1]


def test_a_head_that_lacks_its_token_between_the_passes_counts_as_waiting() -> None:
    # At the head from 7 on, without the token that is given in 9 + 30.
    timing = run(softmax(), load(segment_beats=30, signal=ROW), softmax(wait=LOAD), burst_beats=64)
    assert timing.retire[1] == 9 + 30
    assert timing.issue[2] == 40
    # Waiting in 7 to 20, busy in 21, lacking the token in 22 to 39.
    assert states(timing) == [4, 28, 18, 2]


def test_fence_waits_for_row() -> None:
    assert run(softmax(), FENCE, softmax()).issue[:3].tolist() == [5, 5, 31]


def test_the_sequencer_holds_an_instruction_while_rows_queue_is_full() -> None:
    # Taken in 4, 6 and, as the second is issued in 21, in 22.
    timing = run(softmax(), softmax(), softmax(), queue_depth=1)
    assert timing.issue[:3].tolist() == [5, 21, 37]
    assert timing.states[Unit.SEQUENCER, 2] == 1 + (21 - 7 + 1)


def test_softmax_needs_lanes() -> None:
    with pytest.raises(TimingError) as caught:
        simulate(QUICK, [softmax(), HALT], INSTANT)
    assert str(caught.value) == f"instruction 0 ({softmax()}): row_lanes must be at least 1 for SOFTMAX, not 0"

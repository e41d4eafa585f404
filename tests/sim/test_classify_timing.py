"""MEAN, TABLE, CLASSIFY and EXIT in time against cycles computed by hand from section 3 of docs/machine-network.md.

As in `test_vector_timing`, an instruction of VECTOR issued in t has its first step enter in t + 1; the step that enters
in t leaves stage 6 in t + 6. Instruction n can issue from cycle n + 5.
"""

from __future__ import annotations

from typing import Any

import pytest

from hw.isa import Instruction, Unit
from sim.memory import MemoryProfile
from sim.timing import Timing, TimingError, simulate
from tests.sim.programs import (
    ARRAY,
    EXIT,
    FENCE,
    HALT,
    LOAD,
    VECTOR,
    binarize,
    classify,
    load,
    matmul,
    mean,
    table,
    vector,
)
from tests.sim.test_timing import INSTANT, QUICK, check_states
from tests.sim.test_timing import run as run_any

LANES = {"vector_lanes": 4, "classes": 1024}


def run(*instructions: Instruction, **changes: Any) -> Timing:
    """Return the timing on QUICK with four lanes and classes, changed, of instructions and a HALT."""
    return run_any([*instructions, HALT], **(LANES | changes))


def states(timing: Timing) -> list[int]:
    """Return in how many cycles VECTOR is busy, waiting, lacking a token, and issuing."""
    return timing.states[Unit.VECTOR].tolist()[:4]


# --- MEAN, TABLE and CLASSIFY -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operands", "steps"),
    [({"channels": 4}, 1), ({"channels": 5, "rows": 3}, 6), ({"channels": 13, "rows": 1000}, 4000)],
)
def test_mean(operands: dict[str, int], steps: int) -> None:
    timing = run(mean(**operands))
    assert timing.retire[0] == 5 + steps + 7
    assert states(timing) == [steps, 0, 0, 1]


@pytest.mark.parametrize(
    ("operands", "steps"),
    [({}, 1), ({"channels": 4}, 4), ({"channels": 5, "rows": 3}, 15), ({"channels": 4096, "rows": 64}, 262144)],
)
@pytest.mark.parametrize("lanes", [1, 4, 128])
def test_table(operands: dict[str, int], steps: int, lanes: int) -> None:
    # A step for each channel, however many lanes there are.
    timing = run(table(**operands), vector_lanes=lanes)
    assert timing.retire[0] == 5 + steps + 7
    assert states(timing) == [steps, 0, 0, 1]


@pytest.mark.parametrize(
    ("channels", "classes", "steps"), [(4, 1, 2), (5, 1, 3), (4, 2, 4), (13, 3, 15), (4096, 2, 2050), (1, 1024, 2048)]
)
def test_classify(channels: int, classes: int, steps: int) -> None:
    # Steps enter in 6 to 5 + steps; the final one leaves in c = 11 + steps.
    timing = run(classify(channels=channels, classes=classes))
    assert timing.retire[0] == 11 + steps + 16 + 2 * classes
    assert states(timing) == [steps, 0, 0, 1]


def test_what_does_not_matter() -> None:
    one = run(classify(classes=3))
    other = run(classify(classes=3, vote=1, swing=5, output_line=3, shift=5, vote_shift=9, multiplier=77, first=0))
    assert one.retire.tolist() == other.retire.tolist()
    one, other = run(table(rows=2)), run(table(rows=2, source_line=7, fixed_line=3, table_line=5, shift=8))
    assert one.retire.tolist() == other.retire.tolist()


def test_means_follow_without_a_gap() -> None:
    timing = run(mean(rows=3), mean(rows=2), vector(channels=8), mean())
    assert timing.issue[:4].tolist() == [5, 8, 10, 12]
    assert timing.retire[:4].tolist() == [15, 17, 19, 20]


def test_tables_follow_without_a_gap() -> None:
    timing = run(table(channels=3), table(channels=2, rows=2), mean(), table())
    assert timing.issue[:4].tolist() == [5, 8, 12, 13]
    assert timing.retire[:4].tolist() == [15, 19, 20, 21]


def test_nothing_is_accepted_while_a_classify_is_outstanding() -> None:
    # Three steps of a MEAN in 6 to 8, two of the CLASSIFY in 9 and 10: the pulses are in 15 and in 16 + 18.
    timing = run(mean(rows=3), classify(), mean(), vector(statistics=1), classify())
    assert timing.issue[:5].tolist() == [5, 8, 35, 36, 56]
    # The statistics' step is in 37, which leaves in 43: pulse in 55. The last steps are in 57 and 58.
    assert timing.retire[:5].tolist() == [15, 34, 43, 55, 64 + 18]


def test_a_classify_stands_behind_sets() -> None:
    # Two steps with three sets are in stage 6 in 12 to 14 and 15 to 17; the CLASSIFY's, in 8 and 9, leave in 18 and 19.
    timing = run(vector(channels=8, sets=3), classify())
    assert timing.retire[:2].tolist() == [18, 19 + 18]
    assert states(timing) == [4, 4, 0, 1]


def test_a_table_stands_behind_sets() -> None:
    # As above: its two steps leave in 18 and 19.
    timing = run(vector(channels=8, sets=3), table(channels=2))
    assert timing.retire[:2].tolist() == [18, 20]
    assert states(timing) == [4, 4, 0, 1]


@pytest.mark.parametrize("instruction", [mean(rows=4), table(rows=4)])
def test_steps_without_codes_are_not_held(instruction: Instruction) -> None:
    # DRAIN takes groups in 9 to 16 and writes activations in 11 to 18; four steps, the first in 8, leave in 14 to 17.
    shape = {"rows": 2, "column_groups": 4}
    timing = run(matmul(handover=1, **shape), binarize(destination=1, **shape), instruction)
    assert timing.retire[1:3].tolist() == [16 + 3, 18]
    assert states(timing) == [4, 0, 0, 1]


def test_a_table_waits_for_statistics() -> None:
    # The pulse of the statistics is in 24.
    assert run(vector(statistics=1), table()).issue[:2].tolist() == [5, 25]


def test_own_bit() -> None:
    timing = run(table(channels=2), table(wait=VECTOR), mean())
    assert timing.issue[:3].tolist() == [5, 15, 16]
    timing = run(vector(), mean(wait=VECTOR), classify(wait=VECTOR))
    assert timing.issue[:3].tolist() == [5, 14, 23]


def test_tokens() -> None:
    timing = run(load(signal=VECTOR), mean(wait=LOAD, signal=ARRAY), matmul(wait=VECTOR))
    assert timing.issue[:3].tolist() == [5, 10, 19]


# --- EXIT ------------------------------------------------------------------------------------------------------------


def exits(*instructions: Instruction, end: int, profile: MemoryProfile = INSTANT, **changes: Any) -> Timing:
    """Return the timing of instructions and a HALT, of which an EXIT ends the run."""
    accelerator = QUICK.replace(**(LANES | changes))
    timing = simulate(accelerator, [*instructions, HALT], profile, end)
    check_states(accelerator, timing)
    assert timing.cycles == timing.retire[end] + 1
    return timing


def test_an_exit_that_does_not_end_the_run_is_a_fence() -> None:
    one, other = (run(classify(classes=2), i, load(), matmul()) for i in (EXIT, FENCE))
    assert one.issue.tolist() == other.issue.tolist()
    assert one.retire.tolist() == other.retire.tolist()
    assert one.states.tolist() == other.states.tolist()


def test_an_exit_ends_the_run() -> None:
    # Four steps in 6 to 9, the pulse in 15 + 20; inflight is 0 in 36.
    timing = exits(classify(classes=2), EXIT, load(), matmul(), end=1)
    assert timing.issue.tolist() == [5, 5, -1, -1, -1]
    assert timing.retire.tolist() == [35, 36, -1, -1, -1]
    assert timing.cycles == 37
    # The EXIT waits in 5 to 35; what is behind it is fetched, and never taken.
    assert timing.states[Unit.SEQUENCER].tolist() == [2, 31, 0, 0, 4]
    assert timing.states[Unit.LOAD].tolist() == [0, 0, 0, 0, 37]


def test_an_exit_at_once() -> None:
    timing = exits(EXIT, load(), end=0)
    assert (timing.issue.tolist(), timing.retire.tolist(), timing.cycles) == ([4, -1, -1], [4, -1, -1], 5)


def test_the_second_exit_ends_the_run() -> None:
    timing = exits(EXIT, FENCE, EXIT, matmul(), end=2)
    assert timing.retire.tolist() == [4, 5, 6, -1, -1]


def test_what_is_fetched_behind_an_exit_is_in_the_way_of_a_load() -> None:
    # With a depth of 2 instructions are selected in 1, 2, 5 and 6, as two are taken in 4 and 5; the LOAD, offered in 6,
    # is selected in 7.
    assert run(load(), matmul(), fetch_depth=2).retire[0] == 9
    assert exits(load(), matmul(), EXIT, end=2, fetch_depth=2).retire[0] == 10


def test_the_halt_may_be_named() -> None:
    assert exits(EXIT, load(), end=2).retire.tolist() == run(EXIT, load()).retire.tolist()


@pytest.mark.parametrize("end", [-1, 0, 2, 4])
def test_the_end_must_be_an_exit_or_the_halt(end: int) -> None:
    with pytest.raises(TimingError) as caught:
        exits(load(), EXIT, load(), end=end)
    assert str(caught.value) == f"end must be the index of an EXIT or of the HALT, one of [1, 3], not {end}"


def test_a_run_that_does_not_reach_its_exit() -> None:
    waiting = matmul(wait=LOAD)
    with pytest.raises(TimingError) as caught:
        exits(waiting, EXIT, load(), end=1)
    message = str(caught.value)
    assert message.startswith("program must run to its EXIT, not stop for ever before cycle ")
    assert message.split(": ", 1)[1] == (
        f"instruction 0 ({waiting}) does not issue; instruction 1 (exit) issued in cycle 5, does not retire"
    )


def test_needs() -> None:
    for instruction, need in (
        (mean(), "vector_lanes"),
        (table(), "vector_lanes"),
        (classify(), "classes"),
        (EXIT, "classes"),
    ):
        with pytest.raises(TimingError) as caught:
            simulate(QUICK, [instruction, HALT], INSTANT)
        name = instruction.opcode.name
        assert str(caught.value) == f"instruction 0 ({instruction}): {need} must be at least 1 for {name}, not 0"

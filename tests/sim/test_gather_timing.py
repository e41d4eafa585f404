"""LOAD with gather, and LOADs that wait for their own unit, against cycles computed by hand.

As in `test_timing`, a LOAD that is instruction 0 is issued in 5. A burst selected in t has its first beat in t + 2.
"""

from __future__ import annotations

from typing import Any

import pytest

from hw.isa import Instruction
from sim.timing import Timing, TimingError, simulate
from tests.sim.programs import FENCE, HALT, LOAD, load
from tests.sim.test_timing import INSTANT, QUICK
from tests.sim.test_timing import run as run_any

TEXT = {"vector_lanes": 1, "token_lines": 2}


def run(*instructions: Instruction, **changes: Any) -> Timing:
    """Return the timing on QUICK with a token buffer, changed, of instructions and a HALT."""
    return run_any([*instructions, HALT], **(TEXT | changes))


def gather(**changes: int) -> Instruction:
    """Return a LOAD with gather of one beat of 32 bytes, or as changed."""
    return load(**({"gather": 1, "stride": 5} | changes))


def test_the_first_burst_is_offered_two_cycles_later() -> None:
    # Selected in 8, where a LOAD without gather is selected in 6.
    assert run(load()).retire[0] == 9
    timing = run(gather())
    assert timing.issue[0] == 5
    assert timing.retire[0] == 11
    assert timing.states[0].tolist() == [1, 4, 0, 1, timing.cycles - 6]


def test_each_segment_is_offered_two_cycles_later() -> None:
    # Selected in 6, 7 and 8 without, in 8, 11 and 14 with gather.
    assert run(load(segments=3, stride=4096)).retire[0] == 11
    assert run(gather(segments=3)).retire[0] == 17


def test_other_bursts_of_a_segment_are_not_late() -> None:
    # Selected in 8, 9, 10 and in 13, 14, 15.
    assert run(gather(segments=2, segment_beats=3, stride=7), burst_beats=1).retire[0] == 18


def test_the_next_is_accepted_when_the_last_burst_is_selected() -> None:
    # Selected in 8 and 11; the next, issued in 11, in 14 with gather, in 12 without.
    assert run(gather(segments=2), gather()).issue[:2].tolist() == [5, 11]
    assert run(gather(segments=2), gather()).retire[:2].tolist() == [14, 17]
    assert run(gather(segments=2), load()).retire[:2].tolist() == [14, 15]
    # A LOAD is selected in 6; the gather, issued in 6, in 9.
    assert run(load(), gather()).issue[:2].tolist() == [5, 6]
    assert run(load(), gather()).retire[:2].tolist() == [9, 12]


def test_late_bursts_wait_for_the_arbiter_as_others() -> None:
    # One read in flight: the HALT is selected in 4, its beat is in 6; then selected in 8, 11 and 14, with beats in 10,
    # 13 and 16, as each beat is past before the next burst is offered. Slower memory: 8, 13, 18, beats in 12, 17, 22.
    three = gather(segments=3)
    assert run(three, reads_in_flight=1).retire[0] == 17
    slow = simulate(QUICK.replace(reads_in_flight=1, **TEXT), [FENCE, three, HALT], INSTANT)
    assert slow.retire[1] == slow.issue[1] + 12


@pytest.mark.parametrize("address", [0, 128, 3968, 4096])
def test_no_segment_is_split_at_4_kib(address: int) -> None:
    # Selected in 8 and 11, with beats in 10 to 17.
    assert run(gather(address=address, segments=2, segment_beats=4, stride=7)).retire[0] == 18


def test_own_bit_of_load() -> None:
    # The pulses of the first two are in 9 and 10; the third, at the head from 7, is issued in 11.
    timing = run(load(), load(), gather(wait=LOAD), load())
    assert timing.issue[:4].tolist() == [5, 6, 11, 14]
    assert timing.retire[:4].tolist() == [9, 10, 17, 18]


def test_own_bit_of_the_first_one_waits_for_nothing() -> None:
    assert run(gather(wait=LOAD)).issue[0] == 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stride": 13}, "stride must be at most 12 with gather, not 13"),
        ({"stride": 4}, "a segment must have at most the 16 bytes that stride 4 tells, not 32"),
        ({"address": 32, "stride": 6}, "address must be a multiple of the 64 bytes that stride 6 tells, not 32"),
    ],
)
def test_segments_must_not_cross_boundaries(changes: dict[str, int], expected: str) -> None:
    with pytest.raises(TimingError) as caught:
        run(gather(**changes))
    assert str(caught.value) == f"instruction 0 ({gather(**changes)}): {expected}"


def test_gather_needs_tokens() -> None:
    with pytest.raises(TimingError) as caught:
        simulate(QUICK, [gather(), HALT], INSTANT)
    expected = "token_lines must be at least 1 for gather, not 0"
    assert str(caught.value) == f"instruction 0 ({gather()}): {expected}"

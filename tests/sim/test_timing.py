"""The timing model against cycles computed by hand from section 3 of docs/machine.md.

QUICK fetches an instruction with one beat, and its memory answers in one cycle. Instruction n is then selected in cycle
n + 1, on AR in n + 2, transferred in n + 3, at the head of the instruction queue from n + 4, and taken in n + 4 if its
unit's queue is not full; it can issue from n + 5. Every expectation below starts from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Instruction, Unit
from sim.memory import MemoryProfile
from sim.timing import Timing, TimingError, simulate
from tests.sim.programs import ARRAY, DRAIN, FENCE, HALT, LOAD, STORE, binarize, load, matmul, store

QUICK = Accelerator(rows=2, columns=2, port_bits=256)
INSTANT = MemoryProfile(latency=1, write_latency=1)


def cycles(
    instructions: Sequence[Instruction], profile: MemoryProfile = INSTANT, **changes: Any
) -> list[tuple[int, int]]:
    """Return (issue, retire) of each instruction on QUICK, changed, and check the sums of the states."""
    timing = run(instructions, profile, **changes)
    return list(zip(timing.issue.tolist(), timing.retire.tolist(), strict=True))


def check_states(accelerator: Accelerator, timing: Timing) -> None:
    """Check that each unit that is there is in one state in each cycle."""
    lanes = {Unit.VECTOR: accelerator.vector_lanes, Unit.ROW: accelerator.row_lanes}
    there = [lanes.get(unit, 1) > 0 for unit in Unit]
    assert timing.states.sum(axis=1).tolist() == [timing.cycles if is_there else 0 for is_there in there]


def run(instructions: Sequence[Instruction], profile: MemoryProfile = INSTANT, **changes: Any) -> Timing:
    """Return the timing on QUICK, changed."""
    timing = simulate(QUICK.replace(**changes), instructions, profile)
    check_states(QUICK.replace(**changes), timing)
    assert timing.cycles == timing.retire[-1] + 1
    return timing


# --- fetch and sequencer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("port_bits", "latency", "interval"), [(256, 1, 1), (32, 1, 1), (32, 20, 1), (8, 7, 3)])
def test_first_instruction_is_at_the_head_after_its_last_beat(port_bits: int, latency: int, interval: int) -> None:
    profile = MemoryProfile(latency=latency, interval=interval)
    beats = 256 // port_bits
    head = 2 + latency + (beats - 1) * interval + 1
    assert cycles([HALT], profile, port_bits=port_bits) == [(head, head)]


def test_halt_alone() -> None:
    timing = run([HALT], vector_lanes=1, row_lanes=1)
    assert timing.cycles == 5
    assert timing.states.tolist() == [[0, 0, 0, 0, 5]] * 6 + [[1, 0, 0, 0, 4]]


def test_a_unit_that_was_left_out_has_no_states() -> None:
    empty, halt = [0, 0, 0, 0, 5], [1, 0, 0, 0, 4]
    assert run([HALT]).states.tolist() == [empty] * 4 + [[0] * 5] * 2 + [halt]
    assert run([HALT], vector_lanes=1).states.tolist() == [empty] * 5 + [[0] * 5, halt]
    assert run([HALT], row_lanes=1).states.tolist() == [empty] * 4 + [[0] * 5, empty, halt]


def test_types() -> None:
    timing = run([HALT])
    assert timing.issue.dtype == timing.retire.dtype == timing.states.dtype == np.int64
    assert isinstance(timing.cycles, int)


def test_fences_follow_each_other() -> None:
    assert cycles([FENCE, FENCE, FENCE, HALT]) == [(4, 4), (5, 5), (6, 6), (7, 7)]


def test_fetch_depth_counts_until_the_instruction_is_taken() -> None:
    assert cycles([FENCE, FENCE, HALT], fetch_depth=1) == [(4, 4), (8, 8), (12, 12)]


def test_reads_in_flight_count_until_the_last_beat() -> None:
    assert cycles([FENCE, FENCE, HALT], reads_in_flight=1) == [(4, 4), (7, 7), (10, 10)]


def test_fence_waits_for_everything_before_it() -> None:
    assert cycles([load(), FENCE, matmul(), HALT]) == [(5, 9), (5, 10), (12, 16), (12, 17)]


def test_sequencer_holds_an_instruction_while_its_queue_is_full() -> None:
    timing = run([matmul(words=8), matmul(), matmul(), HALT], queue_depth=1)
    assert timing.issue.tolist() == [5, 13, 15, 15]
    assert timing.retire.tolist() == [16, 17, 19, 20]
    # Taken in 4, 6, 14 and 20; full in 5 and 7 to 13; the HALT waits from 15 to 19.
    assert timing.states[Unit.SEQUENCER].tolist() == [4, 5, 8, 0, 4]


def test_fetch_goes_before_load() -> None:
    # Two instructions are selected in 1 and 2, and taken in 4 and 5, so fetch wants again in 5 and 6. In 6 the LOAD,
    # issued in 5, offers its burst: with three instructions nothing is left to fetch, with four it waits for one cycle.
    assert cycles([load(), FENCE, HALT], fetch_depth=2) == [(5, 9), (5, 10), (11, 11)]
    assert cycles([load(), matmul(), matmul(), HALT], fetch_depth=2)[0] == (5, 10)


# --- LOAD ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("beats", "latency", "interval"), [(1, 1, 1), (16, 1, 1), (5, 9, 1), (4, 30, 2)])
def test_load_of_one_burst(beats: int, latency: int, interval: int) -> None:
    profile = MemoryProfile(latency=latency, interval=interval)
    issue = 4 + latency
    # Selected in issue + 1, handshake in issue + 2; the HALT's beat, at most two cycles behind the LOAD's own, is past.
    last = issue + 2 + latency + (beats - 1) * interval
    timing = run([load(segment_beats=beats), HALT], profile)
    assert timing.issue[0] == issue
    assert timing.retire[0] == last + 1
    assert timing.states[0, 0] == beats


def test_load_states() -> None:
    # Issued in 5, in the transfer queue from 6, its beat in 8, the pulse in 9; the HALT sees inflight at 0 in 10.
    timing = run([load(), HALT], vector_lanes=1, row_lanes=1)
    assert timing.retire.tolist() == [9, 10]
    assert timing.states.tolist() == [
        [1, 2, 0, 1, 7],
        [0, 0, 0, 0, 11],
        [0, 0, 0, 0, 11],
        [0, 0, 0, 0, 11],
        [0, 0, 0, 0, 11],
        [0, 0, 0, 0, 11],
        [2, 5, 0, 0, 4],
    ]


def test_load_selects_a_burst_in_each_cycle() -> None:
    assert cycles([load(segment_beats=3), HALT], burst_beats=1)[0] == (5, 11)
    assert cycles([load(segments=3, stride=4096), HALT])[0] == (5, 11)


def test_load_keeps_reads_in_flight() -> None:
    # The HALT is selected in 4, its beat is in 6. The LOAD is selected in 7, its beat in 9; then in 10 and 13.
    assert cycles([load(segment_beats=3), HALT], burst_beats=1, reads_in_flight=1)[0] == (5, 16)


@pytest.mark.parametrize(("address", "bursts"), [(0, 1), (4096 - 4 * 32, 1), (4096 - 3 * 32, 2), (4096 - 32, 2)])
def test_load_splits_at_4_kib(address: int, bursts: int) -> None:
    # The first beat is in 9, as above. Behind a last beat the next burst is selected, is on AR, and is transferred: two
    # cycles without a beat.
    timing = run([load(address=address, segment_beats=4), HALT], reads_in_flight=1)
    assert timing.retire[0] == 9 + 4 + 2 * (bursts - 1)


def test_segments_split_by_their_own_address() -> None:
    # The first segment ends at the boundary, the second crosses it: three bursts.
    two = {"segments": 2, "segment_beats": 2}
    timing = run([load(address=4096 - 64, stride=32, **two), HALT], reads_in_flight=1)
    assert timing.retire[0] == 9 + 4 + 2 * 2
    timing = run([load(address=4096 - 32, stride=64, **two), HALT], reads_in_flight=1)
    assert timing.retire[0] == 9 + 4 + 2 * 2


def test_loads_overlap() -> None:
    # The second is accepted in 6, when the only burst of the first is selected.
    assert cycles([load(), load(), HALT])[:2] == [(5, 9), (6, 10)]


def test_loads_wait_for_the_transfer_queue() -> None:
    # Its level is 1 from 6 to 8, the cycle of the only beat.
    assert cycles([load(), load(), HALT], transfers_in_flight=1)[:2] == [(5, 9), (9, 13)]


# --- ARRAY -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", [0, 1, 4])
@pytest.mark.parametrize("words", [1, 2, 7])
def test_matmul_retires_behind_its_last_step(words: int, pipeline: int) -> None:
    # Steps enter in 6 to 5 + words; the last is in the last stage 1 + pipeline later; the pulse is in the next cycle.
    timing = run([matmul(words=words), HALT], pipeline=pipeline)
    assert timing.retire[0] == 5 + words + 1 + pipeline + 1
    assert timing.states[1].tolist() == [words, 0, 0, 1, timing.cycles - words - 1]


@pytest.mark.parametrize(("p", "q"), [(1, 1), (4, 1), (2, 3), (8, 8)])
def test_each_pair_of_planes_takes_the_words_again(p: int, q: int) -> None:
    # Three tiles of two rows, each in the drain register for two cycles.
    shape = {"rows": 6, "column_groups": 1}
    planes = {"activation_planes": p, "weight_planes": q}
    timing = run([matmul(words=2, unsigned=1, plain=1, handover=1, **planes, **shape), binarize(**shape), HALT])
    # Steps enter from 6; the last one is in the last stage two cycles on, and the pulse is in the next.
    assert timing.states[1, 0] == 6 * p * q
    assert timing.retire[0] == 5 + 6 * p * q + 3
    assert timing.retire[1] == timing.retire[0] + 4


def test_destinations_take_no_time() -> None:
    shape = {"rows": 5, "column_groups": 2}
    places = ({}, {"destination": 1}, {"destination": 2}, {"destination": 2, "transpose": 1}, {"shared": 1, "spare": 1})
    timings = [run([matmul(handover=1, **shape), binarize(**shape, **place), HALT]) for place in places]
    assert len({tuple(timing.retire) for timing in timings}) == 1


def test_matmuls_follow_without_a_gap() -> None:
    timing = run([matmul(words=4), matmul(words=4), HALT])
    assert timing.issue.tolist() == [5, 9, 6]
    assert timing.retire.tolist() == [12, 16, 17]
    assert timing.states[1].tolist() == [8, 0, 0, 1, 9]


def test_array_freezes_while_the_drain_register_is_full() -> None:
    # Three tiles of one word enter in 6, 7, 8. The first is in the last stage in 8 and drained in 9 and 10. The second
    # is there in 9, where the register is full, and moves in 10, where it is released; the third in 11, moved in 12.
    shape = {"rows": 2, "column_groups": 3}
    timing = run([matmul(handover=1, **shape), binarize(**shape), HALT])
    assert timing.issue.tolist() == [5, 6, 6]
    assert timing.retire.tolist() == [13, 17, 18]
    assert timing.states[1].tolist() == [3, 2, 0, 1, 13]
    assert timing.states[2].tolist() == [6, 2, 0, 1, 10]


def test_array_waits_for_drain() -> None:
    # The BINARIZE waits for a LOAD that is retired in 9, so it is issued in 10.
    shape = {"column_groups": 2}
    timing = run([load(signal=DRAIN), matmul(handover=1, **shape), binarize(wait=LOAD, **shape), HALT])
    assert timing.issue[:3].tolist() == [5, 6, 10]
    # Steps in 7 and 8; the first tile is in the register from 10, taken in 11; the second, in the last stage in 10,
    # moves in 11 and is taken in 12.
    assert timing.retire[:3].tolist() == [9, 12, 15]
    assert timing.states[1].tolist()[:2] == [2, 1]


# --- DRAIN -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "drain_rows"), [(1, 1), (2, 1), (4, 1), (4, 2), (3, 2), (4, 4), (1, 4)])
def test_binarize_takes_one_group_in_each_cycle(rows: int, drain_rows: int) -> None:
    # The step enters in 6, is in the last stage in 8; the register is full from 9; groups from 9; the pulse 3 later.
    groups = -(-rows // drain_rows)
    timing = run([matmul(handover=1, rows=rows), binarize(rows=rows), HALT], rows=4, drain_rows=drain_rows)
    assert timing.retire[:2].tolist() == [9, 8 + groups + 3]
    assert timing.states[2].tolist() == [groups, 2, 0, 1, timing.cycles - groups - 3]


def test_binarize_partial_row_tile() -> None:
    # Tiles of 4, 4 and 1 rows take 4, 4 and 1 cycles, from 9 without a gap.
    timing = run([matmul(handover=1, rows=9), binarize(rows=9), HALT], rows=4)
    assert timing.retire[1] == 9 + 9 - 1 + 3


def test_binarizes_follow_without_a_gap() -> None:
    # Two tiles of two rows: in the register from 9 and from 11; the second BINARIZE is accepted in 10.
    pair = [matmul(handover=1, rows=2), binarize(rows=2)]
    timing = run([*pair, *pair, HALT])
    # MATMUL 2 is issued in 7, enters in 8, is in the last stage in 10 and moves in 10.
    assert timing.issue.tolist() == [5, 6, 7, 10, 8]
    assert timing.retire.tolist() == [9, 13, 11, 15, 16]


# --- STORE -----------------------------------------------------------------------------------------------------------


def test_store_states() -> None:
    # Selected in 6, AW and read in 7, W in 8, B in 9: retired in 9. Transfer queue 6 to 7, response queue 7 to 9.
    timing = run([store(), HALT])
    assert timing.issue.tolist() == [5, 5]
    assert timing.retire.tolist() == [9, 10]
    assert timing.states[3].tolist() == [1, 3, 0, 1, 6]


@pytest.mark.parametrize(("beats", "write_latency", "interval"), [(1, 1, 1), (16, 1, 1), (3, 12, 1), (4, 5, 3)])
def test_store_of_one_burst(beats: int, write_latency: int, interval: int) -> None:
    profile = MemoryProfile(latency=1, write_latency=write_latency, interval=interval)
    last = 8 + (beats - 1) * interval
    timing = run([store(segment_beats=beats), HALT], profile)
    assert timing.issue[0] == 5
    assert timing.retire[0] == last + write_latency
    assert timing.states[3, 0] == beats


def test_store_sends_bursts_without_a_gap() -> None:
    assert cycles([store(address=4096 - 32, segment_beats=2), HALT])[0] == (5, 10)
    assert cycles([store(segments=3, stride=64), HALT])[0] == (5, 11)


def test_store_keeps_writes_in_flight() -> None:
    # Selected in 6, response in 9; selected again in 10, response in 13.
    assert cycles([store(segments=2, stride=32), HALT], writes_in_flight=1)[0] == (5, 13)


def test_stores_overlap() -> None:
    assert cycles([store(), store(), HALT])[:2] == [(5, 9), (6, 10)]


def test_stores_wait_for_the_transfer_queue() -> None:
    # Its level is 1 in 6 and 7, the cycle in which the only beat is read.
    assert cycles([store(), store(), HALT], transfers_in_flight=1)[:2] == [(5, 9), (8, 12)]


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_token_is_there_in_the_cycle_after_the_pulse() -> None:
    timing = run([load(signal=ARRAY), matmul(wait=LOAD), HALT])
    assert timing.issue[:2].tolist() == [5, 10]
    assert timing.retire[0] == 9
    # At the head of the queue from 6; it lacks the token until 9.
    assert timing.states[1].tolist() == [1, 0, 4, 1, timing.cycles - 6]


def test_tokens_given_and_taken_in_one_cycle_cancel() -> None:
    # Pulses in 9 and 10; the first token is taken in 10; the second is there for the cycle after the only step, 11.
    timing = run([load(signal=ARRAY), load(signal=ARRAY), matmul(wait=LOAD), matmul(wait=LOAD), HALT])
    assert timing.retire[:2].tolist() == [9, 10]
    assert timing.issue[2:4].tolist() == [10, 11]


def test_all_tokens_must_be_there() -> None:
    # The STORE is issued in 6, so it retires in 10.
    waiting = binarize(wait=LOAD | STORE)
    timing = run([load(signal=DRAIN), store(signal=DRAIN), matmul(handover=1), waiting, HALT])
    assert timing.retire[:2].tolist() == [9, 10]
    assert timing.issue[3] == 11


def test_tokens_are_counted_for_each_pair() -> None:
    timing = run([load(signal=ARRAY | STORE), store(wait=LOAD), matmul(wait=LOAD), HALT])
    assert timing.issue[1:3].tolist() == [10, 10]


def test_counter_has_8_bits() -> None:
    many = [load(signal=ARRAY)] * 256
    with pytest.raises(TimingError, match=r"matmul .* wait=load\) does not issue"):
        run([*many, FENCE, matmul(wait=LOAD), HALT])
    run([*many[1:], FENCE, matmul(wait=LOAD), HALT])

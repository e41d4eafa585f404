"""The memory in the timing model: docs/memory.md evaluated in plain integers for the bursts of small programs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sim.memory import AR, AW, B, MemoryProfile, R, W
from tests.sim.programs import HALT, load, store
from tests.sim.test_memory import plain_extra, plain_stall
from tests.sim.test_timing import cycles, run

UNEVEN = [
    MemoryProfile(latency=4, write_latency=3, stall_rate=128, stall_max=5, seed=1),
    MemoryProfile(latency=4, write_latency=3, interval=3, stall_rate=128, stall_max=2, seed=2),
    MemoryProfile(latency=2, write_latency=1, jitter=50, seed=3),
    MemoryProfile(latency=9, write_latency=20, interval=2, jitter=9, stall_rate=200, stall_max=40, seed=4),
]


def accepted(profile: MemoryProfile, channel: int, first: int, count: int) -> list[int]:
    """Return the handshakes of bursts on AR or AW, the first offered in a cycle, each other behind the one before."""
    result: list[int] = []
    for burst in range(count):
        offered = result[-1] + 1 if result else first
        result.append(offered + plain_stall(profile, channel, burst, 0))
    return result


def read_beats(profile: MemoryProfile, handshakes: Sequence[int], beats: Sequence[int]) -> list[list[int]]:
    """Return the cycle of each beat of each burst on R."""
    result: list[list[int]] = []
    bound = 0
    for burst, (handshake, count) in enumerate(zip(handshakes, beats, strict=True)):
        result.append([])
        earliest = handshake + profile.latency + plain_extra(profile, R, burst)
        for beat in range(count):
            cycle = max(earliest if beat == 0 else 0, bound) + plain_stall(profile, R, burst, beat)
            result[-1].append(cycle)
            bound = cycle + profile.interval
    return result


def responses(profile: MemoryProfile, first: int, handshakes: Sequence[int], beats: int) -> list[int]:
    """Return the cycle of each response; AW is first offered in `first`.

    A burst's first beat is offered one cycle behind its request at the earliest, the others one behind the beat before.
    """
    result: list[int] = []
    previous = None
    requests = [first, *(handshake + 1 for handshake in handshakes)]
    for burst, (request, handshake) in enumerate(zip(requests, handshakes, strict=False)):
        for beat in range(beats):
            offered = request + 1 if previous is None else max(request + 1, previous + 1)
            bound = 0 if previous is None else previous + profile.interval
            previous = max(offered, bound) + plain_stall(profile, W, burst, beat)
        earliest = max(previous or 0, handshake) + profile.write_latency + plain_extra(profile, B, burst)
        result.append(max(earliest, result[-1] + 1 if result else 0) + plain_stall(profile, B, burst, 0))
    return result


@pytest.mark.parametrize("profile", UNEVEN)
def test_reads(profile: MemoryProfile) -> None:
    # Bursts 0 and 1 fetch the LOAD and the HALT. The LOAD is issued two cycles behind its own beat, selected in the
    # next cycle, and on AR in the one after that; its three bursts follow each other on AR.
    timing = run([load(segment_beats=20), HALT], profile, burst_beats=8)
    fetches = accepted(profile, AR, 2, 2)
    issue = read_beats(profile, fetches[:1], [1])[0][0] + 2
    assert issue > fetches[1]
    handshakes = list(fetches)
    offered = issue + 2
    for burst in range(2, 5):
        handshakes.append(offered + plain_stall(profile, AR, burst, 0))
        offered = handshakes[-1] + 1
    beats = read_beats(profile, handshakes, [1, 1, 8, 8, 4])
    assert timing.issue.tolist() == [issue, max(issue, beats[1][0] + 1)]
    assert timing.retire.tolist() == [beats[4][-1] + 1, beats[4][-1] + 2]


@pytest.mark.parametrize("profile", UNEVEN)
def test_writes(profile: MemoryProfile) -> None:
    timing = run([store(segment_beats=12), HALT], profile, burst_beats=4)
    issue = read_beats(profile, accepted(profile, AR, 2, 1), [1])[0][0] + 2
    handshakes = accepted(profile, AW, issue + 2, 3)
    assert timing.issue[0] == issue
    assert timing.retire[0] == responses(profile, issue + 2, handshakes, 4)[-1]


def test_a_response_waits_for_the_request_of_its_own_burst() -> None:
    # The third burst has its last beat in 94 and its request in 99. In between, in 95, is the response to the second.
    profile = MemoryProfile(latency=4, write_latency=6, stall_rate=128, stall_max=20, seed=144)
    timing = run([store(segment_beats=12), HALT], profile, burst_beats=4)
    first = timing.issue[0] + 2
    handshakes = accepted(profile, AW, first, 3)
    _, second, third = responses(profile, first, handshakes, 4)
    assert (second, handshakes[2]) == (95, 99)
    assert timing.retire[0] == third


def test_jitter_delays_bursts() -> None:
    profile = MemoryProfile(latency=5, jitter=1000, seed=7)
    assert plain_extra(profile, 1, 0) > 0
    head = 2 + 5 + plain_extra(profile, 1, 0) + 1
    assert cycles([HALT], profile) == [(head, head)]


def test_stalls_of_reads() -> None:
    # Every handshake is one cycle late: AR offered in 2, handshake in 3; the beat in 3 + 1 + 1.
    held = MemoryProfile(latency=1, write_latency=1, stall_rate=256)
    assert cycles([HALT], held) == [(6, 6)]


def test_stalls_of_writes() -> None:
    # AW offered in 9, handshake in 10; read in 9, W offered in 10, handshake in 11; B in 11 + 1 + 1.
    held = MemoryProfile(latency=1, write_latency=1, stall_rate=256)
    assert cycles([store(), HALT], held) == [(7, 13), (8, 14)]


def test_interval_bounds_the_first_beat_of_a_burst() -> None:
    # Fetch: beats in 3 and 13. The LOAD is issued in 5, selected in 6; its beat waits for 13 + 10.
    slow = MemoryProfile(latency=1, write_latency=1, interval=10)
    assert cycles([load(), HALT], slow) == [(5, 24), (14, 25)]

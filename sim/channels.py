"""The memory port in time: AR, R, AW, W and B, with the owner queue and the response queue.

Every `*_due` is the cycle in which the memory makes the next handshake of that channel, or NEVER. At the end of a cycle
all of them lie in the future, so comparing one with the current cycle tells whether the handshake happens in it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sim.compiled import compiled
from sim.memory import AR, AW, B, R, W, extra, stall
from sim.state import BURST_BEATS, BURST_FINAL, BURST_OWNER, BURST_TIME, NEVER, OWNER_LOAD, RING, State

_SLOT = np.int64(RING - 1)


class Port(NamedTuple):
    """The signals of the memory port in a cycle.

    The five handshakes; whether the beat on R is its burst's last and for LOAD, whether the response is the last of its
    instruction; whether a beat is read to be on W in the next cycle.
    """

    ar: bool
    r: bool
    r_last: bool
    r_load: bool
    aw: bool
    w: bool
    b: bool
    b_final: bool
    sends: bool


@compiled
def port_signals(s: State, cycle: int) -> Port:
    """Return the signals of the memory port in a cycle."""
    r = s.read.beat_due == cycle
    w = s.write.w_due == cycle
    b = s.write.b_due == cycle
    return Port(
        s.read.ar_due == cycle,
        r,
        r and s.read.beat + 1 == s.read.beats,
        r and s.read.owner == OWNER_LOAD,
        s.write.aw_due == cycle,
        w,
        b,
        b and s.write_ring[s.write.responded & _SLOT, BURST_FINAL] != 0,
        s.write.selected != s.write.sent and (w or s.write.w_due == NEVER),
    )


# --- reads -----------------------------------------------------------------------------------------------------------


@compiled
def offer_read(s: State, cycle: int, owner: int, beats: int, final: int) -> None:
    """Put a burst selected in this cycle on AR from the next one, and in the owner queue."""
    slot = s.read.selected & _SLOT
    s.read_ring[slot, BURST_BEATS] = beats
    s.read_ring[slot, BURST_OWNER] = owner
    s.read_ring[slot, BURST_FINAL] = final
    s.read.ar_due = cycle + 1 + stall(s.config, AR, s.read.selected, 0)
    s.read.selected += 1


@compiled
def accept_read(s: State, cycle: int) -> None:
    """Account for a handshake on AR."""
    burst = s.read.accepted
    s.read_ring[burst & _SLOT, BURST_TIME] = cycle + s.config.latency + extra(s.config, R, burst)
    s.read.accepted += 1
    s.read.ar_due = NEVER


@compiled
def next_beat(s: State, cycle: int) -> None:
    """Account for a beat on R that is not its burst's last, and schedule the next one."""
    s.read.beat += 1
    s.read.beat_due = cycle + s.config.interval + stall(s.config, R, s.read.done, s.read.beat)


@compiled
def end_burst(s: State, cycle: int) -> None:
    """Account for a burst's last beat on R."""
    s.read.bound = cycle + s.config.interval
    s.read.beat_due = NEVER
    s.read.done += 1


@compiled
def begin_burst(s: State) -> None:
    """Schedule the first beat of the next burst on R, if the memory has one and none is on its way."""
    if s.read.beat_due != NEVER or s.read.accepted == s.read.done:
        return
    slot = s.read.done & _SLOT
    s.read.beat = 0
    s.read.beats = s.read_ring[slot, BURST_BEATS]
    s.read.owner = s.read_ring[slot, BURST_OWNER]
    s.read.final = s.read_ring[slot, BURST_FINAL]
    s.read.beat_due = max(s.read.bound, s.read_ring[slot, BURST_TIME]) + stall(s.config, R, s.read.done, 0)


# --- writes ----------------------------------------------------------------------------------------------------------


@compiled
def offer_write(s: State, cycle: int, beats: int, final: int) -> None:
    """Put a burst selected in this cycle on AW from the next one, and in the response queue."""
    slot = s.write.selected & _SLOT
    s.write_ring[slot, BURST_BEATS] = beats
    s.write_ring[slot, BURST_FINAL] = final
    s.write.aw_due = cycle + 1 + stall(s.config, AW, s.write.selected, 0)
    s.write.selected += 1


@compiled
def accept_write(s: State, cycle: int) -> None:
    """Account for a handshake on AW; where all beats of the burst came before it, the memory responds later."""
    s.write.accepted += 1
    s.write.aw_due = NEVER
    if s.write.accepted <= s.write.written:
        _complete(s, cycle, s.write.accepted - 1)


@compiled
def send_beat(s: State, cycle: int) -> bool:
    """Put the next beat on W from the next cycle; return whether it is the last of its instruction."""
    slot = s.write.sent & _SLOT
    s.write.w_due = max(cycle + 1, s.write.w_bound) + stall(s.config, W, s.write.sent, s.write.beat)
    s.write.beat += 1
    last = s.write.beat == s.write_ring[slot, BURST_BEATS]
    s.write.w_last = last
    if last:
        s.write.beat = 0
        s.write.sent += 1
    final: bool = last and s.write_ring[slot, BURST_FINAL] != 0
    return final


@compiled
def end_beat(s: State, cycle: int) -> None:
    """Account for a handshake on W; the last of a burst whose AW is through makes the memory respond later."""
    s.write.w_bound = cycle + s.config.interval
    s.write.w_due = NEVER
    if s.write.w_last != 0:
        s.write.written += 1
        if s.write.written <= s.write.accepted:
            _complete(s, cycle, s.write.written - 1)


@compiled
def end_response(s: State, cycle: int) -> None:
    """Account for a response on B."""
    s.write.b_bound = cycle + 1
    s.write.b_due = NEVER
    s.write.responded += 1
    _schedule_response(s)


@compiled
def _complete(s: State, cycle: int, burst: int) -> None:
    """Account for the later one of a burst's AW and its last beat."""
    s.write_ring[burst & _SLOT, BURST_TIME] = cycle + s.config.write_latency + extra(s.config, B, burst)
    _schedule_response(s)


@compiled
def _schedule_response(s: State) -> None:
    """Schedule the next response, if there is a burst to respond to and nothing is scheduled."""
    if s.write.b_due == NEVER and min(s.write.written, s.write.accepted) > s.write.responded:
        burst = s.write.responded
        due: Any = max(s.write_ring[burst & _SLOT, BURST_TIME], s.write.b_bound)
        s.write.b_due = due + stall(s.config, B, burst, 0)

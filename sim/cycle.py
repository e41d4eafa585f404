"""The loop over the cycles: the signals of one cycle from the registers, then the registers of the next one.

The first half of a cycle only reads registers; the second half changes them from the signals alone.

What is not streaming (`sim.control`) can decide something new only in a cycle in which a signal *stirs* it, or in the
cycle after anything but streaming happened. In the other cycles it is not asked: it would decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.channels import (
    Port,
    accept_read,
    accept_write,
    begin_burst,
    end_beat,
    end_burst,
    end_response,
    next_beat,
    port_signals,
    send_beat,
)
from sim.compiled import compiled, compiled_whole
from sim.control import HALTS, HOLDS, carry_out, decide, retire
from sim.queues import look_at_next
from sim.record import record, unit_states
from sim.state import ARRAY, DRAIN, EMPTY, LOAD, ROW, SEQUENCER, STORE, UNITS, VECTOR, State
from sim.steps import Passes, Steps, advance_row, advance_vector, pass_signals, step_signals
from sim.units import Flow, advance_array, advance_drain, flow_signals

_PULSE_DELAY = np.int64(2)
"""Places that DRAIN's delayed pulses move before they count: with the first place, three cycles."""


def cached_run(sources: str) -> Callable[[State], int]:
    """Return `run` as other modules call it; `sources` is the digest of everything that goes into it."""

    def whole(s: State) -> int:
        _ = sources
        return run(s, None)

    return compiled_whole(whole)


def cached_recorded_run(sources: str) -> Callable[[State, np.ndarray], int]:
    """Return `run` with a log, as above."""

    def whole(s: State, log: np.ndarray) -> int:
        _ = sources
        return run(s, log)

    return compiled_whole(whole)


@compiled
def run(s: State, log: np.ndarray | None) -> int:
    """Run a program from cycle 0 to its HALT; return the total cycles, or -c if it is stuck for ever before cycle c.

    A `log` gets a number for each cycle, as `sim.record` makes it. Where there is none that is known when this is
    compiled, so that it costs nothing.
    """
    for unit in range(UNITS):
        s.states[unit, EMPTY] = not _is_left_out(s, unit)
    cycle = last_event = 0
    awake = True
    while cycle - last_event <= s.config.patience:
        cycle += 1
        port = port_signals(s, cycle)
        flow = flow_signals(s.config, s.array, s.drain)
        passes = pass_signals(s.row, s.drain)
        steps = step_signals(s.vector, passes, s.drain)
        pulses = _pulses(s, port)
        stirred = _stirs(port, flow, steps, passes) or pulses != 0 or s.load.held != 0
        awake = awake or stirred
        actions = decide(s, port, flow, steps, passes) if awake else 0
        _note(s, port, flow, steps, passes)
        if log is not None:
            record(s, log, cycle, port, flow, steps, passes)

        s.load.held -= s.load.held != 0
        stored = _advance_port(s, cycle, port)
        if s.row.idle == 0:
            advance_row(s.row, passes)
        if s.vector.idle == 0:
            advance_vector(s.vector, steps)
        _advance_flow(s, flow)
        if actions != 0:
            carry_out(s, cycle, actions)
        if actions & HALTS:
            return cycle + 1
        if port.r_last:
            look_at_next(s)
        if pulses != 0:
            retire(s, cycle, pulses)

        happened = stirred or stored or actions & ~HOLDS != 0
        awake = happened or s.config.vigilant != 0
        streams = port.r or port.w or port.sends or flow.takes or flow.enters or steps.enters or passes.enters
        if happened or streams:
            last_event = cycle
    return -cycle


@compiled
def _is_left_out(s: State, unit: int) -> bool:
    """Tell whether a unit is not there; such a one counts nothing."""
    return (unit == VECTOR and s.config.vector_lanes == 0) or (unit == ROW and s.config.row_lanes == 0)


@compiled
def _pulses(s: State, port: Port) -> int:
    """Return the retirement pulses of a cycle, a mask of units."""
    drained = s.drain.pulses >> _PULSE_DELAY & 1
    pulses: int = s.load.pulse << LOAD | s.array.pulse << ARRAY | drained << DRAIN | int(port.b_final) << STORE
    return pulses | s.vector.pulse << VECTOR | s.row.pulse << ROW


@compiled
def _stirs(port: Port, flow: Flow, steps: Steps, passes: Passes) -> bool:
    """Tell whether anything happens in a cycle that control looks at in it or in the next one."""
    streams = flow.enters_last or flow.takes_last or steps.enters_last or passes.enters_last
    return port.ar or port.aw or port.b or port.r_last or streams


@compiled
def _note(s: State, port: Port, flow: Flow, steps: Steps, passes: Passes) -> None:
    """Count what each unit does in this cycle."""
    now = unit_states(s, port, flow, steps, passes)
    s.states[LOAD, now.load] += 1
    s.states[ARRAY, now.array] += 1
    s.states[DRAIN, now.drain] += 1
    s.states[STORE, now.store] += 1
    s.states[SEQUENCER, now.sequencer] += 1
    if s.config.vector_lanes != 0:
        s.states[VECTOR, now.vector] += 1
    if s.config.row_lanes != 0:
        s.states[ROW, now.row] += 1


@compiled
def _advance_port(s: State, cycle: int, port: Port) -> bool:
    """Advance the memory port and what its beats end; return whether the last beat of a STORE goes to W."""
    _advance_reads(s, cycle, port)
    if port.aw:
        accept_write(s, cycle)
    if port.w:
        end_beat(s, cycle)
    stored = port.sends and send_beat(s, cycle)
    if stored:
        s.store.level -= 1
    if port.b:
        end_response(s, cycle)
    return stored


@compiled
def _advance_reads(s: State, cycle: int, port: Port) -> None:
    """Advance AR and R; the last beat goes to the instruction queue, or ends the head of LOAD's transfer queue."""
    s.load.pulse = 0
    if port.r_last:
        if not port.r_load:
            s.sequence.fetched += 1
        elif s.read.final != 0:
            s.load.level -= 1
            s.load.pulse = 1
        end_burst(s, cycle)
    elif port.r:
        next_beat(s, cycle)
    if port.ar:
        accept_read(s, cycle)
    if port.ar or port.r_last:
        begin_burst(s)


@compiled
def _advance_flow(s: State, flow: Flow) -> None:
    """Advance ARRAY, the drain register and DRAIN."""
    s.drain.writes = (s.drain.writes << 1 | (flow.takes and s.drain.to_activation != 0)) & 3
    s.drain.pulses <<= 1
    if flow.takes and advance_drain(s.config, s.drain):
        s.drain.pulses |= 1
    s.drain.pulses &= 7
    if flow.releases:
        s.array.full = 0
    s.array.pulse = flow.moves and advance_array(s.config, s.array)

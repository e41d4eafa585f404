"""What each unit does in a cycle, and the record of it: one number for each cycle of a run that is to be looked at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.channels import Port
from sim.compiled import compiled
from sim.state import ARRAY, BUSY, DRAIN, EMPTY, LOAD, ROW, SEQUENCER, STORE, UNITS, VECTOR, WAIT, State
from sim.steps import Passes, Steps
from sim.units import Flow

STATE_BITS = 3
"""Bits of a unit's state in a record; that of unit u begins with bit 3*u."""

PORT_BIT = STATE_BITS * UNITS
AR, R, AW, W, B, SENDS = range(PORT_BIT, PORT_BIT + 6)
"""The bits behind the states: the five handshakes, and that a beat of STORE is read to be on W in the next cycle."""

NOTHING = sum(EMPTY << STATE_BITS * unit for unit in range(UNITS))
"""The record of cycle 0."""


class UnitStates(NamedTuple):
    """The state of each unit in a cycle, as section 3.11 of docs/machine.md has them."""

    load: int
    array: int
    drain: int
    store: int
    vector: int
    row: int
    sequencer: int


@compiled
def unit_states(s: State, port: Port, flow: Flow, steps: Steps, passes: Passes) -> UnitStates:
    """Return what each unit does in a cycle."""
    array = s.rest[ARRAY] if flow.moves else WAIT
    drain = WAIT if s.drain.active != 0 else s.rest[DRAIN]
    vector = s.rest[VECTOR] if steps.moves else WAIT
    row = s.rest[ROW] if passes.moves and not passes.pauses else WAIT
    return UnitStates(
        BUSY if port.r_load else s.rest[LOAD],
        BUSY if flow.enters else array,
        BUSY if flow.takes else drain,
        BUSY if port.w else s.rest[STORE],
        BUSY if steps.enters else vector,
        BUSY if passes.enters else row,
        s.rest[SEQUENCER],
    )


@compiled
def record(s: State, log: np.ndarray, cycle: int, port: Port, flow: Flow, steps: Steps, passes: Passes) -> None:
    """Note the states of a cycle and what happens at the memory port."""
    now = unit_states(s, port, flow, steps, passes)
    states = now.load << STATE_BITS * LOAD | now.array << STATE_BITS * ARRAY | now.drain << STATE_BITS * DRAIN
    states |= now.store << STATE_BITS * STORE | now.vector << STATE_BITS * VECTOR | now.row << STATE_BITS * ROW
    beats = int(port.ar) << AR | int(port.r) << R | int(port.aw) << AW | int(port.w) << W | int(port.b) << B
    log[cycle] = states | now.sequencer << STATE_BITS * SEQUENCER | beats | int(port.sends) << SENDS

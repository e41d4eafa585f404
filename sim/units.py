"""LOAD, STORE, ARRAY and DRAIN in time: how each starts an instruction and how it goes on by one cycle."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sim.compiled import compiled
from sim.state import OP_A, OP_B, OP_C, OP_D, OP_E, TO_ACTIVATION

_BOUNDARY = np.int64(4096)
_ADDRESSES = np.int64(0xFFFFFFFF)
_GATHER_DELAY = np.int64(2)


# --- the request stage of LOAD and STORE -----------------------------------------------------------------------------


@compiled
def start_transfer(config: Any, unit: Any, operands: Any) -> None:
    """Begin with an instruction: its first burst is offered from the next cycle, or later where ids are read.

    Its entry is in the transfer queue from the next cycle on.
    """
    unit.active = 1
    unit.level += 1
    unit.address = operands[OP_A]
    unit.stride = operands[OP_B]
    unit.segments = operands[OP_C]
    unit.segment_beats = operands[OP_D]
    unit.left = unit.segment_beats
    unit.delay = _GATHER_DELAY * operands[OP_E]
    unit.held = unit.delay
    _split(config, unit)


@compiled
def _split(config: Any, unit: Any) -> None:
    """Cut the next burst off the segment: at most burst_beats beats, none beyond a 4 KiB boundary."""
    offset = (unit.address + (unit.segment_beats - unit.left) * config.beat_bytes) & (_BOUNDARY - 1)
    room = (_BOUNDARY - offset) // config.beat_bytes
    unit.beats = min(config.burst_beats, unit.left, room)
    unit.final = unit.segments == 1 and unit.beats == unit.left


@compiled
def advance_transfer(config: Any, unit: Any) -> None:
    """Go on behind the burst that was selected in this cycle."""
    if unit.final != 0:
        unit.active = 0
        return
    unit.left -= unit.beats
    if unit.left == 0:
        unit.segments -= 1
        unit.held = unit.delay
        unit.left = unit.segment_beats
        unit.address = (unit.address + unit.stride) & _ADDRESSES
    _split(config, unit)


# --- ARRAY and DRAIN --------------------------------------------------------------------------------------------------


class Flow(NamedTuple):
    """The signals of ARRAY and DRAIN in a cycle, as docs/machine.md names them."""

    takes: bool
    takes_last: bool
    releases: bool
    moves: bool
    enters: bool
    enters_last: bool


@compiled
def flow_signals(config: Any, array: Any, drain: Any) -> Flow:
    """Return the signals of ARRAY and DRAIN in a cycle."""
    takes = drain.active != 0 and array.full != 0
    releases = takes and drain.group == 1
    takes_last = releases and drain.column_group == 1 and drain.rows_left == drain.rows
    moves = releases or array.full == 0 or (array.pipe >> config.last_stage) & 1 == 0
    enters = moves and array.active != 0
    enters_last = enters and array.word == 1 and array.tile == 1
    return Flow(takes, takes_last, releases, moves, enters, enters_last)


@compiled
def start_array(config: Any, array: Any, operands: Any) -> None:
    """Begin with an instruction: its first step can enter in the next cycle."""
    array.active = 1
    array.words = operands[OP_A]
    array.word = operands[OP_A]
    array.tile = -(-operands[OP_B] // config.rows) * operands[OP_C]
    array.handover = operands[OP_D]


@compiled
def advance_array(config: Any, array: Any) -> bool:
    """Move the pipeline by one stage, with a step entering if active; return whether an instruction is through.

    A stage has two bits: the step hands a tile over, the step is the last of its instruction.
    """
    leaving = array.pipe >> config.last_stage
    flags = 0
    if array.active != 0:
        array.word -= 1
        if array.word == 0:
            array.word = array.words
            array.tile -= 1
            flags = array.handover
            if array.tile == 0:
                array.active = 0
                flags |= 2
    array.pipe = (array.pipe << 2 | flags) & config.stages
    if leaving & 1:
        array.full = 1
    through: bool = leaving & 2 != 0
    return through


@compiled
def start_drain(config: Any, drain: Any, operands: Any) -> None:
    """Begin with an instruction: its first group can be taken in the next cycle."""
    drain.active = 1
    drain.rows_left = operands[OP_A]
    drain.column_groups = operands[OP_B]
    drain.column_group = operands[OP_B]
    drain.to_activation = operands[OP_C] == TO_ACTIVATION
    _start_tile(config, drain)


@compiled
def _start_tile(config: Any, drain: Any) -> None:
    """Count the groups of a tile of the rows that are left."""
    drain.rows = min(config.rows, drain.rows_left)
    drain.groups = -(-drain.rows // config.drain_rows)
    drain.group = drain.groups


@compiled
def advance_drain(config: Any, drain: Any) -> bool:
    """Take one group; return whether it is the last of its instruction."""
    drain.group -= 1
    if drain.group != 0:
        return False
    drain.group = drain.groups
    drain.column_group -= 1
    if drain.column_group != 0:
        return False
    drain.column_group = drain.column_groups
    drain.rows_left -= drain.rows
    if drain.rows_left == 0:
        drain.active = 0
        return True
    _start_tile(config, drain)
    return False

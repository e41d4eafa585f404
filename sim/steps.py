"""VECTOR and ROW in time: pipelines that steps go through on their way to the activation buffer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sim.compiled import compiled
from sim.state import OP_A, OP_B, OP_C

_WRITE_DELAY = np.int64(1)
"""Places that a write of DRAIN has moved in the cycle in which it is made."""


# --- VECTOR -----------------------------------------------------------------------------------------------------------

_SETS, _FINAL, _LATE = np.int64(3), np.int64(4), np.int64(8)
"""What a stage holds of its step: how many sets it writes, whether it is the last of its instruction, and of one whose
pulse is late."""

_STAGE = np.int64(4)
_LAST_STAGE = np.int64(5 * 4)
_STAGES = np.int64((1 << 6 * 4) - 1)


class Steps(NamedTuple):
    """The signals of VECTOR in a cycle: it writes a set, its pipeline moves, a step enters, the last one does."""

    writes: bool
    moves: bool
    enters: bool
    enters_last: bool


@compiled
def step_signals(vector: Any, passes: Any, drain: Any) -> Steps:
    """Return the signals of VECTOR in a cycle, of which `passes` are those of ROW."""
    if vector.idle != 0:
        return Steps(False, True, False, False)
    writes = vector.left != 0 and not passes.writes and drain.writes >> _WRITE_DELAY & 1 == 0
    moves = vector.left == 0 or (writes and vector.left == 1)
    enters = moves and vector.active != 0
    return Steps(writes, moves, enters, enters and vector.steps == 1)


@compiled
def start_vector(vector: Any, operands: Any) -> None:
    """Begin with an instruction: its first step can enter in the next cycle."""
    vector.active = 1
    vector.idle = 0
    vector.steps = operands[OP_A]
    vector.sets = operands[OP_B]
    vector.late = operands[OP_C]


@compiled
def advance_vector(vector: Any, steps: Steps) -> None:
    """Write a set, or move the pipeline by one stage, with a step entering if active.

    Behind an instruction whose pulse is late nothing is accepted before that, so there is one such pulse at most.
    """
    vector.pulse = vector.countdown == 1
    vector.countdown -= vector.countdown != 0
    if not steps.moves:
        vector.left -= steps.writes
        return
    leaving = vector.pipe >> _LAST_STAGE
    if leaving & _FINAL:
        if leaving & _LATE:
            vector.countdown = vector.late
        else:
            vector.pulse = 1
    flags = 0
    if steps.enters:
        vector.steps -= 1
        flags = vector.sets
        if steps.enters_last:
            vector.active = 0
            flags |= _FINAL
            if vector.late != 0:
                flags |= _LATE
    vector.pipe = (vector.pipe << _STAGE | flags) & _STAGES
    vector.left = vector.pipe >> _LAST_STAGE & _SETS
    vector.idle = vector.active | vector.pipe | vector.pulse | vector.countdown == 0


# --- ROW --------------------------------------------------------------------------------------------------------------

_WRITES, _ENDS_FIRST, _ENDS_SECOND = 1, 2, 4
"""What a stage holds of its step: whether it writes, as those of a second pass do, whether it is the last of a pass."""

_ROW_STAGE = np.int64(3)
_ROW_LAST_STAGE = np.int64(5 * 3)
_ROW_STAGES = np.int64((1 << 6 * 3) - 1)
_PAUSE = np.int64(7)
"""Cycles without a step behind the one in which the last step of a first pass leaves, without those of the levels."""


class Passes(NamedTuple):
    """The signals of ROW in a cycle: it writes, its pipeline moves, it is between passes, a step enters, the last one
    does."""

    writes: bool
    moves: bool
    pauses: bool
    enters: bool
    enters_last: bool


@compiled
def pass_signals(row: Any, drain: Any) -> Passes:
    """Return the signals of ROW in a cycle."""
    if row.idle != 0:
        return Passes(False, True, False, False, False)
    wants = row.pipe >> _ROW_LAST_STAGE & _WRITES != 0
    writes = wants and drain.writes >> _WRITE_DELAY & 1 == 0
    moves = writes or not wants
    pauses = row.active != 0 and row.steps == 0
    enters = moves and row.steps != 0
    return Passes(writes, moves, pauses, enters, enters and row.steps == 1 and row.second == 0)


@compiled
def start_row(row: Any, operands: Any) -> None:
    """Begin with an instruction: the first step of its first pass can enter in the next cycle."""
    row.active = 1
    row.idle = 0
    row.steps = operands[OP_A]
    row.second = operands[OP_B]
    row.pause = _PAUSE + operands[OP_C]


@compiled
def advance_row(row: Any, passes: Passes) -> None:
    """Move the pipeline by one stage, with a step entering if there is one, or come nearer to the second pass."""
    row.pulse = 0
    if not passes.moves:
        return
    if row.gap != 0:
        row.gap -= 1
        if row.gap == 0:
            row.steps = row.second
            row.second = 0
    leaving = row.pipe >> _ROW_LAST_STAGE
    if leaving & _ENDS_FIRST:
        row.gap = row.pause
    row.pulse = leaving & _ENDS_SECOND != 0
    flags = 0
    if passes.enters:
        row.steps -= 1
        flags = _flags(row)
        if passes.enters_last:
            row.active = 0
    row.pipe = (row.pipe << _ROW_STAGE | flags) & _ROW_STAGES
    row.idle = row.active | row.pipe | row.pulse == 0


@compiled
def _flags(row: Any) -> int:
    """Return what a stage holds of the step behind which `row.steps` of its pass are left."""
    if row.second == 0:
        return _WRITES | _ENDS_SECOND if row.steps == 0 else _WRITES
    return _ENDS_FIRST if row.steps == 0 else 0

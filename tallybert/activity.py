"""What each unit does from when to when: its states cut into intervals, each with the instruction that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hw.isa import STATE_NAMES, Instruction, Unit
from tallybert.lives import NOBODY, Lives

if TYPE_CHECKING:
    from sim.recording import Recording

BUSY, WAIT, TOKEN, ISSUE, EMPTY = range(len(STATE_NAMES))


@dataclass(frozen=True)
class Activity:
    """The intervals of a unit, one behind the other from cycle 0 to the end, int64.

    In interval n, from `starts[n]` to the cycle before `stops[n]`, the unit is in state `states[n]` because of
    instruction `subjects[n]`: the one that is worked on, that waits or that is taken; NOBODY where it is empty.
    """

    starts: np.ndarray
    stops: np.ndarray
    states: np.ndarray
    subjects: np.ndarray

    def at(self, cycle: int) -> int:
        """Return the number of the interval that a cycle is in."""
        return int(np.searchsorted(self.starts, cycle, "right")) - 1

    def busy_of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return starts and stops of the intervals in which an instruction is worked on."""
        mine = np.flatnonzero((self.states == BUSY) & (self.subjects == number))
        return self.starts[mine], self.stops[mine]

    def done_before(self, number: int, cycle: int) -> int:
        """Return in how many cycles before this one an instruction was worked on: its beats, steps or groups."""
        starts, stops = self.busy_of(number)
        return int(np.clip(np.minimum(stops, cycle) - starts, 0, None).sum())

    def next_busy(self, number: int, cycle: int) -> int:
        """Return the first cycle from this one on in which an instruction is worked on, NOBODY for none."""
        starts, stops = self.busy_of(number)
        place = int(np.searchsorted(stops, cycle, "right"))
        return max(int(starts[place]), cycle) if place < len(stops) else NOBODY


def activities(recording: Recording, lives: Lives, instructions: Sequence[Instruction]) -> dict[Unit, Activity]:
    """Return the intervals of each unit that there is."""
    there = [unit for unit in Unit if recording.timing.states[unit].any()]
    return {unit: _cut(*_subjects(unit, recording, lives, instructions)) for unit in there}


def _subjects(
    unit: Unit, recording: Recording, lives: Lives, instructions: Sequence[Instruction]
) -> tuple[np.ndarray, np.ndarray]:
    """Return state and instruction of a unit in each cycle."""
    states = recording.states[unit]
    cycles = np.arange(len(states))
    order = lives.order[unit]
    if unit is Unit.SEQUENCER:
        places = np.searchsorted(lives.taken, cycles, "left")
        return states, _named(np.arange(len(lives.taken)), places, states != EMPTY)
    oldest = np.searchsorted(lives.retire[order], cycles, "left" if unit is Unit.STORE else "right")
    latest = np.searchsorted(lives.issue[order], cycles, "left") - 1
    if unit is Unit.LOAD:
        worked = oldest
    elif unit is Unit.STORE:
        worked = _stored(recording.stored, [instructions[n] for n in order])
    else:
        worked = latest
    resting = latest if unit in (Unit.DRAIN, Unit.ROW) else oldest
    subjects = np.full(len(cycles), NOBODY)
    for state, places in ((BUSY, worked), (WAIT, resting), (TOKEN, latest + 1), (ISSUE, latest + 1)):
        chosen = states == state
        subjects[chosen] = _named(order, places, chosen)[chosen]
    return states, subjects


def _named(order: np.ndarray, places: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the instruction at each place of an order where one is chosen, NOBODY elsewhere."""
    subjects = np.full(len(places), NOBODY)
    subjects[chosen] = order[places[chosen]]
    return subjects


def _stored(stored: np.ndarray, stores: Sequence[Instruction]) -> np.ndarray:
    """Return which STORE the next beat on W belongs to in each cycle."""
    ends = np.cumsum([store.segments * store.segment_beats for store in stores])
    beats: np.ndarray = np.cumsum(stored) - stored
    return np.searchsorted(ends, beats, "right")


def _cut(states: np.ndarray, subjects: np.ndarray) -> Activity:
    changes = (np.diff(states.astype(np.int64)) != 0) | (np.diff(subjects) != 0)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    stops = np.concatenate([starts[1:], [len(states)]])
    return Activity(starts, stops, states[starts].astype(np.int64), subjects[starts].astype(np.int64))

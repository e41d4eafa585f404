"""One cycle of a run: what each unit does or waits for, what is in the queues, which transfers are on their way."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from hw.isa import STATE_NAMES, TOKEN_UNITS, UNIT_NAMES, Instruction, Unit
from tallybert.activity import BUSY, EMPTY, ISSUE, TOKEN, WAIT
from tallybert.disassembly import touched_text
from tallybert.lives import NOBODY
from tallybert.playback import Playback

_PIECES = {
    Unit.LOAD: "beat",
    Unit.STORE: "beat",
    Unit.ARRAY: "step",
    Unit.DRAIN: "group",
    Unit.VECTOR: "step",
    Unit.ROW: "step",
}
"""What a unit does in one cycle."""


def moment(play: Playback, cycle: int) -> dict[str, Any]:
    """Return everything about a cycle, from 0 to the last one, with queues and tokens as they are at its start."""
    lives = play.lives
    return {
        "cycle": cycle,
        "cycles": play.cycles,
        "units": {UNIT_NAMES[unit]: _unit(play, unit, cycle) for unit in play.activities},
        "instruction_queue": _numbers((lives.fetched < cycle) & (lives.taken >= cycle)),
        "queues": {UNIT_NAMES[unit]: _queue(play, unit, cycle) for unit in play.activities if unit in TOKEN_UNITS},
        "loads": [_transfer(play, Unit.LOAD, number, cycle) for number in _in_flight(play, Unit.LOAD, cycle)],
        "stores": [_transfer(play, Unit.STORE, number, cycle) for number in _in_flight(play, Unit.STORE, cycle)],
        "tokens": _tokens(play, cycle),
    }


def _numbers(chosen: np.ndarray) -> list[int]:
    return [int(number) for number in np.flatnonzero(chosen)]


def _queue(play: Playback, unit: Unit, cycle: int) -> list[int]:
    numbers = play.lives.order[unit]
    waiting = (play.lives.taken[numbers] < cycle) & (play.lives.issue[numbers] >= cycle)
    return [int(number) for number in numbers[waiting]]


def _in_flight(play: Playback, unit: Unit, cycle: int) -> list[int]:
    """Return the instructions that a unit owns."""
    numbers = play.lives.order[unit]
    owned = (play.lives.issue[numbers] < cycle) & (play.lives.retire[numbers] >= cycle)
    return [int(number) for number in numbers[owned]]


def _tokens(play: Playback, cycle: int) -> dict[str, int]:
    """Return the token counters that are not 0."""
    units, waits, signals = (
        np.array([getattr(i, name) for i in play.instructions]) for name in ("unit", "wait", "signal")
    )
    issued, retired = play.lives.issue < cycle, play.lives.retire < cycle
    found = {}
    for giver, taker in permutations(TOKEN_UNITS, 2):
        given = retired & (units == giver) & (signals >> taker & 1 != 0)
        taken = issued & (units == taker) & (waits >> giver & 1 != 0)
        if left := int(given.sum()) - int(taken.sum()):
            found[f"{UNIT_NAMES[giver]} to {UNIT_NAMES[taker]}"] = left
    return found


def _transfer(play: Playback, unit: Unit, number: int, cycle: int) -> dict[str, Any]:
    i = play.instructions[number]
    return {
        "instruction": number,
        "title": play.title(number),
        "what": touched_text(play.touched[number]),
        "beats_done": play.activities[unit].done_before(number, cycle),
        "beats": i.segments * i.segment_beats,
        "issue": int(play.lives.issue[number]),
        "retire": int(play.lives.retire[number]),
    }


# --- units ------------------------------------------------------------------------------------------------------------


def _unit(play: Playback, unit: Unit, cycle: int) -> dict[str, Any]:
    """Return what a unit does in a cycle; `since` and `until` are the first and the last cycle of it."""
    activity = play.activities[unit]
    interval = activity.at(cycle)
    state, subject = int(activity.states[interval]), int(activity.subjects[interval])
    found = {
        "state": STATE_NAMES[state],
        "since": int(activity.starts[interval]),
        "until": int(activity.stops[interval]) - 1,
        "instruction": None if subject == NOBODY else subject,
        "title": None if subject == NOBODY else play.title(subject),
        "what": _what(play, unit, state, subject, cycle),
    }
    if unit is not Unit.SEQUENCER:
        found["in_flight"] = _in_flight(play, unit, cycle)
    return found


def _what(play: Playback, unit: Unit, state: int, subject: int, cycle: int) -> str:
    if unit is Unit.SEQUENCER:
        return _sequencer(play, state, subject, cycle)
    if state == BUSY:
        return _piece(play, unit, subject, cycle)
    if state == WAIT:
        return _WAITS[unit](play, subject, cycle)
    if state == TOKEN:
        return token_text(play, subject, cycle)
    if state == ISSUE:
        stood = int(play.lives.stood[subject])
        return f"takes it after {stood} cycles at the head" if stood else "takes it"
    return _empty(play, unit, cycle)


def _piece(play: Playback, unit: Unit, number: int, cycle: int) -> str:
    """Return which beat, step or group of an instruction a cycle is for."""
    activity = play.activities[unit]
    done, total = activity.done_before(number, cycle), activity.done_before(number, play.cycles)
    return f"{_PIECES[unit]} {done + 1} of {total}: {touched_text(play.touched[number])}".rstrip(": ")


def token_text(play: Playback, number: int, cycle: int) -> str:
    """Return what an instruction lacks in a cycle, and when it comes."""
    texts = []
    for cause in play.causes(number):
        if cause.kind in ("token", "own") and cause.start <= cycle < cause.stop:
            gives, at = play.short(cause.instruction), cause.stop - 1
            if cause.kind == "own":
                texts.append(f"all before it to retire, {gives} last in cycle {at}")
            else:
                texts.append(f"token from {cause.unit.name}, which {gives} gives in cycle {at}")
    return "; ".join(texts)


def _load_waits(play: Playback, number: int, cycle: int) -> str:
    return _next_beat(play, Unit.LOAD, number, cycle, "from memory")


def _store_waits(play: Playback, number: int, cycle: int) -> str:
    if play.activities[Unit.STORE].next_busy(number, cycle) == NOBODY:
        return f"memory's last response to it, in cycle {int(play.lives.retire[number])}"
    return _next_beat(play, Unit.STORE, number, cycle, "to memory")


def _next_beat(play: Playback, unit: Unit, number: int, cycle: int, where: str) -> str:
    activity = play.activities[unit]
    done, total = activity.done_before(number, cycle), activity.done_before(number, play.cycles)
    return f"beat {done + 1} of {total} {where}, in cycle {activity.next_busy(number, cycle)}"


def _array_waits(play: Playback, _: int, cycle: int) -> str:
    activity = play.activities[Unit.ARRAY]
    on = int(activity.stops[activity.at(cycle)])
    return f"DRAIN to take the tile before from the drain register: moves on in cycle {on}"


def _drain_waits(play: Playback, number: int, cycle: int) -> str:
    activity = play.activities[Unit.DRAIN]
    done, total = activity.done_before(number, cycle), activity.done_before(number, play.cycles)
    place = int(np.searchsorted(play.lives.order[Unit.DRAIN], number))
    handing = [int(n) for n in play.lives.order[Unit.ARRAY] if play.instructions[n].handover]
    source = f" of {play.short(handing[place])}" if place < len(handing) else ""
    return f"the tile{source} with group {done + 1} of {total}, taken in cycle {activity.next_busy(number, cycle)}"


def _pipeline_waits(play: Playback, unit: Unit, cycle: int, what: str) -> str:
    activity = play.activities[unit]
    return f"{what}: on in cycle {int(activity.stops[activity.at(cycle)])}"


_WAITS: dict[Unit, Callable[[Playback, int, int], str]] = {
    Unit.LOAD: _load_waits,
    Unit.ARRAY: _array_waits,
    Unit.DRAIN: _drain_waits,
    Unit.STORE: _store_waits,
    Unit.VECTOR: lambda play, _, cycle: _pipeline_waits(play, Unit.VECTOR, cycle, "its codes to be written"),
    Unit.ROW: lambda play, _, cycle: _pipeline_waits(
        play, Unit.ROW, cycle, "its codes to be written, or the levels between its passes"
    ),
}


def _empty(play: Playback, unit: Unit, cycle: int) -> str:
    queue = _queue(play, unit, cycle)
    if queue:
        owner = _in_flight(play, unit, cycle)[-1]
        until = int(play.lives.retire[owner])
        return f"{play.short(queue[0])} stands until {play.short(owner)} retires in cycle {until}"
    numbers = play.lives.order[unit]
    later = numbers[play.lives.taken[numbers] >= cycle]
    if not len(later):
        return "nothing is left"
    return f"nothing: {play.short(int(later[0]))} comes to its queue in cycle {int(play.lives.taken[later[0]])}"


def _sequencer(play: Playback, state: int, number: int, cycle: int) -> str:
    lives = play.lives
    if state == EMPTY:
        later = lives.fetched[lives.fetched >= cycle]
        if not len(later):
            return "nothing is left"
        return f"instruction {len(lives.fetched) - len(later)} from memory, whole in cycle {int(later[0])}"
    instruction: Instruction = play.instructions[number]
    unit = instruction.unit
    if state == BUSY:
        return "ends it" if unit is Unit.SEQUENCER else f"gives it to {unit.name}"
    if state == WAIT:
        last = play.causes(number)[0].instruction
        return f"all before it to retire, {play.short(last)} last in cycle {int(lives.retire[last])}"
    head = _queue(play, unit, cycle)[0]
    return f"room in the queue of {unit.name}, which {play.short(head)} leaves in cycle {int(lives.issue[head])}"

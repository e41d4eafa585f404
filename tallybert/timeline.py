"""The timeline of a run: trace events in the JSON that Perfetto and chrome://tracing read (docs/explain.md).

One cycle is one microsecond of the file, so that every number in it is an integer: cycle t is from t to t + 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.files import write_atomic
from hw.isa import STATE_NAMES, UNIT_NAMES, Unit
from tallybert.activity import EMPTY, TOKEN, WAIT
from tallybert.disassembly import line_text, operand_text
from tallybert.flow import WAITS_FOR
from tallybert.gauges import gauges
from tallybert.lives import NOBODY
from tallybert.moment import token_text
from tallybert.options import CommandError

if TYPE_CHECKING:
    from tallybert.playback import Playback

FORMAT = "tallybert-timeline-1"
MAX_SLICES = 1 << 21
"""Slices that a timeline may have; a file of more would be some hundred megabytes that no viewer opens."""

UNITS, GAUGES = 1, 2
"""The two processes of a timeline: tracks of units, and counters."""

Event = dict[str, Any]


def write_timeline(path: Path, play: Playback, title: str, say: Callable[[str], None]) -> None:
    """Write the timeline of a run as a file that is there in one piece or not at all."""
    slices = len(play.instructions) + sum(len(activity.starts) for activity in play.activities.values())
    if slices > MAX_SLICES:
        fix = "a smaller layer, or a memory without stalls, has fewer"
        raise CommandError(f"--timeline must be of a run of at most {MAX_SLICES:,} slices, not {slices:,}: {fix}")
    events = [json.dumps(event) for event in trace_events(play, title)]
    head = json.dumps({"displayTimeUnit": "ns", "otherData": _facts(play, title)})
    body = ",\n".join(events)
    write_atomic(path, f'{head[:-1]}, "traceEvents": [\n{body}\n]}}\n'.encode())
    say(f"{path}: {len(events):,} events over {play.cycles:,} cycles, for ui.perfetto.dev")


def trace_events(play: Playback, title: str) -> list[Event]:
    """Return the names of all tracks, then slices and counters in the order of their times."""
    names, slices = list(_process_names(title)), []
    for number, (name, track) in enumerate(_tracks(play)):
        tid = number + 1
        names += _named(UNITS, tid, name)
        slices += [{**event, "pid": UNITS, "tid": tid} for event in track]
    slices += _counters(play)
    slices.sort(key=lambda event: (event["ts"], event["pid"], event.get("tid", 0)))
    return names + slices


def _facts(play: Playback, title: str) -> dict[str, Any]:
    accelerator = play.accelerator
    return {
        "format": FORMAT,
        "program": title,
        "accelerator": accelerator.name,
        "clock_mhz": accelerator.clock_mhz,
        "microseconds_of_a_cycle": 1,
        "cycles": play.cycles,
        "memory": play.memory.to_dict(),
    }


def _process_names(title: str) -> Iterator[Event]:
    for pid, name in ((UNITS, f"units: {title}"), (GAUGES, "memory, tokens, queues, buffers")):
        yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": pid}}


def _named(pid: int, tid: int, name: str) -> list[Event]:
    track = {"ph": "M", "pid": pid, "tid": tid}
    return [
        {**track, "name": "thread_name", "args": {"name": name}},
        {**track, "name": "thread_sort_index", "args": {"sort_index": tid}},
    ]


# --- tracks of units --------------------------------------------------------------------------------------------------


def _tracks(play: Playback) -> Iterator[tuple[str, list[Event]]]:
    """Yield name and slices of each track: of each unit its instructions, in several where they overlap, and states."""
    for unit in play.activities:
        name = UNIT_NAMES[unit]
        lanes = _lanes(play, unit)
        for number, lane in enumerate(lanes or [[]]):
            yield f"{name} {number + 1}" if len(lanes) > 1 else name, [_slice(play, n) for n in lane]
        yield f"{name} states", list(_states(play, unit))


def _lanes(play: Playback, unit: Unit) -> list[list[int]]:
    """Return the instructions of a unit, each on the first track on which none is under way."""
    lanes: list[list[int]] = []
    for number in map(int, play.lives.order[unit]):
        issue = play.lives.issue[number]
        free = (lane for lane in lanes if play.lives.retire[lane[-1]] <= issue)
        lane = next(free, None)
        if lane is None:
            lanes.append([number])
        else:
            lane.append(number)
    return lanes


def _slice(play: Playback, number: int) -> Event:
    """Return an instruction from its issue to its retirement."""
    i, lives, touched = play.instructions[number], play.lives, play.touched[number]
    issue, retire = int(lives.issue[number]), int(lives.retire[number])
    arguments = {
        "number": number,
        "issue": issue,
        "retire": retire,
        "stood": int(lives.stood[number]),
        "operands": operand_text(i),
        "reads": line_text(touched.reads),
        "writes": line_text(touched.writes),
        "memory": touched.memory,
        "waits": ", ".join(f"{UNIT_NAMES[unit]} {source}" for unit, source in lives.givers[number].items()),
        "signals": ", ".join(
            UNIT_NAMES[unit] if taker == NOBODY else f"{UNIT_NAMES[unit]} {taker}"
            for unit, taker in lives.takers[number].items()
        ),
    }
    return {
        "ph": "X",
        "cat": "instruction",
        "name": play.title(number),
        "ts": issue,
        "dur": retire - issue,
        "args": {name: value for name, value in arguments.items() if value != ""},
    }


def _states(play: Playback, unit: Unit) -> Iterator[Event]:
    """Yield the states of a unit, but for those in which it is empty: they are the gaps."""
    activity = play.activities[unit]
    columns = (activity.starts, activity.stops, activity.states, activity.subjects)
    for start, stop, state, subject in zip(*(column.tolist() for column in columns), strict=True):
        if state == EMPTY:
            continue
        arguments: dict[str, Any] = {"instruction": subject, "title": play.title(subject)}
        if state == WAIT:
            arguments["waits for"] = WAITS_FOR[UNIT_NAMES[unit]]
        elif state == TOKEN:
            arguments["waits for"] = "room in a queue" if unit is Unit.SEQUENCER else token_text(play, subject, start)
        yield {
            "ph": "X",
            "cat": "state",
            "name": STATE_NAMES[state],
            "ts": start,
            "dur": stop - start,
            "args": arguments,
        }


# --- counters ---------------------------------------------------------------------------------------------------------


def _counters(play: Playback) -> Iterator[Event]:
    """Yield each counter at 0, where it does not begin with something, and wherever it changes."""
    for name, unit, gauge in gauges(play):
        points: Iterable[tuple[int, int]] = zip(gauge.cycles.tolist(), gauge.values.tolist(), strict=True)
        for cycle, value in [*([] if len(gauge.cycles) and gauge.cycles[0] == 0 else [(0, 0)]), *points]:
            yield {"ph": "C", "name": name, "pid": GAUGES, "ts": cycle, "args": {unit: value}}

"""What is counted along a run: beats of the memory, transfers on their way, instructions in queues, tokens, lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from hw.isa import TOKEN_UNITS, UNIT_NAMES, Unit
from mapping.footprints.base import Sizes
from tallybert.occupancy import Steps, occupied_lines, steps
from tallybert.playback import Playback

WINDOWS = 4096
"""Windows that a run is cut into at most, to count the beats in each."""

LEAST_WINDOW = 16


def gauges(play: Playback) -> Iterator[tuple[str, str, Steps]]:
    """Yield name, unit and values of everything that is counted."""
    window = window_of(play.cycles)
    for name, beats in _beats(play):
        yield f"beats of {name} in {window} cycles", "beats", counted(beats, window)
    lives = play.lives
    for unit in (Unit.LOAD, Unit.STORE):
        numbers = lives.order[unit]
        yield f"{UNIT_NAMES[unit]}s on their way", "transfers", steps(lives.issue[numbers], lives.retire[numbers])
    yield "instruction queue", "instructions", steps(lives.fetched + 1, lives.taken + 1)
    for unit in TOKEN_UNITS:
        if unit in play.activities:
            numbers = lives.order[unit]
            queue = steps(lives.taken[numbers] + 1, lives.issue[numbers] + 1)
            yield f"queue of {UNIT_NAMES[unit]}", "instructions", queue
    yield from _tokens(play)
    have = Sizes(play.accelerator).lines
    for name, lines in occupied_lines(play).items():
        yield f"lines of {name}, of {have[name]}", "lines", lines


def window_of(cycles: int) -> int:
    """Return the cycles of a window: a power of two."""
    window = LEAST_WINDOW
    while window * WINDOWS < cycles:
        window *= 2
    return window


def _beats(play: Playback) -> Iterator[tuple[str, np.ndarray]]:
    recording = play.recording
    yield from (("fetch", recording.fetched), ("load", recording.loaded), ("store", recording.stored))


def counted(happens: np.ndarray, window: int) -> Steps:
    """Return in how many cycles of each window something happens, from the first cycle of the window on."""
    starts = np.arange(0, len(happens), window)
    return Steps(starts, np.add.reduceat(happens.astype(np.int64), starts))


def _tokens(play: Playback) -> Iterator[tuple[str, str, Steps]]:
    """Yield the counter of each pair of units that gives tokens."""
    units, waits, signals = (
        np.array([getattr(i, name) for i in play.instructions]) for name in ("unit", "wait", "signal")
    )
    for giver, taker in permutations(TOKEN_UNITS, 2):
        given = play.lives.retire[(units == giver) & (signals >> taker & 1 != 0)]
        taken = play.lives.issue[(units == taker) & (waits >> giver & 1 != 0)]
        if len(given):
            yield f"tokens from {UNIT_NAMES[giver]} to {UNIT_NAMES[taker]}", "tokens", steps(given + 1, taken + 1)

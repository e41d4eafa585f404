"""How many lines of each buffer are occupied when: from the issue of what fills them to the last reader's retirement.

A line counts once for all banks. It is occupied from the issue of the first instruction that writes it after it was
read for the last time, up to the retirement of the last one that reads that; what nobody reads is not counted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tallybert.playback import Playback

_FREE = -1


class Steps(NamedTuple):
    """A number that changes: from cycle `cycles[n]` on it is `values[n]`. Cycles rise."""

    cycles: np.ndarray
    values: np.ndarray


def steps(rises: np.ndarray, falls: np.ndarray) -> Steps:
    """Return how many of something there are that come in the cycles `rises` and go in the cycles `falls`."""
    moments = np.concatenate([rises, falls]).astype(np.int64)
    changes = np.concatenate([np.ones(len(rises), np.int64), -np.ones(len(falls), np.int64)])
    cycles, places = np.unique(moments, return_inverse=True)
    sums = np.zeros(len(cycles), np.int64)
    np.add.at(sums, places, changes)
    kept = sums != 0
    return Steps(cycles[kept], np.cumsum(sums)[kept])


class _Lines:
    """The lines of one buffer while the instructions go by in program order."""

    def __init__(self, count: int) -> None:
        self._since = np.full(count, _FREE, np.int64)
        self._read = np.full(count, _FREE, np.int64)
        self.rises: list[np.ndarray] = []
        self.falls: list[np.ndarray] = []

    def read(self, lines: np.ndarray, retire: int) -> None:
        """Account for an instruction that reads lines; what was there before the run does not count."""
        filled = lines[self._since[lines] != _FREE]
        self._read[filled] = np.maximum(self._read[filled], retire)

    def write(self, lines: np.ndarray, issue: int) -> None:
        """Account for an instruction that writes lines; what was there and was read ends, if need be with a reader."""
        starts = np.maximum(self._read[lines], issue)
        self.close(lines)
        fresh = self._since[lines] == _FREE
        self._since[lines[fresh]] = starts[fresh]

    def close(self, lines: np.ndarray) -> None:
        """End the lines that were read."""
        over = lines[self._read[lines] != _FREE]
        self.rises.append(self._since[over])
        self.falls.append(self._read[over])
        self._since[over] = self._read[over] = _FREE

    def finish(self) -> Steps:
        """Return how many lines were occupied when."""
        self.close(np.arange(len(self._since)))
        return steps(np.concatenate(self.rises), np.concatenate(self.falls))


def occupied_lines(play: Playback) -> dict[str, Steps]:
    """Return the occupied lines of each buffer that the run uses."""
    buffers: dict[str, _Lines] = {}
    lives = play.lives
    counts = _line_counts(play)
    for number, touched in enumerate(play.touched):
        for name, lines in touched.reads.items():
            buffers.setdefault(name, _Lines(counts[name])).read(lines, int(lives.retire[number]))
        for name, lines in touched.writes.items():
            buffers.setdefault(name, _Lines(counts[name])).write(lines, int(lives.issue[number]))
    return {name: lines.finish() for name, lines in buffers.items()}


def _line_counts(play: Playback) -> dict[str, int]:
    """Return one more than the last line that is used of each buffer."""
    counts: dict[str, int] = {}
    for touched in play.touched:
        for name, lines in (*touched.reads.items(), *touched.writes.items()):
            counts[name] = max(counts.get(name, 0), int(lines[-1]) + 1)
    return counts

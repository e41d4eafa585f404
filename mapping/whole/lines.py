"""Lines of buffers, given and taken back: the lines that have been free for longest are taken first."""

from __future__ import annotations

import numpy as np

_TAKEN = np.iinfo(np.int64).max


class Lines:
    """The lines of one buffer, with the time since which each is free."""

    def __init__(self, count: int) -> None:
        self._since = np.zeros(count, np.int64)
        self._found: dict[int, tuple[int, int] | None] = {}

    def find(self, lines: int) -> tuple[int, int] | None:
        """Return since when so many lines together are free, and the first of them; None if there are not as many."""
        if lines not in self._found:
            self._found[lines] = self._search(lines)
        return self._found[lines]

    def since(self, start: int, lines: int) -> int:
        """Return since when lines are free."""
        return int(self._since[start : start + lines].max())

    def take(self, start: int, lines: int) -> None:
        """Take lines that are free."""
        self._since[start : start + lines] = _TAKEN
        self._found.clear()

    def give(self, start: int, lines: int, now: int) -> None:
        """Take lines back."""
        self._since[start : start + lines] = now
        self._found.clear()

    def _search(self, lines: int) -> tuple[int, int] | None:
        """Find the window whose latest time is the earliest: maxima of windows of 1, 2, 4 ... lines, then of all."""
        if lines > len(self._since):
            return None
        latest, width = self._since, 1
        while 2 * width <= lines:
            latest, width = np.maximum(latest[:-width], latest[width:]), 2 * width
        rest = lines - width
        if rest:
            latest = np.maximum(latest[:-rest], latest[rest:])
        start = int(latest.argmin())
        since = int(latest[start])
        return None if since == _TAKEN else (since, start)

"""Lines of buffers, given and taken back: the free lines that have been free for longest come first."""

from __future__ import annotations


class Lines:
    """The free lines of one buffer, as intervals with the time since which they are free."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free: list[tuple[int, int, int]] = [(0, count, 0)]
        self._found: dict[int, tuple[int, int] | None] = {}

    def find(self, lines: int) -> tuple[int, int] | None:
        """Return since when so many lines together are free, and the first of them; None if there are not as many."""
        if lines not in self._found:
            places = (place for run in self._runs() for place in self._places(run, lines))
            self._found[lines] = min(((since, start) for start, since in places), default=None)
        return self._found[lines]

    def take(self, lines: int) -> int | None:
        """Take the lines that have been free for longest; return the first, or None if there are not as many."""
        found = self.find(lines)
        if found is None:
            return None
        self._cut(found[1], found[1] + lines)
        return found[1]

    def give(self, start: int, lines: int, now: int) -> None:
        """Take lines back."""
        self._free.append((start, start + lines, now))
        self._free.sort()
        self._found.clear()

    def _runs(self) -> list[list[tuple[int, int, int]]]:
        """Return the free intervals, those that touch each other together."""
        runs: list[list[tuple[int, int, int]]] = []
        for interval in self._free:
            if runs and runs[-1][-1][1] == interval[0]:
                runs[-1].append(interval)
            else:
                runs.append([interval])
        return runs

    def _places(self, run: list[tuple[int, int, int]], lines: int) -> list[tuple[int, int]]:
        """Return where lines can begin in a run of intervals: at the front of one; and since when all are free."""
        end = run[-1][1]
        places = []
        for start, _, _ in run:
            if start + lines <= end:
                since = max(s for low, high, s in run if low < start + lines and high > start)
                places.append((start, since))
        if not places and end - run[0][0] >= lines:
            places.append((run[0][0], max(s for _, _, s in run)))
        return places

    def _cut(self, start: int, end: int) -> None:
        kept = []
        for low, high, since in self._free:
            if low < start:
                kept.append((low, min(high, start), since))
            if high > end:
                kept.append((max(low, end), high, since))
        self._free = sorted(interval for interval in kept if interval[0] < interval[1])
        self._found.clear()

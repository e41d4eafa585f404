"""Which parcels stand in their buffers, where, and when they come and go.

A parcel is loaded before its first user and stays until its last one, or until room is needed: then the one that was
used longest ago goes. Times are coarse estimates; they decide how early a LOAD stands in the program, never whether the
program is right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hw.isa import Unit
from mapping.errors import MappingError
from mapping.whole.context import Context
from mapping.whole.lines import Lines
from mapping.whole.work import Parcel, Work

LATENCY = 12
"""About how many cycles pass between the last step of work and the first that can read what it wrote."""


@dataclass(frozen=True)
class Load:
    """A parcel comes to a line: its LOADs stand behind the first `place` items of the schedule."""

    parcel: Parcel
    line: int
    place: int


class Dealing:
    """When the sequencer deals out each item: in order, and where its unit's queue has room."""

    def __init__(self, queue_depth: int) -> None:
        self._depth = queue_depth
        self._starts: dict[Unit, list[int]] = defaultdict(list)
        self._times: list[int] = []

    def __len__(self) -> int:
        return len(self._times)

    def deal(self, unit: Unit, start: int) -> None:
        """Append an item, which its unit begins in a cycle."""
        starts = self._starts[unit]
        room = starts[-self._depth] if len(starts) >= self._depth else 0
        starts.append(start)
        self.stop(room)

    def stop(self, cycle: int) -> None:
        """Append an item that is not dealt out before a cycle."""
        self._times.append(max(cycle, self._times[-1]) if self._times else cycle)

    def first_at(self, cycle: int) -> int:
        """Return the number of the first item that is dealt out in a cycle or behind it."""
        return bisect_left(self._times, cycle)


class Residence:
    """The parcels in the buffers while a schedule is made; `loads` is what it comes to."""

    def __init__(self, c: Context, dealing: Dealing) -> None:
        self._c, self._dealing = c, dealing
        self.loads: list[Load] = []
        self.lines: dict[Parcel, int] = {}
        self._free_at = 0
        self._spaces: dict[str, Lines] = {}
        self._emptied: dict[str, dict[int, int]] = defaultdict(dict)
        self._arrives: dict[Parcel, int] = {}
        self._used: dict[Parcel, int] = {}
        self._last_item: dict[Parcel, int] = {}
        self._loaded: list[int] = []
        self._barrier = (0, 0)
        self._uses: dict[Parcel, int] = defaultdict(int)
        for work in c.works:
            for parcel in parcels_of(work):
                self._uses[parcel] += 1

    def space(self, name: str) -> Lines:
        """Return the lines of a buffer."""
        if name not in self._spaces:
            self._spaces[name] = Lines(self._c.size(name))
        return self._spaces[name]

    def arrival(self, parcels: Iterable[Parcel]) -> int:
        """Return about when the last of some parcels is there, if those that are missing are loaded now."""
        latest, loading = 0, self._free_at
        for parcel in parcels:
            there = self._arrives.get(parcel)
            if there is not None:
                latest = max(latest, there)
            else:
                found = self.space(parcel.space).find(parcel.lines)
                loading = max(loading, found[0] if found else 0) + parcel.beats
                latest = max(latest, loading + LATENCY)
        return latest

    def need(self, work: Work) -> None:
        """Load what a work needs and is not there."""
        wanted = parcels_of(work)
        for parcel in wanted:
            if parcel not in self.lines and not self._load(parcel, wanted):
                self._pack(parcel.space, [b for b in wanted if b.space == parcel.space])

    def use(self, work: Work, end: int, item: int) -> None:
        """Note that a work, item number `item`, uses its parcels until a cycle; those without another use go."""
        for parcel in parcels_of(work):
            self._used[parcel], self._last_item[parcel] = end, item
            self._uses[parcel] -= 1
            if not self._uses[parcel]:
                self._drop(parcel)

    def barrier(self, now: int) -> None:
        """Note that the next item waits for everything before it, about until a cycle.

        A LOAD stands before it only if it is over by then, so that it holds nothing up.
        """
        self._barrier = (len(self._dealing) + 1, now)

    def _load(self, parcel: Parcel, wanted: Sequence[Parcel]) -> bool:
        """Load a parcel, others but those wanted going if they must; tell whether there was room."""
        lines = self.space(parcel.space)
        found = lines.find(parcel.lines)
        while found is None:
            others = [b for b in self.lines if b.buffer is parcel.buffer and b not in wanted]
            if not others:
                return False
            self._drop(min(others, key=lambda b: self._used[b]))
            found = lines.find(parcel.lines)
        self._append(parcel, found[1], found[0])
        return True

    def _pack(self, space: str, wanted: Sequence[Parcel]) -> None:
        """Load all parcels that a work needs in a buffer anew, one behind the other: there is room, but in pieces."""
        total, have = sum(parcel.lines for parcel in wanted), self._c.size(space)
        if total > have:
            names = wanted[0].name if len(wanted) == 1 else f"{wanted[0].name} and what is needed with it"
            raise MappingError(f"{names}: {self._c.field(space)} must be at least {total}, not {have}")
        for parcel in wanted:
            if parcel in self.lines:
                self._drop(parcel)
        line = 0
        for parcel in wanted:
            self._append(parcel, line, self.space(space).since(line, parcel.lines))
            line += parcel.lines

    def _append(self, parcel: Parcel, line: int, since: int) -> None:
        """Append a load to lines that are free since a cycle."""
        lines, items = range(line, line + parcel.lines), len(self._dealing)
        self.space(parcel.space).take(line, parcel.lines)
        end = self._free_at = max(self._free_at, since) + parcel.beats
        emptied = self._emptied[parcel.space]
        places = [emptied.get(number, 0) for number in lines]
        behind = len(self._loaded) - max(1, self._c.accelerator.queue_depth // 2)
        if behind >= 0:
            places.append(self._dealing.first_at(self._loaded[behind]))
        if self.loads:
            places.append(self.loads[-1].place)
        if end > self._barrier[1]:
            places.append(self._barrier[0])
        self.loads.append(Load(parcel, line, min(items, max(places))))
        self._loaded.append(end)
        self.lines[parcel] = line
        self._arrives[parcel] = end + LATENCY
        self._used[parcel], self._last_item[parcel] = end, items - 1

    def _drop(self, parcel: Parcel) -> None:
        line = self.lines.pop(parcel)
        del self._arrives[parcel]
        self.space(parcel.space).give(line, parcel.lines, self._used[parcel])
        for number in range(line, line + parcel.lines):
            self._emptied[parcel.space][number] = self._last_item[parcel] + 1


def parcels_of(work: Work) -> list[Parcel]:
    """Return the parcels of a work, with those that must be there before them."""
    result: dict[Parcel, None] = {}
    for parcel in work.parcels:
        if parcel.after is not None:
            result[parcel.after] = None
        result[parcel] = None
    return list(result)

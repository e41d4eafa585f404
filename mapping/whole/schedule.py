"""The schedule: in which order the works stand in the program, and which lines everything gets.

Works are taken one by one: of those whose data will be there, the one that can start first, by a coarse
estimate of time; of those that could start as early, the one whose turn is first. Areas are given when their first
writer is taken, and back after their last reader. Parcels come and go as `Residence` says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hw.isa import Unit
from mapping.errors import MappingError
from mapping.whole.context import Context
from mapping.whole.residence import LATENCY, Dealing, Load, Residence, parcels_of
from mapping.whole.work import Area, Datum, Parcel, Work

_NEVER = 1 << 60


@dataclass(frozen=True)
class Placed:
    """Work with the lines of its areas and parcels, as they are while it runs."""

    work: Work
    areas: dict[Area, int]
    parcels: dict[Parcel, int]


class Schedule:
    """Puts the work of a context in order; `items` are works, `loads` the parcels that come before them."""

    def __init__(self, c: Context) -> None:
        self._c = c
        self.items: list[Placed] = []
        self._dealing = Dealing(c.accelerator.queue_depth)
        self._residence = Residence(c, self._dealing)
        self._unit_free = dict.fromkeys(Unit, 0)
        self._ready: dict[Datum, int] = {}
        self._data_ready: dict[Work, int] = {}
        self._finished: set[Work] = set()
        self._areas: dict[Area, int] = {}
        self._left_writers = {d: d.writers for w in c.works for d in w.writes}
        self._left_readers = {d: len(d.users) for w in c.works for d in (*w.reads, *w.writes)}
        self._run()

    @property
    def loads(self) -> list[Load]:
        """The loads, in their order."""
        return self._residence.loads

    # --- order ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        segment: list[Work] = []
        for work in self._c.works:
            if work.unit is Unit.SEQUENCER:
                self._segment(segment)
                segment = []
                self._barrier(work)
            else:
                segment.append(work)
        self._segment(segment)

    def _barrier(self, work: Work) -> None:
        now = max(self._unit_free.values())
        self._unit_free = dict.fromkeys(Unit, now)
        self._residence.barrier(now)
        self._dealing.stop(now)
        self.items.append(Placed(work, {}, {}))

    def _segment(self, works: Sequence[Work]) -> None:
        """Take all works of a segment."""
        waiting: dict[Work, int] = {}
        followers: dict[Datum, list[Work]] = defaultdict(list)
        behind: dict[Work, list[Work]] = defaultdict(list)
        order = {work: index for index, work in enumerate(sorted(works, key=lambda work: work.turn))}
        ready: list[Work] = []
        for work in works:
            data = [d for d in dict.fromkeys(work.reads) if self._left_writers[d]]
            before = [w for w in work.after if w not in self._finished]
            waiting[work] = len(data) + len(before)
            for datum in data:
                followers[datum].append(work)
            for other in before:
                behind[other].append(work)
            if not waiting[work]:
                self._become_ready(work, ready)
        while ready:
            work = self._choose(ready, order)
            ready.remove(work)
            self._take(work)
            freed = list(behind[work])
            for datum in work.writes:
                self._left_writers[datum] -= 1
                if not self._left_writers[datum]:
                    freed += followers[datum]
            for other in freed:
                waiting[other] -= 1
                if not waiting[other]:
                    self._become_ready(other, ready)

    def _become_ready(self, work: Work, ready: list[Work]) -> None:
        self._data_ready[work] = max((self._ready[datum] for datum in work.reads), default=0)
        ready.append(work)

    def _choose(self, ready: list[Work], order: dict[Work, int]) -> Work:
        """Return the work that can start first of those whose areas there is room for."""
        starts = [(self._start(work), order[work], work) for work in ready]
        first = min(starts)[-1]
        if self._room(first) is None:
            return first
        failed: list[Area] = []
        for *_, work in sorted(starts):
            area = self._room(work)
            if area is None:
                return work
            failed.append(area)
        area = failed[0]
        raise MappingError(
            f"{first.name}: {self._c.field(area.space)} must leave {area.lines} more lines free together, "
            f"not be filled with its {self._c.size(area.space)}: give it more lines, or the text fewer words"
        )

    def _start(self, work: Work) -> int:
        """Return about when a work whose data are there could start."""
        start = max(self._unit_free[work.unit], self._data_ready[work])
        if work.parcels:
            start = max(start, self._residence.arrival(work.parcels))
        for datum in work.writes:
            if datum.area not in self._areas:
                found = self._residence.space(datum.area.space).find(datum.area.lines)
                start = max(start, found[0] if found else _NEVER)
        return start

    def _room(self, work: Work) -> Area | None:
        """Give lines to the areas of a work that have none yet, or to none of them: return the one that has no room."""
        taken: list[Area] = []
        for area in dict.fromkeys(datum.area for datum in work.writes):
            if area in self._areas:
                continue
            lines = self._residence.space(area.space)
            found = lines.find(area.lines)
            if found is None:
                for other in taken:
                    self._residence.space(other.space).give(self._areas.pop(other), other.lines, 0)
                return area
            lines.take(found[1], area.lines)
            self._areas[area] = found[1]
            taken.append(area)
        return None

    def _take(self, work: Work) -> None:
        """Append a work, with the loads that it needs."""
        self._residence.need(work)
        start = self._start(work)
        end = start + work.cycles
        self._unit_free[work.unit] = end
        self._finished.add(work)
        areas = {d.area: self._areas[d.area] for d in (*work.reads, *work.writes)}
        self.items.append(Placed(work, areas, {b: self._residence.lines[b] for b in parcels_of(work)}))
        self._residence.use(work, end, len(self._dealing))
        self._dealing.deal(work.unit, start)
        for datum in work.writes:
            self._ready[datum] = max(self._ready.get(datum, 0), end + LATENCY)
        for datum in dict.fromkeys(work.reads):
            self._left_readers[datum] -= 1
        for datum in dict.fromkeys((*work.reads, *work.writes)):
            done = self._left_writers[datum] - (datum in work.writes) <= 0 and not self._left_readers[datum]
            if done and datum in self._left_readers:
                del self._left_readers[datum]
                self._release(datum.area, end)

    def _release(self, area: Area, now: int) -> None:
        area.live -= 1
        if not area.live:
            self._residence.space(area.space).give(self._areas[area], area.lines, now)

"""The schedule: in which order the pieces of work stand in the program, and which lines everything gets.

Pieces of work are taken one by one: of those whose data will be there, the one that can start first, by a coarse
estimate of time. Areas are given when their first writer is taken, and back after their last reader. Blocks are loaded
before their first user and stay until room is needed; then the one that was used longest ago goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hw.isa import Unit
from mapping.errors import MappingError
from mapping.whole.context import Context
from mapping.whole.lines import Lines
from mapping.whole.work import Area, Block, Datum, Work

_NEVER = 1 << 60

LATENCY = 12
"""About how many cycles pass between the last step of a piece of work and the first that can read what it wrote."""


@dataclass(frozen=True)
class Load:
    """A block comes to a line: not before the first `free` items of the schedule, and before item number `need`."""

    block: Block
    line: int
    free: int
    need: int


@dataclass(frozen=True)
class Placed:
    """A piece of work with the lines of its areas and blocks, as they are while it runs."""

    work: Work
    areas: dict[Area, int]
    blocks: dict[Block, int]


class Schedule:
    """Puts the work of a context in order; `items` are the pieces, `loads` the blocks that come before them."""

    def __init__(self, c: Context) -> None:
        self._c = c
        self.items: list[Placed] = []
        self.loads: list[Load] = []
        self._lines: dict[str, Lines] = {}
        self._freed: dict[str, dict[int, int]] = defaultdict(dict)
        self._unit_free = dict.fromkeys(Unit, 0)
        self._ready: dict[Datum, int] = {}
        self._finished: dict[Work, int] = {}
        self._areas: dict[Area, int] = {}
        self._resident: dict[Block, int] = {}
        self._used: dict[Block, int] = {}
        self._last_item: dict[Block, int] = {}
        self._uses: dict[Block, int] = defaultdict(int)
        for work in c.works:
            for block in _blocks(work):
                self._uses[block] += 1
        self._left_writers = {d: d.writers for w in c.works for d in w.writes}
        self._left_readers = {d: len(d.users) for w in c.works for d in (*w.reads, *w.writes)}
        self._run()

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
        self.items.append(Placed(work, {}, {}))

    def _segment(self, works: Sequence[Work]) -> None:
        """Take all works of a segment."""
        waiting: dict[Work, int] = {}
        followers: dict[Datum, list[Work]] = defaultdict(list)
        behind: dict[Work, list[Work]] = defaultdict(list)
        order = {work: index for index, work in enumerate(works)}
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
                ready.append(work)
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
                    ready.append(other)

    def _choose(self, ready: list[Work], order: dict[Work, int]) -> Work:
        """Return the work that can start first of those whose areas there is room for."""
        by_start = sorted(ready, key=lambda work: (self._start(work), order[work]))
        failed: list[Area] = []
        for work in by_start:
            area = self._room(work)
            if area is None:
                return work
            failed.append(area)
        area = failed[0]
        raise MappingError(
            f"{by_start[0].name}: {area.space} buffer must have {area.lines} more free lines together, "
            f"not be full with its {self._c.size(area.space)}"
        )

    def _start(self, work: Work) -> int:
        times = [self._unit_free[work.unit], *(self._ready[d] for d in work.reads)]
        missing = [b for b in work.blocks if b not in self._resident]
        if missing:
            times.append(self._unit_free[Unit.LOAD] + sum(b.beats for b in missing))
        for datum in work.writes:
            if datum.area not in self._areas:
                found = self._space(datum.area.space).find(datum.area.lines)
                times.append(found[0] if found else _NEVER)
        return max(times)

    def _room(self, work: Work) -> Area | None:
        """Give lines to the areas of a work that have none yet, or to none of them: return the one that has no room."""
        taken: list[Area] = []
        for area in dict.fromkeys(datum.area for datum in work.writes):
            if area in self._areas:
                continue
            found = self._space(area.space).take(area.lines)
            if found is None:
                for other in taken:
                    self._space(other.space).give(self._areas.pop(other), other.lines, 0)
                return area
            self._areas[area] = found
            taken.append(area)
        return None

    def _take(self, work: Work) -> None:
        """Append a work, with the loads that it needs."""
        for block in work.blocks:
            self._need(block, _blocks(work))
        start = self._start(work)
        end = start + work.cycles
        self._unit_free[work.unit] = end
        self._finished[work] = end
        index = len(self.items)
        areas = {d.area: self._areas[d.area] for d in (*work.reads, *work.writes)}
        self.items.append(Placed(work, areas, {b: self._resident[b] for b in _blocks(work)}))
        for datum in work.writes:
            self._ready[datum] = max(self._ready.get(datum, 0), end + LATENCY)
        for block in _blocks(work):
            self._used[block], self._last_item[block] = end, index
            self._uses[block] -= 1
            if not self._uses[block]:
                self._drop(block)
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
            self._space(area.space).give(self._areas[area], area.lines, now)

    # --- blocks --------------------------------------------------------------------------------------------------

    def _need(self, block: Block, pinned: Sequence[Block]) -> None:
        """Load a block unless it is there."""
        if block in self._resident:
            return
        if block.after is not None:
            self._need(block.after, pinned)
        space = block.buffer.name.lower()
        lines, have = self._space(space), self._c.size(space)
        if block.lines > have:
            raise MappingError(f"{block.name}: {space} buffer must have at least {block.lines} lines, not {have}")
        found = lines.take(block.lines)
        while found is None:
            others = [b for b in self._resident if b.buffer is block.buffer and b not in pinned]
            if not others:
                raise MappingError(
                    f"{block.name}: {space} buffer must have more than {have} lines for what is needed at once"
                )
            self._drop(min(others, key=lambda b: self._used[b]))
            found = lines.take(block.lines)
        line = found
        free = max((self._freed[space].get(n, 0) for n in range(line, line + block.lines)), default=0)
        self._resident[block] = line
        self.loads.append(Load(block, line, free, len(self.items)))
        self._unit_free[Unit.LOAD] += block.beats
        self._used[block] = self._unit_free[Unit.LOAD]
        self._last_item[block] = len(self.items)

    def _drop(self, block: Block) -> None:
        line = self._resident.pop(block)
        space = block.buffer.name.lower()
        self._space(space).give(line, block.lines, self._used[block])
        for number in range(line, line + block.lines):
            self._freed[space][number] = self._last_item[block] + 1

    def _space(self, name: str) -> Lines:
        if name not in self._lines:
            self._lines[name] = Lines(self._c.size(name))
        return self._lines[name]


def _blocks(work: Work) -> list[Block]:
    """Return the blocks of a work, with those that must be there before them."""
    result: dict[Block, None] = {}
    for block in work.blocks:
        if block.after is not None:
            result[block.after] = None
        result[block] = None
    return list(result)

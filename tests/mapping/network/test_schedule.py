"""The schedule: order of work, lines of data that are alive together, parcels that are there when they are used.

What is compared are names and places: work holds data that hold it, and cannot be shown.
"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from hw.isa import Unit
from mapping.whole.context import Context
from mapping.whole.embedding import TOKENS
from mapping.whole.image import Image
from mapping.whole.lowering import lower
from mapping.whole.schedule import Schedule
from mapping.whole.work import Area, Datum, Work
from tests.mapping.network.points import Point, mixed, network, resized

POINTS = {
    "roomy": Point(network(1), resized(weight_lines=1024, threshold_lines=256), 9, 1),
    "tight": Point(
        network(8, width=64, heads=4, members=2, shared=True),
        resized(weight_lines=8, threshold_lines=8, scale_lines=24, level_lines=12, table_lines=24),
        8,
        8,
        "mixed",
    ),
    "three members": Point(network(3, vote="hard", members=3, pooling="first"), resized(score_slots=1), 7, 3),
    "two layers": Point(network(2, layers=2, members=1), resized(activation_lines=40, key_lines=24), 11, 2),
    "one vote": Point(network(4, vote="mean", classes=1, shared=True), resized(rows=2, drain_rows=1), 5, 4),
    "planes": Point(mixed(20, 2, 2), resized(weight_lines=16), 9, 20),
    "full": Point(network(1, shared=True), resized(fixed_lines=76, key_lines=8, activation_lines=9), 9, 1),
    "one token": Point(network(9), resized(), 1, 9),
}


class Scheduled:
    """A lowered network and its schedule."""

    def __init__(self, point: Point) -> None:
        image = Image()
        image.place(bytes(8192), 1)
        self.context = Context(point.network, point.accelerator, tuple(point.sentence[1]), 0, 4096, image)
        lower(self.context)
        self.schedule = Schedule(self.context)
        self.items = self.schedule.items
        self.place: dict[Work, int] = {placed.work: index for index, placed in enumerate(self.items)}

    def size(self, space: str) -> int:
        """Return the lines of a buffer."""
        return self.context.size(space)


@pytest.fixture(scope="module", params=POINTS)
def made(request: pytest.FixtureRequest) -> Scheduled:
    return Scheduled(POINTS[request.param])


def test_every_piece_of_work_once(made: Scheduled) -> None:
    places = [made.place[work] for work in made.context.works]
    assert sorted(places) == list(range(len(made.items)))


def test_work_stands_behind_what_it_needs(made: Scheduled) -> None:
    written: dict[Datum, int] = {}
    for work in made.context.works:
        for datum in work.writes:
            written[datum] = max(written.get(datum, -1), made.place[work])
    wrong = []
    for work in made.context.works:
        here = made.place[work]
        wrong += [(work.name, datum.name) for datum in work.reads if written.get(datum, here) >= here]
        wrong += [(work.name, other.name) for other in work.after if other is not work and made.place[other] >= here]
    assert wrong == []


def test_exits_part_the_members(made: Scheduled) -> None:
    exits = [index for index, placed in enumerate(made.items) if placed.work.unit is Unit.SEQUENCER]
    vote, members = made.context.network.vote, len(made.context.network.members)
    assert len(exits) == (0 if vote == "mean" else members - 1)
    parts, part = {}, 0
    for work in made.context.works:
        parts[work] = part
        part += work.unit is Unit.SEQUENCER
    found = [(index, parts[placed.work]) for index, placed in enumerate(made.items) if index not in exits]
    assert [p for p in found if sum(p[0] > e for e in exits) != p[1]] == []


def test_a_value_that_replaces_another_is_written_when_that_was_read(made: Scheduled) -> None:
    pairs = [(work, datum) for work in made.context.works for datum in work.writes if datum.replaces is not None]
    wrong = []
    for work, datum in pairs:
        old = datum.replaces
        others = [made.place[user] for user in old.users if user is not work]
        if datum.area is not old.area or datum.offset != old.offset or max(others, default=-1) >= made.place[work]:
            wrong.append((work.name, datum.name))
    assert wrong == []
    assert len(pairs) > 0


def test_work_that_replaces_a_value_comes_after_all_that_read_it() -> None:
    area = Area("fixed", 4, "x")
    old = Datum("old", area, 2)
    new = Datum("new", area, 2, replaces=old)

    def work(name: str, reads: list[Datum], writes: list[Datum]) -> Work:
        return Work(name, Unit.VECTOR, 1, lambda e: None, reads, writes).link()

    work("maker", [], [old])
    work("one", [old, old], [])
    work("two", [old], [])
    last = work("last", [old], [new])
    assert [w.name for w in last.after] == ["one", "two"]
    assert ([w.name for w in old.users], old.writers, new.writers, area.live) == (["one", "two", "last"], 1, 1, 2)


def test_an_area_is_given_back_when_all_its_data_were_read() -> None:
    """The buffer has room for one area; what reads the second datum of the first area starts late."""
    shared, late, other = Area("fixed", 4, "shared"), Area("sums", 1, "late"), Area("fixed", 3, "other")
    data = [Datum(f"shared[{n}]", shared, 2 * n) for n in range(2)]
    slow, new = Datum("slow", late), Datum("new", other)
    works: list[Work] = []

    def work(name: str, unit: Unit, cycles: int, reads: list[Datum], writes: list[Datum]) -> None:
        works.append(Work(name, unit, cycles, lambda e: None, reads, writes).link())

    work("first", Unit.VECTOR, 1, [], [data[0]])
    work("second", Unit.VECTOR, 1, [], [data[1]])
    work("slow", Unit.ARRAY, 500, [], [slow])
    work("reader", Unit.ROW, 1, [data[0]], [])
    work("late reader", Unit.ROW, 1, [data[1], slow], [])
    work("new", Unit.VECTOR, 1, [], [new])
    work("last", Unit.ROW, 1, [new], [])
    context: Any = SimpleNamespace(works=works, size=lambda space: 4, accelerator=SimpleNamespace(queue_depth=4))
    order = [placed.work.name for placed in Schedule(context).items]
    assert order[-3:] == ["late reader", "new", "last"]
    assert sorted(order[:4]) == ["first", "reader", "second", "slow"]


def test_data_that_are_alive_together_lie_apart(made: Scheduled) -> None:
    lives: dict[Area, tuple[int, int, int]] = {}
    for index, placed in enumerate(made.items):
        for area, line in placed.areas.items():
            first, _, before = lives.get(area, (index, index, line))
            assert (area.name, line) == (area.name, before)
            assert 0 <= line <= made.size(area.space) - area.lines
            lives[area] = (first, index, line)
    areas, wrong = list(lives.items()), []
    for number, (one, (first, last, line)) in enumerate(areas):
        for other, (begins, ends, start) in areas[number + 1 :]:
            together = one.space == other.space and first <= ends and begins <= last
            if together and start < line + one.lines and line < start + other.lines:
                wrong.append((one.name, other.name))
    assert wrong == []
    assert len(areas) > 0


def used(work: Work) -> set[str]:
    """Return the names of the parcels of work, with those that come before them."""
    return {parcel.name for b in work.parcels for parcel in (b, b.after) if parcel is not None}


def test_parcels_are_there_when_they_are_used(made: Scheduled) -> None:
    held: dict[tuple[str, int], str] = {}
    loads = iter([*made.schedule.loads, None])
    load = next(loads)
    for index, placed in enumerate(made.items):
        while load is not None and load.place <= index:
            space, lines = load.parcel.space, load.parcel.lines
            assert 0 <= load.line <= made.size(space) - lines
            held |= {(space, n): load.parcel.name for n in range(load.line, load.line + lines)}
            load = next(loads)
        assert {parcel.name for parcel in placed.parcels} == used(placed.work)
        for parcel, line in placed.parcels.items():
            there = {held.get((parcel.space, n)) for n in range(line, line + parcel.lines)}
            assert (index, there) == (index, {parcel.name})
    assert load is None


def test_loads_stand_in_the_order_in_which_their_users_come(made: Scheduled) -> None:
    places = [load.place for load in made.schedule.loads]
    assert places == sorted(places)
    first = {}
    for index, placed in enumerate(made.items):
        for parcel in placed.parcels:
            first.setdefault(parcel.name, index)
    seen = [first[name] for name in dict.fromkeys(load.parcel.name for load in made.schedule.loads)]
    assert seen == sorted(seen)


def test_ids_are_loaded_before_words(made: Scheduled) -> None:
    order = [load.parcel.name for load in made.schedule.loads]
    words = [index for index, load in enumerate(made.schedule.loads) if load.parcel.after is not None]
    assert words and order.index(TOKENS) < words[0]


def test_tight_buffers_bring_parcels_again_and_roomy_ones_do_not() -> None:
    most = {}
    for name in ("roomy", "tight"):
        loads = Scheduled(POINTS[name]).schedule.loads
        most[name] = max(Counter(load.parcel.name for load in loads).values())
    assert most["roomy"] == 1 < most["tight"]

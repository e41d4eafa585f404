"""Parcels in buffers: how early their loads stand, what a barrier holds back, and room that is there in pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from hw.isa import Buffer, Unit
from mapping.errors import MappingError
from mapping.whole.residence import LATENCY, Dealing, Load, Residence
from mapping.whole.work import Parcel, Transfer, Work

BEATS = 100


def parcel(name: str, lines: int, after: Parcel | None = None) -> Parcel:
    return Parcel(name, Buffer.WEIGHT, lines, (Transfer(0, 1, BEATS, 1, 8),), after=after)


def work(*parcels: Parcel) -> Work:
    return Work("work", Unit.ARRAY, 10, lambda e: None, parcels=list(parcels))


@dataclass
class Scene:
    """Works that are taken one after the other, each `cycles` behind the one before."""

    works: list[Work]
    lines: int = 100
    queue_depth: int = 4
    cycles: int = 10
    now: int = 0
    loads: list[Load] = field(default_factory=list)

    def __post_init__(self) -> None:
        accelerator = SimpleNamespace(queue_depth=self.queue_depth)
        c: Any = SimpleNamespace(
            works=self.works, accelerator=accelerator, size=lambda space: self.lines, field=lambda space: "b.weight"
        )
        self.dealing = Dealing(self.queue_depth)
        self.residence = Residence(c, self.dealing)

    def take(self, count: int) -> Scene:
        for _ in range(count):
            item = len(self.dealing)
            self.residence.need(self.works[item])
            self.now += self.cycles
            self.residence.use(self.works[item], self.now, item)
            self.dealing.deal(Unit.ARRAY, self.now)
        return self

    @property
    def placed(self) -> list[tuple[str, int, int]]:
        return [(load.parcel.name, load.line, load.place) for load in self.residence.loads]


def test_dealing_waits_for_room_in_the_queue_of_the_unit() -> None:
    dealing = Dealing(2)
    for start in (10, 20, 30, 40):
        dealing.deal(Unit.ARRAY, start)
    # The third is dealt out when the first is begun, the fourth when the second is.
    assert [dealing.first_at(cycle) for cycle in (0, 1, 10, 11, 20, 21)] == [0, 2, 2, 3, 3, 4]
    dealing.deal(Unit.ROW, 5)
    assert dealing.first_at(20) == 3, "in order, so not before the one in front of it"
    dealing.stop(100)
    assert (dealing.first_at(21), len(dealing)) == (5, 6)


def test_a_load_stands_as_early_as_the_queue_has_room() -> None:
    works = [work(), work(), work(), work(parcel("one", 10)), work(parcel("two", 10)), work(parcel("three", 10))]
    # With a queue of 8 there is room from the start, with one of 2 when the load before is over: too late for any item.
    assert [place for *_, place in Scene(works, queue_depth=8).take(6).placed] == [0, 0, 0]
    assert [place for *_, place in Scene(works, queue_depth=2).take(6).placed] == [0, 4, 5]


def test_a_load_stands_behind_the_last_user_of_its_lines() -> None:
    first, second = parcel("first", 60), parcel("second", 60)
    works = [work(first), work(first), work(), work(), work(second)]
    assert Scene(works).take(5).placed == [("first", 0, 0), ("second", 0, 2)]


def test_of_those_that_are_needed_again_the_one_used_longest_ago_goes() -> None:
    one, two, three = (parcel(name, 40) for name in ("one", "two", "three"))
    works = [work(one), work(two), work(one), work(three), work(one), work(two)]
    assert [name for name, *_ in Scene(works).take(6).placed] == ["one", "two", "three", "two"]


def test_arrival_counts_the_beats_of_what_is_missing() -> None:
    there, missing = parcel("there", 10), parcel("missing", 10)
    scene = Scene([work(there), work(there), work(there, missing)]).take(1)
    assert scene.residence.arrival([]) == 0
    assert scene.residence.arrival([there]) == BEATS + LATENCY
    assert scene.residence.arrival([there, missing]) == 2 * BEATS + LATENCY


@pytest.mark.parametrize(("now", "place"), [(2 * BEATS, 0), (2 * BEATS - 1, 2)])
def test_a_load_stands_before_a_barrier_only_if_it_is_over_by_then(now: int, place: int) -> None:
    scene = Scene([work(parcel("early", 10)), work(), work(parcel("late", 10))], queue_depth=8).take(1)
    scene.residence.barrier(now)
    scene.dealing.stop(now)
    scene.take(1)
    assert scene.placed[1:] == [("late", 10, place)]


def test_what_must_be_there_before_is_loaded_before() -> None:
    ids = parcel("ids", 10)
    scene = Scene([work(parcel("words", 10, after=ids))]).take(1)
    assert [name for name, *_ in scene.placed] == ["ids", "words"]


def test_room_that_is_there_in_pieces_is_put_together() -> None:
    left, middle, right, wide = parcel("left", 30), parcel("middle", 40), parcel("right", 30), parcel("wide", 60)
    works = [work(left), work(middle), work(right), work(middle), work(left, right), work(middle, wide)]
    scene = Scene(works).take(6)
    # Beside "middle", in lines 30 to 69, there are 30 lines on each side: it is loaded again, at one end.
    assert [(name, line) for name, line, _ in scene.placed][3:] == [("middle", 0), ("wide", 40)]
    with pytest.raises(MappingError, match=r"^wide: b\.weight must be at least 60, not 50$"):
        Scene([work(wide)], lines=50).take(1)


def test_what_is_needed_at_once_must_fit() -> None:
    text = r"^one and what is needed with it: b\.weight must be at least 110, not 100$"
    with pytest.raises(MappingError, match=text):
        Scene([work(parcel("one", 50), parcel("two", 60))]).take(1)

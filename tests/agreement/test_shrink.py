"""Shrinking: what comes out fails, is legal, and is as small as its steps go, within the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import count
from typing import Any

import pytest

from hw.arch import FIELDS, Accelerator
from mapping.errors import MappingError
from model.synthetic_network import random_sketch
from tests.agreement.network_point import COUNTS, NetworkPoint, read_point
from tests.agreement.networks import case_of
from tests.agreement.reductions import IDEAL
from tests.agreement.shrink import Budget, Fails, ShrinkError, shrink
from tests.agreement.shrinking import POINT, has_softmax, steps

Refused = Callable[..., str]
AMPLE = Budget(tries=5000)
SMALLEST = {name: field.low for name, field in FIELDS.items() if name != "clock_mhz"}

PREDICATES: dict[str, Fails] = {
    "always": lambda p: True,
    "layers and heads": lambda p: p.sketch.layers >= 2 and p.sketch.heads == 3,
    "an area": lambda p: p.accelerator.rows * p.accelerator.columns > 4,
    "a width": lambda p: p.sketch.width >= 13,
    "an even inner size": lambda p: p.sketch.inner % 2 == 0,
    "a word of the sentence": lambda p: 40 in p.ids and len(p.ids) >= 2,
    "two types": lambda p: len(set(p.types)) == 2,
    "a stall": lambda p: p.memory.stall_rate > 17 and p.memory.seed == 9,
    "members times queue": lambda p: p.sketch.members * p.accelerator.queue_depth >= 4,
    "a buffer beside an array": lambda p: p.accelerator.key_lines * p.accelerator.rows >= 100,
    "two rounds": lambda p: p.sketch.layers >= 2 or p.accelerator.rows == 1,
    "a soft vote of three": lambda p: p.sketch.vote == "soft" and p.sketch.classes == 3,
}


class Recorded:
    """A predicate that keeps what it was asked."""

    def __init__(self, fails: Fails) -> None:
        self.fails = fails
        self.asked: list[NetworkPoint] = []

    def __call__(self, point: NetworkPoint) -> bool:
        self.asked.append(point)
        return self.fails(point)


def starts() -> Iterator[NetworkPoint]:
    """Yield points of many kinds."""
    yield POINT
    for seed in range(12):
        sketch = random_sketch(seed, limit=9, vocabulary=50, types=3)
        yield replace(POINT, seed=seed, sketch=sketch)


@pytest.mark.parametrize("name", PREDICATES)
def test_what_comes_out_fails_and_none_of_its_steps_does(name: str) -> None:
    fails = PREDICATES[name]
    for start in filter(fails, starts()):
        shrunk = shrink(start, fails, AMPLE)
        assert shrunk.complete and fails(shrunk.point)
        assert [label for label, smaller in steps(shrunk.point) if fails(smaller)] == []
        assert read_point(shrunk.point.to_json()) == shrunk.point
        assert shrink(start, fails, AMPLE).point == shrunk.point


def test_layers_and_heads() -> None:
    shrunk = shrink(POINT, PREDICATES["layers and heads"], AMPLE)
    lowest: dict[str, Any] = {name: low for name, (low, _) in COUNTS.items()}
    expected = lowest | {"layers": 2, "heads": 3, "width": 3, "classes": 2}
    expected |= {"bits": 1, "attention_bits": 1, "attention": "head", "feed_forward": "plain", "ternary": False}
    expected |= {"shared": True, "vote": "hard", "pooling": "first", "pooler": False}
    assert asdict(shrunk.point.sketch) == expected
    assert (shrunk.point.ids, shrunk.point.types, shrunk.point.memory) == ((0,), (0,), IDEAL)
    assert shrunk.point.accelerator == Accelerator(name="whole", counters=False, **SMALLEST)


def test_an_area() -> None:
    accelerator = shrink(POINT, PREDICATES["an area"], AMPLE).point.accelerator
    assert accelerator == Accelerator(name="whole", counters=False, **SMALLEST | {"columns": 8})


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [("a width", "width", 13), ("an even inner size", "inner", 2), ("a soft vote of three", "classes", 3)],
)
def test_a_field_of_the_sketch(name: str, field: str, value: int) -> None:
    assert getattr(shrink(POINT, PREDICATES[name], AMPLE).point.sketch, field) == value


def test_a_sentence() -> None:
    assert shrink(POINT, PREDICATES["a word of the sentence"], AMPLE).point.ids in ((0, 40), (40, 0))
    assert shrink(POINT, PREDICATES["two types"], AMPLE).point.types == (0, 1)


def test_a_memory() -> None:
    memory = shrink(POINT, PREDICATES["a stall"], AMPLE).point.memory
    assert memory == replace(IDEAL, stall_rate=18, seed=9)


def test_two_rounds() -> None:
    """Fewer layers fail only on an accelerator that comes later."""
    shrunk = shrink(POINT, PREDICATES["two rounds"], AMPLE)
    assert (shrunk.point.sketch.layers, shrunk.point.accelerator.rows) == (0, 1)


def test_the_network_is_small_before_another_accelerator_is_built() -> None:
    fails = Recorded(lambda p: p.sketch.members >= 2 or p.sketch.types == 1)
    shrink(POINT, fails, AMPLE)
    members = [point.sketch.members for point in fails.asked if point.accelerator != POINT.accelerator]
    assert set(members) == {1}


def test_steps_are_legal_and_smaller() -> None:
    for start in starts():
        for label, smaller in steps(start):
            assert smaller != start and read_point(smaller.to_json()) == smaller, label


def test_every_field_is_reduced() -> None:
    changed = {label.split()[0] for start in starts() for label, _ in steps(start)}
    fields = {"sketch": asdict(POINT.sketch), "memory": asdict(IDEAL), "accelerator": {**SMALLEST, "counters": False}}
    assert changed >= {f"{part}.{name}" for part, names in fields.items() for name in names}
    assert changed >= {"tokens", "ids", "types"}


def test_no_step_leads_back() -> None:
    for label, smaller in steps(POINT):
        assert POINT not in [point for _, point in steps(smaller)], label


class TestBudget:
    @pytest.mark.parametrize("tries", [1, 2, 3, 7, 20])
    def test_tries(self, tries: int) -> None:
        fails = Recorded(PREDICATES["layers and heads"])
        shrunk = shrink(POINT, fails, Budget(tries=tries))
        assert (len(fails.asked), shrunk.tries, shrunk.complete) == (tries, tries, False)
        assert shrunk.point in fails.asked and PREDICATES["layers and heads"](shrunk.point)

    def test_no_case_is_tried_twice(self) -> None:
        for predicate in PREDICATES.values():
            fails = Recorded(predicate)
            shrink(POINT, fails, AMPLE)
            assert len(set(fails.asked)) == len(fails.asked) < 200

    def test_seconds(self) -> None:
        ticks = count(0, 10)
        shrunk = shrink(POINT, lambda p: True, Budget(seconds=55), clock=lambda: float(next(ticks)))
        assert (shrunk.tries, shrunk.complete) == (5, False)

    def test_ctrl_c_keeps_what_was_found(self) -> None:
        def interrupted(point: NetworkPoint) -> bool:
            if len(fails.asked) == 9:
                raise KeyboardInterrupt
            return True

        fails = Recorded(interrupted)
        said: list[str] = []
        shrunk = shrink(POINT, fails, AMPLE, said.append)
        assert (shrunk.point, shrunk.complete, said[-1]) == (fails.asked[7], False, "interrupted")

    def test_progress(self) -> None:
        said: list[str] = []
        shrink(POINT, lambda p: p.sketch.layers >= 2, Budget(tries=4, seconds=60), said.append)
        assert said == [
            "[1/4, 0/60 s] the case itself: still fails",
            "[2/4, 0/60 s] tokens 5 -> 1: still fails",
            "[3/4, 0/60 s] sketch.members 2 -> 1: still fails",
            "[4/4, 0/60 s] sketch.layers 3 -> 0: passes or is refused",
        ]

    @pytest.mark.parametrize("tries", [0, -1, True, 1.5])
    def test_no_tries(self, tries: Any, refused: Refused) -> None:
        message = refused(ShrinkError, lambda: Budget(tries=tries))
        assert message == f"tries must be an integer of 1 or more, not {tries!r}: the first is the case itself"

    @pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
    def test_no_time(self, seconds: float, refused: Refused) -> None:
        message = refused(ShrinkError, lambda: Budget(seconds=seconds))
        assert message == f"seconds must be more than 0, not {seconds!r}: give it a minute or more"

    def test_a_case_that_passes(self, refused: Refused) -> None:
        message = refused(ShrinkError, shrink, POINT, lambda p: False, AMPLE)
        assert message == "case must be one that fails, not one that passes: run it with --case to see the comparison"


def test_a_fault_in_one_instruction_on_mapped_programs() -> None:
    def fails(point: NetworkPoint) -> bool:
        try:
            return has_softmax(point)
        except MappingError:
            return False

    shrunk = shrink(POINT, fails, AMPLE)
    case, a = case_of(shrunk.point), shrunk.point.accelerator
    assert shrunk.complete and has_softmax(shrunk.point)
    assert [label for label, smaller in steps(shrunk.point) if fails(smaller)] == []
    assert (shrunk.point.sketch.layers, shrunk.point.sketch.width, shrunk.point.ids) == (1, 1, (0,))
    assert (a.rows, a.columns, a.word_bits, a.vector_lanes, a.row_lanes, a.queue_depth) == (1, 1, 1, 1, 1, 1)
    assert len(case.program.instructions) == 50 < len(case_of(POINT).program.instructions) // 10

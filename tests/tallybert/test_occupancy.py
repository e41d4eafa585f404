"""How many lines are occupied when, held against each line alone and against hand-made programs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tallybert.disassembly import Touched
from tallybert.occupancy import Steps, occupied_lines, steps
from tallybert.playback import Playback
from tests.tallybert.recorded import RESTLESS, chain, layer


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def pairs(found: Steps) -> list[tuple[int, int]]:
    return list(zip(found.cycles.tolist(), found.values.tolist(), strict=True))


class TestSteps:
    def test_they_rise_and_fall(self) -> None:
        assert pairs(steps(numbers(3, 5), numbers(7, 9))) == [(3, 1), (5, 2), (7, 1), (9, 0)]

    def test_what_cancels_is_no_step(self) -> None:
        assert pairs(steps(numbers(3, 5), numbers(5, 9))) == [(3, 1), (9, 0)]

    def test_nothing(self) -> None:
        assert pairs(steps(numbers(), numbers())) == []

    def test_several_at_once(self) -> None:
        assert pairs(steps(numbers(4, 4), numbers(6))) == [(4, 2), (6, 1)]


def touching(*touched: tuple[list[int], list[int]]) -> Playback:
    """Return a run whose first instructions read and write these lines of the key buffer, and the others none."""
    play = layer()
    made = [
        Touched({"key": np.array(reads)} if reads else {}, {"key": np.array(writes)} if writes else {})
        for reads, writes in touched
    ]
    none = Touched({}, {})
    return replace(play, touched=(*made, *[none] * (len(play.instructions) - len(made))))


def test_a_line_is_occupied_from_issue_to_the_last_reader() -> None:
    lives = layer().lives
    found = occupied_lines(touching(([], [2, 3]), ([2], []), ([2], [])))
    assert pairs(found["key"]) == [(lives.issue[0], 1), (lives.retire[2], 0)]


def test_a_line_that_is_added_to_is_one_line() -> None:
    lives = layer().lives
    found = occupied_lines(touching(([], [2]), ([], [2]), ([2], [])))
    assert pairs(found["key"]) == [(lives.issue[0], 1), (lives.retire[2], 0)]


def test_a_line_that_is_read_and_written_at_once_counts_once() -> None:
    lives = layer().lives
    found = occupied_lines(touching(([], [2]), ([2], [2]), ([2], [])))
    assert pairs(found["key"]) == [(lives.issue[0], 1), (lives.retire[2], 0)]


def test_a_line_that_nobody_reads_is_not_counted() -> None:
    assert pairs(occupied_lines(touching(([], [2])))["key"]) == []


def test_a_line_that_is_read_before_it_is_written_is_not_counted_then() -> None:
    lives = layer().lives
    assert pairs(occupied_lines(touching(([2], [])))["key"]) == []
    found = occupied_lines(touching(([2], []), ([], [2]), ([2], [])))
    assert pairs(found["key"]) == [(lives.issue[1], 1), (lives.retire[2], 0)]


@pytest.mark.parametrize("play", [layer(), layer(RESTLESS), chain()], ids=["layer", "restless", "chain"])
def test_what_is_counted_fits(play: Playback) -> None:
    from mapping.footprints.base import Sizes

    have = Sizes(play.accelerator).lines
    found = occupied_lines(play)
    assert {"activation", "weight", "output"} <= set(found)
    for name, lines in found.items():
        assert (lines.values >= 0).all() and lines.values.max(initial=0) <= have[name]
        assert not len(lines.values) or lines.values[-1] == 0
        assert (np.diff(lines.cycles) > 0).all()

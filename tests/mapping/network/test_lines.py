"""Lines of a buffer against a slow model of them, and the memory of a mapped network."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

import mapping.whole.image
from hw.arch import Accelerator
from mapping.errors import MappingError
from mapping.whole.image import Image
from mapping.whole.lines import Lines
from tests.sim.programs import HALT


class SlowLines:
    """The time since which each line is free, None where it is taken."""

    def __init__(self, count: int) -> None:
        self.since: list[int | None] = [0] * count

    def find(self, lines: int) -> tuple[int, int] | None:
        """Return the earliest time since which some window is free, and the first such window."""
        found = []
        for start in range(len(self.since) - lines + 1):
            window = self.since[start : start + lines]
            if None not in window:
                found.append((max(window), start))
        return min(found, default=None)

    def give(self, start: int, lines: int, now: int | None) -> None:
        """Set the time of some lines."""
        self.since[start : start + lines] = [now] * lines


@pytest.mark.parametrize("seed", range(20))
def test_random_lines(seed: int) -> None:
    source = random.Random(seed)
    count = source.choice([1, 2, 7, 16, 33])
    lines, slow = Lines(count), SlowLines(count)
    held: list[tuple[int, int]] = []
    for step in range(150):
        size = source.randint(1, min(count + 1, source.choice([2, 5, 40])))
        assert lines.find(size) == slow.find(size), (seed, step)
        if held and source.random() < 0.45:
            start, taken = held.pop(source.randrange(len(held)))
            now = source.randrange(step + 1)
            lines.give(start, taken, now)
            slow.give(start, taken, now)
        else:
            found = lines.find(size)
            if found is not None:
                assert lines.since(found[1], size) == found[0], (seed, step)
                lines.take(found[1], size)
                slow.give(found[1], size, None)
                held.append((found[1], size))


def test_the_lines_that_have_been_free_for_longest() -> None:
    lines = Lines(6)
    for start in (0, 2, 4):
        assert lines.find(2) == (0, start)
        lines.take(start, 2)
    assert lines.find(1) is None
    lines.give(2, 2, 5)
    lines.give(0, 2, 9)
    lines.give(4, 2, 7)
    assert (lines.find(2), lines.find(3), lines.find(4), lines.find(6)) == ((5, 2), (7, 2), (7, 2), (9, 0))
    assert lines.find(7) is None
    lines.take(2, 2)
    assert (lines.find(2), lines.find(3)) == ((7, 4), None)


class TestImage:
    def test_places_follow_each_other_at_their_alignment(self) -> None:
        image = Image()
        assert image.place(b"abc", 4) == 0
        assert image.place(np.array([1, 2], "<u2"), 4) == 4
        region = image.region("logits", 5, "write")
        assert (region.name, region.address, region.size, region.access) == ("logits", 4096, 5, "write")
        start = image.place(b"x", 4096)
        assert (start, image.place(b"yz", 1)) == (8192, 8193)
        image.close("parameters", start, 16)
        program = image.program(Accelerator(), [HALT])
        assert [(r.name, r.address, r.size, r.access) for r in program.regions] == [
            ("logits", 4096, 5, "write"),
            ("parameters", 8192, 16, "read"),
            ("program", 12288, 32, "program"),
        ]
        assert program.address == 12288
        assert program.image[:8] == b"abc\0\x01\0\x02\0"
        assert program.image[8192:8208] == b"xyz" + bytes(13)
        assert program.image[12288:] == HALT.encode()

    def test_a_memory_that_is_too_large(self, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mapping.whole.image, "MAX_IMAGE_BYTES", 8192)
        image = Image()
        image.region("one", 8193, "read")
        message = refused(MappingError, image.place, b"", 4096)
        assert message == "network: image must be at most 8192 bytes, not 12288 or more"

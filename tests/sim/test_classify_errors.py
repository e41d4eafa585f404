"""What the value model refuses of MEAN, CLASSIFY and EXIT, with whole messages."""

from __future__ import annotations

import pytest

from hw.isa import Instruction
from sim.machine import execute
from tests.sim.programs import EXIT, HALT, classify, mean, program
from tests.sim.test_machine_errors import SMALL, message

CLASSES = SMALL.replace(vector_lanes=2, fixed_lines=10, scale_lines=6, classes=9, output_lines=12)
MEAN = {"fixed_line": 9}


def refused(*instructions: Instruction) -> str:
    """Return the message that the last of the instructions is refused with."""
    return message(*instructions, accelerator=CLASSES)


def test_what_is_left_out() -> None:
    assert message(mean()) == "vector_lanes must be at least 1 for MEAN, not 0"
    lanes = SMALL.replace(vector_lanes=2)
    execute(program(lanes, [mean(), HALT]))
    assert message(classify(), accelerator=lanes) == "classes of the accelerator must be at least 1 for CLASSIFY, not 0"
    assert message(EXIT, accelerator=lanes) == "classes of the accelerator must be at least 1 for EXIT, not 0"


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        (mean(rows=1025), "rows must be at most 1024, not 1025"),
        (mean(channels=4097), "channels must be at most 4096, not 4097"),
        (mean(multiplier=1 << 15), "multiplier must be at most 32767, not 32768"),
        (mean(shift=25), "shift must be at most 24, not 25"),
        (classify(classes=10), "classes must be at most the 9 classes of the accelerator, not 10"),
        (classify(channels=4097), "channels must be at most 4096, not 4097"),
        (classify(vote=3), "vote must be one of 0, 1, 2, not 3"),
        (classify(vote=2, classes=2), "classes must be 1 where vote is 2, not 2"),
        (classify(bound=0), "bound must be at least 1 where vote is 0, not 0"),
        (classify(first=0), "first must be 1 where no CLASSIFY is before, not 0"),
    ],
)
def test_operands(instruction: Instruction, expected: str) -> None:
    assert refused(instruction) == expected


def test_classes_stay_the_same() -> None:
    more = classify(classes=3, first=0)
    assert refused(classify(classes=2), more) == "classes must be those of the CLASSIFY before, 2, not 3"
    execute(program(CLASSES, [classify(classes=2), classify(classes=3), more, classify(bound=0, vote=1), HALT]))


@pytest.mark.parametrize("line", [2, 3, 4, 7])
def test_a_mean_must_not_write_what_it_reads(line: int) -> None:
    # Two rows of two slices in lines 3 to 6... and a line before them, whose second slice is the first of those.
    shape = {"source_line": 3, "channels": 3, "rows": 2}
    if line == 7:
        execute(program(CLASSES, [mean(fixed_line=7, **shape), mean(fixed_line=1, **shape), HALT]))
        return
    assert refused(mean(fixed_line=line, **shape)) == (
        f"fixed_line must be such that its 2 lines are none of 3 to 6, which are read, not {line}"
    )


@pytest.mark.parametrize(
    ("instruction", "buffer", "lines", "found"),
    [
        (mean(source_line=10), "fixed", 10, "10 to 10"),
        (mean(source_line=7, channels=3, rows=2), "fixed", 10, "7 to 10"),
        (mean(fixed_line=10), "fixed", 10, "10 to 10"),
        (mean(fixed_line=9, channels=3), "fixed", 10, "9 to 10"),
        (classify(source_line=9, channels=3), "fixed", 10, "9 to 10"),
        (classify(scale_line=5), "scale", 6, "5 to 6"),
        (classify(scale_line=4, channels=3), "scale", 6, "4 to 6"),
        (classify(scale_line=4, classes=2), "scale", 6, "4 to 6"),
        (classify(output_line=12), "output", 12, "12 to 12"),
        (classify(output_line=9, classes=4), "output", 12, "9 to 12"),
        (classify(classes=9), "scale", 6, "0 to 10"),
    ],
)
def test_lines(instruction: Instruction, buffer: str, lines: int, found: str) -> None:
    assert refused(instruction) == (
        f"access must lie in the {lines} lines of the {buffer} buffer, not in lines {found}"
    )


def test_last_lines_are_legal() -> None:
    steps = [mean(source_line=6, fixed_line=4, channels=3, rows=2), mean(source_line=0, fixed_line=8, channels=3)]
    steps += [classify(source_line=8, scale_line=2, output_line=10, classes=2, channels=3)]
    execute(program(CLASSES, [*steps, HALT]))

"""What the value model refuses of SUMS to score, SOFTMAX, and LOADs of tables, with whole messages."""

from __future__ import annotations

import pytest

from hw.isa import Instruction
from sim.machine import execute
from tests.sim.programs import HALT, load, matmul, program, softmax, sums
from tests.sim.test_machine_errors import SMALL, message

LANES = SMALL.replace(row_lanes=2, code_bits=4, score_lines=6, score_slots=2, table_lines=5)
MADE = [matmul(handover=1, rows=2), sums(destination=1, rows=2)]


def refused(*instructions: Instruction) -> str:
    """Return the message that the last of the instructions is refused with."""
    return message(*instructions, accelerator=LANES)


def test_there_may_be_no_row_lanes() -> None:
    assert message(softmax()) == "row_lanes must be at least 1 for SOFTMAX, not 0"
    assert message(matmul(handover=1), sums(destination=1)) == "row_lanes must be at least 1 for SUMS to score, not 0"
    assert message(load(buffer=5)) == "buffer must be one of 0, 1, 2, not 5"
    assert refused(load(buffer=3)) == "buffer must be one of 0, 1, 2, 5, not 3"
    assert refused(matmul(handover=1), sums()) == "vector_lanes must be at least 1 for SUMS, not 0"


def test_slots() -> None:
    both = LANES.replace(vector_lanes=1)
    assert message(matmul(handover=1), sums(slot=1), accelerator=both) == "slot must be 0 where destination is 0, not 1"
    expected = "slot must be less than the 2 score_slots of the accelerator, not 2"
    assert refused(matmul(handover=1), sums(destination=1, slot=2)) == expected
    assert refused(softmax(slot=2)) == expected
    assert refused(softmax()) == "slot must hold the maximum of row 0, not none in this run"
    assert refused(*MADE, softmax(slot=1)) == "slot must hold the maximum of row 0, not none in this run"
    one = [matmul(handover=1), sums(destination=1)]
    assert refused(*one, softmax(rows=2)) == "slot must hold the maximum of row 1, not none in this run"
    execute(program(LANES, [*MADE, softmax(rows=2), HALT]))


def test_a_score_above_the_maximum() -> None:
    # Zeros against zeros are 16, half a word as padding leaves 8.
    lower = [matmul(handover=1, pad=8), sums(destination=1, output_line=3)]
    assert (
        refused(*MADE, *lower, softmax())
        == "slot must hold a maximum of row 0 that no score is above, not 8 for a score of 16"
    )
    execute(program(LANES, [*MADE, *lower, softmax(score_line=3), HALT]))


def test_sums_to_score() -> None:
    assert refused(matmul(handover=1, rows=3), sums(destination=1, rows=3)) == (
        "rows must be at most the 2 rows of the array, not 3"
    )
    assert refused(matmul(handover=1), sums(destination=1, output_line=6)) == (
        "access must lie in the 6 lines of the score buffer, not in lines 6 to 6"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rows": 3}, "rows must be at most the 2 rows of the array, not 3"),
        ({"keys": 1025}, "keys must be at most 1024, not 1025"),
        ({"planes": 3}, "planes must be one of 1, 2, 4, not 3"),
        ({"planes": 8}, "planes must be one of 1, 2, 4, not 8"),
    ],
)
def test_operands(changes: dict[str, int], expected: str) -> None:
    assert refused(*MADE, softmax(**changes)) == expected


def test_planes_are_at_most_code_bits() -> None:
    assert message(softmax(planes=2), accelerator=LANES.replace(code_bits=1)) == (
        "planes must be at most the 1 code_bits of the accelerator, not 2"
    )


@pytest.mark.parametrize(
    ("changes", "buffer", "lines", "found"),
    [
        ({"score_line": 6}, "score", 6, "6 to 6"),
        ({"score_line": 5, "rows": 2}, "score", 6, "5 to 6"),
        ({"score_line": 5, "keys": 5}, "score", 6, "5 to 6"),
        ({"table_line": 5}, "table", 5, "5 to 5"),
        ({"table_line": 4, "last_entry": 2}, "table", 5, "4 to 5"),
        ({"level_line": 5}, "table", 5, "5 to 5"),
        ({"level_line": 3, "planes": 2}, "table", 5, "3 to 5"),
        ({"code_line": 8}, "activation", 8, "8 to 8"),
        ({"code_line": 7, "code_group": 16}, "activation", 8, "8 to 8"),
        ({"code_line": 7, "code_group": 15, "keys": 3}, "activation", 8, "7 to 8"),
        ({"code_plane_stride": 8, "planes": 2}, "activation", 8, "8 to 8"),
    ],
)
def test_lines(changes: dict[str, int], buffer: str, lines: int, found: str) -> None:
    assert refused(*MADE, softmax(**changes)) == (
        f"access must lie in the {lines} lines of the {buffer} buffer, not in lines {found}"
    )


def test_last_lines_are_legal() -> None:
    places = {
        "score_line": 4,
        "table_line": 3,
        "last_entry": 3,
        "level_line": 2,
        "code_line": 5,
        "code_plane_stride": 2,
    }
    execute(program(LANES, [*MADE, softmax(rows=2, planes=2, keys=4, code_group=14, **places), HALT]))

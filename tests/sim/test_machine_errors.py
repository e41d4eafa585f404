"""What the value model refuses, with whole messages."""

from __future__ import annotations

import pytest

from hw.arch import Accelerator
from hw.isa import Instruction
from sim.errors import MachineError
from sim.machine import execute
from tests.sim.programs import FENCE, HALT, binarize, load, matmul, program, store

SMALL = Accelerator(
    rows=2, columns=4, port_bits=32, activation_lines=8, weight_lines=8, threshold_lines=4, output_lines=4
)


def message(*instructions: Instruction, accelerator: Accelerator = SMALL) -> str:
    """Return the message that the last but one of the instructions is refused with, without its prefix."""
    with pytest.raises(MachineError) as caught:
        execute(program(accelerator, [*instructions, HALT], bytes(1024)))
    index = len(instructions) - 1
    prefix = f"instruction {index} ({instructions[-1]}): "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


@pytest.mark.parametrize(
    ("instructions", "where"), [([FENCE], "[] of 1"), ([HALT, FENCE], "[0] of 2"), ([HALT, HALT], "[0, 1] of 2")]
)
def test_halt_must_be_last(instructions: list[Instruction], where: str) -> None:
    with pytest.raises(MachineError) as caught:
        execute(program(SMALL, instructions))
    assert str(caught.value) == f"program must have one HALT, its last instruction, not HALT at {where}"


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        (load(buffer=3), "buffer must be one of 0, 1, 2, not 3"),
        (load(row_beats=2, segment_beats=3), "segments * segment_beats must be a multiple of row_beats 2, not 3"),
        (store(row_beats=2, segment_beats=3), "segments * segment_beats must be a multiple of row_beats 2, not 3"),
        (load(buffer=2), "row_beats must be a multiple of the 2 beats of a line, not 1"),
        (load(address=2), "address must be a multiple of the 4 bytes of a beat, not 2"),
        (store(segments=2, stride=6), "stride must be a multiple of the 4 bytes of a beat, not 6"),
        (load(address=1 << 30), "access must lie in the image of 1088 bytes, not end at 0x40000004"),
        (store(address=1088), "access must lie in the image of 1088 bytes, not end at 0x444"),
        (load(line=8), "access must lie in the 8 lines of the activation buffer, not in lines 8 to 8"),
        (load(line=7, segment_beats=3), "access must lie in the 8 lines of the activation buffer, not in lines 7 to 8"),
        (
            load(buffer=1, line=6, row_beats=3, segment_beats=3),
            "access must lie in the 8 lines of the weight buffer, not in lines 6 to 8",
        ),
        (
            load(buffer=2, line=3, row_beats=4, segment_beats=4),
            "access must lie in the 4 lines of the threshold buffer, not in lines 3 to 4",
        ),
        (store(line=4), "access must lie in the 4 lines of the output buffer, not in lines 4 to 4"),
    ],
)
def test_transfers(instruction: Instruction, expected: str) -> None:
    assert message(instruction) == expected


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        (
            matmul(activation_line=8),
            "access must lie in the 8 lines of the activation buffer, not in lines 8 to 8",
        ),
        (
            matmul(activation_line=6, words=5),
            "access must lie in the 8 lines of the activation buffer, not in lines 6 to 8",
        ),
        (
            matmul(handover=1, rows=5, activation_stride=4),
            "access must lie in the 8 lines of the activation buffer, not in lines 8 to 8",
        ),
        (
            matmul(handover=1, column_groups=3, weight_stride=4),
            "access must lie in the 8 lines of the weight buffer, not in lines 8 to 8",
        ),
        (matmul(rows=3), "MATMUL without first or without handover must be one tile, not 2 x 1"),
        (
            matmul(first=0, handover=1, column_groups=2),
            "MATMUL without first or without handover must be one tile, not 1 x 2",
        ),
        (matmul(pad=1, unsigned=1), "pad must be 0 where unsigned is 1 or first is 0, not 1"),
        (matmul(pad=1, first=0), "pad must be 0 where unsigned is 1 or first is 0, not 1"),
        (matmul(pad=16), "pad must be less than the 16 bits of a word, not 16"),
    ],
)
def test_matmul(instruction: Instruction, expected: str) -> None:
    assert message(instruction) == expected


def test_sums_must_fit() -> None:
    narrow = SMALL.replace(sum_bits=6)
    expected = "inputs of a sum must be at most 30, not 32"
    assert message(matmul(words=2), accelerator=narrow) == expected
    assert message(matmul(), matmul(first=0), accelerator=narrow) == expected


def test_binarize_must_follow_its_matmul() -> None:
    assert message(binarize()) == "BINARIZE must follow a MATMUL with handover, not an empty drain register"
    assert message(matmul(), binarize()) == "BINARIZE must follow a MATMUL with handover, not an empty drain register"
    assert message(matmul(handover=1, rows=2), binarize()) == (
        "rows and column_groups must be those of the MATMUL, (2, 1), not (1, 1)"
    )
    assert message(matmul(handover=1), matmul()) == (
        "MATMUL with handover must be followed by its BINARIZE, not by another MATMUL"
    )


def test_binarize_must_come_before_halt() -> None:
    with pytest.raises(MachineError) as caught:
        execute(program(SMALL, [matmul(handover=1), HALT]))
    assert str(caught.value) == (
        "instruction 1 (halt): MATMUL with handover must be followed by its BINARIZE, not by HALT"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"threshold_line": 4}, "access must lie in the 4 lines of the threshold buffer, not in lines 4 to 4"),
        ({"output_line": 4}, "access must lie in the 4 lines of the output buffer, not in lines 4 to 4"),
        ({"output_group": 32}, "access must lie in the 4 lines of the output buffer, not in lines 4 to 4"),
        (
            {"output_line": 3, "output_group": 8},
            "access must lie in the 4 lines of the output buffer, not in lines 4 to 4",
        ),
    ],
)
def test_binarize_lines(changes: dict[str, int], expected: str) -> None:
    assert message(matmul(handover=1), binarize(**changes)) == expected


def test_binarize_lines_of_all_row_tiles() -> None:
    assert message(matmul(handover=1, rows=5), binarize(rows=5, output_stride=2)) == (
        "access must lie in the 4 lines of the output buffer, not in lines 4 to 4"
    )


def test_last_places_are_legal() -> None:
    instructions = [
        load(line=7),
        load(address=1084, buffer=1, line=7),
        matmul(handover=1, activation_line=7, weight_line=7, words=2, pad=15),
        binarize(threshold_line=3, output_line=3, output_group=7),
        store(line=3),
        HALT,
    ]
    execute(program(SMALL, instructions, bytes(1024)))

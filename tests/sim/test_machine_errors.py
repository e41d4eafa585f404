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
KEYED = SMALL.replace(columns=8, key_lines=4, code_bits=2)


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


WHOLE = {"unsigned": 1, "handover": 1}
SINGLE = "where unsigned, first or handover is 0"


@pytest.mark.parametrize("name", ["activation_negative", "weight_negative"])
def test_signs_need_planes(name: str) -> None:
    expected = f"{name} must be 0 where code_bits is 1, not 1"
    assert message(matmul(**WHOLE, **{name: 1}), accelerator=SMALL.replace(code_bits=1)) == expected


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        (matmul(plain=1, handover=1), "plain must be 0 where unsigned is 0, not 1"),
        (matmul(activation_planes=2, handover=1), f"activation_planes must be 1 {SINGLE}, not 2"),
        (matmul(activation_planes=2, unsigned=1), f"activation_planes must be 1 {SINGLE}, not 2"),
        (matmul(weight_planes=2, plain=1, unsigned=1), f"weight_planes must be 1 {SINGLE}, not 2"),
        (matmul(activation_planes=2, first=0, **WHOLE), f"activation_planes must be 1 {SINGLE}, not 2"),
        (matmul(activation_negative=1, handover=1), f"activation_negative must be 0 {SINGLE}, not 1"),
        (matmul(weight_negative=1, first=0, **WHOLE), f"weight_negative must be 0 {SINGLE}, not 1"),
        (
            matmul(activation_planes=3, **WHOLE),
            "activation_planes must be at most the 2 code_bits of the accelerator, not 3",
        ),
        (
            matmul(weight_planes=3, plain=1, **WHOLE),
            "weight_planes must be at most the 2 code_bits of the accelerator, not 3",
        ),
        (matmul(weight_planes=2, **WHOLE), "weight_planes must be 1 where plain is 0, not 2"),
        (
            matmul(activation_planes=2, activation_plane_stride=8, **WHOLE),
            "access must lie in the 8 lines of the activation buffer, not in lines 8 to 8",
        ),
        (
            matmul(weight_planes=2, weight_plane_stride=8, plain=1, **WHOLE),
            "access must lie in the 8 lines of the weight buffer, not in lines 8 to 8",
        ),
        (
            matmul(keys=1, column_groups=3, weight_stride=2, handover=1),
            "access must lie in the 4 lines of the key buffer, not in lines 4 to 4",
        ),
    ],
)
def test_planes_and_keys(instruction: Instruction, expected: str) -> None:
    assert message(instruction, accelerator=KEYED) == expected


def test_there_may_be_no_key_buffer() -> None:
    assert message(matmul(keys=1)) == "keys must be 0 where there is no key buffer, not 1"
    assert message(matmul(handover=1), binarize(destination=2)) == "destination must be one of 0, 1, not 2"


@pytest.mark.parametrize(
    ("operands", "words", "factor"),
    [({"activation_planes": 2}, 21, 3), ({"plain": 1}, 31, 2), ({"plain": 1, "weight_planes": 2}, 10, 6)],
)
def test_sums_of_planes_must_fit(operands: dict[str, int], words: int, factor: int) -> None:
    a = KEYED.replace(sum_bits=11, activation_lines=64, weight_lines=64)
    last = {"activation_plane_stride": 32, "weight_plane_stride": 32} | WHOLE | operands
    expected = f"inputs of a sum, times {factor} for the planes must be at most 1022, not {(words + 1) * 16 * factor}"
    assert message(matmul(words=words + 1, **last), accelerator=a) == expected
    execute(program(a, [matmul(words=words, **last), binarize(), HALT]))


def test_plain_sums_in_pieces_must_fit() -> None:
    first, rest = matmul(words=31, unsigned=1, plain=1), matmul(words=1, unsigned=1, plain=1, first=0)
    assert message(first, rest, accelerator=KEYED.replace(sum_bits=11, activation_lines=64, weight_lines=64)) == (
        "inputs of a sum, times 2 for the planes must be at most 1022, not 1024"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"destination": 3}, "destination must be one of 0, 1, 2, not 3"),
        ({"transpose": 1}, "transpose must be 0 where destination is not 2, not 1"),
        ({"transpose": 1, "destination": 1}, "transpose must be 0 where destination is not 2, not 1"),
        ({"spare": 8}, "spare must be less than the 8 columns, not 8"),
        ({"output_bank": 2}, "output_bank must be 0 where no rows go to the key buffer, not 2"),
        ({"output_bank": 2, "destination": 1}, "output_bank must be 0 where no rows go to the key buffer, not 2"),
        (
            {"output_bank": 2, "destination": 2, "transpose": 1},
            "output_bank must be 0 where no rows go to the key buffer, not 2",
        ),
        ({"output_bank": 8, "destination": 2}, "output_bank must be a multiple of 2 below the 8 columns, not 8"),
        ({"output_bank": 3, "destination": 2}, "output_bank must be a multiple of 2 below the 8 columns, not 3"),
        (
            {"destination": 1, "output_line": 7, "output_group": 4},
            "access must lie in the 8 lines of the activation buffer, not in lines 8 to 8",
        ),
        (
            {"destination": 2, "output_line": 4},
            "access must lie in the 4 lines of the key buffer, not in lines 4 to 4",
        ),
        (
            {"destination": 2, "transpose": 1, "output_line": 3, "output_group": 16},
            "access must lie in the 4 lines of the key buffer, not in lines 4 to 4",
        ),
    ],
)
def test_binarize_destination(changes: dict[str, int], expected: str) -> None:
    assert message(matmul(handover=1), binarize(**changes), accelerator=KEYED) == expected


def test_lines_of_all_keys() -> None:
    rows = {"rows": 7, "destination": 2, "output_line": 1, "output_stride": 3}
    execute(program(KEYED, [matmul(handover=1, rows=7), binarize(**rows), HALT]))
    assert message(matmul(handover=1, rows=7), binarize(**rows, output_bank=2), accelerator=KEYED) == (
        "access must lie in the 4 lines of the key buffer, not in lines 4 to 4"
    )


def test_lines_of_all_columns() -> None:
    shape = {"rows": 33, "column_groups": 2}
    columns = {"destination": 2, "transpose": 1, "output_stride": 2, **shape}
    execute(program(KEYED, [matmul(handover=1, **shape), binarize(**columns), HALT]))
    for changes in ({"output_line": 1}, {"output_stride": 3}):
        assert message(matmul(handover=1, **shape), binarize(**(columns | changes)), accelerator=KEYED) == (
            "access must lie in the 4 lines of the key buffer, not in lines 3 to 4"
        )


def test_binarize_must_follow_its_matmul() -> None:
    assert message(binarize()) == "BINARIZE must follow a MATMUL with handover, not an empty drain register"
    assert message(matmul(), binarize()) == "BINARIZE must follow a MATMUL with handover, not an empty drain register"
    assert message(matmul(handover=1, rows=2), binarize()) == (
        "rows and column_groups must be those of the MATMUL, (2, 1), not (1, 1)"
    )
    assert message(matmul(handover=1), matmul()) == (
        "MATMUL with handover must be followed by its BINARIZE or SUMS, not by another MATMUL"
    )


def test_binarize_must_come_before_halt() -> None:
    with pytest.raises(MachineError) as caught:
        execute(program(SMALL, [matmul(handover=1), HALT]))
    assert str(caught.value) == (
        "instruction 1 (halt): MATMUL with handover must be followed by its BINARIZE or SUMS, not by HALT"
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

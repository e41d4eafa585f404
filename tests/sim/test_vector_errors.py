"""What the value model refuses of SUMS, VECTOR, and LOADs for them, with whole messages."""

from __future__ import annotations

from typing import Any

import pytest

from hw.isa import Instruction, Source
from sim.machine import execute
from tests.sim.programs import FENCE, HALT, binarize, load, matmul, program, store, sums, vector
from tests.sim.test_machine_errors import SMALL, message

LINES: dict[str, Any] = {"sum_lines": 6, "fixed_lines": 10, "scale_lines": 3, "level_lines": 4}
LANES = SMALL.replace(vector_lanes=2, code_bits=4, **LINES)
TEXT = LANES.replace(token_lines=4, word_lines=7, embedding_lines=9)
NORMAL = {"source": 1, "normalise": 1}
SUMS = {"source": Source.SUMS}


def refused(*instructions: Instruction) -> str:
    """Return the message that the last of the instructions is refused with."""
    return message(*instructions, accelerator=LANES)


# --- without lanes ---------------------------------------------------------------------------------------------------


def test_there_may_be_no_vector_lanes() -> None:
    assert message(vector()) == "vector_lanes must be at least 1 for VECTOR, not 0"
    assert message(matmul(handover=1), sums()) == "vector_lanes must be at least 1 for SUMS, not 0"
    for buffer in (3, 4):
        assert message(load(buffer=buffer)) == f"buffer must be one of 0, 1, 2, not {buffer}"


def test_load() -> None:
    assert refused(load(buffer=5)) == "buffer must be one of 0, 1, 2, 3, 4, not 5"
    assert refused(load(buffer=3, row_beats=2, segment_beats=2)) == (
        "row_beats must be a multiple of the 4 beats of a line, not 2"
    )
    for buffer, name, lines in ((3, "scale", 3), (4, "level", 4)):
        transfer = {"buffer": buffer, "row_beats": 4, "segment_beats": 4}
        execute(program(LANES, [load(line=lines - 1, **transfer), HALT], bytes(64)))
        assert refused(load(line=lines, **transfer)) == (
            f"access must lie in the {lines} lines of the {name} buffer, not in lines {lines} to {lines}"
        )


# --- SUMS ------------------------------------------------------------------------------------------------------------


def test_sums_must_follow_its_matmul() -> None:
    empty = "SUMS must follow a MATMUL with handover, not an empty drain register"
    assert refused(sums()) == empty
    assert refused(matmul(), sums()) == empty
    assert refused(matmul(handover=1), sums(), sums()) == empty
    assert refused(matmul(handover=1), binarize(), sums()) == empty
    assert refused(matmul(handover=1, rows=2), sums()) == (
        "rows and column_groups must be those of the MATMUL, (2, 1), not (1, 1)"
    )
    assert refused(matmul(handover=1), sums(column_groups=2)) == (
        "rows and column_groups must be those of the MATMUL, (1, 1), not (1, 2)"
    )
    others = [load(), store(), vector(), FENCE]
    execute(program(LANES, [matmul(handover=1), *others, sums(), matmul(handover=1), sums(), HALT], bytes(64)))


def test_sums_are_one_row_tile() -> None:
    assert refused(matmul(handover=1, rows=3), sums(rows=3)) == "rows must be at most the 2 rows of the array, not 3"
    assert refused(matmul(handover=1), sums(spare=4)) == "spare must be less than the 4 columns, not 4"


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"output_line": 6}, "6 to 6"),
        ({"output_line": 5, "column_groups": 2}, "5 to 6"),
        ({"output_line": 5, "output_group": 1}, "6 to 6"),
        ({"output_line": 5, "rows": 2, "output_stride": 1}, "6 to 6"),
        ({"output_line": 3, "rows": 2, "output_stride": 2, "column_groups": 2}, "5 to 6"),
    ],
)
def test_lines_of_sums(changes: dict[str, int], lines: str) -> None:
    shape = {name: changes[name] for name in ("rows", "column_groups") if name in changes}
    found = refused(matmul(handover=1, **shape), sums(**changes))
    assert found == f"access must lie in the 6 lines of the sums buffer, not in lines {lines}"
    last = changes | {"output_line": changes["output_line"] - 1}
    execute(program(LANES, [matmul(handover=1, **shape), sums(**last), HALT]))


# --- VECTOR ----------------------------------------------------------------------------------------------------------

ALONE = "where planes is more than 1"
PLANES = {"scale": 1, "sets": 1, "planes": 2}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rows": 3}, "rows must be at most the 2 rows of the array, not 3"),
        ({"channels": 4097}, "channels must be at most 4096, not 4097"),
        ({"epsilon": 1 << 31}, "epsilon must be at most 2147483647, not 2147483648"),
        ({"normalise": 1, "scale": 1, **SUMS}, "normalise must be 0 where source is 0, not 1"),
        ({"add": 1, **SUMS}, "add must be 0 where source is 0 without scale, not 1"),
        ({"keep": 1, **SUMS}, "keep must be 0 where source is 0 without scale, not 1"),
        ({"statistics": 1, **SUMS}, "statistics must be 0 where source is 0 without scale, not 1"),
        ({"add": 1, **NORMAL}, "add must be 0 where normalise is 1 without scale, not 1"),
        ({"keep": 1, **NORMAL}, "keep must be 0 where normalise is 1 without scale, not 1"),
        ({"statistics": 1, **NORMAL}, "statistics must be 0 where normalise is 1 without scale, not 1"),
        ({"maximum": 1}, "maximum must be 0 where add is 0, not 1"),
        ({"maximum": 1, "scale": 1, "multiply": 1}, "maximum must be 0 where add is 0, not 1"),
        ({"multiply": 1}, "multiply must be 0 where scale is 0, not 1"),
        ({"multiply": 1, "add": 1}, "multiply must be 0 where scale is 0, not 1"),
        ({"multiply": 1, "scale": 1, "add": 1}, "add must be 0 where multiply is 1, not 1"),
        ({"multiply": 1, "scale": 1, "add": 1, "maximum": 1}, "add must be 0 where multiply is 1, not 1"),
        (PLANES | {"planes": 5}, "planes must be at most the 4 code_bits of the accelerator, not 5"),
        (PLANES | {"scale": 0}, f"scale must be 1 {ALONE}, not 0"),
        (PLANES | {"sets": 0}, f"sets must be 1 {ALONE}, not 0"),
        (PLANES | {"sets": 2}, f"sets must be 1 {ALONE}, not 2"),
        (PLANES | {"normalise": 1}, f"normalise must be 0 {ALONE}, not 1"),
        (PLANES | {"add": 1}, f"add must be 0 {ALONE}, not 1"),
        (PLANES | {"keep": 1}, f"keep must be 0 {ALONE}, not 1"),
        (PLANES | {"statistics": 1}, f"statistics must be 0 {ALONE}, not 1"),
    ],
)
def test_operands(changes: dict[str, int], expected: str) -> None:
    assert refused(vector(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "buffer", "lines", "found"),
    [
        ({"source_line": 6, **SUMS}, "sums", 6, "6 to 6"),
        ({"source_line": 5, "rows": 2, **SUMS}, "sums", 6, "5 to 6"),
        ({"source_line": 5, "channels": 5, **SUMS}, "sums", 6, "5 to 6"),
        ({"source_line": 3, "channels": 5, "rows": 2, **SUMS}, "sums", 6, "3 to 6"),
        ({"source_line": 10}, "fixed", 10, "10 to 10"),
        ({"source_line": 5, "channels": 5, "rows": 2}, "fixed", 10, "5 to 10"),
        ({"add": 1, "add_line": 5, "channels": 5, "rows": 2}, "fixed", 10, "5 to 10"),
        ({"multiply": 1, "scale": 1, "add_line": 5, "channels": 5, "rows": 2}, "fixed", 10, "5 to 10"),
        ({"keep": 1, "fixed_line": 10}, "fixed", 10, "10 to 10"),
        ({"keep": 1, "fixed_line": 7, "channels": 3, "rows": 2}, "fixed", 10, "7 to 10"),
        ({"scale": 1, "scale_line": 2, "channels": 3, "rows": 2}, "scale", 3, "2 to 3"),
        ({"sets": 1, "level_line": 3, "channels": 3, "rows": 2}, "level", 4, "3 to 4"),
        ({"sets": 1, "code_line": 8}, "activation", 8, "8 to 8"),
        ({"sets": 1, "code_line": 6, "code_group": 32}, "activation", 8, "8 to 8"),
        ({"sets": 1, "code_line": 7, "code_group": 15, "channels": 3}, "activation", 8, "7 to 8"),
        ({"sets": 2, "code_line_1": 8}, "activation", 8, "8 to 8"),
        ({"sets": 3, "code_line_2": 8}, "activation", 8, "8 to 8"),
        ({**PLANES, "planes": 3, "code_line_1": 4}, "activation", 8, "8 to 8"),
    ],
)
def test_lines(changes: dict[str, int], buffer: str, lines: int, found: str) -> None:
    assert refused(vector(**changes)) == (
        f"access must lie in the {lines} lines of the {buffer} buffer, not in lines {found}"
    )


def test_last_lines_are_legal() -> None:
    wide = {"channels": 3, "rows": 2}
    places = {"scale_line": 1, "level_line": 2, "code_line": 7, "code_line_1": 7, "code_line_2": 7}
    flags = {"scale": 1, "add": 1, "keep": 1, "sets": 3}
    step = vector(source_line=6, add_line=6, fixed_line=6, code_group=14, **wide, **places, **flags)
    from_sums = vector(source_line=2, channels=5, rows=2, **SUMS)
    planes = vector(code_line=1, code_line_1=2, **(PLANES | {"planes": 4}))
    execute(program(LANES, [step, from_sums, planes, HALT]))


def test_what_is_not_read_or_written_may_lie_anywhere() -> None:
    unused = dict.fromkeys(("fixed_line", "add_line", "scale_line", "level_line", "code_line"), 65535)
    far = {"code_line_1": 65535, "code_line_2": 65535}
    steps = [vector(code_group=65535, **unused, **far), vector(sets=1, **far)]
    steps += [vector(scale=1, multiply=1, scale_line=65535), vector(level_line=65535, **PLANES)]
    execute(program(LANES, [*steps, HALT]))


# --- source embedding, and LOAD with gather --------------------------------------------------------------------------

EMBEDDING = {"source": Source.EMBEDDING}


def test_there_may_be_no_tokens() -> None:
    assert refused(vector(**EMBEDDING)) == "token_lines must be at least 1 for source 2, not 0"
    assert refused(load(gather=1)) == "token_lines must be at least 1 for gather, not 0"
    for buffer in (6, 7, 8):
        assert refused(load(buffer=buffer)) == f"buffer must be one of 0, 1, 2, 3, 4, not {buffer}"
    assert message(load(buffer=5), accelerator=TEXT) == "buffer must be one of 0, 1, 2, 3, 4, 6, 7, 8, not 5"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"source": 3}, "source must be one of 0, 1, 2, not 3"),
        ({"source": 0, "typed": 1}, "typed must be 0 where source is not 2, not 1"),
        ({"source": 1, "typed": 1}, "typed must be 0 where source is not 2, not 1"),
        (EMBEDDING | {"normalise": 1}, "normalise must be 0 where source is 2, not 1"),
        (EMBEDDING | {"scale": 1}, "scale must be 0 where source is 2, not 1"),
        (EMBEDDING | {"add": 1}, "add must be 0 where source is 2, not 1"),
        (EMBEDDING | {"maximum": 1}, "maximum must be 0 where source is 2, not 1"),
        (EMBEDDING | {"multiply": 1}, "multiply must be 0 where source is 2, not 1"),
        (EMBEDDING | {"planes": 2, "sets": 1}, "planes must be 1 where source is 2, not 2"),
    ],
)
def test_embedding(changes: dict[str, int], expected: str) -> None:
    assert message(vector(**changes), accelerator=TEXT) == expected


@pytest.mark.parametrize(
    ("changes", "buffer", "lines", "found"),
    [
        ({"source_line": 6}, "word", 7, "6 to 7"),
        ({"source_line": 5, "channels": 33}, "word", 7, "5 to 7"),
        ({"source_line": 4, "rows": 2}, "word", 7, "4 to 7"),
        ({"add_line": 9}, "embedding", 9, "9 to 9"),
        ({"add_line": 6, "channels": 3, "rows": 2}, "embedding", 9, "6 to 9"),
        ({"scale_line": 8, "channels": 3, "rows": 2}, "embedding", 9, "8 to 9"),
        ({"scale_line": 6, "channels": 3, "rows": 2, "typed": 1}, "embedding", 9, "6 to 9"),
        ({"keep": 1, "fixed_line": 10}, "fixed", 10, "10 to 10"),
    ],
)
def test_lines_of_an_embedding(changes: dict[str, int], buffer: str, lines: int, found: str) -> None:
    assert message(vector(**EMBEDDING, **changes), accelerator=TEXT) == (
        f"access must lie in the {lines} lines of the {buffer} buffer, not in lines {found}"
    )


def test_last_lines_of_an_embedding_are_legal() -> None:
    places = {"source_line": 3, "add_line": 5, "fixed_line": 5, "keep": 1, "statistics": 1, "sets": 3}
    steps = [vector(scale_line=7, channels=3, rows=2, **places, **EMBEDDING)]
    steps += [vector(scale_line=5, typed=1, channels=3, rows=2, **places, **EMBEDDING)]
    execute(program(TEXT, [*steps, HALT]))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gather": 0, "token": 1}, "token must be 0 without gather, not 1"),
        ({"stride": 13}, "stride must be at most 12 with gather, not 13"),
        ({"stride": 1}, "a segment must have at most the 2 bytes that stride 1 tells, not 4"),
        ({"stride": 3, "segment_beats": 3}, "a segment must have at most the 8 bytes that stride 3 tells, not 12"),
        ({"stride": 3, "address": 4}, "address must be a multiple of the 8 bytes that stride 3 tells, not 4"),
        ({"buffer": 6}, "buffer must not be that of the ids with gather, 6"),
        ({"token": 8}, "access must lie in the 4 lines of the token buffer, not in lines 4 to 4"),
        ({"token": 7, "segments": 2}, "access must lie in the 4 lines of the token buffer, not in lines 3 to 4"),
        ({"address": 1088}, "access must lie in the image of 1056 bytes, not end at 0x444"),
    ],
)
def test_gather(changes: dict[str, int], expected: str) -> None:
    gather = load(**({"gather": 1, "stride": 2} | changes))
    found = message(gather, accelerator=TEXT)
    assert found == expected.replace("1056", "1088")


# --- lines of the fixed buffer that other steps write ----------------------------------------------------------------


@pytest.mark.parametrize("apart", [1, 2, 3])
@pytest.mark.parametrize("name", ["source_line", "add_line"])
@pytest.mark.parametrize("flags", [{"add": 1}, {"add": 1, "maximum": 1}, {"scale": 1, "multiply": 1}])
def test_steps_must_not_read_what_others_write(name: str, flags: dict[str, int], apart: int) -> None:
    # Four steps: the lines must be the same, or four apart.
    shape = {"channels": 3, "rows": 2, "keep": 1} | flags
    for at, line in ((0, apart), (5, 5 - apart)):
        other = {"source_line", "add_line"} - {name}
        lines = {name: line, "fixed_line": at, **dict.fromkeys(other, at)}
        assert refused(vector(**lines, **shape)) == (
            f"{name} must be fixed_line {at} or at least 4 lines away from it, not {line}"
        )


def test_steps_that_do_not_read_what_others_write() -> None:
    shape = {"channels": 3, "rows": 2}
    steps = [
        vector(keep=1, source_line=0, fixed_line=4, **shape),
        vector(keep=1, source_line=6, fixed_line=2, **shape),
        vector(keep=1, source_line=2, fixed_line=2, add_line=3, **shape),
        vector(add=1, source_line=2, fixed_line=3, add_line=4, **shape),
        vector(keep=1, scale=1, source_line=1, fixed_line=2, **SUMS, **shape),
        vector(scale=1, multiply=1, source_line=2, fixed_line=3, add_line=4, **shape),
        vector(keep=1, scale=1, source_line=1, fixed_line=1, add_line=3, **shape),
        vector(keep=1, source_line=0, fixed_line=0),
        vector(keep=1, source_line=0, fixed_line=1),
    ]
    execute(program(LANES, [*steps, HALT]))


# --- statistics ------------------------------------------------------------------------------------------------------


def test_normalise_needs_statistics() -> None:
    normal = vector(normalise=1, rows=2, channels=3)
    assert refused(normal) == "normalise must find statistics of row 0 over 3 channels, not none in this run"
    one = vector(statistics=1, channels=3)
    assert refused(one, normal) == "normalise must find statistics of row 1 over 3 channels, not none in this run"
    both = vector(statistics=1, channels=4, rows=2)
    assert refused(both, one, normal) == "normalise must find statistics of row 1 over 3 channels, not over 4"
    itself = vector(normalise=1, scale=1, statistics=1, channels=3)
    assert refused(itself) == "normalise must find statistics of row 0 over 3 channels, not none in this run"
    execute(program(LANES, [both, one, vector(statistics=1, channels=3, rows=2), normal, HALT]))

"""A network case as data: the same after it was written and read; what is wrong with one is said in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.synthetic_network import FEED_FORWARDS, Sketch, random_sketch
from tests.agreement.network_point import CHOICES, COUNTS, CaseError, NetworkPoint, point_of, read_point
from tests.agreement.shrinking import POINT

Refused = Callable[..., str]


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the data of a good case with one value replaced."""
    data: dict[str, Any] = json.loads(POINT.to_json())
    at, keys = data, path.split(".")
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    return data


def test_a_case_is_the_same_in_json_and_in_a_file(tmp_path: Path) -> None:
    POINT.save(tmp_path / "new" / "case.json")
    assert read_point(POINT.to_json()) == read_point(str(tmp_path / "new" / "case.json")) == POINT


def test_every_field_of_a_sketch_has_a_range() -> None:
    assert {*COUNTS, *CHOICES} == set(Sketch.__dataclass_fields__)
    assert CHOICES["feed_forward"] == FEED_FORWARDS


def test_random_sketches_are_in_range() -> None:
    for seed in range(300):
        point = replace(POINT, seed=seed, sketch=random_sketch(seed), ids=(0,), types=(0,))
        assert read_point(point.to_json()) == point


OTHER = "correct it, or take the accelerator of another case"
QUOTES = "copy the whole case, in single quotes"
LENGTH = len(POINT.to_json())
ABSENT = "must be a file, but it does not exist"
BRACE = "name another file, or begin with '{'"
ARRAY = "rows, columns, word_bits, pipeline, sum_bits, drain_rows, code_bits"
KEYS = ", ".join(Sketch.__dataclass_fields__)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", "x", "format must be tallybert-network-case-1, not 'x': make the case again"),
        ("seed", True, "seed must be an integer from 0 to 9223372036854775807, not True: write 1"),
        ("sketch.layers", -1, "sketch.layers must be an integer from 0 to 64, not -1: write 0"),
        ("sketch.layers", "2", "sketch.layers must be an integer from 0 to 64, not '2': write 0"),
        ("sketch.heads", 0, "sketch.heads must be an integer from 1 to 64, not 0: write 1"),
        ("sketch.width", 25, "sketch.width must be a multiple of sketch.heads (3), not 25: write 24"),
        ("sketch.width", 2, "sketch.width must be a multiple of sketch.heads (3), not 2: write 3"),
        ("sketch.classes", 1, "sketch.classes must be 2 or more with this vote, not 1: write 2"),
        ("sketch.vote", "mean", "sketch.classes must be 1 with this vote, not 3: write 1"),
        ("sketch.bits", 3, "sketch.bits must be one of 1, 2, 4, 8, not 3: write 1"),
        ("sketch.pooler", 0, "sketch.pooler must be one of false, true, not 0: write false"),
        ("sketch.attention", [], 'sketch.attention must be one of "head", "row", not []: write "head"'),
        (
            "sketch.layer",
            1,
            f"sketch must be an object with the keys {KEYS}, not 'layer': remove it; did you mean 'layers'?",
        ),
        ("sketch", None, f"sketch must be an object with the keys {KEYS}, not None: copy it from another case"),
        ("ids", 5, "ids must be a list of integers, not 5: write [0] for one token"),
        ("ids", [], "ids must be 1 to 9 as sketch.limit says, not 0: leave some out or raise the limit"),
        ("ids", [0] * 10, "ids must be 1 to 9 as sketch.limit says, not 10: leave some out or raise the limit"),
        ("ids", [0, 1, 2, 3, 50], "ids[4] must be an integer from 0 to 49, not 50: write 49"),
        ("types", [0], "types must be 5, one for each of ids, not 1: match them"),
        ("types", [0, 0, 0, 0, 2], "types[4] must be an integer from 0 to 1, not 2: write 1"),
        ("memory.latency", 0, "memory.latency must be an integer from 1 to 65535, not 0: change it to one of these"),
        (
            "accelerator.array.rows",
            65,
            f"accelerator: array.rows must be an integer from 1 to 64, not 65: {OTHER}",
        ),
        (
            "accelerator.array.row",
            1,
            f"accelerator: array: key must be one of {ARRAY}, not 'row'; did you mean 'rows'?: {OTHER}",
        ),
    ],
)
def test_what_is_wrong(path: str, value: Any, message: str, refused: Refused) -> None:
    assert refused(CaseError, point_of, changed(path, value)) == message


def test_what_is_left_out(refused: Refused) -> None:
    data = POINT.to_dict()
    del data["memory"]
    keys = "format, seed, sketch, ids, types, memory, accelerator"
    message = refused(CaseError, point_of, data)
    assert message == f"case must be an object with the keys {keys}, not an object without memory: add it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"a": 1, "a": 2}',
            f"case must be strict JSON, not text in which the key 'a' stands twice: {QUOTES}",
        ),
        (
            POINT.to_json()[:-1],
            f"case must be strict JSON, not text in which Expecting ',' delimiter at {LENGTH - 1}: {QUOTES}",
        ),
        (
            "no/such.json",
            f"case must be a text file or a JSON object, not 'no/such.json' ({ABSENT}): {BRACE}",
        ),
    ],
)
def test_what_is_no_case_at_all(text: str, message: str, refused: Refused) -> None:
    assert refused(CaseError, read_point, text) == message


def test_a_file_that_is_no_text(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "case").write_bytes(b"\xff\xfe")
    assert refused(CaseError, read_point, str(tmp_path / "case")).startswith(
        "case must be a text file or a JSON object"
    )


def test_a_point_refuses_the_same_without_json(refused: Refused) -> None:
    message = refused(CaseError, lambda: NetworkPoint(**(POINT.__dict__ | {"ids": ()})))
    assert message.startswith("ids must be 1 to 9")

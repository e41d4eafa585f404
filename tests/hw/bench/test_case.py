"""The files of a case: written and read again, and every way in which an expectation can be wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.bench.case import FORMAT, NO_VOTE, PROFILE_RANGES, Case, read_case, write_expectation
from hw.bench.memory import Profile
from hw.files import FileError, sha256
from hw.isa import Opcode, Unit, make
from hw.program import Program

Refused = Callable[..., str]
Change = Callable[[dict[str, Any]], object]
ROOT = Path(__file__).parents[3]
INSTRUCTIONS = (make(Opcode.FENCE), make(Opcode.HALT))
PROGRAM = Program(Accelerator(), INSTRUCTIONS, 32, (), bytes(32) + b"".join(i.encode() for i in INSTRUCTIONS))
PROFILE = {
    "latency": 20,
    "write_latency": 8,
    "interval": 1,
    "jitter": 3,
    "stall_rate": 64,
    "stall_max": 4,
    "seed": 2**32 - 1,
}
TRACE = [[1, 2, 3], [4, 5, 2**32 - 1]]
STATES = [[5 * unit + state for state in range(5)] for unit in Unit]
KEYS = "cycles, format, memory_sha256, profile, reset_at, states, trace, vote"
PROFILE_KEYS = "latency, write_latency, interval, jitter, stall_rate, stall_max, seed"
MEMORY = bytes([7]) + PROGRAM.image[1:]


def write(folder: Path, **changes: Any) -> None:
    PROGRAM.save(folder)
    fields = {"profile": PROFILE, "trace": TRACE, "cycles": 6, "states": STATES, "memory": MEMORY}
    write_expectation(folder, **(fields | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "case")
    return tmp_path / "case"


@pytest.mark.parametrize("reset_at", [None, 0, 17])
def test_round_trip(reset_at: int | None, tmp_path: Path) -> None:
    write(tmp_path, reset_at=reset_at)
    case = read_case(tmp_path)
    trace, states = tuple((row[0], row[1], row[2]) for row in TRACE), tuple(tuple(row) for row in STATES)
    assert case == Case(tmp_path, PROGRAM, Profile(**PROFILE), trace, 6, states, MEMORY, NO_VOTE, reset_at)
    assert case.instructions == INSTRUCTIONS


def test_a_run_that_ends_early(tmp_path: Path) -> None:
    write(tmp_path, trace=TRACE[:1], vote=[0x10003, 2, 2**32 - 1, 7])
    case = read_case(tmp_path)
    assert case.instructions == INSTRUCTIONS[:1]
    assert case.program.instructions == INSTRUCTIONS
    assert case.vote == (0x10003, 2, 2**32 - 1, 7)


def test_files(folder: Path) -> None:
    names = ["expected.bin", "expected.json", "image.bin", "program.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (folder / "expected.bin").read_bytes() == MEMORY
    assert json.loads((folder / "expected.json").read_text())["format"] == FORMAT == "tallybert-case-2"


def test_ranges_are_those_of_the_memory_model() -> None:
    text = (ROOT / "docs" / "memory.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\d+)(?:-| to )([\d^]+|2\^32-1) \|", text, re.MULTILINE)
    ranges = {name: (int(low), int(high) if high.isdigit() else 2**32 - 1) for name, low, high in rows}
    assert ranges == PROFILE_RANGES


@pytest.mark.parametrize("name", PROFILE_RANGES)
def test_profile_ends(name: str, folder: Path, refused: Refused) -> None:
    low, high = PROFILE_RANGES[name]
    for value in (low, high):
        write(folder, profile=PROFILE | {name: value})
        assert read_case(folder).profile == Profile(**(PROFILE | {name: value}))
    for wrong in (low - 1, high + 1, True, 1.0, "1", None, []):
        write(folder, profile=PROFILE | {name: wrong})
        path = folder / "expected.json"
        expected = f"{path}: profile.{name}: must be an integer from {low} to {high}, not {wrong!r}"
        assert refused(FileError, read_case, folder) == expected


def keys(value: dict[str, Any]) -> None:
    value["profil"] = value.pop("profile")


NUMBER = "must be an integer from 0 to 4294967295, not"
MALFORMED: dict[str, tuple[Change, str]] = {
    "missing key": (lambda v: v.pop("trace"), f"must be of format {FORMAT} with the keys {KEYS}"),
    "unknown key": (lambda v: v.update(x=1), f"must be of format {FORMAT} with the keys {KEYS}"),
    "mistyped key": (keys, f"must be of format {FORMAT} with the keys {KEYS}"),
    "format": (lambda v: v.update(format="tallybert-case-1"), f"must be of format {FORMAT} with the keys {KEYS}"),
    "format list": (lambda v: v.update(format=[]), f"must be of format {FORMAT} with the keys {KEYS}"),
    "hash": (
        lambda v: v.update(memory_sha256="0"),
        f"memory_sha256: must be that of expected.bin, {sha256(MEMORY)}",
    ),
    "profile list": (
        lambda v: v.update(profile=[1, 2]),
        f"profile: must have the keys {PROFILE_KEYS}, not [1, 2]",
    ),
    "profile key": (
        lambda v: v["profile"].update(speed=1),
        f"profile: must have the keys {PROFILE_KEYS}, not {{'interval': 1, 'jitter': 3, 'latency': 20, 'seed':",
    ),
    "profile left out": (
        lambda v: v.update(profile={"latency": 1}),
        f"profile: must have the keys {PROFILE_KEYS}, not {{'latency': 1}}",
    ),
    "trace null": (lambda v: v.update(trace=None), "trace: must be a list of 1 to 2 rows, not None"),
    "trace text": (lambda v: v.update(trace="ab"), "trace: must be a list of 1 to 2 rows, not 'ab'"),
    "trace object": (lambda v: v.update(trace={"0": 1, "1": 2}), "trace: must be a list of 1 to 2 rows, not {'0': 1"),
    "trace empty": (lambda v: v.update(trace=[]), "trace: must be a list of 1 to 2 rows, not []"),
    "trace long": (lambda v: v["trace"].append([1, 2, 3]), "trace: must be a list of 1 to 2 rows, not [[1, 2, 3]"),
    "row number": (lambda v: v.update(trace=[1, [1, 2, 3]]), "trace[0]: must be a list of 3 numbers, not 1"),
    "row text": (lambda v: v.update(trace=[[1, 2, 3], "abc"]), "trace[1]: must be a list of 3 numbers, not 'abc'"),
    "row short": (lambda v: v["trace"][1].pop(), "trace[1]: must be a list of 3 numbers, not [4, 5]"),
    "row long": (lambda v: v["trace"][1].append(0), "trace[1]: must be a list of 3 numbers, not [4, 5, 4294967295, 0]"),
    "issue text": (lambda v: v.update(trace=[["1", 2, 3]] * 2), f"trace[0][0]: {NUMBER} '1'"),
    "retire truth": (lambda v: v.update(trace=[[1, True, 3]] * 2), f"trace[0][1]: {NUMBER} True"),
    "checksum wide": (lambda v: v.update(trace=[[1, 2, 2**32]] * 2), f"trace[0][2]: {NUMBER} 4294967296"),
    "cycles null": (lambda v: v.update(cycles=None), f"cycles: {NUMBER} None"),
    "cycles negative": (lambda v: v.update(cycles=-1), f"cycles: {NUMBER} -1"),
    "cycles fraction": (lambda v: v.update(cycles=6.0), f"cycles: {NUMBER} 6.0"),
    "states null": (lambda v: v.update(states=None), "states: must be a list of 7 rows, not None"),
    "states empty": (lambda v: v.update(states=[]), "states: must be a list of 7 rows, not []"),
    "states row": (lambda v: v["states"][4].pop(), "states[4]: must be a list of 5 numbers, not [20, 21, 22, 23]"),
    "state list": (lambda v: v["states"].__setitem__(2, [[]] * 5), f"states[2][0]: {NUMBER} []"),
    "vote null": (lambda v: v.update(vote=None), "vote[0]: must be a list of 4 numbers, not None"),
    "vote short": (lambda v: v["vote"].pop(), "vote[0]: must be a list of 4 numbers, not [0, 0, 0]"),
    "vote wide": (lambda v: v.update(vote=[0, 0, 2**32, 0]), f"vote[0][2]: {NUMBER} 4294967296"),
    "reset text": (lambda v: v.update(reset_at="9"), f"reset_at: {NUMBER} '9'"),
    "reset truth": (lambda v: v.update(reset_at=True), f"reset_at: {NUMBER} True"),
    "reset negative": (lambda v: v.update(reset_at=-1), f"reset_at: {NUMBER} -1"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_expectations_are_refused_in_one_line(name: str, folder: Path, refused: Refused) -> None:
    change, message = MALFORMED[name]
    path = folder / "expected.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    assert refused(FileError, read_case, folder).startswith(f"{path}: {message}")


def test_memory_of_another_size_is_refused(folder: Path, refused: Refused) -> None:
    write(folder, memory=MEMORY + b"\0")
    message = f"{folder / 'expected.json'}: expected.bin must have 96 bytes like image.bin, not 97"
    assert refused(FileError, read_case, folder) == message


@pytest.mark.parametrize("name", ["expected.json", "expected.bin", "program.json", "image.bin"])
def test_every_file_must_be_there(name: str, folder: Path, refused: Refused) -> None:
    (folder / name).unlink()
    assert refused(FileError, read_case, folder) == f"{folder / name}: must be a file, but it does not exist"

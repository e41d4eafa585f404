"""The comparison: every kind of difference is counted and described, and nothing else counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.bench.case import Case
from hw.bench.compare import DIFFERENCES, Observation, compare, is_equal
from hw.bench.memory import Profile
from hw.isa import STATE_NAMES, UNIT_NAMES, Opcode, Unit, make
from hw.program import Program

ADDRESS = 64
LOAD = make(Opcode.LOAD, buffer=0, address=0, line=0, row_beats=1, segments=1, segment_beats=4, stride=0, signal=8)
STORE = make(Opcode.STORE, address=0, line=0, row_beats=1, segments=1, segment_beats=2, stride=0, wait=1)
INSTRUCTIONS = (LOAD, STORE, LOAD, make(Opcode.HALT))
TRACE = ((9, 20, 0xA1), (21, 30, 0xB2), (10, 40, 0x13), (31, 41, 0))
STATES = tuple(tuple(10 * unit + state for state in range(5)) for unit in Unit)
IMAGE = bytes(ADDRESS) + b"".join(i.encode() for i in INSTRUCTIONS) + bytes(32)
AFTER = bytes([5, 6, 7, 8]) + IMAGE[4:]
VOTE = (0x10001, 3, 0xFFFFFFF0, 0xFFFFFFFF)
CASE = Case(
    folder=Path("case"),
    program=Program(Accelerator(), INSTRUCTIONS, ADDRESS, (), IMAGE),
    profile=Profile(latency=1, write_latency=1, interval=1, jitter=0, stall_rate=0, stall_max=1, seed=0),
    trace=TRACE,
    cycles=42,
    states=STATES,
    memory=AFTER,
    vote=VOTE,
)
NOTHING = dict.fromkeys(DIFFERENCES, 0)


def perfect() -> Observation:
    """Return what a core shows that does exactly what the case expects."""
    records: list[list[tuple[int, int, int]]] = [[] for _ in Unit]
    for instruction, record in zip(INSTRUCTIONS, TRACE, strict=True):
        records[instruction.unit].append(record)
    return Observation(records, AFTER, cycles=42, retired=4, states=[list(row) for row in STATES], vote=VOTE)


def counted(result: dict[str, Any]) -> dict[str, int]:
    return {name: result[name] for name in DIFFERENCES}


def test_names_follow_the_machine() -> None:
    assert list(UNIT_NAMES) == [unit.name.lower() for unit in Unit]
    assert STATE_NAMES == ("busy", "wait", "token", "issue", "empty")


def test_an_equal_run_is_equal() -> None:
    result = compare(CASE, perfect())
    assert counted(result) == NOTHING
    assert is_equal(result)
    assert result["first_difference"] == []
    assert (result["instructions"], result["cycles"], result["expected_cycles"], result["error"]) == (4, 42, 42, 0)


def test_a_core_without_counters_is_not_asked_for_states() -> None:
    seen = perfect()
    seen.states = None
    assert is_equal(compare(CASE, seen))


def text(record: tuple[int, int, int]) -> str:
    return f"issue {record[0]}, retire {record[1]}, checksum {record[2]:08x}"


@pytest.mark.parametrize(
    ("record", "timing", "checksums"),
    [((8, 20, 0xA1), 1, 0), ((9, 21, 0xA1), 1, 0), ((9, 20, 0xA0), 0, 1), ((8, 19, 0xA0), 1, 1)],
)
def test_issue_retire_and_checksum(record: tuple[int, int, int], timing: int, checksums: int) -> None:
    seen = perfect()
    seen.records[Unit.LOAD][0] = record
    result = compare(CASE, seen)
    assert counted(result) == NOTHING | {"cycles_different": timing, "checksums_different": checksums}
    assert not is_equal(result)
    assert result["first_difference"] == [
        "instruction 0 at 0x40",
        f"  simulator: {LOAD}: {text(TRACE[0])}",
        f"  RTL:       {LOAD}: {text(record)}",
    ]


def test_the_difference_that_is_expected_first_in_time_is_told() -> None:
    seen = perfect()
    seen.records[Unit.LOAD][1] = (10, 45, 0)
    seen.records[Unit.STORE][0] = (21, 31, 0xB2)
    result = compare(CASE, seen)
    assert counted(result) == NOTHING | {"cycles_different": 2, "checksums_different": 1}
    assert result["first_difference"][0] == "instruction 1 at 0x60"
    seen.records[Unit.STORE][0] = TRACE[1]
    assert compare(CASE, seen)["first_difference"][0] == "instruction 2 at 0x80"


def test_both_sides_are_disassembled_each_from_its_own_memory() -> None:
    other = make(Opcode.FENCE)
    memory = AFTER[:ADDRESS] + other.encode() + AFTER[ADDRESS + 32 :]
    seen = perfect()
    seen.memory = memory
    seen.records[Unit.LOAD][0] = (9, 22, 0xA1)
    result = compare(CASE, seen)
    assert result["bits_different"] == sum((e ^ s).bit_count() for e, s in zip(AFTER, memory, strict=True)) > 0
    assert result["first_difference"][1:] == [
        f"  simulator: {LOAD}: {text(TRACE[0])}",
        f"  RTL:       {other}: {text((9, 22, 0xA1))}",
    ]


def test_a_missing_record() -> None:
    seen = perfect()
    del seen.records[Unit.LOAD][1]
    result = compare(CASE, seen)
    assert counted(result) == NOTHING | {"cycles_different": 1}
    assert result["first_difference"][0] == "instruction 2 at 0x80"
    assert result["first_difference"][2] == f"  RTL:       {LOAD}: did not retire"


def test_nothing_retired() -> None:
    result = compare(CASE, Observation(memory=AFTER, cycles=42, retired=4, vote=VOTE))
    assert counted(result) == NOTHING | {"cycles_different": 4}


@pytest.mark.parametrize("unit", Unit)
def test_surplus_records_count(unit: Unit) -> None:
    seen = perfect()
    seen.records[unit] += [(50, 51, 0), (52, 53, 0)]
    result = compare(CASE, seen)
    assert counted(result) == NOTHING | {"cycles_different": 2}
    assert not is_equal(result)


@pytest.mark.parametrize(
    ("changes", "described"),
    [
        ({"cycles": 43}, "43 cycles, 4 instructions retired, 4 traced, error 0"),
        ({"cycles": 0}, "0 cycles, 4 instructions retired, 4 traced, error 0"),
        ({"error": 3}, "42 cycles, 4 instructions retired, 4 traced, error 3"),
        ({"retired": 3}, "42 cycles, 3 instructions retired, 4 traced, error 0"),
    ],
)
def test_the_whole_run(changes: dict[str, int], described: str) -> None:
    result = compare(CASE, replace(perfect(), **changes))
    assert counted(result) == NOTHING | {"cycles_different": 1}
    expected = "run: simulator 42 cycles, 4 instructions retired, 4 traced, error 0"
    assert result["first_difference"] == [expected, f"  RTL:          {described}"]
    assert (result["cycles"], result["error"]) == (changes.get("cycles", 42), changes.get("error", 0))


@pytest.mark.parametrize("retired", [3, 5])
def test_the_number_of_retired_instructions_counts(retired: int) -> None:
    assert counted(compare(CASE, replace(perfect(), retired=retired))) == NOTHING | {"cycles_different": 1}


@pytest.mark.parametrize("address", [0, 3, len(AFTER) - 1])
@pytest.mark.parametrize("mask", [1, 0x80, 0xFF])
def test_memory_is_compared_bit_by_bit(address: int, mask: int) -> None:
    memory = bytearray(AFTER)
    memory[address] ^= mask
    result = compare(CASE, replace(perfect(), memory=bytes(memory)))
    assert counted(result) == NOTHING | {"bits_different": mask.bit_count()}
    assert not is_equal(result)
    expected, found = AFTER[address], memory[address]
    told = [f"memory byte {address:#x}", f"  simulator: {expected:08b}", f"  RTL:       {found:08b}"]
    assert result["first_difference"] == told


def test_bits_of_several_bytes_add_up_and_the_first_is_told() -> None:
    memory = bytes([4, 6, 7, 8 ^ 0x33]) + AFTER[4:]
    result = compare(CASE, replace(perfect(), memory=memory))
    assert result["bits_different"] == 1 + 4
    assert result["first_difference"][0] == "memory byte 0x0"


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("state", range(5))
def test_every_state_count_is_compared(unit: Unit, state: int) -> None:
    seen = perfect()
    assert seen.states is not None
    seen.states[unit][state] += 1
    result = compare(CASE, seen)
    assert counted(result) == NOTHING | {"states_different": 1}
    assert not is_equal(result)
    expected = STATES[unit][state]
    told = f"{UNIT_NAMES[unit]} {STATE_NAMES[state]}: expected {expected}, core {expected + 1} cycles"
    assert result["first_difference"] == [told]


def test_of_several_states_the_first_is_told() -> None:
    seen = perfect()
    seen.states = [[count + 1 for count in row] for row in STATES]
    result = compare(CASE, seen)
    assert result["states_different"] == 5 * len(Unit) == 35
    assert result["first_difference"] == ["load busy: expected 0, core 1 cycles"]


@pytest.mark.parametrize("index", range(4))
def test_every_register_of_the_vote_is_compared(index: int) -> None:
    vote = tuple(number ^ (n == index) for n, number in enumerate(VOTE))
    result = compare(CASE, replace(perfect(), vote=vote))
    assert counted(result) == NOTHING | {"votes_different": 1}
    assert not is_equal(result)
    name = ("class", "members", "total_low", "total_high")[index]
    assert result["first_difference"] == [f"register {name}: expected {VOTE[index]:#x}, core {vote[index]:#x}"]


def test_a_run_that_should_have_ended_earlier() -> None:
    case = replace(CASE, trace=TRACE[:3])
    result = compare(case, replace(perfect(), retired=3))
    assert counted(result) == NOTHING | {"cycles_different": 1}
    assert result["instructions"] == 3


@pytest.mark.parametrize("name", DIFFERENCES)
def test_is_equal_needs_every_count(name: str) -> None:
    assert is_equal(NOTHING)
    assert not is_equal(NOTHING | {name: 1})
    assert not is_equal({key: value for key, value in NOTHING.items() if key != name})
    assert not is_equal({"failure": "HangError: the core must finish"})


@pytest.mark.parametrize("name", ["surplus", "retired"])
def test_what_is_counted_is_described(name: str) -> None:
    seen = perfect()
    if name == "surplus":
        seen.records[Unit.STORE].append((50, 51, 0))
    else:
        seen.retired = 3
    assert compare(CASE, seen)["first_difference"] != []


def test_a_destroyed_program_is_a_difference_like_any_other() -> None:
    seen = perfect()
    seen.memory = AFTER[:ADDRESS] + bytes([255] * 32) + AFTER[ADDRESS + 32 :]
    seen.records[Unit.LOAD][0] = (9, 22, 0xA1)
    assert compare(CASE, seen)["cycles_different"] == 1

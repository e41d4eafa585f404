"""Compare what the core did with what the case expects, and say where they first part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hw.bench.case import NO_VOTE, VOTE_REGISTERS, Case
from hw.isa import INSTRUCTION_BYTES, STATE_NAMES, UNIT_NAMES, Instruction, InstructionError, Unit, decode

Record = tuple[int, int, int]
DIFFERENCES = ("bits_different", "cycles_different", "checksums_different", "states_different", "votes_different")


@dataclass
class Observation:
    """What the core showed: records per unit in order of retirement, the memory, the counters."""

    records: list[list[Record]] = field(default_factory=lambda: [[] for _ in Unit])
    memory: bytes = b""
    cycles: int = 0
    retired: int = 0
    error: int = 0
    states: list[list[int]] | None = None
    vote: tuple[int, ...] = NO_VOTE

    def in_program_order(self, instructions: Sequence[Instruction]) -> list[Record | None]:
        """Return a record for each instruction; a unit retires its instructions in program order."""
        streams = [iter(records) for records in self.records]
        return [next(streams[instruction.unit], None) for instruction in instructions]


def compare(case: Case, seen: Observation) -> dict[str, Any]:
    """Return the counts of differences and a readable account of the first one."""
    records = seen.in_program_order(case.instructions)
    timing = [i for i, (e, s) in enumerate(zip(case.trace, records, strict=True)) if s is None or e[:2] != s[:2]]
    checksums = [i for i, (e, s) in enumerate(zip(case.trace, records, strict=True)) if s is not None and e[2] != s[2]]
    bits = sum((e ^ s).bit_count() for e, s in zip(case.memory, seen.memory, strict=True) if e != s)
    states = _state_differences(case, seen)
    votes = _vote_differences(case, seen)
    surplus = sum(len(unit) for unit in seen.records) - sum(record is not None for record in records)
    whole_run = (seen.cycles != case.cycles, seen.error != 0, seen.retired != len(case.instructions))
    cycles_different = len(timing) + surplus + sum(whole_run)
    return {
        "bits_different": bits,
        "checksums_different": len(checksums),
        "cycles_different": cycles_different,
        "states_different": len(states),
        "votes_different": len(votes),
        "vote": list(seen.vote),
        "instructions": len(case.instructions),
        "cycles": seen.cycles,
        "expected_cycles": case.cycles,
        "error": seen.error,
        "first_difference": _first(case, seen, records, sorted({*timing, *checksums}), votes + states, bits),
    }


def is_equal(result: Mapping[str, Any]) -> bool:
    """Return whether a result has no difference at all; a run that failed is not equal."""
    return all(result.get(name) == 0 for name in DIFFERENCES)


def _state_differences(case: Case, seen: Observation) -> list[str]:
    if seen.states is None:
        return []
    return [
        f"{unit} {state}: expected {case.states[u][s]}, core {seen.states[u][s]} cycles"
        for u, unit in enumerate(UNIT_NAMES)
        for s, state in enumerate(STATE_NAMES)
        if case.states[u][s] != seen.states[u][s]
    ]


def _vote_differences(case: Case, seen: Observation) -> list[str]:
    return [
        f"register {name}: expected {expected:#x}, core {found:#x}"
        for name, expected, found in zip(VOTE_REGISTERS, case.vote, seen.vote, strict=True)
        if expected != found
    ]


def _first(
    case: Case, seen: Observation, records: list[Record | None], rows: list[int], states: list[str], bits: int
) -> list[str]:
    if rows:
        index = min(rows, key=lambda i: case.trace[i][1])
        start = case.program.address + index * INSTRUCTION_BYTES
        in_memory = _disassemble(seen.memory[start : start + INSTRUCTION_BYTES])
        return [
            f"instruction {index} at {start:#x}",
            f"  simulator: {case.instructions[index]}: {_describe(case.trace[index])}",
            f"  RTL:       {in_memory}: {_describe(records[index])}",
        ]
    if bits:
        address = next(i for i, (e, s) in enumerate(zip(case.memory, seen.memory, strict=True)) if e != s)
        expected, found = case.memory[address], seen.memory[address]
        return [f"memory byte {address:#x}", f"  simulator: {expected:08b}", f"  RTL:       {found:08b}"]
    whole_run = (case.cycles, len(case.instructions), len(case.instructions), 0)
    observed = (seen.cycles, seen.retired, sum(len(unit) for unit in seen.records), seen.error)
    if observed != whole_run:
        return [f"run: simulator {_describe_run(*whole_run)}", f"  RTL:          {_describe_run(*observed)}"]
    return states[:1]


def _describe_run(cycles: int, retired: int, records: int, error: int) -> str:
    return f"{cycles} cycles, {retired} instructions retired, {records} traced, error {error}"


def _disassemble(data: bytes) -> str:
    try:
        return str(decode(data))
    except InstructionError:
        return f"no instruction ({data.hex()})"


def _describe(record: Record | None) -> str:
    if record is None:
        return "did not retire"
    return f"issue {record[0]}, retire {record[1]}, checksum {record[2]:08x}"

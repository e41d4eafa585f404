"""The retirement trace: what the simulator expects of each instruction, and where something else differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from hw.isa import Instruction
from sim.machine import Execution
from sim.timing import Timing


@dataclass(frozen=True)
class TraceRow:
    """One instruction of a run: its place in the program, its text, its cycles and the checksum of its words."""

    index: int
    text: str
    issue: int
    retire: int
    checksum: int


def trace_rows(instructions: Sequence[Instruction], timing: Timing, execution: Execution) -> tuple[TraceRow, ...]:
    """Combine the cycles and the checksums of a program, one row for each instruction in program order."""
    lengths = (len(instructions), len(timing.issue), len(timing.retire), len(execution.checksums))
    if len(set(lengths)) != 1:
        raise ValueError(f"instructions, issue, retire and checksums must have one length, not {lengths}")
    columns = zip(instructions, timing.issue, timing.retire, execution.checksums, strict=True)
    return tuple(
        TraceRow(index, str(instruction), int(issue), int(retire), int(checksum))
        for index, (instruction, issue, retire, checksum) in enumerate(columns)
    )


def first_difference(expected: Sequence[TraceRow], actual: Sequence[TraceRow]) -> str | None:
    """Return one line about the first row that differs, None if there is none."""
    for wanted, got in zip(expected, actual, strict=False):
        different = [f.name for f in fields(TraceRow) if getattr(wanted, f.name) != getattr(got, f.name)]
        if different:
            details = ", ".join(f"{name} must be {_show(wanted, name)}, not {_show(got, name)}" for name in different)
            return f"instruction {wanted.index} ({wanted.text}): {details}"
    if len(expected) != len(actual):
        return f"trace must have {len(expected)} rows, not {len(actual)}"
    return None


def _show(row: TraceRow, name: str) -> str:
    value = getattr(row, name)
    return f"{value:#010x}" if name == "checksum" else str(value)

"""The files of a bench case: what to run, under which memory, and what must come out.

A case is a program folder (`program.json`, `image.bin`) with two more files: `expected.json` (memory profile,
retirement trace, state counts, registers) and `expected.bin` (the memory after the run). The bench writes `result.json`
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.bench.memory import Profile
from hw.files import FileError, read_bytes, read_json, sha256, write_atomic, write_json
from hw.isa import Instruction, Unit
from hw.messages import shown
from hw.program import MAX_IMAGE_BYTES, Program, load

FORMAT = "tallybert-case-2"
RESULT = "result.json"
STATE_COUNT = 5
#: A row of the trace takes some 30 bytes, and a long run has a hundred thousand of them.
MAX_EXPECTATION_BYTES = 1 << 26
MAX_NUMBER = 0xFFFFFFFF

#: The registers that show the vote, in the order of their offsets: docs/machine-network.md, section 4.
VOTE_REGISTERS = ("class", "members", "total_low", "total_high")
NO_VOTE = (0,) * len(VOTE_REGISTERS)

#: The ranges of docs/memory.md.
PROFILE_RANGES = {
    "latency": (1, 65535),
    "write_latency": (1, 65535),
    "interval": (1, 255),
    "jitter": (0, 65535),
    "stall_rate": (0, 256),
    "stall_max": (1, 255),
    "seed": (0, MAX_NUMBER),
}


@dataclass(frozen=True)
class Case:
    """One run and its expectation.

    `trace` has (issue, retire, checksum) for each instruction in program order, up to that which ends the run; `vote`
    has what the registers of the vote show then.
    """

    folder: Path
    program: Program
    profile: Profile
    trace: tuple[tuple[int, int, int], ...]
    cycles: int
    states: tuple[tuple[int, ...], ...]
    memory: bytes
    vote: tuple[int, ...] = NO_VOTE
    reset_at: int | None = None

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions that retire, in program order."""
        return self.program.instructions[: len(self.trace)]


def write_expectation(
    folder: Path,
    *,
    profile: dict[str, int],
    trace: list[list[int]],
    cycles: int,
    states: list[list[int]],
    memory: bytes,
    vote: Sequence[int] = NO_VOTE,
    reset_at: int | None = None,
) -> None:
    """Add the expectation to a program folder."""
    write_atomic(folder / "expected.bin", memory)
    expectation = {
        "format": FORMAT,
        "profile": profile,
        "trace": trace,
        "cycles": cycles,
        "states": states,
        "memory_sha256": sha256(memory),
        "vote": [int(number) for number in vote],
        "reset_at": reset_at,
    }
    write_json(folder / "expected.json", expectation, indent=None)


def read_case(folder: Path) -> Case:
    """Read a case folder."""
    path = folder / "expected.json"
    program = load(folder)
    value = read_json(path, MAX_EXPECTATION_BYTES)
    memory = read_bytes(folder / "expected.bin", MAX_IMAGE_BYTES)
    keys = {"format", "profile", "trace", "cycles", "states", "memory_sha256", "vote", "reset_at"}
    if set(value) != keys or value["format"] != FORMAT:
        raise FileError(f"{path}: must be of format {FORMAT} with the keys {', '.join(sorted(keys))}")
    if value["memory_sha256"] != sha256(memory):
        raise FileError(f"{path}: memory_sha256: must be that of expected.bin, {sha256(memory)}")
    if len(memory) != len(program.image):
        raise FileError(f"{path}: expected.bin must have {len(program.image)} bytes like image.bin, not {len(memory)}")
    trace = _trace(path, value["trace"], len(program.instructions))
    return Case(
        folder=folder,
        program=program,
        profile=_profile(path, value["profile"]),
        trace=tuple((row[0], row[1], row[2]) for row in trace),
        cycles=_number(path, "cycles", value["cycles"], (0, MAX_NUMBER)),
        states=_table(path, "states", value["states"], len(Unit), STATE_COUNT),
        memory=memory,
        vote=_table(path, "vote", [value["vote"]], 1, len(VOTE_REGISTERS))[0],
        reset_at=None if value["reset_at"] is None else _number(path, "reset_at", value["reset_at"], (0, MAX_NUMBER)),
    )


def _profile(path: Path, value: Any) -> Profile:
    if not isinstance(value, dict) or set(value) != set(PROFILE_RANGES):
        raise FileError(f"{path}: profile: must have the keys {', '.join(PROFILE_RANGES)}, not {shown(value)}")
    return Profile(**{n: _number(path, f"profile.{n}", value[n], bounds) for n, bounds in PROFILE_RANGES.items()})


def _trace(path: Path, value: Any, instructions: int) -> tuple[tuple[int, ...], ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= instructions:
        raise FileError(f"{path}: trace: must be a list of 1 to {instructions} rows, not {shown(value)}")
    return _table(path, "trace", value, len(value), 3)


def _table(path: Path, field: str, value: Any, rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
    if not isinstance(value, list) or len(value) != rows:
        raise FileError(f"{path}: {field}: must be a list of {rows} rows, not {shown(value)}")
    for index, row in enumerate(value):
        if not isinstance(row, list) or len(row) != columns:
            raise FileError(f"{path}: {field}[{index}]: must be a list of {columns} numbers, not {shown(row)}")
    return tuple(
        tuple(_number(path, f"{field}[{r}][{c}]", n, (0, MAX_NUMBER)) for c, n in enumerate(row))
        for r, row in enumerate(value)
    )


def _number(path: Path, field: str, value: Any, bounds: tuple[int, int]) -> int:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FileError(f"{path}: {field}: must be an integer from {low} to {high}, not {shown(value)}")
    return value

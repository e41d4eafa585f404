"""The files of a bench case: what to run, under which memory, and what must come out.

A case is a program folder (`program.json`, `image.bin`) with two more files: `expected.json` (memory profile,
retirement trace, state counts) and `expected.bin` (the memory after the run). The bench writes `result.json` there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.bench.memory import Profile
from hw.files import FileError, read_bytes, read_json, sha256, write_atomic, write_json
from hw.isa import Instruction
from hw.program import MAX_IMAGE_BYTES, Program, load

FORMAT = "tallybert-case-1"
RESULT = "result.json"


@dataclass(frozen=True)
class Case:
    """One run and its expectation. `trace` has (issue, retire, checksum) for each instruction, in program order."""

    folder: Path
    program: Program
    profile: Profile
    trace: tuple[tuple[int, int, int], ...]
    cycles: int
    states: tuple[tuple[int, ...], ...]
    memory: bytes
    reset_at: int | None = None

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions in program order."""
        return self.program.instructions


def write_expectation(
    folder: Path,
    *,
    profile: dict[str, int],
    trace: list[list[int]],
    cycles: int,
    states: list[list[int]],
    memory: bytes,
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
        "reset_at": reset_at,
    }
    write_json(folder / "expected.json", expectation)


def read_case(folder: Path) -> Case:
    """Read a case folder."""
    path = folder / "expected.json"
    program = load(folder)
    value = read_json(path)
    memory = read_bytes(folder / "expected.bin", MAX_IMAGE_BYTES)
    keys = {"format", "profile", "trace", "cycles", "states", "memory_sha256", "reset_at"}
    if set(value) != keys or value["format"] != FORMAT:
        raise FileError(f"{path}: must be of format {FORMAT} with the keys {', '.join(sorted(keys))}")
    if value["memory_sha256"] != sha256(memory):
        raise FileError(f"{path}: memory_sha256: must be that of expected.bin, {sha256(memory)}")
    if len(value["trace"]) != len(program.instructions) or len(memory) != len(program.image):
        raise FileError(f"{path}: trace and expected.bin must match the program and its image, not differ in length")
    return Case(
        folder=folder,
        program=program,
        profile=_profile(path, value["profile"]),
        trace=tuple((row[0], row[1], row[2]) for row in value["trace"]),
        cycles=value["cycles"],
        states=tuple(tuple(row) for row in value["states"]),
        memory=memory,
        reset_at=value["reset_at"],
    )


def _profile(path: Path, value: Any) -> Profile:
    try:
        return Profile(**value)
    except TypeError as error:
        raise FileError(f"{path}: profile: {error}") from None

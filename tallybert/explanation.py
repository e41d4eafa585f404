"""What `explain` says of a program: each instruction in words, and when and why it did not go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hw.isa import UNIT_NAMES
from hw.messages import shown
from hw.program import Program, load
from sim.memory import MemoryProfile
from tallybert.disassembly import operand_text, operands, ranges, touched_text
from tallybert.flow import states_report
from tallybert.lives import NOBODY, Cause
from tallybert.moment import moment
from tallybert.names import read_names
from tallybert.options import CommandError
from tallybert.playback import Playback, ending, play

MANIFEST, EXPECTATION = "program.json", "expected.json"


def read_program(text: str) -> tuple[Path, Program]:
    """Return the folder of a program, which may be a case, and the program."""
    path = Path(text)
    folder = path.parent if path.name == MANIFEST else path
    if not folder.is_dir():
        found = "the file " if folder.is_file() else ""
        fix = "`tallybert sim` and `tallybert run` write one with -o"
        raise CommandError(f"PROGRAM must be a folder with a program, not {found}{shown(text)}: {fix}")
    if not (folder / MANIFEST).exists():
        inside = sorted(str(found.parent) for found in folder.glob(f"*/{MANIFEST}"))
        fix = f"; did you mean {' or '.join(inside[:3])}?" if inside else ""
        raise CommandError(f"PROGRAM must be a folder with {MANIFEST}, not {shown(text)}{fix}")
    return folder, load(folder)


def memory_of(folder: Path, changes: dict[str, int]) -> MemoryProfile:
    """Return the memory that a case was made for, or the usual one, with some fields changed."""
    fields: dict[str, int] = {}
    if (folder / EXPECTATION).exists():
        from hw.bench.case import read_case

        profile = read_case(folder).profile
        fields = {name: getattr(profile, name) for name in MemoryProfile().to_dict()}
    return MemoryProfile(**fields | changes)


def play_program(text: str, changes: dict[str, int]) -> tuple[Path, Playback]:
    """Run a program folder, with a memory in which some fields are changed."""
    folder, program = read_program(text)
    memory = memory_of(folder, changes)
    return folder, play(program, memory, ending(program), read_names(folder, program))


def report(folder: Path, played: Playback, first: int, count: int | None) -> dict[str, Any]:
    """Return a program in words: `count` instructions from `first` on, or all of them."""
    total = len(played.instructions)
    if not 0 <= first < total:
        fix = f"the run ends with instruction {total - 1}"
        raise CommandError(f"--from must be an instruction from 0 to {total - 1}, not {first}: {fix}")
    numbers = range(first, total if count is None else min(total, first + count))
    return {
        **_facts(folder, played),
        "units": states_report(played.recording.timing),
        "first": first,
        "rows": [_row(played, number) for number in numbers],
    }


def moment_report(folder: Path, played: Playback, cycle: int) -> dict[str, Any]:
    """Return what happens in one cycle."""
    last = played.cycles - 1
    if not 0 <= cycle <= last:
        raise CommandError(f"--at must be a cycle from 0 to {last}, not {cycle}: the run ends in cycle {last}")
    return {**_facts(folder, played), **moment(played, cycle)}


def _facts(folder: Path, played: Playback) -> dict[str, Any]:
    return {
        "program": str(folder),
        "accelerator": played.accelerator.name,
        "instructions": len(played.program.instructions),
        "instructions_run": len(played.instructions),
        "cycles": played.cycles,
        "memory": played.memory.to_dict(),
    }


def _row(played: Playback, number: int) -> dict[str, Any]:
    """Return an instruction as numbers and in words."""
    i, lives, touched = played.instructions[number], played.lives, played.touched[number]
    return {
        "number": number,
        "unit": UNIT_NAMES[i.unit],
        "opcode": i.opcode.name,
        "name": played.names[number],
        "operands": operands(i),
        "text": operand_text(i),
        "reads": {name: ranges(lines) for name, lines in touched.reads.items()},
        "writes": {name: ranges(lines) for name, lines in touched.writes.items()},
        "memory": touched.memory,
        "touched": touched_text(touched),
        "problem": touched.problem,
        "waits": {UNIT_NAMES[unit]: source for unit, source in lives.givers[number].items()},
        "signals": {
            UNIT_NAMES[unit]: None if taker == NOBODY else taker for unit, taker in lives.takers[number].items()
        },
        "head": int(lives.head[number]),
        "issue": int(lives.issue[number]),
        "retire": int(lives.retire[number]),
        "stood": int(lives.stood[number]),
        "why": [{**_cause(cause), "text": cause_text(played, cause)} for cause in played.causes(number)],
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "kind": cause.kind,
        "unit": UNIT_NAMES[cause.unit],
        "instruction": cause.instruction,
        "since": cause.start,
        "until": cause.stop - 1,
    }


def cause_text(played: Playback, cause: Cause) -> str:
    """Return a cause in a few words: how many cycles, and what for."""
    cycles, name = cause.stop - cause.start, played.short(cause.instruction)
    texts = {
        "token": f"a token from {name}",
        "own": f"{name} to retire",
        "fence": f"all to retire, {name} last",
        "transfers": f"room in the transfer queue, until {name} leaves it",
        "unit": f"the unit, which {name} holds",
    }
    return f"stood {cycles:,} for {texts[cause.kind]}"

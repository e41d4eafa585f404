"""What `sim` and `run` leave where they are asked to: the program with what must come out, and the timeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tallybert.hardware import Say, write_program_case
from tallybert.names import NAMES_FILE
from tallybert.options import CommandError

if TYPE_CHECKING:
    import argparse

    from hw.program import Program
    from sim.machine import Execution
    from sim.memory import MemoryProfile
    from sim.timing import Timing


@dataclass(frozen=True)
class Kept:
    """Where the program of a run goes, and its timeline; None: it is not wanted."""

    folder: Path | None = None
    timeline: Path | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Kept:
        """Return what the arguments ask for, refusing a timeline in the place of what they ask for too."""
        check_timeline(args.timeline, args.output)
        return cls(args.output, args.timeline)

    def __bool__(self) -> bool:
        return self.folder is not None or self.timeline is not None


NOTHING = Kept()
CASE_FILES = ("program.json", "image.bin", "expected.json", "expected.bin", NAMES_FILE)
"""What a folder with a program and what must come out of it holds."""


def check_timeline(timeline: Path | None, folder: Path | None) -> None:
    """Refuse a timeline that would stand in the place of a file of a program."""
    if timeline is not None and folder is not None:
        inside = timeline.resolve().parent == folder.resolve()
        if inside and timeline.name in CASE_FILES:
            raise CommandError(f"--timeline must be a file of its own, not the program's {timeline.name}")


def keep(
    kept: Kept,
    program: Program,
    timing: Timing,
    execution: Execution,
    memory: MemoryProfile,
    say: Say,
    *,
    title: str,
    names: tuple[str, ...] = (),
) -> dict[str, str]:
    """Write what is to be kept of a run and return where it is, by the keys of a report."""
    found = {}
    if kept.folder is not None:
        write_program_case(kept.folder, program, timing, execution, memory, names=names)
        found["folder"] = str(kept.folder)
        say(f"{kept.folder}: the program and what must come out; see `tallybert explain {kept.folder}`")
    if kept.timeline is not None:
        from tallybert.playback import play
        from tallybert.timeline import write_timeline

        write_timeline(kept.timeline, play(program, memory, execution.end, names), title, say)
        found["timeline"] = str(kept.timeline)
    return found

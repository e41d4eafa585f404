"""A program that was run with every cycle recorded: what `explain` and timelines look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw.isa import Instruction, Unit
from tallybert.activity import Activity, activities
from tallybert.disassembly import Touched, touch_all
from tallybert.lives import Cause, Lives, causes, live

if TYPE_CHECKING:
    from hw.arch import Accelerator
    from hw.program import Program
    from sim.memory import MemoryProfile
    from sim.recording import Recording


@dataclass(frozen=True)
class Playback:
    """A run: the program up to the instruction that ends it, the names that are known, and what happened when.

    `names` has one for each instruction, empty where none is known; `touched` is what each reads and writes.
    """

    program: Program
    instructions: tuple[Instruction, ...]
    memory: MemoryProfile
    names: tuple[str, ...]
    recording: Recording
    lives: Lives
    activities: dict[Unit, Activity]
    touched: tuple[Touched, ...]

    @property
    def accelerator(self) -> Accelerator:
        """What it ran on."""
        return self.program.accelerator

    @property
    def cycles(self) -> int:
        """The total cycles."""
        return self.recording.timing.cycles

    def causes(self, number: int) -> list[Cause]:
        """Return why an instruction stood at the head of its queue."""
        return causes(self.lives, self.accelerator, self.instructions, number)

    def title(self, number: int) -> str:
        """Return an instruction as opcode, number and, if it is known, name."""
        short = self.short(number)
        return f"{short}: {self.names[number]}" if self.names[number] else short

    def short(self, number: int) -> str:
        """Return an instruction as opcode and number."""
        return f"{self.instructions[number].opcode.name} {number}"


def play(program: Program, memory: MemoryProfile, end: int | None = None, names: tuple[str, ...] = ()) -> Playback:
    """Run a program that the instruction `end` ends, or the last one, and record every cycle.

    Transfers that have no name among `names` get that of their region.
    """
    from sim.recording import record_run

    recording = record_run(program.accelerator, program.instructions, memory, end)
    count = len(program.instructions) if end is None else end + 1
    instructions = program.instructions[:count]
    lives = live(program.accelerator, instructions, recording)
    touched = touch_all(program, instructions)
    given = names[:count] if names else ("",) * count
    return Playback(
        program=program,
        instructions=instructions,
        memory=memory,
        names=tuple(name or found.region for name, found in zip(given, touched, strict=True)),
        recording=recording,
        lives=lives,
        activities=activities(recording, lives, instructions),
        touched=touched,
    )


def ending(program: Program) -> int:
    """Return the instruction that ends a run of the program: where one may end early, by running it on values."""
    from hw.isa import Opcode
    from sim.machine import execute

    if all(instruction.opcode is not Opcode.EXIT for instruction in program.instructions):
        return len(program.instructions) - 1
    return execute(program).end

"""The timing model: when each instruction of a program issues and retires, and what each unit does meanwhile.

It implements section 3 of docs/machine.md and docs/memory.md cycle by cycle, without tolerance and without values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import hw.isa
from hw.arch import Accelerator
from hw.isa import FIELDS, Instruction, Opcode, Unit
from sim import channels, compiled, control, cycle, memory, queues, record, state, steps, units
from sim.memory import MemoryProfile
from sim.state import NEVER
from sim.transfers import gather_problem

_SOURCES = compiled.digest(
    (hw.isa, channels, compiled, control, cycle, memory, queues, record, state, steps, units),
)
_run = cycle.cached_run(_SOURCES)
_recorded_run = cycle.cached_recorded_run(_SOURCES)


_NEEDS = {
    Opcode.VECTOR: "vector_lanes",
    Opcode.MEAN: "vector_lanes",
    Opcode.TABLE: "vector_lanes",
    Opcode.SOFTMAX: "row_lanes",
    Opcode.CLASSIFY: "classes",
    Opcode.EXIT: "classes",
}
"""What an accelerator must have for an instruction, so that it takes a time."""


_GATHER = [f.name for f in FIELDS[Opcode.LOAD]].index("gather")
_ADDRESS = {opcode: [f.name for f in FIELDS[opcode]].index("address") for opcode in (Opcode.LOAD, Opcode.STORE)}
"""Which operands of a transfer these are; what else a transfer is follows its address."""


class TimingError(ValueError):
    """A program that does not run to its end; the message names the instructions that are in the way."""


@dataclass(frozen=True)
class Timing:
    """Issue and retire cycle of each instruction in program order, total cycles, and cycles by unit and state.

    What stands behind the end of the run has NEVER, -1, for both.

    `states[unit, state]` has the units load, array, drain, store, vector, row, sequencer and the states busy, wait,
    token, issue, empty; each row adds up to `cycles`, or to 0 where the unit was left out. All arrays are int64.
    """

    issue: np.ndarray
    retire: np.ndarray
    cycles: int
    states: np.ndarray


def simulate(
    accelerator: Accelerator, instructions: Sequence[Instruction], profile: MemoryProfile, end: int | None = None
) -> Timing:
    """Run the instructions on the accelerator with the memory of the profile.

    `end` is the index of the EXIT that ends the run, as `sim.machine.execute` finds it, or None for the HALT.
    """
    instructions = tuple(instructions)
    _check_halt(instructions)
    end = len(instructions) - 1 if end is None else end
    _check_end(instructions, end)
    for index, instruction in enumerate(instructions):
        if instruction.opcode in (Opcode.LOAD, Opcode.STORE):
            _check_alignment(accelerator, index, instruction)
        need = _NEEDS.get(instruction.opcode)
        if need and not getattr(accelerator, need):
            name = instruction.opcode.name
            raise TimingError(f"instruction {index} ({instruction}): {need} must be at least 1 for {name}, not 0")
    registers = state.initial_state(accelerator, instructions, profile, end)
    cycles = int(_run(registers))
    timing = Timing(registers.issue, registers.retire, cycles, registers.states)
    if cycles < 0:
        held, last = "; ".join(_held(instructions[: end + 1], timing)), instructions[end].opcode.name
        raise TimingError(f"program must run to its {last}, not stop for ever before cycle {-cycles}: {held}")
    return timing


def run_recorded(
    accelerator: Accelerator, instructions: Sequence[Instruction], profile: MemoryProfile, end: int | None = None
) -> tuple[Timing, np.ndarray]:
    """Return the timing as `simulate` does, and with it the record of each cycle, int32, as `sim.record` has it.

    What it takes to record is compiled when it is called first, which takes as long as for `simulate`.
    """
    instructions = tuple(instructions)
    timing = simulate(accelerator, instructions, profile, end)
    log = np.full(timing.cycles, record.NOTHING, np.int32)
    _recorded_run(state.initial_state(accelerator, instructions, profile, end), log)
    return timing, log


def _check_halt(instructions: tuple[Instruction, ...]) -> None:
    halts = [index for index, instruction in enumerate(instructions) if instruction.opcode is Opcode.HALT]
    if halts != [len(instructions) - 1]:
        raise TimingError(
            f"program must have one HALT, its last instruction, not HALT at {halts} of {len(instructions)}"
        )


def _check_end(instructions: tuple[Instruction, ...], end: int) -> None:
    legal = [index for index, i in enumerate(instructions) if i.opcode in (Opcode.EXIT, Opcode.HALT)]
    if end not in legal:
        raise TimingError(f"end must be the index of an EXIT or of the HALT, one of {legal}, not {end}")


def _check_alignment(accelerator: Accelerator, index: int, instruction: Instruction) -> None:
    if instruction.opcode is Opcode.LOAD and instruction.operands[_GATHER]:
        if problem := gather_problem(accelerator, instruction):
            raise TimingError(f"instruction {index} ({instruction}): {problem}")
        return
    beat = accelerator.beat_bytes
    start = _ADDRESS[instruction.opcode]
    address, _, _, segments, _, stride = instruction.operands[start : start + 6]
    if address % beat == 0 and (segments == 1 or stride % beat == 0):
        return
    for name in ("address", "stride") if instruction.segments > 1 else ("address",):
        value = getattr(instruction, name)
        if value % beat:
            raise TimingError(
                f"instruction {index} ({instruction}): "
                f"{name} must be a multiple of the {beat} bytes of a beat, not {value}"
            )


def _held(instructions: tuple[Instruction, ...], timing: Timing) -> Iterator[str]:
    """Yield, for each unit, what its first instruction that has not retired does not do."""
    seen: set[Unit] = set()
    for index in np.flatnonzero(timing.retire[: len(instructions)] == NEVER):
        instruction = instructions[index]
        if instruction.unit not in seen:
            seen.add(instruction.unit)
            issue = timing.issue[index]
            missing = "does not issue" if issue == NEVER else f"issued in cycle {issue}, does not retire"
            yield f"instruction {index} ({instruction}) {missing}"

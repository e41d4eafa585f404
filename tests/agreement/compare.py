"""Run the cases of a group on the RTL and on the simulator: layers, or programs of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hw.arch import Accelerator
from hw.bench.build import build
from hw.bench.compare import is_equal
from hw.bench.runner import run
from hw.gateware.verilog import generate
from hw.program import Program
from model.bits import unpack
from sim import reference
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.timing import simulate
from tallybert.flow import Workload, random_workload, run_simulation, write_case
from tallybert.hardware import write_program_case
from tests.agreement.points import Point

KINDS = {
    "bits": ("bits_different", "checksums_different"),
    "cycles": ("cycles_different", "states_different"),
    "vote": ("votes_different", "reference_different"),
}
"""What of a result says that a run differs in this way."""


def kinds_of(result: Mapping[str, Any]) -> frozenset[str]:
    """Return the ways in which a run differs; a run that did not end differs in one of its own, `failure`."""
    if "failure" in result:
        return frozenset({"failure"})
    return frozenset(kind for kind, names in KINDS.items() if any(result.get(name, 0) for name in names))


@lru_cache(maxsize=1)
def verilog_of(accelerator: Accelerator) -> str:
    """Return the Verilog of an accelerator; making it takes longer than most runs."""
    return generate(accelerator)


def compare(points: Sequence[Point], simulator: str, cache: Path, work: Path) -> list[dict[str, Any]]:
    """Return the bench's result of each case; all of them run in one simulation, without a reset between them."""
    accelerator = points[0].accelerator
    folders = [_write(point, work / f"case{point.number}") for point in points]
    built = build(verilog_of(accelerator), simulator, cache)
    return run(built, simulator, folders, work)


def failures(points: Sequence[Point], results: Sequence[dict[str, Any]]) -> list[str]:
    """Return an account of each case that is not equal in every bit and every cycle."""
    return [f"{point}: {result}" for point, result in zip(points, results, strict=True) if not is_equal(result)]


@dataclass(frozen=True)
class ProgramCase:
    """A program with its memory, the cases that run before it in the same simulation, and where a reset comes.

    With a `reset_rate` it is begun before, and meets a reset behind this part of its cycles.
    """

    number: int
    program: Program
    memory: MemoryProfile
    before: tuple[ProgramCase, ...] = field(default=(), kw_only=True)
    reset_rate: float | None = field(default=None, kw_only=True)


def compare_programs(cases: Sequence[ProgramCase], simulator: str, cache: Path, work: Path) -> list[dict[str, Any]]:
    """Return the bench's result of each case: a simulation for each first one, with those that follow it.

    What buffers hold is 0 where a simulation begins.
    """
    built = build(verilog_of(cases[0].program.accelerator), simulator, cache)
    chains: list[list[ProgramCase]] = []
    for case in cases:
        if chains and case.before and chains[-1] == list(case.before):
            chains[-1].append(case)
        else:
            chains.append([*case.before, case])
    results = {}
    for chain in chains:
        folders = [_write_program(case, work / f"case{case.number}") for case in chain]
        found = run(built, simulator, folders, work / f"run{chain[-1].number}")
        results |= {case.number: result for case, result in zip(chain, found, strict=True)}
    return [results[case.number] for case in cases]


def _write_program(case: ProgramCase, folder: Path) -> Path:
    program, execution = case.program, execute(case.program)
    timing = simulate(program.accelerator, program.instructions, case.memory, execution.end)
    reset_at = None if case.reset_rate is None else 1 + int(case.reset_rate * timing.cycles)
    write_program_case(folder, program, timing, execution, case.memory, reset_at)
    return folder


def _write(point: Point, folder: Path) -> Path:
    work = random_workload(point.rows, point.inputs, point.outputs, point.input_set, point.seed)
    work = _at_the_thresholds(work)
    done = run_simulation(point.accelerator, work, point.memory, lambda line: None)
    reset_at = 1 + point.seed % done.mapped.timing.cycles if point.resets else None
    write_case(folder, done, point.memory, reset_at)
    return folder


def _at_the_thresholds(work: Workload) -> Workload:
    """Put the threshold of every channel at, just below or just above a sum that it really gets."""
    layer = work.layer
    weights = unpack(layer.weights, layer.inputs)
    sums = reference.sums(work.activations, weights, layer.input_set == "unsigned")
    channels = np.arange(layer.outputs)
    near = sums[channels % len(sums), channels] + channels % 3 - 1
    thresholds = np.clip(near, -layer.inputs, layer.inputs + 1).astype(np.int32)
    return replace(work, layer=replace(layer, thresholds=thresholds))

"""A program on the RTL: its case for the bench, and what differs from what the simulator says."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw.program import Program
    from sim.machine import Execution
    from sim.memory import MemoryProfile
    from sim.timing import Timing

Say = Callable[[str], None]
RTL_FOLDER, CASE_FOLDER, WORK_FOLDER = "rtl", "case", "work"
_LOW = 0xFFFFFFFF


def in_folder(keep: Path | None, simulator: str, work: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Return a report of work in a folder, of which the report tells if it is kept.

    Files that are not to be kept stay only where the simulation broke down: the error names its log.
    """
    from hw.bench.build import BuildError, missing_tool
    from hw.bench.runner import RunError

    missing = missing_tool(simulator)
    if missing:
        raise BuildError(missing)
    folder = keep or Path(tempfile.mkdtemp(prefix="tallybert-"))
    wanted = keep is not None
    try:
        report = work(folder)
    except RunError:
        wanted = True
        raise
    finally:
        if not wanted:
            shutil.rmtree(folder, ignore_errors=True)
    return {**report, "kept": str(keep) if keep else None}


def write_program_case(
    folder: Path,
    program: Program,
    timing: Timing,
    execution: Execution,
    memory: MemoryProfile,
    reset_at: int | None = None,
    names: tuple[str, ...] = (),
) -> None:
    """Write a program as a case for the bench: program, image, and everything that must come out; and its names."""
    from hw.bench.case import RESULT, write_expectation
    from tallybert.names import write_names

    for stale in ("expected.json", RESULT):
        (folder / stale).unlink(missing_ok=True)
    end = execution.end + 1
    columns = (timing.issue[:end], timing.retire[:end], execution.checksums[:end])
    program.save(folder)
    write_names(folder, program, names)
    write_expectation(
        folder,
        profile=memory.to_dict(),
        trace=[[int(number) for number in row] for row in zip(*columns, strict=True)],
        cycles=timing.cycles,
        states=timing.states.tolist(),
        memory=execution.memory.tobytes(),
        vote=vote_registers(execution),
        reset_at=reset_at,
    )


def vote_registers(execution: Execution) -> tuple[int, int, int, int]:
    """Return what CLASS, MEMBERS and the halves of TOTAL show after a run."""
    vote = execution.result
    return vote.leader | vote.decided << 16, vote.members, vote.total & _LOW, vote.total >> 32 & _LOW


def compare_with_rtl(
    folder: Path,
    program: Program,
    timing: Timing,
    execution: Execution,
    memory: MemoryProfile,
    simulator: str,
    say: Say,
    names: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Generate and build the core, run a program on it, and return what differs from the simulator's account."""
    from hw.bench.build import build, default_cache
    from hw.bench.compare import DIFFERENCES, is_equal
    from hw.bench.runner import run
    from hw.gateware.bundle import VERILOG_FILE, write_bundle

    accelerator = program.accelerator
    say(f"generating the RTL of {accelerator.name} ({accelerator.lanes} binary lanes)")
    started = time.perf_counter()
    write_bundle(accelerator, folder / RTL_FOLDER)
    generated_at = time.perf_counter()
    write_program_case(folder / CASE_FOLDER, program, timing, execution, memory, names=names)
    say(f"building it for {simulator} (kept for the next time)")
    built = build((folder / RTL_FOLDER / VERILOG_FILE).read_text(), simulator, default_cache())
    built_at = time.perf_counter()
    say(f"running {timing.cycles} cycles under cocotb")
    result = run(built, simulator, [folder / CASE_FOLDER], folder / WORK_FOLDER)[0]
    return {
        "simulator": simulator,
        "counters": accelerator.counters,
        "ok": is_equal(result),
        **{name: result.get(name) for name in DIFFERENCES},
        "rtl_cycles": result.get("cycles"),
        "rtl_vote": result.get("vote"),
        "first_difference": result.get("first_difference", [result.get("failure")]),
        "rtl_seconds": result["rtl_seconds"],
        "generate_seconds": round(generated_at - started, 3),
        "build_seconds": round(built_at - generated_at, 3),
    }

"""RTL = simulator where every unit waits for another: as it is, after resets, and with faults from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.bench.build import build, default_cache, missing_tool
from hw.bench.compare import is_equal
from hw.bench.runner import run
from hw.gateware.verilog import generate
from hw.isa import Opcode
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.timing import simulate
from tallybert.hardware import write_program_case
from tests.agreement.chain import CHAINED, chained_program

MEMORY = MemoryProfile(latency=5, write_latency=3, jitter=9, stall_rate=80, stall_max=5, seed=11)
RESETS = 16
SIMULATOR = "verilator"
"""Hundreds of runs: it takes longer to build than Icarus, and less in all."""


@pytest.mark.parametrize("module", ["hw.bench.cocotb_test", "tests.agreement.faulty_bus"])
def test_a_chain_of_all_units_agrees(module: str, tmp_path: Path) -> None:
    if missing := missing_tool(SIMULATOR):
        pytest.skip(missing)
    program = chained_program()
    execution = execute(program)
    assert program.instructions[execution.end].opcode is Opcode.EXIT
    timing = simulate(CHAINED, program.instructions, MEMORY, execution.end)
    resets = [None, *range(5, timing.cycles, timing.cycles // RESETS)] if module == "hw.bench.cocotb_test" else [None]
    folders = [tmp_path / f"case{place}" for place in range(len(resets))]
    for folder, reset_at in zip(folders, resets, strict=True):
        write_program_case(folder, program, timing, execution, MEMORY, reset_at)
    results = run(build(generate(CHAINED), SIMULATOR, default_cache()), SIMULATOR, folders, tmp_path / "work", module)
    assert results and all(is_equal(result) for result in results), results

"""Faults from outside in RTL: an error code and an exact next run, never a hang."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.bench.build import build, default_cache, missing_tool
from hw.bench.compare import is_equal
from hw.bench.runner import run
from hw.gateware.verilog import generate
from sim.memory import MemoryProfile
from tallybert.flow import random_workload, run_simulation, write_case
from tests.agreement.test_streams import SMALL

MEMORY = MemoryProfile(latency=5, write_latency=3, jitter=9, stall_rate=80, stall_max=5, seed=11)


@pytest.mark.icarus
def test_faults_are_reported_and_forgotten(tmp_path: Path) -> None:
    missing = missing_tool("icarus")
    if missing:
        pytest.skip(missing)
    done = run_simulation(SMALL, random_workload(3, 9, 3, "signed", 5), MEMORY, lambda line: None)
    write_case(tmp_path / "case", done, MEMORY)
    built = build(generate(SMALL), "icarus", default_cache())
    results = run(built, "icarus", [tmp_path / "case"], tmp_path / "work", "tests.agreement.faulty_bus")
    assert all(is_equal(result) for result in results), results

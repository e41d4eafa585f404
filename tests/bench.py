"""The benchmarks behind the figures in the README: `make bench`, or `python -m tests.bench [--json]`.

Rates are ratios within one run: the simulator and the RTL do the same cycles on the same machine, in turn.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hw.bench.build import build, default_cache
from hw.bench.compare import is_equal
from hw.bench.runner import run
from hw.config import load_accelerator
from hw.gateware.verilog import generate
from sim.memory import MemoryProfile
from sim.timing import simulate
from tallybert.flow import Simulation, random_workload, run_simulation, write_case
from tests.bench_training import training_figures

LAYER = (128, 768, 768)
MEMORY = MemoryProfile(latency=60)
REPEATS = 5


def main() -> int:
    """Run every benchmark and print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__.splitlines()[0],
        epilog="example: python -m tests.bench --json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    figures = {"machine": _machine(), **_layer_figures(), **_generation_figures(), **training_figures()}
    if args.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):58} {value}")
    return 0


def _layer_figures() -> dict[str, Any]:
    """Time the layer on `edge`: the timing model with its full trace, and the RTL under cocotb on Verilator."""
    edge = load_accelerator("edge")
    _say("mapping 128x768x768 onto edge")
    done = run_simulation(edge, random_workload(*LAYER, "signed", 0), MEMORY, _say)
    cycles = done.mapped.timing.cycles
    _say("building edge for Verilator")
    built = build(generate(edge), "verilator", default_cache())
    ratios, rtl_rates, sim_rates = [], [], []
    for index in range(REPEATS):
        _say(f"running RTL and timing model, {index + 1} of {REPEATS}")
        rtl_seconds = _rtl_seconds(built, done)
        sim_seconds = _median_seconds(lambda: simulate(edge, done.mapped.program.instructions, MEMORY))
        rtl_rates.append(cycles / rtl_seconds)
        sim_rates.append(cycles / sim_seconds)
        ratios.append(rtl_seconds / sim_seconds)
    states = done.mapped.timing.states
    return {
        "layer": "128x768x768 signed on edge, 8 bytes per cycle, latency 60",
        "cycles": cycles,
        "array_busy_cycles": int(states[1, 0]),
        "array_utilisation": round(done.mapped.utilisation, 4),
        "array_lost_to_drain": int(states[1, 1]),
        "array_lost_to_tokens": int(states[1, 2]),
        "array_lost_empty": int(states[1, 3] + states[1, 4]),
        "timing_cycles_per_second": round(statistics.median(sim_rates)),
        "verilator_cocotb_cycles_per_second": round(statistics.median(rtl_rates)),
        "timing_vs_verilator_cocotb": round(statistics.median(ratios)),
        "timing_vs_verilator_cocotb_range": [round(min(ratios)), round(max(ratios))],
        "mapping_seconds": round(done.mapping_seconds, 3),
        "values_seconds": round(done.values_seconds, 3),
    }


def _rtl_seconds(built: Path, done: Simulation) -> float:
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case"
        write_case(case, done, MEMORY)
        result = run(built, "verilator", [case], Path(folder) / "work")[0]
    if not is_equal(result):
        raise AssertionError(f"RTL and simulator differ: {result}")
    return float(result["rtl_seconds"])


def _median_seconds(action: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(9):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _generation_figures() -> dict[str, float]:
    figures = {}
    for name in ("nano", "edge", "big"):
        _say(f"generating the RTL of {name}")
        started = time.perf_counter()
        generate(load_accelerator(name))
        figures[f"generate_{name}_seconds"] = round(time.perf_counter() - started, 2)
    return figures


def _machine() -> str:
    model = next((line for line in _cpu_lines() if line.startswith("model name")), platform.processor())
    return f"{model.split(':')[-1].strip()}, Python {platform.python_version()}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

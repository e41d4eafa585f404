"""The cocotb test: run every case that the list names, in one simulation, and write a result beside each.

Environment: TALLYBERT_CASES is a file with one case folder per line. The first case starts from power-up, the others
follow without a reset, so each also checks that the core starts again cleanly.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import cocotb

from hw.bench.case import RESULT, Case, read_case
from hw.bench.compare import compare
from hw.bench.driver import Bench, HangError
from hw.bench.memory import ProtocolError
from hw.files import write_json

LIMIT_FACTOR, LIMIT_EXTRA = 2, 10_000


@cocotb.test()
async def run_cases(dut: Any) -> None:
    """Run the cases in order; only a broken bench fails here, differences are in the results."""
    folders = Path(os.environ["TALLYBERT_CASES"]).read_text().split("\n")
    bench: Bench | None = None
    for folder in filter(None, folders):
        case = read_case(Path(folder))
        if bench is None:
            bench = Bench(dut, case.program.accelerator.beat_bytes)
            await bench.start_clock()
        await run_case(bench, case)


async def run_case(bench: Bench, case: Case) -> None:
    """Run one case (after a reset in flight, if it asks for one) and write its result."""
    started = time.perf_counter()
    try:
        if case.reset_at is not None:
            await bench.run_into_reset(case, case.reset_at)
        started = time.perf_counter()
        result = compare(case, await bench.run(case, LIMIT_FACTOR * case.cycles + LIMIT_EXTRA))
    except (ProtocolError, HangError, ValueError) as error:  # an output that is X or Z is no number: ValueError
        result = {"failure": f"{type(error).__name__}: {error}"}
        await bench.reset()
    write_json(case.folder / RESULT, result | {"rtl_seconds": round(time.perf_counter() - started, 4)})

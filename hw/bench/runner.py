"""Run a list of case folders on a built simulation and collect the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cocotb_tools.runner import get_runner

from hw.bench.build import TOPLEVEL
from hw.bench.case import RESULT
from hw.files import read_json, write_atomic


class RunError(RuntimeError):
    """The simulation ended without a result for some case; the message names the log."""


def run(
    built: Path, simulator: str, cases: Sequence[Path], work: Path, test_module: str = "hw.bench.cocotb_test"
) -> list[dict[str, Any]]:
    """Run the cases in one simulation and return the result of each; `work` takes the log and the list.

    Another `test_module` must, like ours, write a result for each case.
    """
    work.mkdir(parents=True, exist_ok=True)
    names = work / "cases.txt"
    log = work / "simulation.log"
    write_atomic(names, "".join(f"{case.resolve()}\n" for case in cases).encode())
    for case in cases:
        (case / RESULT).unlink(missing_ok=True)
    try:
        get_runner(simulator).test(
            test_module=test_module,
            hdl_toplevel=TOPLEVEL,
            hdl_toplevel_lang="verilog",
            build_dir=built,
            test_dir=work,
            results_xml=str((work / "results.xml").resolve()),
            extra_env={"TALLYBERT_CASES": str(names.resolve())},
            timescale=("1ns", "1ps"),
            log_file=log,
        )
    except (SystemExit, RuntimeError):
        raise RunError(f"{simulator} did not finish; its output is in {log}") from None
    return [_result(case, log) for case in cases]


def _result(case: Path, log: Path) -> dict[str, Any]:
    path = case / RESULT
    if not path.exists():
        raise RunError(f"{case}: the simulation gave no result; its output is in {log}")
    return read_json(path)

"""Run the bench from the command line: `python -m hw.bench CORE.v CASE [CASE ...]`. Exit code 1: something differs."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from hw.bench.build import SIMULATORS, BuildError, build, default_cache
from hw.bench.case import read_case
from hw.bench.compare import is_equal
from hw.bench.runner import RunError, run
from hw.files import FileError, read_bytes

MAX_VERILOG_BYTES = 1 << 28


def main() -> int:
    """Build the core, run the cases, print a result for each."""
    args = _arguments()
    try:
        for case in args.cases:
            read_case(case)
        verilog = read_bytes(args.core, MAX_VERILOG_BYTES).decode("utf-8", "replace")
        with tempfile.TemporaryDirectory(prefix="tallybert-bench-") as work:
            built = build(verilog, args.simulator, default_cache())
            results = run(built, args.simulator, args.cases, Path(work))
    except (FileError, BuildError, RunError) as error:
        print(f"hw.bench: error: {error}", file=sys.stderr)
        return 2
    for case, result in zip(args.cases, results, strict=True):
        print(json.dumps({"case": str(case), **result}, indent=1))
    return 0 if all(is_equal(result) for result in results) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hw.bench",
        description="Run a generated core on cases and compare it with what they expect.",
        epilog="example: python -m hw.bench out/demo/rtl/tallybert_core.v out/demo/case --simulator icarus",
    )
    parser.add_argument("core", type=Path, help="the core's Verilog, with the traced machine inside")
    parser.add_argument(
        "cases", type=Path, nargs="+", metavar="CASE", help="case folders, as `tallybert verify --keep` writes them"
    )
    parser.add_argument("--simulator", choices=SIMULATORS, default="verilator")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

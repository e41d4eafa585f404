"""The long comparison of RTL and simulator: `make regress`, or `python -m tests.regress --help`.

Each finished group is a line in the journal, so an interrupted regression goes on where it was. A failing case is
printed with the command that replays it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from hw.bench.build import default_cache, missing_tool
from hw.bench.compare import is_equal
from hw.files import FileError
from tests.agreement.compare import compare, compare_programs
from tests.agreement.loose_cases import PROGRAMS_PER_GROUP, loose_group
from tests.agreement.networks import NETWORKS_PER_GROUP, network_group
from tests.agreement.points import LAYERS_PER_GROUP, group, simulator_of

GROUP_SIZE = {"layers": LAYERS_PER_GROUP, "loose": PROGRAMS_PER_GROUP, "networks": NETWORKS_PER_GROUP}
"""Cases of a group, by what is compared: layers and networks, mapped, or programs that no mapper makes."""

MAKE: dict[str, Callable[[int, int], Sequence[Any]]]
MAKE = {"layers": group, "loose": loose_group, "networks": network_group}
COMPARE: dict[str, Callable[..., list[dict[str, Any]]]]
COMPARE = {"layers": compare, "loose": compare_programs, "networks": compare_programs}


def run_group(what: str, seed: int, number: int, only: int | None = None) -> dict[str, Any]:
    """Run a group, or one of its cases, and return what the journal keeps."""
    points = [point for point in MAKE[what](seed, number) if only in (None, point.number)]
    simulator = _simulator(what, points[0])
    if missing_tool(simulator):
        simulator = "verilator"
    started = time.perf_counter()
    work = Path(tempfile.mkdtemp(prefix="tallybert-regress-"))
    try:
        results = COMPARE[what](points, simulator, default_cache(), work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    bad = [
        {"case": point.number, "point": str(point), "result": result}
        for point, result in zip(points, results, strict=True)
        if not is_equal(result)
    ]
    return {
        "what": what,
        "seed": seed,
        "group": number,
        "simulator": simulator,
        "cases": len(points),
        "cycles": sum(result.get("cycles", 0) for result in results),
        "failures": bad,
        "seconds": round(time.perf_counter() - started, 2),
    }


def _simulator(what: str, point: Any) -> str:
    """Return the simulator that suits a group; networks are short runs on small cores."""
    if what == "networks":
        return "icarus"
    return simulator_of(point.accelerator if what == "layers" else point.program.accelerator)


def finished_groups(journal: Path, what: str, seed: int) -> dict[int, dict[str, Any]]:
    """Return what the journal holds of this kind and seed; a torn last line is left out and cut off."""
    if not journal.exists():
        return {}
    whole = journal.read_bytes()
    lines = whole[: whole.rfind(b"\n") + 1]
    if len(lines) != len(whole):
        journal.write_bytes(lines)
        print(f"{journal}: removed {len(whole) - len(lines)} bytes of an unfinished last line", file=sys.stderr)
    records = [json.loads(line) for line in lines.splitlines()]
    return {
        record["group"]: record for record in records if (record.get("what", "layers"), record["seed"]) == (what, seed)
    }


def main() -> int:
    """Run the regression; exit code 1 says that some case differs."""
    args = _arguments()
    what = "loose" if args.loose else "networks" if args.networks else "layers"
    if args.only is not None:
        record = run_group(what, args.seed, args.only // GROUP_SIZE[what], args.only)
        print(json.dumps(record, indent=1))
        return int(bool(record["failures"]))
    done = finished_groups(args.journal, what, args.seed)
    wanted = [n for n in range(-(-args.cases // GROUP_SIZE[what])) if n not in done]
    print(f"seed {args.seed}: {len(done)} groups done, {len(wanted)} to go", flush=True)
    with args.journal.open("a") as journal, ProcessPoolExecutor(args.workers) as pool:
        futures = {pool.submit(run_group, what, args.seed, number): number for number in wanted}
        for index, future in enumerate(as_completed(futures), 1):
            record = future.result()
            done[record["group"]] = record
            journal.write(json.dumps(record) + "\n")
            journal.flush()
            _say(record, index, len(wanted))
    return _summary(args.seed, done)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.regress",
        description="Compare RTL and simulator on random accelerators, layers or networks, and memories.",
        epilog="example: python -m tests.regress --seed 7 --cases 240",
    )
    parser.add_argument("--seed", type=int, default=1, help="of all cases (default: 1)")
    parser.add_argument("--cases", type=int, default=204, help="how many (default: 204)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--loose", action="store_true", help="random programs that the mapper never makes, not layers")
    kinds.add_argument("--networks", action="store_true", help="random networks, from ids to the class, not layers")
    parser.add_argument("--only", type=int, metavar="N", help="replay one case")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument(
        "--journal", type=Path, default=Path("out/regress.jsonl"), help="where finished groups are kept"
    )
    args = parser.parse_args()
    args.journal.parent.mkdir(parents=True, exist_ok=True)
    return args


def _say(record: dict[str, Any], index: int, total: int) -> None:
    verdict = "equal" if not record["failures"] else f"{len(record['failures'])} DIFFERENT"
    print(
        f"[{index}/{total}] group {record['group']}: {record['cases']} cases, {record['cycles']} cycles, "
        f"{record['simulator']}, {record['seconds']} s: {verdict}",
        flush=True,
    )
    for failure in record["failures"]:
        print(f"  {failure['point']}\n  {json.dumps(failure['result'])}")
        kind = "" if record["what"] == "layers" else f"--{record['what']} "
        print(f"  replay: python -m tests.regress {kind}--seed {record['seed']} --only {failure['case']}", flush=True)


def _summary(seed: int, done: dict[int, dict[str, Any]]) -> int:
    failed = sum(len(record["failures"]) for record in done.values())
    cases = sum(record["cases"] for record in done.values())
    cycles = sum(record["cycles"] for record in done.values())
    print(f"seed {seed}: {cases} cases, {cycles} cycles compared")
    print(f"{cases - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FileError as error:
        sys.exit(f"regress: {error}")

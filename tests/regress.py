"""The long comparison of RTL and simulator: `make regress`, or `python -m tests.regress --help`.

Each finished group is a line in the journal, so an interrupted regression goes on where it was. A failing case is
printed with the command that replays it; of the networks that fail, one is made smaller.
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
from tests.agreement.compare import compare, compare_programs, kinds_of
from tests.agreement.loose_cases import PROGRAMS_PER_GROUP, loose_group
from tests.agreement.network_point import CaseError, point_of, read_point
from tests.agreement.networks import NETWORKS_PER_GROUP, compare_networks, network_group
from tests.agreement.points import LAYERS_PER_GROUP, group, simulator_of
from tests.agreement.replay import network_simulator, replay, shrink_on_rtl
from tests.agreement.shrink import Budget, ShrinkError

GROUP_SIZE = {"layers": LAYERS_PER_GROUP, "loose": PROGRAMS_PER_GROUP, "networks": NETWORKS_PER_GROUP}
"""Cases of a group, by what is compared: layers and networks, mapped, or programs that no mapper makes."""

MAKE: dict[str, Callable[[int, int], Sequence[Any]]]
MAKE = {"layers": group, "loose": loose_group, "networks": network_group}
COMPARE: dict[str, Callable[..., list[dict[str, Any]]]]
COMPARE = {"layers": compare, "loose": compare_programs, "networks": compare_networks}


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
        {"case": point.number, "point": str(point), "result": result, "data": _data(what, point)}
        for point, result in zip(points, results, strict=True)
        if not is_equal(result) or kinds_of(result)
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


def _data(what: str, case: Any) -> dict[str, Any] | None:
    """Return the data of a network case: all that it is made from."""
    return case.point.to_dict() if what == "networks" else None


def _simulator(what: str, point: Any) -> str:
    """Return the simulator that suits a group."""
    if what == "networks":
        return network_simulator()
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
    """Run the regression; exit code 1 says that some case differs, 2 that a case on the command line is wrong."""
    try:
        return _regress(_arguments())
    except (CaseError, ShrinkError) as error:
        print(f"regress: {error}", file=sys.stderr)
        return 2


def _regress(args: argparse.Namespace) -> int:
    budget = Budget(args.tries, 60 * args.minutes)
    if args.case is not None:
        return replay(read_point(args.case))
    if args.shrink is not None:
        shrink_on_rtl(read_point(args.shrink), budget, args.journal.parent)
        return 1
    what = "loose" if args.loose else "networks" if args.networks else "layers"
    if args.only is not None:
        record = run_group(what, args.seed, args.only // GROUP_SIZE[what], args.only)
        print(json.dumps(record, indent=1))
        _shrink_first([record], budget, args)
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
    _shrink_first([done[number] for number in wanted], budget, args)
    return _summary(args.seed, done)


def _shrink_first(records: Sequence[dict[str, Any]], budget: Budget, args: argparse.Namespace) -> None:
    """Make the first network that failed smaller: one that is small says more than many."""
    failed = [failure for record in records for failure in record["failures"] if failure["data"]]
    if failed and args.shrinks:
        print(
            f"shrinking case {failed[0]['case']}, at most {args.tries} tries and {args.minutes:g} minutes", flush=True
        )
        shrink_on_rtl(point_of(failed[0]["data"]), budget, args.journal.parent)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.regress",
        description="Compare RTL and simulator on random accelerators, layers or networks, and memories.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python -m tests.regress --seed 7 --cases 240\n"
        "  python -m tests.regress --networks --seed 7 --cases 40 --tries 100 --minutes 10\n"
        "  python -m tests.regress --networks --case out/network-0123456789ab.json\n"
        "  python -m tests.regress --networks --shrink out/network-0123456789ab.json --minutes 30",
    )
    parser.add_argument("--seed", type=int, default=1, help="of all cases (default: 1)")
    parser.add_argument("--cases", type=int, default=204, help="how many (default: 204)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--loose", action="store_true", help="random programs that the mapper never makes, not layers")
    kinds.add_argument("--networks", action="store_true", help="random networks, from ids to the class, not layers")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--only", type=int, metavar="N", help="replay one case")
    one.add_argument("--case", metavar="CASE", help="replay one network: a JSON file, or the JSON itself")
    one.add_argument(
        "--shrink", metavar="CASE", help="make one network smaller while it fails: a JSON file, or the JSON"
    )
    parser.add_argument(
        "--no-shrink", dest="shrinks", action="store_false", help="leave the first network that fails as it is"
    )
    parser.add_argument("--tries", type=int, default=300, help="of shrinking, at most (default: 300)")
    parser.add_argument(
        "--minutes", type=float, default=15, help="of shrinking; the last try may end later (default: 15)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument(
        "--journal",
        type=Path,
        default=Path("out/regress.jsonl"),
        help="where finished groups, and what is small, are kept",
    )
    args = parser.parse_args()
    if not args.networks and not (args.case is None and args.shrink is None):
        raise CaseError("case must be run with --networks, not as a layer or a loose program: add --networks")
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

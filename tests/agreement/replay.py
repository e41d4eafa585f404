"""Run one network case that is given as data on the RTL, and make it smaller while it fails in the same way."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hw.bench.build import BuildError, default_cache, missing_tool
from hw.bench.runner import RunError
from hw.files import sha256
from mapping.errors import MappingError
from model.checks import NetworkError
from tests.agreement.compare import kinds_of
from tests.agreement.network_point import CaseError, NetworkPoint
from tests.agreement.networks import NetworkCase, case_of, compare_networks
from tests.agreement.shrink import Budget, Shrunk, shrink

Compare = Callable[[NetworkPoint], Mapping[str, Any]]
"""What the comparison of RTL, simulator and reference says of a case."""


def network_simulator() -> str:
    """Return the simulator for networks: they are short runs on small cores."""
    return "verilator" if missing_tool("icarus") else "icarus"


def mapped(point: NetworkPoint) -> NetworkCase:
    """Return the case of a point; CaseError where there is no such network or program."""
    try:
        return case_of(point)
    except (NetworkError, MappingError) as error:
        raise CaseError(
            f"case must be a network that fits its accelerator, not one that is refused ({error}): "
            "change the sketch, or give the accelerator what it lacks"
        ) from None


def compared(point: NetworkPoint, cache: Path | None = None) -> dict[str, Any]:
    """Return what the comparison says of a point; what was built is kept in the cache."""
    case = mapped(point)
    work = Path(tempfile.mkdtemp(prefix="tallybert-replay-"))
    try:
        return compare_networks([case], network_simulator(), cache or default_cache(), work)[0]
    finally:
        shutil.rmtree(work, ignore_errors=True)


def replay(point: NetworkPoint) -> int:
    """Run a case and print what came out; the exit code is 1 where it differs."""
    result = compared(point)
    kinds = kinds_of(result)
    print(f"{mapped(point)}\n{json.dumps(result)}\n{'different: ' + ', '.join(sorted(kinds)) if kinds else 'equal'}")
    return int(bool(kinds))


class SameDifference:
    """Whether a case fails in one of the ways in which the first one that failed did.

    What cannot be mapped, built or run is no failure.
    """

    def __init__(self, compare: Compare) -> None:
        self.compare = compare
        self.kinds: frozenset[str] = frozenset()

    def __call__(self, point: NetworkPoint) -> bool:
        try:
            kinds = kinds_of(self.compare(point))
        except (ValueError, BuildError, RunError):
            return False
        self.kinds = self.kinds or kinds
        return bool(self.kinds & kinds)


@contextmanager
def _temporary_cache() -> Iterator[Path]:
    """Give a folder for accelerators of which most are built once and never again."""
    folder = Path(tempfile.mkdtemp(prefix="tallybert-shrink-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def shrink_on_rtl(point: NetworkPoint, budget: Budget, folder: Path) -> Shrunk:
    """Make a failing case smaller, show how that goes, keep the result, and print the command that replays it.

    CaseError if the case cannot be mapped, ShrinkError if it does not fail.
    """
    mapped(point)
    with _temporary_cache() as cache:
        fails = SameDifference(lambda smaller: compared(smaller, cache))
        shrunk = shrink(point, fails, budget, lambda line: print(f"  {line}", flush=True))
    kept = folder / f"network-{sha256(shrunk.point.to_json().encode())[:12]}.json"
    shrunk.point.save(kept)
    print(account(shrunk, fails.kinds, kept), flush=True)
    return shrunk


def account(shrunk: Shrunk, kinds: frozenset[str], kept: Path) -> str:
    """Return what to say of a case that was made smaller: what it is, how far it went, and how to replay it."""
    end = "no step makes it smaller" if shrunk.complete else f"stopped; go on with --shrink {shlex.quote(str(kept))}"
    return "\n".join(
        [
            f"smallest that differs ({', '.join(sorted(kinds))}), {shrunk.tries} tries, {shrunk.seconds:.0f} s: {end}",
            f"  {mapped(shrunk.point)}",
            f"  replay: {replay_command(shrunk.point)}",
        ]
    )


def replay_command(point: NetworkPoint) -> str:
    """Return the one command that replays a case: it holds all of it."""
    return f"python -m tests.regress --networks --case {shlex.quote(point.to_json())}"

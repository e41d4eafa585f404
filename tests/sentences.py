"""Real sentences on the accelerator: `python -m tests.sentences`, or --help.

Every sentence runs on the simulated accelerator with a program of its length; class, members and logits are compared
with torch's integer path and with the integer reference. Of the first sentences the RTL runs too, and every bit, cycle,
checksum, state and register is compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from hw.bench.build import build, default_cache
from hw.bench.compare import is_equal
from hw.bench.runner import run
from hw.config import load_accelerator
from hw.gateware.verilog import generate
from mapping.whole.mapper import MappedNetwork, map_network
from model.data.catalog import load
from model.integer import IntegerNetwork
from model.network import read_network
from model.reading import encode_texts
from sim.machine import Execution, execute
from sim.memory import MemoryProfile
from sim.reference import evaluate
from sim.timing import Timing, simulate
from tallybert.hardware import write_program_case
from tallybert.shipped import network_path

MEMORY = MemoryProfile()


class Sentences:
    """The test sentences of a shipped network on an accelerator; programs are made once for each length."""

    def __init__(self, name: str, accelerator: str) -> None:
        self.network = read_network(network_path(name))
        self.accelerator = load_accelerator(accelerator)
        self.texts = load(self.network.provenance["dataset"]).test.texts
        self._mapped: dict[tuple[int, ...], MappedNetwork] = {}

    def mapped(self, types: tuple[int, ...]) -> MappedNetwork:
        """Return the program for tokens of these types."""
        if types not in self._mapped:
            self._mapped[types] = map_network(self.accelerator, self.network, types)
        return self._mapped[types]

    def simulate(self, ids: list[int], types: tuple[int, ...]) -> tuple[Any, Execution, Timing]:
        """Return program, values and time of a sentence."""
        program = self.mapped(types).with_ids(ids)
        execution = execute(program)
        return program, execution, simulate(self.accelerator, program.instructions, MEMORY, execution.end)


def main() -> int:
    """Run the sentences; exit code 1 says that some result differs."""
    args = _arguments()
    sentences = Sentences("default", args.accelerator)
    encoded = encode_texts(sentences.network, sentences.texts[: args.count])
    torch_result = IntegerNetwork(sentences.network).run(encoded.ids, encoded.types)
    different: Counter[str] = Counter()
    cycles, members, cases = [], Counter[int](), []
    work = Path(tempfile.mkdtemp(prefix="tallybert-sentences-"))
    for index, (ids, kinds) in enumerate(zip(encoded.ids, encoded.types, strict=True)):
        types = tuple(int(kind) for kind in kinds)
        program, execution, timing = sentences.simulate([int(n) for n in ids], types)
        logits = sentences.mapped(types).logits(execution.memory, execution.result.members)
        run_members = execution.result.members
        different["torch"] += _differs(execution, logits, torch_result, index)
        reference = evaluate(sentences.network, ids, types)
        found = np.stack([reference.logits[m.name] for m in sentences.network.members[:run_members]])
        same = (found == logits).all() and reference.members_run == run_members
        different["reference"] += int(not same or reference.prediction != execution.result.leader)
        cycles.append(timing.cycles)
        members[run_members] += 1
        if index < args.rtl:
            cases.append(work / f"case{index}")
            write_program_case(cases[-1], program, timing, execution, MEMORY)
        if sys.stderr.isatty() or (index + 1) % 100 == 0:
            print(f"{index + 1} of {len(encoded.ids)}", end="\r", file=sys.stderr, flush=True)
    report = {
        "network": "default",
        "accelerator": args.accelerator,
        "sentences": len(cycles),
        "different_from_torch": different["torch"],
        "different_from_reference": different["reference"],
        "members_run": {str(count): members[count] for count in sorted(members)},
        "cycles": {"least": min(cycles), "median": float(np.median(cycles)), "most": max(cycles)},
        **_run_rtl(sentences, cases, work),
    }
    shutil.rmtree(work, ignore_errors=True)
    print(json.dumps(report, indent=1))
    return int(any(report[key] for key in ("different_from_torch", "different_from_reference", "rtl_different")))


def _differs(execution: Execution, logits: np.ndarray, found: Any, index: int) -> int:
    """Return 1 if torch's integer path gives other logits, members or another class for a sentence."""
    count = execution.result.members
    same = (found.logits[:count, index] == logits).all() and found.members_run[index] == count
    return int(not same or found.predictions[index] != execution.result.leader)


def _run_rtl(sentences: Sentences, cases: list[Path], work: Path) -> dict[str, Any]:
    """Run cases on the RTL, each in a simulation of its own, and return how many are not equal."""
    if not cases:
        return {"rtl_sentences": 0, "rtl_different": 0}
    built = build(generate(sentences.accelerator), "verilator", default_cache())
    started = time.perf_counter()
    results = [run(built, "verilator", [case], work / f"run{index}")[0] for index, case in enumerate(cases)]
    return {
        "rtl_sentences": len(results),
        "rtl_different": sum(not is_equal(result) for result in results),
        "rtl_cycles": sum(result.get("cycles", 0) for result in results),
        "rtl_seconds": round(time.perf_counter() - started, 1),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sentences",
        description="Run test sentences of the shipped ensemble on the simulated accelerator and on the RTL.",
        epilog="example: python -m tests.sentences --count 1000 --rtl 32",
    )
    parser.add_argument("--count", type=int, default=1000, help="sentences to simulate (default: 1000)")
    parser.add_argument("--rtl", type=int, default=32, help="how many of them run in RTL too (default: 32)")
    parser.add_argument("--accelerator", default="edge", help="a preset or a YAML file (default: edge)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

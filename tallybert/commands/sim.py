"""tallybert sim: results, cycles and stalls of a binary layer, from the simulator."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import add_accelerator, add_run, add_trace, add_verb, give, memory_profile, say, workload


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "sim",
        "simulate a binary layer on an accelerator, exact to the cycle",
        "tallybert sim edge --layer 128x768x768 --memory-latency 40 --json",
    )
    add_accelerator(parser)
    add_run(parser)
    add_trace(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate the layer."""
    from hw.config import load_accelerator
    from tallybert import flow
    from tallybert.keeping import Kept
    from tallybert.report import show_simulation

    accelerator = load_accelerator(args.accelerator)
    memory = memory_profile(args)
    work = workload(args, accelerator)
    give(args, flow.simulate(accelerator, work, memory=memory, say=say, kept=Kept.of(args)), show_simulation)
    return 0

"""tallybert sim: results, cycles and stalls of a binary layer, from the simulator."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import Layer, add_accelerator, add_run, add_verb, give, memory_profile, say


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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate the layer."""
    from hw.config import load_accelerator
    from tallybert import flow

    accelerator = load_accelerator(args.accelerator)
    memory = memory_profile(args)
    layer: Layer = args.layer
    work = flow.random_workload(layer.rows, layer.inputs, layer.outputs, args.set, args.seed)
    give(args, flow.simulate(accelerator, work, memory=memory, say=say))
    return 0

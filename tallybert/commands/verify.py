"""tallybert verify: the RTL and the simulator on the same program, compared to the bit and to the cycle."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import add_accelerator, add_run, add_verb, give, memory_profile, new_folder, say, workload


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "verify",
        "run a binary layer on the RTL and on the simulator, and compare every bit and every cycle",
        "tallybert verify nano --layer 16x64x32 --jitter --seed 7",
    )
    add_accelerator(parser)
    add_run(parser)
    parser.add_argument(
        "--simulator", choices=("verilator", "icarus"), default="verilator", help="what runs the RTL (verilator)"
    )
    parser.add_argument(
        "--keep", type=new_folder, metavar="DIR", help="keep the RTL, the program and what must come out there"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; exit code 1 says that the two differ."""
    from hw.config import load_accelerator
    from tallybert import flow
    from tallybert.report import show_verification

    accelerator = load_accelerator(args.accelerator)
    memory = memory_profile(args)
    work = workload(args, accelerator)
    report = flow.verify(accelerator, work, memory=memory, simulator=args.simulator, keep=args.keep, say=say)
    give(args, report, show_verification)
    return 0 if report["ok"] else 1

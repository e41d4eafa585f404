"""tallybert verify: the RTL and the simulator on the same program, compared to the bit and to the cycle.

The program is that of a network and a text, or that of one binary layer.
"""

from __future__ import annotations

import argparse
from typing import Any

from hw.messages import shown
from tallybert.options import (
    CommandError,
    add_accelerator,
    add_run,
    add_verb,
    give,
    memory_profile,
    new_folder,
    say,
    workload,
)


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "verify",
        "run a text or a binary layer on the RTL and on the simulator, and compare every bit and every cycle",
        'tallybert verify default edge --text "a warm, funny film"\n         '
        "tallybert verify nano --layer 16x64x32 --jitter --seed 7",
    )
    network = "with --text: a network file, a run's folder, or a shipped name: default"
    parser.add_argument("name", metavar="NETWORK", nargs="?", help=network)
    add_accelerator(parser)
    add_run(parser, texts=True)
    parser.add_argument("--text2", metavar="TEXT", help="the second text of a pair")
    parser.add_argument(
        "--simulator", choices=("verilator", "icarus"), default="verilator", help="what runs the RTL (verilator)"
    )
    parser.add_argument(
        "--keep", type=new_folder, metavar="DIR", help="keep the RTL, the program and what must come out there"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; exit code 1 says that the two differ."""
    _check(args)
    report = _verify_layer(args) if args.text is None else _verify_text(args)
    return 0 if report["ok"] else 1


def _check(args: argparse.Namespace) -> None:
    if args.text is None:
        for value, what in ((args.name, "NETWORK"), (args.text2, "--text2")):
            if value is not None:
                raise CommandError(f"{what} must be left out without --text, not {shown(value)}")
        return
    if args.name is None:
        raise CommandError("NETWORK must be given with --text: tallybert verify NETWORK ACCELERATOR --text TEXT")
    for option in ("rows", "set"):
        if getattr(args, option) is not None:
            raise CommandError(f"--{option} must be left out with --text")


def _verify_layer(args: argparse.Namespace) -> dict[str, Any]:
    from hw.config import load_accelerator
    from tallybert import flow
    from tallybert.report import show_verification

    accelerator = load_accelerator(args.accelerator)
    memory = memory_profile(args)
    work = workload(args, accelerator)
    report = flow.verify(accelerator, work, memory=memory, simulator=args.simulator, keep=args.keep, say=say)
    give(args, report, show_verification)
    return report


def _verify_text(args: argparse.Namespace) -> dict[str, Any]:
    from hw.config import load_accelerator
    from tallybert import sentences
    from tallybert.sentence_tables import show_comparison
    from tallybert.shipped import find_network

    accelerator, memory = load_accelerator(args.accelerator), memory_profile(args)
    path = find_network(args.name)
    network = sentences.read_network_file(path)
    reading = sentences.read_text(network, args.text, args.text2)
    report = sentences.verify(
        path, network, accelerator, reading, memory=memory, simulator=args.simulator, keep=args.keep, say=say
    )
    give(args, report, show_comparison)
    return report

"""tallybert demo: the whole path on a small example."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import add_verb, give, new_folder, say


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "demo",
        "show the whole path, from a network to hardware that computes the same",
        "tallybert demo -o out/demo",
    )
    parser.add_argument("-o", "--output", type=new_folder, default="out/demo", metavar="DIR", help="where files go")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from tallybert import flow
    from tallybert.report import show_verification

    report = flow.demo(args.output, say=say)
    give(args, report, show_verification)
    return 0 if report["ok"] else 1

"""tallybert export: the network of a finished run again, with another vote."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tallybert.options import add_verb, give, member_count, new_file, share


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "export",
        "write the network of a finished run again, with another vote",
        "tallybert export out/runs/ci-1 -o ci.safetensors --order --share 0.01",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument("-o", "--output", type=new_file, required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--vote", choices=("soft", "hard"), help="how members vote (default: as they do)")
    parser.add_argument("--members", type=member_count, metavar="N", help="keep the first N members")
    parser.add_argument("--order", action="store_true", help="put members in the order of the earliest exit")
    parser.add_argument(
        "--share",
        type=share,
        metavar="X",
        help="bound members so that they exit earlier, at the price of another class for up to this share of the "
        "calibration sentences (default: 0)",
    )
    parser.add_argument("--glue", type=Path, metavar="DIR", help="your folder with one folder for each task of GLUE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export."""
    from model.training.ballots import VoteOptions
    from tallybert import training
    from tallybert.results import show_export

    options = None
    if args.vote or args.members or args.order or args.share is not None:
        options = VoteOptions(args.vote, args.share or 0.0, args.order, args.members)
    give(args, training.export(args.folder, args.output, options, glue=args.glue), show_export)
    return 0

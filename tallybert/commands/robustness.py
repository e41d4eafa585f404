"""tallybert robustness: one member against the ensemble, under noise, dropped tokens and typing errors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tallybert.options import MAX_COUNT, add_hardware, add_verb, give, new_file, seed_count, size


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "robustness",
        "measure one member against the ensemble on disturbed input",
        "tallybert robustness out/runs/ci-1 --seeds 5 --limit 500",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--split", choices=("test", "dev"), default="test", help="which examples (default: test)")
    parser.add_argument(
        "--limit",
        type=size(MAX_COUNT),
        metavar="N",
        help="N sentences, drawn at random but always the same (default: all)",
    )
    parser.add_argument(
        "--seeds", type=seed_count, default=3, metavar="N", help="how often each disturbance is drawn (default: 3)"
    )
    parser.add_argument("--plot", type=new_file, metavar="FILE", help="draw a picture (PNG) there")
    parser.add_argument("--glue", type=Path, metavar="DIR", help="your folder with one folder for each task of GLUE")
    add_hardware(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Disturb and measure."""
    from tallybert import training
    from tallybert.progress import Bars
    from tallybert.robustness import robustness
    from tallybert.robustness_tables import show_robustness

    hardware = training.Hardware(args.device, args.threads)
    with Bars() as bars:
        report = robustness(
            args.folder,
            hardware,
            split=args.split,
            limit=args.limit,
            seeds=args.seeds,
            plot=args.plot,
            glue=args.glue,
            progress=bars,
        )
    give(args, report, show_robustness)
    return 0

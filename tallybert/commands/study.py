"""tallybert study: does one variant of a recipe beat another, over several seeds?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tallybert.options import add_hardware, add_verb, give, new_folder, seconds, seed_count


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "study",
        "train variants of a recipe over several seeds, and compare them",
        "tallybert study two-sets --seeds 5 -o out/two-sets",
    )
    names = "two-sets, elastic, chain, ensembles, distillation"
    parser.add_argument("study", metavar="STUDY", help=f"a YAML file (docs/training.md), or a name: {names}")
    parser.add_argument(
        "-o", "--output", type=new_folder, metavar="DIR", help="the study's folder (default: out/studies/NAME)"
    )
    parser.add_argument("--resume", action="store_true", help="go on where the study in the folder stopped")
    parser.add_argument("--seeds", type=seed_count, metavar="N", help="how many, in place of the study's")
    parser.add_argument("--glue", type=Path, metavar="DIR", help="your folder with one folder for each task of GLUE")
    parser.add_argument(
        "--save-every", type=seconds, default=20.0, metavar="S", help="seconds between checkpoints (default: 20)"
    )
    add_hardware(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train and compare."""
    from tallybert import training
    from tallybert.options import say
    from tallybert.progress import Bars
    from tallybert.study import study
    from tallybert.study_tables import show_study

    place, hardware = training.Place(args.output, args.resume), training.Hardware(args.device, args.threads)
    try:
        with Bars() as bars:
            report = study(
                args.study,
                place,
                hardware,
                seeds=args.seeds,
                glue=args.glue,
                save_every=args.save_every,
                progress=bars,
            )
    except KeyboardInterrupt:
        say("to go on: the same command with --resume")
        raise
    give(args, report, show_study)
    return 0

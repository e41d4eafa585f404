"""tallybert study: does one variant of a recipe beat another, over several seeds?"""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import add_long_run, add_verb, give, seed_count


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "study",
        "train variants of a recipe over several seeds, and compare them",
        "tallybert study two-sets --seeds 5 -o out/two-sets",
    )
    names = "two-sets, elastic, chain, ensembles, distillation, seeds"
    parser.add_argument("study", metavar="STUDY", help=f"a YAML file (docs/training.md), or a name: {names}")
    parser.add_argument("--seeds", type=seed_count, metavar="N", help="how many, in place of the study's")
    add_long_run(parser, "study", "out/studies/NAME")
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

"""tallybert train: a recipe becomes an ensemble, and the ensemble a network file."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import CommandError, add_long_run, add_verb, give, recipe_seed


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "train",
        "train the ensemble of a recipe and export it as a network of integers",
        "tallybert train --config ci --threads 2 -o out/ci",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="a YAML file (docs/training.md), or ci, or default")
    parser.add_argument("--config", metavar="RECIPE", help="the same, as an option")
    parser.add_argument("--seed", type=recipe_seed, metavar="S", help="in place of the recipe's")
    add_long_run(parser, "run", "out/runs/NAME-1, -2, ...")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train."""
    from tallybert import training
    from tallybert.options import say
    from tallybert.progress import Bars
    from tallybert.results import show_training

    if args.recipe is not None and args.config is not None:
        raise CommandError("--config must be left out where RECIPE is given: choose one")
    hardware = training.Hardware(args.device, args.threads)
    place = training.Place(args.output, args.resume)
    try:
        with Bars() as bars:
            report = training.train(
                args.recipe or args.config,
                place,
                hardware,
                seed=args.seed,
                glue=args.glue,
                save_every=args.save_every,
                progress=bars,
            )
    except KeyboardInterrupt:
        say("to go on: the same command with --resume")
        raise
    give(args, report, show_training)
    return 0

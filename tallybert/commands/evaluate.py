"""tallybert eval: what the integers of a network get right, or what they say of one text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tallybert.options import CommandError, add_hardware, add_verb, give


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "eval",
        "evaluate the integers of a network on a data set, or on one text",
        "tallybert eval out/runs/ci-1 --split test",
    )
    parser.add_argument("network", metavar="NETWORK", help="a network file, a run's folder, or a shipped name: default")
    parser.add_argument("--data", metavar="DATA", help="a data set, a file or a folder (default: what it trained on)")
    parser.add_argument("--split", choices=("test", "dev"), default="test", help="which examples (default: test)")
    parser.add_argument("--columns", metavar="KEY=NAME", help="columns of a file, as in text=body,label=verdict")
    parser.add_argument("--glue", type=Path, metavar="DIR", help="your folder with one folder for each task of GLUE")
    parser.add_argument("--text", metavar="TEXT", help="read this text instead of a data set")
    parser.add_argument("--text2", metavar="TEXT", help="the second text of a pair")
    add_hardware(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    from tallybert import training
    from tallybert.results import show_evaluation, show_text
    from tallybert.shipped import find_network

    if args.text is None and args.text2 is not None:
        raise CommandError("--text must be given with --text2")
    for option in ("data", "columns", "glue"):
        if args.text is not None and getattr(args, option) is not None:
            raise CommandError(f"--{option} must be left out with --text, which is read by itself")
    path, hardware = find_network(args.network), training.Hardware(args.device, args.threads)
    if args.text is not None:
        give(args, training.read(path, hardware, args.text, args.text2), show_text)
        return 0
    columns = training.read_columns(args.columns) if args.columns is not None else {}
    report = training.evaluate(path, hardware, data=args.data, split=args.split, columns=columns, glue=args.glue)
    give(args, report, show_evaluation)
    return 0

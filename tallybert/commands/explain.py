"""tallybert explain: the instructions of a program in words, and what each unit does in a cycle of its run."""

from __future__ import annotations

import argparse
from typing import Any

from hw.messages import shown
from tallybert.options import (
    MAX_COUNT,
    CommandError,
    add_memory,
    add_timeline,
    add_verb,
    give,
    memory_fields,
    say,
    size,
    whole_number,
)


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "explain",
        "take a program apart: its instructions, when each ran, what it waited for, and what happens in a cycle",
        "tallybert explain out/layer --at 500\n\n"
        "PROGRAM is what `tallybert sim edge --layer 128x768x768 -o out/layer` writes; so do run -o and verify --keep.",
    )
    parser.add_argument("program", metavar="PROGRAM", help="a folder with a program, as run, sim and verify write it")
    parser.add_argument("--at", type=whole_number, metavar="CYCLE", help="show what each unit does in this cycle")
    parser.add_argument("--from", dest="first", type=whole_number, metavar="N", help="the first instruction (0)")
    parser.add_argument("--count", type=size(MAX_COUNT), metavar="M", help="how many instructions (all)")
    add_timeline(parser)
    add_memory(parser, "of the memory", of_case=True)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain the program, or one cycle of its run."""
    from tallybert import explanation
    from tallybert.explanation_tables import show_moment, show_program
    from tallybert.keeping import check_timeline

    for option, value in (("--from", args.first), ("--count", args.count)):
        if args.at is not None and value is not None:
            raise CommandError(f"{option} must be left out with --at, not {shown(value)}")
    folder, played = explanation.play_program(args.program, memory_fields(args))
    check_timeline(args.timeline, folder)
    if args.at is None:
        report, show = explanation.report(folder, played, args.first or 0, args.count), show_program
    else:
        report, show = explanation.moment_report(folder, played, args.at), show_moment
    if args.timeline is not None:
        from tallybert.timeline import write_timeline

        report["timeline"] = str(args.timeline)
        write_timeline(args.timeline, played, str(folder), say)
    give(args, report, show)
    return 0

"""tallybert run: one text on the simulated accelerator, from the ids of its word pieces to the class."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import add_accelerator, add_memory, add_trace, add_verb, give, memory_profile, say


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "run",
        "run a network on a text, on the simulated accelerator, exact to the bit and to the cycle",
        'tallybert run default edge "a warm, funny and wonderfully acted film"',
    )
    parser.add_argument("network", metavar="NETWORK", help="a network file, a run's folder, or a shipped name: default")
    add_accelerator(parser)
    parser.add_argument("text", metavar="TEXT", help="what the network reads")
    parser.add_argument("--text2", metavar="TEXT", help="the second text of a pair")
    add_memory(parser, "of the memory")
    add_trace(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the text."""
    from hw.config import load_accelerator
    from tallybert import sentences
    from tallybert.keeping import Kept
    from tallybert.sentence_tables import show_run
    from tallybert.shipped import find_network

    accelerator, memory = load_accelerator(args.accelerator), memory_profile(args)
    path = find_network(args.network)
    network = sentences.read_network_file(path)
    reading = sentences.read_text(network, args.text, args.text2)
    done = sentences.run_sentence(network, accelerator, reading, memory, say)
    kept = sentences.keep_run(Kept.of(args), path, done, memory, say)
    give(args, {**sentences.report(path, done, memory), **kept}, show_run)
    return 0

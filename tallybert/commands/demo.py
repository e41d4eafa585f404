"""tallybert demo: the whole path on a small example."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import add_verb, give, new_folder, say

TEXT = "a warm, funny and wonderfully acted film that never loses its way"


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "demo",
        "read a sentence with the shipped ensemble, and verify a layer of bits in hardware",
        'tallybert demo "two hours that felt like four" -o out/demo',
    )
    parser.add_argument("text", nargs="?", metavar="TEXT", default=TEXT, help=f'a film review (default: "{TEXT}")')
    parser.add_argument("-o", "--output", type=new_folder, default="out/demo", metavar="DIR", help="where files go")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from tallybert import flow
    from tallybert.shipped import DEFAULT, find_network
    from tallybert.training import Hardware, read

    answer = read(find_network(DEFAULT), Hardware(), args.text, None)
    report = flow.demo(args.output, say=say)
    give(args, {"text": args.text, "answer": answer, **report}, _show)
    return 0 if report["ok"] else 1


def _show(report: dict[str, Any]) -> None:
    from tallybert.report import console, show_verification
    from tallybert.results import show_text

    console().print(report["text"], style="italic", markup=False, soft_wrap=True)
    show_text(report["answer"])
    show_verification(report)

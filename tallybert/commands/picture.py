"""tallybert picture: the units and buffers of an accelerator, drawn or as a graph."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tallybert.options import add_accelerator, add_verb, give, new_file

FORMS = ("svg", "png", "pdf")


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "picture",
        "draw the units and buffers of an accelerator",
        "tallybert picture edge -o edge.svg",
    )
    add_accelerator(parser)
    parser.add_argument(
        "-o", "--output", type=_picture, required=True, metavar="FILE", help="what to write: .svg, .png or .pdf"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw the accelerator."""
    from hw.config import load_accelerator
    from hw.files import write_atomic
    from tallybert.machine_graph import machine_graph
    from tallybert.picture import draw_machine

    accelerator = load_accelerator(args.accelerator)
    write_atomic(args.output, draw_machine(accelerator, args.output.suffix[1:]))
    graph = machine_graph(accelerator)
    report = {
        "accelerator": accelerator.name,
        "picture": str(args.output),
        "nodes": {name: dict(facts) for name, facts in graph.nodes.items()},
        "edges": [list(edge) for edge in graph.edges],
    }
    give(args, report, _show)
    return 0


def _picture(text: str) -> Path:
    path = new_file(text)
    if path.suffix[1:] not in FORMS:
        raise argparse.ArgumentTypeError(f"must end in .svg, .png or .pdf, not {path.suffix or 'in nothing'}")
    return path


def _show(report: dict[str, Any]) -> None:
    print(f"{report['picture']}: {len(report['nodes'])} units and buffers of {report['accelerator']}")

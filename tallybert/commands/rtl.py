"""tallybert rtl: Verilog of an accelerator."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import add_accelerator, add_verb, give, new_folder, say


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(subparsers, "rtl", "write the Verilog of an accelerator", "tallybert rtl edge -o out/edge")
    add_accelerator(parser)
    parser.add_argument("-o", "--output", type=new_folder, required=True, metavar="DIR", help="the folder to write to")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the Verilog."""
    from hw.config import load_accelerator
    from tallybert import flow
    from tallybert.report import show_rtl

    give(args, flow.rtl(load_accelerator(args.accelerator), args.output, say=say), show_rtl)
    return 0

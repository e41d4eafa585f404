"""tallybert models: the networks that come with the package."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import add_verb, give


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(subparsers, "models", "list the networks that come with the package", "tallybert models --json")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List them."""
    from tallybert.results import show_models

    give(args, {"models": [_facts(name) for name in _names()]}, show_models)
    return 0


def _names() -> tuple[str, ...]:
    from tallybert.shipped import shipped

    return shipped()


def _facts(name: str) -> dict[str, Any]:
    from model.network import read_network
    from tallybert.shipped import network_path
    from tallybert.training import recorded_figures

    path = network_path(name)
    network = read_network(path)
    known = network.provenance
    return {
        "name": name,
        "path": str(path),
        "dataset": known.get("dataset"),
        "members": len(network.members),
        "vote": network.vote,
        "shape": known.get("shape"),
        "limit": network.limit,
        "bytes": path.stat().st_size,
        "size_bits": sum(network.size_bits().values()),
        "metric": known.get("metric"),
        "accuracy": recorded_figures(path, network).get("accuracy"),
        "digest": network.digest,
    }

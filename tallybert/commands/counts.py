"""tallybert counts: operations, parameters and bits, of the papers' tables, of a network, or of a shape."""

from __future__ import annotations

import argparse
from typing import Any

from tallybert.options import CommandError, add_verb, give, size

SHAPE = {
    "layers": (48, "encoder layers (default: 12, as in BERT-base)"),
    "hidden": (4096, "channels of the residual stream (default: 768)"),
    "heads": (256, "attention heads, which divide them (default: 12)"),
    "ffn": (65535, "width of the feed-forward networks (default: 4 x hidden)"),
    "vocabulary": (65536, "word pieces (default: 30522)"),
    "positions": (1024, "rows of the table of positions (default: 512)"),
}
BERT = {"layers": 12, "hidden": 768, "heads": 12, "vocabulary": 30522, "positions": 512}
MAX_TOKENS = 1024
DEFAULT_TOKENS = 128


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "counts",
        "count operations, parameters and bits: of the papers' networks, of a network file, or of a shape",
        "tallybert counts --layers 2 --hidden 128 --heads 2 --vocabulary 8000 --tokens 32",
    )
    parser.add_argument(
        "network", nargs="?", metavar="NETWORK", help="a network file, a run's folder, or a shipped name: default"
    )
    for name, (most, text) in SHAPE.items():
        parser.add_argument(f"--{name}", type=size(most), metavar="N", help=f"of a shape: {text}")
    text = f"of the sentence (default: {DEFAULT_TOKENS}; the most that a network can read)"
    parser.add_argument("--tokens", type=size(MAX_TOKENS), metavar="N", help=text)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count."""
    from tallybert.count_tables import show_network_counts, show_paper_counts, show_shape_counts

    given = {name: getattr(args, name) for name in SHAPE if getattr(args, name) is not None}
    if args.network is not None:
        if given:
            raise CommandError(f"--{next(iter(given))} must be left out with NETWORK, which has a shape of its own")
        give(args, _network(args.network, args.tokens), show_network_counts)
    elif given or args.tokens is not None:
        give(args, _shape(BERT | given, args.tokens or DEFAULT_TOKENS), show_shape_counts)
    else:
        from model.paper_counts import paper_rows

        give(args, {"rows": [row.to_dict() for row in paper_rows()]}, show_paper_counts)
    return 0


def _network(name: str, tokens: int | None) -> dict[str, Any]:
    from model.network import read_network
    from model.network_counts import network_counts
    from tallybert.shipped import find_network

    path = find_network(name)
    network = read_network(path)
    if tokens is not None and tokens > network.limit:
        raise CommandError(f"--tokens must be at most {network.limit}, as {path} can read, not {tokens}")
    return {"network": str(path), "digest": network.digest, **network_counts(network, tokens or network.limit)}


def _shape(sizes: dict[str, int], tokens: int) -> dict[str, Any]:
    from model.network_counts import shape_counts
    from model.shape import Shape

    if tokens > sizes["positions"]:
        raise CommandError(f"--tokens must be at most {sizes['positions']}, the positions, not {tokens}")
    if sizes["hidden"] % sizes["heads"]:
        raise CommandError(f"--heads must divide --hidden, {sizes['hidden']}, not {sizes['heads']}")
    own = {name: value for name, value in sizes.items() if name != "ffn"}
    width = sizes.get("ffn", 4 * sizes["hidden"])
    shape = Shape.from_dict({**own, "classes": 2, "ffn": {"width": width}})
    return {"shape": own | {"ffn": width}, **shape_counts(shape, tokens)}

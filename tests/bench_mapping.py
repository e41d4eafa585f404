"""How long a whole network takes to map, and how well its schedule fills the machine.

    python -m tests.bench_mapping                  # BERT-base, 12 layers, 128 tokens, on each preset
    python -m tests.bench_mapping --preset stream --tokens 64 --layers 3 --json

Weights are made up: neither the program nor its cycles depend on them. Times are given as multiples of the time in
which the cycles of the program are simulated, in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from hw.config import load_accelerator, presets
from hw.isa import Unit
from mapping.errors import MappingError
from mapping.whole.mapper import map_network
from model.network import Network
from model.synthetic_network import random_network
from sim.memory import MemoryProfile
from sim.timing import simulate
from tallybert.sentences import bound_of

WIDTH, HEADS, INNER = 768, 12, 3072
LATENCY = 20


def bert_base(layers: int, tokens: int) -> Network:
    """Return a network of BERT-base's shape, with 1-bit weights and codes."""
    shape = {"layers": layers, "width": WIDTH, "heads": HEADS, "inner": INNER, "bits": 1, "attention_bits": 1}
    kinds = {"attention": "row", "feed_forward": "plain", "stack": 1, "ternary": False, "pooling": "first"}
    rest = {"members": 1, "shared": False, "vote": "soft", "classes": 2, "vocabulary": 2000, "types": 2}
    return random_network(1, **shape, **kinds, **rest, pooler=False, limit=tokens)


def products(layers: int, tokens: int) -> int:
    """Return the binary multiply-accumulates of the encoder."""
    linear = 4 * WIDTH * WIDTH + 2 * WIDTH * INNER
    return layers * tokens * (linear + 2 * tokens * WIDTH)


def measure(network: Network, name: str, layers: int, tokens: int) -> dict[str, Any]:
    """Map a network onto a preset and simulate the cycles of the program."""
    accelerator, started = load_accelerator(name), time.perf_counter()
    try:
        program = map_network(accelerator, network, (0,) * tokens).program
    except MappingError as error:
        return {"preset": name, "refused": str(error)}
    mapped = time.perf_counter() - started
    simulate(accelerator, program.instructions[-1:], MemoryProfile(latency=LATENCY))
    started = time.perf_counter()
    timing = simulate(accelerator, program.instructions, MemoryProfile(latency=LATENCY))
    simulated = time.perf_counter() - started
    unit, bound = bound_of(timing)
    return {
        "preset": name,
        "instructions": len(program.instructions),
        "cycles": timing.cycles,
        "array_works": int(timing.states[Unit.ARRAY, 0]),
        "products_of_all_lanes": products(layers, tokens) / accelerator.lanes / timing.cycles,
        "bound_unit": unit,
        "bound_cycles": bound,
        "reached": bound / timing.cycles,
        "mapping_seconds": round(mapped, 2),
        "mapping_of_simulation": round(mapped / simulated, 1),
    }


def show(results: list[dict[str, Any]]) -> None:
    """Print a table of what fits, and a line for each preset that does not."""
    table = Table(title="BERT-base mapped", title_justify="left")
    for name in ("preset", "instructions", "cycles", "array works", "of all lanes", "bound", "reached", "mapping"):
        table.add_column(name, justify="left" if name in ("preset", "bound") else "right")
    for r in results:
        if "refused" not in r:
            table.add_row(
                r["preset"],
                f"{r['instructions']:,}",
                f"{r['cycles']:,}",
                f"{100 * r['array_works'] / r['cycles']:.1f} %",
                f"{100 * r['products_of_all_lanes']:.1f} %",
                f"{r['bound_cycles']:,} of {r['bound_unit']}",
                f"{100 * r['reached']:.1f} %",
                f"{r['mapping_seconds']} s, {r['mapping_of_simulation']} x simulating",
            )
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for r in results:
        if "refused" in r:
            console.print(f"{r['preset']}: {r['refused']}", markup=False, soft_wrap=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=presets(), action="append", help="instead of all of them")
    parser.add_argument("--tokens", type=int, default=128, choices=range(1, 513), metavar="1..512")
    parser.add_argument("--layers", type=int, default=12, choices=range(1, 25), metavar="1..24")
    parser.add_argument("--json", action="store_true", help="print numbers for a program")
    args = parser.parse_args()
    print(f"making {args.layers} layers of weights", file=sys.stderr)
    network, results = bert_base(args.layers, args.tokens), []
    for name in args.preset or presets():
        print(f"mapping onto {name}", file=sys.stderr)
        results.append(measure(network, name, args.layers, args.tokens))
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

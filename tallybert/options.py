"""What several verbs take from the command line: accelerators, layers, memories, seeds; and how they give results."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hw.messages import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from hw.arch import Accelerator
    from sim.memory import MemoryProfile
    from tallybert.flow import Workload

MAX_LAYER_SIZE = 65535
MAX_SEED = 0xFFFFFFFF
DEFAULT_ROWS = 16
MAX_RECIPE_SEED, MAX_THREADS, MAX_MEMBERS, MAX_SECONDS, MAX_SEEDS = 2**31 - 1, 256, 64, 86400, 100
MAX_COUNT = 10_000_000

#: What a run on values may take: some GiB of memory (bits), and minutes (multiply-accumulates, steps of the array).
MAX_BITS, MAX_PRODUCTS, MAX_STEPS = 1 << 26, 1 << 34, 1 << 25

MEMORY_FIELDS = {
    "latency": "cycles from a read request to its first beat (default: 20)",
    "write_latency": "cycles from the last write beat to the response (default: 10)",
    "interval": "cycles from one beat to the next, at least (default: 1)",
    "jitter": "largest extra latency of a burst (default: 0)",
    "stall_rate": "chance, in 256ths, that a handshake is held back (default: 0)",
    "stall_max": "largest number of cycles that it is held back (default: 1)",
}
JITTER = {"jitter": 40, "stall_rate": 64, "stall_max": 7}


class CommandError(ValueError):
    """Arguments that are each fine and do not go together; the message says which and why."""


class Layer(NamedTuple):
    """The size of a binary linear layer: `rows` of `inputs` bits (K) become rows of `outputs` bits."""

    rows: int
    inputs: int
    outputs: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.inputs}x{self.outputs}"


def layer(text: str) -> Layer:
    """Read MxKxN: rows, inputs (K), outputs."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    sizes = [int(size) for size in match.groups()] if match else []
    if not sizes or max(sizes) > MAX_LAYER_SIZE:
        raise argparse.ArgumentTypeError(
            f"must be MxKxN (rows x inputs x outputs), each from 1 to {MAX_LAYER_SIZE}, as in 128x768x768, "
            f"not {shown(text)}"
        )
    return Layer(*sizes)


def seed(text: str) -> int:
    """Read the seed of random numbers."""
    return _integer(text, 0, MAX_SEED)


def rows(text: str) -> int:
    """Read a number of rows."""
    return _integer(text, 1, MAX_LAYER_SIZE)


def recipe_seed(text: str) -> int:
    """Read the seed of a training run."""
    return _integer(text, 0, MAX_RECIPE_SEED)


def threads(text: str) -> int:
    """Read a number of threads."""
    return _integer(text, 1, MAX_THREADS)


def member_count(text: str) -> int:
    """Read a number of members."""
    return _integer(text, 1, MAX_MEMBERS)


def seed_count(text: str) -> int:
    """Read a number of seeds."""
    return _integer(text, 1, MAX_SEEDS)


def size(most: int) -> Callable[[str], int]:
    """Return what reads a size from 1 to the largest one."""
    return lambda text: _integer(text, 1, most)


def seconds(text: str) -> float:
    """Read a time."""
    return _decimal(text, MAX_SECONDS, "seconds")


def share(text: str) -> float:
    """Read a share, from 0 to below 1."""
    return _decimal(text, 0.999, "a share")


def new_file(text: str) -> Path:
    """Read the path of a file to write: in a folder that is there."""
    path = Path(text)
    if not text or path.is_dir():
        found = f"the folder {shown(text)}" if text else "empty"
        raise argparse.ArgumentTypeError(f"must be a file to write, not {found}")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"must be a file to write, not the device or pipe {shown(text)}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in a folder that exists, not {shown(text)}")
    return path


def _integer(text: str, low: int, high: int) -> int:
    value = whole_number(text)
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"must be an integer from {low} to {high}, not {shown(value)}")
    return value


def _decimal(text: str, high: float, what: str) -> float:
    legal = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", text)
    if not legal or float(text) > high:
        raise argparse.ArgumentTypeError(f"must be {what} from 0 to {high:g}, not {shown(text)}")
    return float(text)


def whole_number(text: str) -> int:
    """Read an integer in plain decimal."""
    if not re.fullmatch(r"-?(0|[1-9][0-9]{0,59})", text):
        raise argparse.ArgumentTypeError(f"must be an integer in decimal, not {shown(text)}")
    return int(text)


def new_folder(text: str) -> Path:
    """Read the path of a folder to write to: one that is there and may be written to, or one that can be made."""
    path = Path(text)
    nearest = next((p for p in (path, *path.parents) if os.path.lexists(p)), Path())
    if not text or not nearest.is_dir():
        found = f"a path below the file {shown(str(nearest))}" if nearest != path else f"the file {shown(text)}"
        raise argparse.ArgumentTypeError(f"must be a folder to write to, not {found if text else 'empty'}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"must be a folder to write to, not {shown(text)}, which is read-only")
    return path


def add_verb(subparsers: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    """Add the parser of a verb with what every verb has: a description, an example and --json."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else, to stdout")
    parser.set_defaults(parser=parser)
    return parser


def add_accelerator(parser: argparse.ArgumentParser) -> None:
    """Add the accelerator, a file or a preset."""
    parser.add_argument("accelerator", metavar="ACCELERATOR", help="a YAML file, or a preset: nano, edge, big, stream")


def add_run(parser: argparse.ArgumentParser, texts: bool = False) -> None:
    """Add what describes one run: the layer, or a text if the verb takes one, its set, the memory and the seed."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--layer", type=layer, metavar="MxKxN", help="a made-up binary layer: rows, inputs (K), outputs"
    )
    source.add_argument("--network", type=Path, metavar="FILE", help="a network file with one layer; see --rows")
    if texts:
        source.add_argument("--text", metavar="TEXT", help="what NETWORK reads")
    parser.add_argument("--rows", type=rows, metavar="M", help=f"rows for --network (default: {DEFAULT_ROWS})")
    parser.add_argument(
        "--set", choices=("signed", "unsigned"), help="activation bits of --layer: -1, +1 (default) or 0, 1"
    )
    add_memory(parser, "of the data and of the memory")


def add_memory(parser: argparse.ArgumentParser, seeds: str, of_case: bool = False) -> None:
    """Add what describes the memory, and the seed of its random latencies, which may seed more.

    With `of_case` what is left out is as in the case at hand, and the seed is None then.
    """
    default = "that of the case" if of_case else "0"
    seed_help = f"{seeds} (default: {default})"
    parser.add_argument("--seed", type=seed, default=None if of_case else 0, metavar="S", help=seed_help)
    for name, text in MEMORY_FIELDS.items():
        option = f"--memory-{name.replace('_', '-')}"
        shown_text = f"{text.partition(' (')[0]} (default: {default})" if of_case else text
        parser.add_argument(option, dest=f"memory_{name}", type=whole_number, metavar="N", help=shown_text)
    parser.add_argument(
        "--jitter",
        action="store_true",
        help="a restless memory: random latencies and stalls (short for "
        + " ".join(f"--memory-{name.replace('_', '-')} {value}" for name, value in JITTER.items())
        + ")",
    )


def add_trace(parser: argparse.ArgumentParser) -> None:
    """Add what keeps a run to be looked at: its program, and its timeline."""
    parser.add_argument(
        *("-o", "--output"),
        type=new_folder,
        metavar="DIR",
        help="write the program there, and what must come out, for explain, check and the bench",
    )
    add_timeline(parser)


def add_timeline(parser: argparse.ArgumentParser) -> None:
    """Add the file of the timeline."""
    text = "write every cycle of the run as a timeline, for ui.perfetto.dev or chrome://tracing (JSON, 1 us is a cycle)"
    parser.add_argument("--timeline", type=new_file, metavar="FILE", help=text)


def add_hardware(parser: argparse.ArgumentParser) -> None:
    """Add what torch computes on."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), help="what computes (default: auto, a GPU where there is one)"
    )
    parser.add_argument("--threads", type=threads, metavar="N", help="of torch on the CPU (default: 2)")


def add_long_run(parser: argparse.ArgumentParser, what: str, default: str) -> None:
    """Add what every verb takes that trains for long: its folder, going on, GLUE, checkpoints and hardware."""
    parser.add_argument(
        "-o", "--output", type=new_folder, metavar="DIR", help=f"the {what}'s folder (default: {default})"
    )
    parser.add_argument("--resume", action="store_true", help=f"go on where the {what} in the folder stopped")
    parser.add_argument("--glue", type=Path, metavar="DIR", help="your folder with one folder for each task of GLUE")
    parser.add_argument(
        "--save-every", type=seconds, default=20.0, metavar="S", help="seconds between checkpoints (default: 20)"
    )
    add_hardware(parser)


def workload(args: argparse.Namespace, accelerator: Accelerator) -> Workload:
    """Return the layer that the arguments name, with made-up activations, unless it is too large to run."""
    from tallybert.flow import layer_workload, random_workload

    if args.layer is not None:
        if args.rows is not None:
            raise CommandError(f"--rows must be left out with --layer, which has its rows: {args.layer.rows}")
        require_size(args.layer, accelerator)
        rows, inputs, outputs = args.layer
        return random_workload(rows, inputs, outputs, args.set or "signed", args.seed)
    from model.network import read_network

    layers = read_network(args.network).layers
    if len(layers) != 1:
        raise CommandError(f"{args.network}: must have one layer to run it alone, not {len(layers)}")
    if args.set is not None:
        raise CommandError(f"--set must be left out with --network, whose layer is {layers[0].input_set}")
    size = Layer(args.rows or DEFAULT_ROWS, layers[0].inputs, layers[0].outputs)
    require_size(size, accelerator)
    return layer_workload(layers[0], size.rows, args.seed)


def require_size(size: Layer, accelerator: Accelerator) -> None:
    """Raise a CommandError for a layer that would take all memory, or hours."""
    rows, inputs, outputs = size
    steps = -(-rows // accelerator.rows) * -(-inputs // accelerator.word_bits) * -(-outputs // accelerator.columns)
    for what, count, most in (
        ("activations (MxK)", rows * inputs, MAX_BITS),
        ("weights (KxN)", inputs * outputs, MAX_BITS),
        ("output bits (MxN)", rows * outputs, MAX_BITS),
        ("multiply-accumulates (MxKxN)", rows * inputs * outputs, MAX_PRODUCTS),
        (f"steps of the array of {accelerator.name}", steps, MAX_STEPS),
    ):
        if count > most:
            raise CommandError(f"layer {size}: {what} must be at most {most:,}, not {count:,}; run a part of it")


def memory_profile(args: argparse.Namespace) -> MemoryProfile:
    """Return the memory that the arguments describe; what they leave out has the default of the profile."""
    from sim.memory import MemoryProfile

    return MemoryProfile(**memory_fields(args))


def memory_fields(args: argparse.Namespace) -> dict[str, int]:
    """Return what the arguments say of the memory, without what they leave out."""
    fields = dict(JITTER) if args.jitter else {}
    given = {name: getattr(args, f"memory_{name}") for name in MEMORY_FIELDS} | {"seed": args.seed}
    return fields | {name: value for name, value in given.items() if value is not None}


def say(line: str) -> None:
    """Tell how the work goes; where nobody can listen, it goes on."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


def give(args: argparse.Namespace, report: dict[str, Any], show: Callable[[dict[str, Any]], None]) -> None:
    """Print a result, as JSON if that was asked for, else for people."""
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)

"""tallybert check: whether a file is what it should be."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from hw.messages import shown, suggestion
from tallybert.options import CommandError, add_verb, give

MANIFEST = "program.json"
SNIFF_BYTES = 4096


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "check",
        "check an accelerator file, a program folder or a network file",
        "tallybert check my-accelerator.yaml",
    )
    parser.add_argument(
        "path", metavar="PATH", help="an accelerator (YAML or preset), a program (folder) or a network (file)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check one file or folder; a wrong one is an error."""
    kind, path = classify(args.path)
    details = {"accelerator": _accelerator, "program": _program, "network": _network}[kind](path)
    report = {"path": str(path), "kind": kind, "ok": True, **details}
    if args.json:
        give(args, report)
    else:
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in details.items() if name != "digest")
        print(f"{path}: {kind} ({facts}): ok")
    return 0


def classify(text: str) -> tuple[str, Path]:
    """Return what a path seems to be, and the file or folder to read."""
    from hw.config import SUFFIXES, find_accelerator, presets

    path = Path(text)
    if text in presets() or path.suffix in SUFFIXES:
        return "accelerator", find_accelerator(text)
    if path.name == MANIFEST:
        return "program", path.parent
    if path.is_dir():
        return "program", path
    if not path.exists():
        fix = suggestion(text, presets())
        raise CommandError(f"path must be a file, a folder or a preset that exists, not {shown(text)}{fix}")
    return ("accelerator" if _looks_like_an_accelerator(path) else "network"), path


def _looks_like_an_accelerator(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(SNIFF_BYTES)
    return b"tallybert-accelerator" in start and b"{" not in start[:16]


def _accelerator(path: Path) -> dict[str, Any]:
    from hw.config import load_accelerator

    accelerator = load_accelerator(path)
    return {"name": accelerator.name, "lanes": accelerator.lanes, "digest": accelerator.digest}


def _program(path: Path) -> dict[str, Any]:
    from hw.program import load

    program = load(path)
    if importlib.util.find_spec("mapping.checker"):
        importlib.import_module("mapping.checker").check(program)
    return {
        "accelerator": program.accelerator.name,
        "instructions": len(program.instructions),
        "image_bytes": len(program.image),
        "digest": program.accelerator.digest,
    }


def _network(path: Path) -> dict[str, Any]:
    from model.network import read_network

    network = read_network(path)
    return {"layers": len(network.layers), "digest": network.digest}

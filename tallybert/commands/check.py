"""tallybert check: whether a file or a folder is what it should be."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hw.messages import shown, suggestion
from tallybert.options import CommandError, add_verb, give

#: The file that says what a folder is. A case is a program with expectations, so it comes before the program.
MANIFESTS = {"expected.json": "case", "program.json": "program", "manifest.json": "rtl"}
FACTS = ("name", "accelerator", "lanes", "layers", "instructions", "image_bytes", "cycles", "files")
SNIFF_BYTES, MAX_RTL_BYTES = 4096, 1 << 28


def add_parser(subparsers: Any) -> None:
    """Add this verb to the command."""
    parser = add_verb(
        subparsers,
        "check",
        "check an accelerator, a network, or a folder with a program, a case or RTL",
        "tallybert check my-accelerator.yaml",
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        help="a YAML file or a preset, a network file, or a folder with a program, a case or RTL",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check one file or folder; a wrong one is an error."""
    kind, path = classify(args.path)
    readers = {"accelerator": _accelerator, "network": _network, "program": _program, "case": _case, "rtl": _rtl}
    details = readers[kind](path)
    give(args, {"path": str(path), "kind": kind, "ok": True, **details}, _show)
    return 0


def classify(text: str) -> tuple[str, Path]:
    """Return what a path seems to be, and the file or folder to read."""
    from hw.config import SUFFIXES, find_accelerator, presets

    path = Path(text)
    if text in presets() or path.suffix in SUFFIXES:
        return "accelerator", find_accelerator(text)
    if path.name in MANIFESTS:
        return MANIFESTS[path.name], path.parent
    if path.is_dir():
        return _kind_of_folder(path), path
    if not path.exists():
        fix = suggestion(text, presets())
        raise CommandError(f"path must be a file, a folder or a preset that exists, not {shown(text)}{fix}")
    return ("accelerator" if _looks_like_an_accelerator(path) else "network"), path


def _kind_of_folder(folder: Path) -> str:
    for name, kind in MANIFESTS.items():
        if (folder / name).exists():
            return kind
    inside = sorted({path.parent.name for name in MANIFESTS for path in folder.glob(f"*/{name}")})
    fix = f"; did you mean {' or '.join(str(folder / name) for name in inside[:3])}?" if inside else ""
    raise CommandError(f"{folder}: must be a folder with one of {', '.join(MANIFESTS)}, not without{fix}")


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
    from mapping.checker import check

    program = load(path)
    check(program)
    return {
        "accelerator": program.accelerator.name,
        "instructions": len(program.instructions),
        "image_bytes": len(program.image),
        "digest": program.accelerator.digest,
    }


def _case(path: Path) -> dict[str, Any]:
    from hw.bench.case import read_case

    case = read_case(path)
    return {**_program(path), "cycles": case.cycles}


def _rtl(folder: Path) -> dict[str, Any]:
    from hw.arch import AcceleratorError
    from hw.files import FileError, read_json
    from hw.gateware.bundle import FORMAT, INTERFACE_FILE, VERILOG_FILE
    from hw.program import accelerator_from_dict

    path = folder / "manifest.json"
    manifest = read_json(path)
    _expect(f"{path}: format", manifest.get("format"), FORMAT)
    try:
        accelerator = accelerator_from_dict(manifest.get("accelerator"))
    except AcceleratorError as error:
        raise FileError(f"{path}: accelerator: {error}") from None
    _expect(f"{path}: accelerator_sha256", manifest.get("accelerator_sha256"), accelerator.digest)
    _expect(f"{path}: lanes", manifest.get("lanes"), accelerator.lanes)
    names = sorted((INTERFACE_FILE, VERILOG_FILE))
    _check_files(folder, f"{path}: files", manifest.get("files"), names)
    facts = {"accelerator": accelerator.name, "lanes": accelerator.lanes, "digest": accelerator.digest}
    return {**facts, "files": len(names)}


def _check_files(folder: Path, field: str, entries: Any, names: list[str]) -> None:
    """Hold each file of an RTL folder against what the manifest says of it."""
    from hw.files import FileError, read_bytes, sha256

    if not isinstance(entries, dict) or sorted(entries) != names:
        raise FileError(f"{field}: must be an object with the keys {', '.join(names)}, not {shown(entries)}")
    for name in names:
        data = read_bytes(folder / name, MAX_RTL_BYTES)
        facts = {"size": len(data), "sha256": sha256(data)}
        if not isinstance(entries[name], dict) or set(entries[name]) != set(facts):
            raise FileError(f"{field}.{name}: must be an object with the keys size, sha256, not {shown(entries[name])}")
        for key, value in facts.items():
            _expect(f"{field}.{name}.{key}", entries[name][key], value, f" as {name} has")


def _expect(field: str, found: Any, expected: Any, because: str = "") -> None:
    from hw.files import FileError

    if found != expected:
        raise FileError(f"{field}: must be {expected}{because}, not {shown(found)}")


def _network(path: Path) -> dict[str, Any]:
    from model.network import read_network

    network = read_network(path)
    return {"layers": len(network.layers), "digest": network.digest}


def _show(report: dict[str, Any]) -> None:
    facts = ", ".join(f"{name.replace('_', ' ')} {report[name]}" for name in FACTS if name in report)
    print(f"{report['path']}: {report['kind']} ({facts}): ok")

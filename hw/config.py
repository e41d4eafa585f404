"""Accelerator files: one YAML file, or the name of a preset, becomes one checked `Accelerator`.

The layout is that of `Accelerator.to_dict`. `format` and `name` are required, every other key has the default of
`Accelerator`. Numbers are plain decimal integers and nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hw.arch import FIELDS, FORMAT, SECTIONS, Accelerator, AcceleratorError
from hw.files import FileError
from hw.messages import shown, suggestion
from hw.yamlfile import Mapping, Node, Scalar, read_yaml

PRESET_FOLDER = Path(__file__).parent / "presets"
SUFFIXES = (".yaml", ".yml")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NO_WORDS = ("", "~", "null", "true", "false", "yes", "no", "on", "off")
_SECTION_KEYS = {
    section: (*(name for name, field in FIELDS.items() if field.section == section),)
    + (("counters",) if section == "implementation" else ())
    for section in SECTIONS
}


def presets() -> tuple[str, ...]:
    """Return the names of the accelerators that come with the package, smallest first."""
    order = {"nano": 0, "edge": 1, "big": 2, "stream": 3}
    return tuple(sorted((path.stem for path in PRESET_FOLDER.glob("*.yaml")), key=lambda n: (order.get(n, 9), n)))


def load_accelerator(path_or_preset: Path | str) -> Accelerator:
    """Read an accelerator from a file, or from the preset of that name; a wrong one raises a FileError of one line."""
    path = find_accelerator(path_or_preset)
    root = read_yaml(path)
    if not isinstance(root, Mapping):
        raise FileError(f"{path}:{root.line}: must hold sections such as 'array:', not {root}")
    _check_keys(path, root, "", ("format", "name", *SECTIONS))
    _check_identity(path, root)
    values: dict[str, Any] = {"name": _text(path, root, "name")}
    for section in SECTIONS:
        values |= _section(path, root, section)
    try:
        return Accelerator(**values)
    except AcceleratorError as error:
        raise _located(path, root, str(error)) from None


def find_accelerator(path_or_preset: Path | str) -> Path:
    """Return the file of an accelerator that is named by its path or as a preset; a preset's name goes first."""
    if path_or_preset in presets():
        return PRESET_FOLDER / f"{path_or_preset}.yaml"
    path = Path(path_or_preset)
    if isinstance(path_or_preset, str) and path.suffix not in SUFFIXES and path.name == path_or_preset:
        known = ", ".join(presets())
        fix = suggestion(path_or_preset, presets())
        try:
            exists = path.exists()
        except (OSError, ValueError):
            exists = False
        if not exists:
            raise FileError(f"accelerator must be a YAML file or one of {known}, not {shown(path_or_preset)}{fix}")
    return path


# --- keys ------------------------------------------------------------------------------------------------------------


def _check_keys(path: Path, mapping: Mapping, section: str, known: tuple[str, ...]) -> None:
    for key in mapping.entries:
        if key not in known:
            where = f"{section}: " if section else ""
            fix = _elsewhere(key, section) or suggestion(key, known)
            raise FileError(
                f"{path}:{mapping.key_lines[key]}: {where}key must be one of {', '.join(known)}, not {shown(key)}{fix}"
            )


def _elsewhere(key: str, section: str) -> str:
    for name, keys in _SECTION_KEYS.items():
        if key in keys and name != section:
            return f"; move it to the section '{name}'"
    return "; move it to the top level" if key in ("format", "name", *SECTIONS) else ""


def _check_identity(path: Path, root: Mapping) -> None:
    for key, example in (("format", FORMAT), ("name", "my-accelerator")):
        if key not in root.entries:
            raise FileError(f"{path}: {key}: must be given, as in '{key}: {example}', not left out")
    if _text(path, root, "format") != FORMAT:
        node = root.entries["format"]
        raise FileError(f"{path}:{node.line}: format: must be {FORMAT}, not {node}")


def _section(path: Path, root: Mapping, section: str) -> dict[str, Any]:
    node = root.entries.get(section)
    if node is None:
        return {}
    keys = _SECTION_KEYS[section]
    if not isinstance(node, Mapping):
        fix = "give it keys or remove the line" if str(node) == "nothing" else f"give it keys such as '{keys[0]}'"
        raise FileError(f"{path}:{node.line}: {section}: must be a section with keys of its own, not {node}; {fix}")
    _check_keys(path, node, section, keys)
    return {
        key: _boolean(path, section, value) if key == "counters" else _integer(path, section, key, value)
        for key, value in node.entries.items()
    }


# --- values ----------------------------------------------------------------------------------------------------------


def _text(path: Path, root: Mapping, key: str) -> str:
    node = root.entries[key]
    if not isinstance(node, Scalar):
        raise FileError(f"{path}:{node.line}: {key}: must be a word, not {node}")
    if node.plain and node.text.lower() in _NO_WORDS:
        raise FileError(f"{path}:{node.line}: {key}: must be a word, not {node}; choose another one")
    return node.text


def _boolean(path: Path, section: str, node: Node) -> bool:
    if isinstance(node, Scalar) and node.plain and node.text in ("true", "false"):
        return node.text == "true"
    fix = "; write it without quotes" if isinstance(node, Scalar) and node.text in ("true", "false") else ""
    if isinstance(node, Scalar) and node.text.lower() in ("yes", "on", "true", "no", "off"):
        fix = fix or f"; write {'true' if node.text.lower() in ('yes', 'on', 'true') else 'false'}"
    raise FileError(f"{path}:{node.line}: {section}.counters: must be true or false, not {node}{fix}")


def _integer(path: Path, section: str, key: str, node: Node) -> int:
    decimal = isinstance(node, Scalar) and node.plain and _DECIMAL.fullmatch(node.text)
    if decimal and FIELDS[key].holds(int(decimal.group())):
        return int(decimal.group())
    expected, fix = FIELDS[key].expectation, _integer_fix(key, node)
    raise FileError(f"{path}:{node.line}: {section}.{key}: must be {expected}, not {node}; {fix}")


def _integer_fix(key: str, node: Node) -> str:
    """Return the likely fix of a value that is no legal integer."""
    if not isinstance(node, Scalar):
        return "write one number"
    text = node.text.strip().replace("_", "").replace(",", "")
    if not text:
        return "write a number or remove the line"
    if re.fullmatch("0[0-9]+", text):
        return "write it without leading zeros"
    number = _meant(text)
    if number is None:
        return "write a whole number in decimal"
    field = FIELDS[key]
    if field.holds(number):
        return f"write {number}" + ("" if node.plain else " without quotes")
    number = min(max(number, field.low), field.high)
    return f"the nearest is {1 << (number.bit_length() - 1) if field.power_of_two else number}"


def _meant(text: str) -> int | None:
    """Return the whole number that was probably meant, if it can be told."""
    if len(text) > 18:
        return 10**18 if text.isdecimal() else None
    try:
        return int(text, 0)
    except ValueError:
        exact = re.fullmatch(r"[0-9]+(\.[0-9]*)?([eE]\+?[0-9]{1,2})?", text) and float(text).is_integer()
        return int(float(text)) if exact else None


def _located(path: Path, root: Mapping, message: str) -> FileError:
    """Put the line of the field that a message of `Accelerator` starts with before it."""
    field, _, rest = message.partition(" must ")
    section, _, key = field.partition(".")
    node: Node | None = root.entries.get(section)
    if isinstance(node, Mapping) and key in node.entries:
        node = node.entries[key]
    where = f"{path}:{node.line}" if node else f"{path}"
    return FileError(f"{where}: {field}: must {rest}")

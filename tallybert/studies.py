"""Study files: one YAML file, or the name of a shipped one, becomes one checked `Study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import model
from hw.files import FileError
from hw.yamlfile import Mapping, Node, Scalar, plain_data
from tallybert.recipes import find_yaml, line_of, load_recipe, read_mapping, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.training.study import Study, VariantError

STUDY_FOLDER = Path(model.__file__).parent / "studies"


def studies() -> tuple[str, ...]:
    """Return the names of the studies that come with the package."""
    return shipped(STUDY_FOLDER)


def load_study(path_or_name: str) -> Study:
    """Read a study; a wrong one raises a FileError of one line, with the line of the key that is wrong."""
    from model.checks import NetworkError
    from model.training.study import Study, VariantError

    path = find_yaml(path_or_name, "study", STUDY_FOLDER)
    root = read_mapping(path, "variants")
    base = _base(path, root)
    try:
        return Study.from_dict(plain_data(root), base)
    except VariantError as error:
        raise FileError(f"{path}:{_line_of_change(root, error)}: {error}") from None
    except NetworkError as error:
        raise FileError(f"{path}:{line_of(root, str(error).partition(': ')[0])}: {error}") from None


def _base(path: Path, root: Mapping) -> dict[str, Any]:
    """Return the recipe that a study starts from, as plain data: a file's, a shipped one, or the study's own."""
    from model.checks import NetworkError
    from model.training.recipe import Recipe

    node = root.entries.get("base")
    if isinstance(node, Scalar) and node.text:
        return load_recipe(node.text).to_dict()
    if not isinstance(node, Mapping):
        expected = "a shipped recipe's name, a YAML file, or a recipe"
        found = "left out" if node is None else str(node)
        raise FileError(f"{path}:{root.key_lines.get('base', root.line)}: base: must be {expected}, not {found}")
    data: dict[str, Any] = {"name": "base"} | plain_data(node)
    try:
        Recipe.from_dict(data | _stop(root))
    except NetworkError as error:
        field = str(error).partition(": ")[0]
        line = line_of(root if field == "stop" else node, field)
        raise FileError(f"{path}:{line}: {'' if field == 'stop' else 'base.'}{error}") from None
    return data


def _stop(root: Mapping) -> dict[str, Any]:
    return {"stop": plain_data(root.entries["stop"])} if "stop" in root.entries else {}


def _line_of_change(root: Mapping, error: VariantError) -> int:
    """Return the line of the change that makes a variant wrong, or that of the variant."""
    own = line_of(root, f"variants.{error.variant}")
    variants = root.entries["variants"]
    changes = variants.entries[error.variant] if isinstance(variants, Mapping) else variants
    found = _deepest(changes, error.parts)
    if found is None and error.parts[:1] == (("stop",),):
        found = root.key_lines.get("stop")
    return own if found is None else found


def _deepest(node: Node, parts: Sequence[tuple[str, ...]]) -> int | None:
    """Return the line of the key of a change that leads farthest to a place in a recipe; None where none does."""
    if not parts:
        return None
    if not isinstance(node, Mapping):
        items = getattr(node, "items", ())
        places = [int(name) for name in parts[0] if name.isdecimal() and int(name) < len(items)]
        return (_deepest(items[places[0]], parts[1:]) or items[places[0]].line) if places else None
    for key, inner in node.entries.items():
        names = key.split(".")
        if len(names) <= len(parts) and all(name in part for name, part in zip(names, parts, strict=False)):
            return _deepest(inner, parts[len(names) :]) or node.key_lines[key]
    return None

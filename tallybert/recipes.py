"""Recipe files: one YAML file, or the name of a shipped one, becomes one checked `Recipe`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import model
from hw.files import FileError
from hw.messages import shown, suggestion
from hw.yamlfile import Mapping, Node, Sequence, plain_data, read_yaml

if TYPE_CHECKING:
    from model.training.recipe import Recipe

RECIPE_FOLDER = Path(model.__file__).parent / "recipes"
SUFFIXES = (".yaml", ".yml")
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def shipped(folder: Path) -> tuple[str, ...]:
    """Return the names of the YAML files of a folder that comes with the package."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def recipes() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package."""
    return shipped(RECIPE_FOLDER)


def find_yaml(path_or_name: str, kind: str, folder: Path) -> Path:
    """Return the YAML file that is named by its path or as one that comes with the package; such a name goes first."""
    names = shipped(folder)
    if path_or_name in names:
        return folder / f"{path_or_name}.yaml"
    path = Path(path_or_name)
    if path.suffix not in SUFFIXES and not path.is_file():
        fix = suggestion(path_or_name, names)
        raise FileError(f"{kind} must be a YAML file or one of {', '.join(names)}, not {shown(path_or_name)}{fix}")
    return path


def read_mapping(path: Path, example: str) -> Mapping:
    """Return the keys of a YAML file, which must have some; `example` is one."""
    root = read_yaml(path)
    if not isinstance(root, Mapping):
        raise FileError(f"{path}:{root.line}: must hold keys such as '{example}:', not {root}")
    return root


def load_recipe(path_or_name: str) -> Recipe:
    """Read a recipe; a wrong one raises a FileError of one line, with the line of the key that is wrong."""
    from model.checks import NetworkError
    from model.training.recipe import Recipe

    path = find_yaml(path_or_name, "recipe", RECIPE_FOLDER)
    root = read_mapping(path, "name")
    try:
        return Recipe.from_dict(plain_data(root))
    except NetworkError as error:
        field = str(error).partition(": ")[0]
        raise FileError(f"{path}:{line_of(root, field)}: {error}") from None


def line_of(node: Node, field: str) -> int:
    """Return the line of a field such as `chain[1].losses.label`, or of the part of it that is there."""
    line = node.line
    for name, index in _PART.findall(field):
        if isinstance(node, Mapping) and name in node.entries:
            line, node = node.key_lines[name], node.entries[name]
        elif isinstance(node, Sequence) and index and int(index) < len(node.items):
            node = node.items[int(index)]
            line = node.line
        else:
            break
    return line

"""Networks that come with the package, and what a network is called on the command line."""

from __future__ import annotations

from pathlib import Path

import model
from hw.messages import shown, suggestion
from tallybert.options import CommandError

NETWORK_FOLDER = Path(model.__file__).parent / "shipped"
SUFFIX = ".safetensors"
DEFAULT = "default"
RUN_NETWORK = f"network{SUFFIX}"
_TRAIN = "train one: tallybert train --config ci"


def shipped() -> tuple[str, ...]:
    """Return the names of the networks that come with the package, the default first."""
    names = (path.stem for path in NETWORK_FOLDER.glob(f"*{SUFFIX}") if not path.name.startswith("."))
    return tuple(sorted(names, key=lambda name: (name != DEFAULT, name)))


def network_path(name: str) -> Path:
    """Return the file of a shipped network."""
    return NETWORK_FOLDER / f"{name}{SUFFIX}"


def find_network(text: str) -> Path:
    """Return the file of a network: a shipped one's name, a file, or the folder of a finished run."""
    if text in shipped():
        return network_path(text)
    path = Path(text)
    if path.is_dir():
        if not (path / RUN_NETWORK).is_file():
            raise CommandError(f"{text}: must be the folder of a finished run, with {RUN_NETWORK}, not without")
        return path / RUN_NETWORK
    if path.exists():
        return path
    known = ", ".join(shipped())
    if text == DEFAULT:
        raise CommandError(f"network 'default' must come with the package, and this version has none; {_TRAIN}")
    if not known:
        raise CommandError(f"network must be a file or the folder of a run, not {shown(text)}, which is missing")
    fix = suggestion(text, shipped())
    raise CommandError(f"network must be a file, the folder of a run, or one of {known}, not {shown(text)}{fix}")

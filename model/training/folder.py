"""A folder that one process has for itself: a run's, or a study's."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from model.atomic import TEMPORARY
from model.checks import show
from model.training.checks import TrainingError

LOCK = "lock"


def lock_folder(path: Path, made: str, swept: str) -> int:
    """Make a folder with one inside it, and lock it; half-written files in it and in the folder `swept` go."""
    try:
        (path / made).mkdir(parents=True, exist_ok=True)
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise TrainingError(f"{path}: must be a folder to write to, not fail with: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise TrainingError(f"{path}: must be free, not in use by another process") from None
    for folder in (path, path / swept):
        for torn in folder.glob(f".*{TEMPORARY}"):
            with suppress(OSError):
                torn.unlink()
    return handle


def refuse_foreign(path: Path, files: Collection[str]) -> None:
    """Refuse a folder with files that are not of this kind; one that is not there is fine."""
    for found in path.iterdir() if path.exists() else ():
        if found.name not in files and not (found.name.startswith(".") and found.name.endswith(TEMPORARY)):
            raise TrainingError(f"{path}: must be a new or empty folder, not one with {show(found.name)} in it")

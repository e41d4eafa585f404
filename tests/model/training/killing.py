"""A process that dies in the middle of writing, without dying: every write to disk is a moment to be killed at."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest


class Killed(BaseException):
    """What no code of ours catches, as nothing catches kill -9."""


class Killer:
    """Counts the moments at which files are flushed or renamed, and kills at one of them.

    Before a flush the file is cut in half: it may not have reached the disk. At a rename it is killed before or after.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._fsync, self._replace = os.fsync, os.replace
        self.moments = 0
        self._last: int | None = None

    def at(self, moment: int | None) -> "Killer":
        """Return this killer, set to kill at a moment from now on, or never."""
        self.moments, self._last = 0, moment
        return self

    def __enter__(self) -> "Killer":
        self._patch.setattr(os, "fsync", self._flush)
        self._patch.setattr(os, "replace", self._rename)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._patch.setattr(os, "fsync", self._fsync)
        self._patch.setattr(os, "replace", self._replace)
        return kind is Killed

    def _flush(self, handle: int) -> None:
        if self._now() and stat.S_ISREG(os.fstat(handle).st_mode):
            os.truncate(handle, os.fstat(handle).st_size // 2)
            raise Killed
        self._fsync(handle)

    def _rename(self, source: Any, target: Any) -> None:
        if self._now():
            raise Killed
        self._replace(source, target)
        if self._now():
            raise Killed

    def _now(self) -> bool:
        self.moments += 1
        return self._last is not None and self.moments >= self._last


def content(folder: Path, leave: tuple[str, ...] = ("report.json",)) -> dict[str, bytes]:
    """Return every file of a run that must not depend on how often it was killed: no times, and not those to leave."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("costs.json", *leave)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


Run = Callable[..., dict[str, Any]]

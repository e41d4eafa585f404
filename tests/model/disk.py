"""What reaches the disk, in which order: the flushes and renames of the code under test, as they happen."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """Records each flush, with the size of the file that is flushed, and each rename; names are those of the folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._fsync, self._replace, self._folder = os.fsync, os.replace, folder
        self.steps: list[tuple[str, Any]] = []
        monkeypatch.setattr(os, "fsync", self._flush)
        monkeypatch.setattr(os, "replace", self._rename)

    def _flush(self, handle: int) -> None:
        found = os.fstat(handle)
        if stat.S_ISREG(found.st_mode):
            self.steps.append(("flush", found.st_size))
        else:
            self.steps.append(("flush", "folder" if os.path.samestat(found, self._folder.stat()) else "another"))
        self._fsync(handle)

    def _rename(self, source: Path, target: Path) -> None:
        self.steps.append(("rename", Path(target).name))
        self._replace(source, target)

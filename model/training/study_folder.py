"""The folder of a study: what it compares, its runs, the stages that they share, its results.

| file | content |
|---|---|
| study.json | the variants as whole recipes, the seeds, the pairs; another study is refused |
| runs/VARIANT-SEED/ | one run each, a folder as `tallybert train` makes it |
| store/ | the stages, each made once |
| results.json | the figures, once all runs are finished |
| study.png | the same as a picture |
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from model.training.checkpoint import write_bytes
from model.training.checks import TrainingError
from model.training.folder import LOCK, lock_folder, refuse_foreign
from model.training.run import completed, recorded
from model.training.study import Study

STUDY, RUNS, STORE = "study.json", "runs", "store"
RESULTS, PICTURE = "results.json", "study.png"
FILES = (STUDY, RUNS, STORE, LOCK, RESULTS, PICTURE)


class StudyFolder:
    """A study on disk, locked against a second process while it is open."""

    def __init__(self, path: Path, study: Study, *, resume: bool) -> None:
        self.path = path
        self.study = study
        check_place(path, study, resume=resume)
        self._lock = lock_folder(path, RUNS, STORE)
        try:
            check_place(path, study, resume=resume)
            self.write(STUDY, _json(study.to_dict()))
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> StudyFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder whole or not at all."""
        write_bytes(self.path / name, data)

    def write_results(self, results: dict[str, Any]) -> None:
        """Write the figures."""
        self.write(RESULTS, _json(results))


def run_path(folder: Path, variant: str, seed: int) -> Path:
    """Return where one run of a study is."""
    return folder / RUNS / f"{variant}-{seed}"


def check_place(path: Path, study: Study, *, resume: bool) -> None:
    """Refuse a place where the study cannot be: a file, other files, another study, one that is not to be resumed."""
    if path.exists() and not path.is_dir():
        raise TrainingError(f"{path}: must be a folder, not a file")
    if not (path / STUDY).exists():
        refuse_foreign(path, FILES)
        return
    if not resume:
        raise TrainingError(f"{path}: must be a new folder, not one with a study in it; add --resume to go on")
    found, wanted = recorded(path, STUDY).get("variants"), json.loads(_json(study.to_dict()))["variants"]
    for name in wanted:
        if isinstance(found, dict) and name in found and _completed(found[name]) != wanted[name]:
            what = "must be as when the study began, not changed; give the same study, or a new folder"
            raise TrainingError(f"{path / STUDY}: variants.{name}: {what}")


def _completed(recipe: Any) -> Any:
    return completed(recipe) if isinstance(recipe, dict) else recipe


def _json(data: dict[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

"""The folder of a training run: recipe, metrics, checkpoints, finished stages; safe against kill -9 at any moment.

| file | content |
|---|---|
| recipe.json | what the run makes; resuming with another recipe is refused |
| run.json | what it runs on: threads, device, torch, and the digest of the data |
| tokenizer.json | how sentences become ids |
| metrics.jsonl | one line for every few steps: stage, step, losses, scores |
| stages/NAME.safetensors | the weights of a finished stage, or numbers that were computed once |
| checkpoint.safetensors | the stage under way; checkpoint.previous.safetensors is the one before |
| curves.png | losses and scores over steps |
| network.safetensors | the exported network |
| costs.json | the seconds of processor time that each stage took, wherever it was made |
| report.json | the figures of the finished run |
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.checks import NetworkError, show
from model.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    write_bytes,
    write_checkpoint,
)
from model.training.checks import TrainingError
from model.training.folder import LOCK, lock_folder, refuse_foreign
from model.training.recipe import Recipe
from model.training.records import check_machine, check_report, is_seconds, read_metrics
from model.training.store import Shared, link

RECIPE, RUN, METRICS, STAGES = "recipe.json", "run.json", "metrics.jsonl", "stages"
MACHINE = ("device", "threads", "torch")
CURRENT, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
READING = "reading.safetensors"
TOKENIZER, CURVES, NETWORK, REPORT = "tokenizer.json", "curves.png", "network.safetensors", "report.json"
COSTS = "costs.json"
FILES = (
    *(RECIPE, RUN, METRICS, STAGES, LOCK, CURRENT, PREVIOUS, READING),
    *(TOKENIZER, CURVES, NETWORK, REPORT, COSTS),
)

Check = Callable[[Checkpoint, str], None]


class RunFolder:
    """One run on disk, locked against a second process while it is open."""

    def __init__(self, path: Path, recipe: Recipe, *, resume: bool) -> None:
        self.path = path
        self.recipe = recipe
        check_place(path, resume=resume)
        self._lock = lock_folder(path, STAGES, STAGES)
        try:
            check_place(path, resume=resume)
            if not (path / RECIPE).exists():
                self.write(RECIPE, _json(recipe.to_dict()))
            self._check_recipe()
            recorded(path, REPORT)
            self.metrics()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder whole or not at all."""
        write_bytes(self.path / name, data)

    def settle(self, **settings: Any) -> None:
        """Record what the run runs on, which must stay what it is, but for the machine."""
        found = recorded(self.path, RUN)
        for key, value in settings.items():
            fixed = key not in MACHINE
            if fixed and found.get(key, value) != value:
                was = f"{show(found[key])} as when the run began"
                raise TrainingError(f"{self.path / RUN}: {key}: must be {was}, not {show(value)}; begin a new run")
        if found != (wanted := found | settings):
            self.write(RUN, _json(wanted))

    def stage_path(self, name: str) -> Path:
        """Return where the weights of a finished stage are."""
        return self.path / STAGES / f"{name}.safetensors"

    def finished(self, name: str) -> Checkpoint | None:
        """Return a finished stage, or None."""
        path = self.stage_path(name)
        return read_checkpoint(path) if path.exists() else None

    def finish(self, name: str, checkpoint: Checkpoint) -> None:
        """Record a stage as finished."""
        write_checkpoint(self.stage_path(name), checkpoint)

    def adopt(self, name: str, shared: Shared) -> None:
        """Take a stage that another run has made, with its lines of the metrics and its cost, as if it were our own."""
        self.forget_after(name, -1)
        self.write(METRICS, b"".join(map(_line, [*self.metrics(), *shared.records])))
        self.record_cost(name, shared.seconds)
        link(shared.path, self.stage_path(name))

    def costs(self) -> dict[str, float]:
        """Return the seconds of processor time of each stage."""
        found = recorded(self.path, COSTS)
        for name, seconds in found.items():
            if not is_seconds(seconds):
                where = f"{self.path / COSTS}: {show(name)}"
                raise TrainingError(f"{where}: must be seconds, not {show(seconds)}; delete the file")
        return found

    def record_cost(self, name: str, seconds: float) -> None:
        """Record what a stage took."""
        self.write(COSTS, _json({**self.costs(), name: round(seconds, 3)}))

    def drop_checkpoints(self) -> None:
        """Remove the checkpoints of a stage that is finished, and a reading for one before it that a kill has left."""
        for name in (CURRENT, PREVIOUS, READING):
            (self.path / name).unlink(missing_ok=True)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of the stage under way; the last good one is kept beside it."""
        current = self.path / CURRENT
        try:
            if current.exists():
                os.replace(current, self.path / PREVIOUS)
        except OSError as error:
            raise CheckpointError(f"{current}: must be renamed, not fail with: {error.strerror}") from None
        write_checkpoint(current, checkpoint)

    def load(self, stage: str, check: Check | None = None) -> tuple[Checkpoint | None, str]:
        """Return the newest whole checkpoint of a stage, or None, and a line on those that are damaged.

        A damaged one, or one that `check` refuses, is removed, so that it never takes the place of a good one.
        """
        note = ""
        for path in (self.path / CURRENT, self.path / PREVIOUS):
            if path.exists():
                try:
                    checkpoint = read_checkpoint(path)
                    ours = checkpoint.data.get("stage") == stage
                    if ours and check is not None:
                        check(checkpoint, str(path))
                except CheckpointError as error:
                    note = f"{error}: removed; the one before it is used"
                    path.unlink(missing_ok=True)
                    continue
                if ours:
                    return checkpoint, note
        return None, note

    def save_reading(self, checkpoint: Checkpoint) -> None:
        """Write what a module has read so far, beside the checkpoints of training."""
        write_checkpoint(self.path / READING, checkpoint)

    def load_reading(self, stage: str) -> tuple[Checkpoint | None, str]:
        """Return what was read for a stage, or None, and a line where that is damaged."""
        path, note = self.path / READING, ""
        try:
            found = read_checkpoint(path) if path.exists() else None
        except CheckpointError as error:
            found, note = None, f"{error}: removed; it is read again"
        return (found if found is not None and found.data.get("stage") == stage else None), note

    def drop_reading(self) -> None:
        """Remove what was read for a stage that is finished."""
        (self.path / READING).unlink(missing_ok=True)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the metrics."""
        path = self.path / METRICS
        try:
            with open(path, "ab") as file:
                file.write(_line(record))
        except OSError as error:
            raise TrainingError(f"{path}: must be written, not fail with: {error.strerror}") from None

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of the metrics up to the first that is torn."""
        return read_metrics(self.path / METRICS)

    def forget_after(self, stage: str, step: int) -> None:
        """Drop the metrics of a stage after a step: they will be made again."""
        kept = [record for record in self.metrics() if record["stage"] != stage or record["step"] <= step]
        self.write(METRICS, b"".join(map(_line, kept)))

    def _check_recipe(self) -> None:
        found, wanted = completed(recorded(self.path, RECIPE)), json.loads(_json(self.recipe.to_dict()))
        if difference := _difference("", found, wanted):
            raise TrainingError(f"{self.path / RECIPE}: {difference}; give the same recipe, or a new folder")


def recorded(path: Path, name: str) -> dict[str, Any]:
    """Return a JSON file of a run folder, of the types that a run writes, or nothing if it is not there."""
    where = path / name
    fix = "delete it and resume the run" if name == REPORT else "begin a new run"
    try:
        found = json.loads(where.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TrainingError(f"{where}: must be readable, not fail with: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise TrainingError(f"{where}: must be JSON that a run wrote, not damaged; {fix}") from None
    if not isinstance(found, dict):
        raise TrainingError(f"{where}: must be a JSON object, not {show(found)}; {fix}")
    if name == RUN:
        check_machine(where, found)
    if name == REPORT:
        check_report(where, found)
    return found


def completed(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded recipe with the keys that came after it, each with its default; what is none stays as it is."""
    try:
        whole: dict[str, Any] = json.loads(_json(Recipe.from_dict(recipe).to_dict()))
    except NetworkError:
        return recipe
    return whole


def write_report(folder: RunFolder, report: Mapping[str, Any]) -> None:
    """Write the figures of the finished run."""
    folder.write(REPORT, _json(report))


def check_place(path: Path, *, resume: bool) -> None:
    """Refuse a place where no run can be: a file, a folder with other files, a run that is not to be resumed."""
    if path.exists() and not path.is_dir():
        raise TrainingError(f"{path}: must be a folder, not a file")
    if (path / RECIPE).exists() and not resume:
        raise TrainingError(f"{path}: must be a new folder, not one with a run in it; add --resume to go on")
    if path.exists() and not (path / RECIPE).exists():
        refuse_foreign(path, FILES)


def _difference(field: str, found: Any, wanted: Any) -> str:
    """Return where two plain data differ first, in words, or nothing."""
    if found == wanted:
        return ""
    if isinstance(found, dict) and isinstance(wanted, dict):
        pairs = [(f"{field}.{k}" if field else k, found.get(k), wanted.get(k)) for k in sorted({*found, *wanted})]
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = [(f"{field}[{i}]", a, b) for i, (a, b) in enumerate(zip(found, wanted, strict=True))]
    else:
        return f"{field}: must be {show(wanted)} as in the recipe, not {show(found)}"
    return next(filter(None, (_difference(*pair) for pair in pairs)), "")


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True).encode() + b"\n"

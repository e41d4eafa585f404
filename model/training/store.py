"""Stages that runs share: each is trained once and kept under the hash of everything that decides its bits.

| file | content |
|---|---|
| KEY.json | the facts that KEY is the hash of, the stage's lines of the metrics, and the seconds that it took |
| KEY.safetensors | its weights, or the arrays that were computed; there only when KEY.json is |

A run that takes a stage from here ends in the same bits as one that trains it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.atomic import flush_folder, temporary_name
from model.checks import canonical_json
from model.training.checkpoint import Checkpoint, CheckpointError, read_checkpoint, to_bytes, write_bytes
from model.training.checks import TrainingError
from model.training.records import is_line, is_seconds

FORMAT = "tallybert-stage-1"
Facts = Mapping[str, Any]
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Shared:
    """A stage that is kept: its content, its file, its lines of the metrics, its seconds of processor time."""

    checkpoint: Checkpoint
    path: Path
    records: Records
    seconds: float


class Store:
    """A folder of finished stages, each under its key."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._folder = folder
        self._machine = machine_facts(device)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{folder}: must be a folder to write to, not fail with: {error.strerror}") from None

    def key(self, facts: Facts) -> str:
        """Return the name of the stage that these facts decide, on this machine."""
        return hashlib.sha256(canonical_json(self._all(facts)).encode()).hexdigest()

    def fetch(self, facts: Facts, say: Callable[[str], None]) -> Shared | None:
        """Return the stage of these facts, or None; what is damaged is removed, with a line that says so."""
        path, about = self._paths(self.key(facts))
        if not path.exists():
            return None
        try:
            checkpoint, known = read_checkpoint(path), _read(about)
        except CheckpointError as error:
            say(f"{error}: removed; the stage is made again")
            path.unlink(missing_ok=True)
            return None
        return Shared(checkpoint, path, known["records"], known["seconds"])

    def keep(self, facts: Facts, checkpoint: Checkpoint, records: Records, seconds: float) -> Shared:
        """Keep a finished stage; it can be fetched once its last file is whole."""
        path, about = self._paths(self.key(facts))
        known = {"facts": self._all(facts), "records": list(records), "seconds": seconds}
        write_bytes(about, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
        write_bytes(path, to_bytes(checkpoint))
        return Shared(checkpoint, path, records, seconds)

    def _all(self, facts: Facts) -> dict[str, Any]:
        return {"format": FORMAT, "machine": self._machine, "stage": dict(facts)}

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self._folder / f"{key}.safetensors", self._folder / f"{key}.json"


def machine_facts(device: str) -> dict[str, Any]:
    """Return what else decides the bits of a stage: torch, its threads, and the kind of processor."""
    on_gpu = device.startswith("cuda")
    kind = torch.cuda.get_device_name(device) if on_gpu else torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": device, "processor": kind}


def link(source: Path, target: Path) -> None:
    """Let a file have a second name, at once or not at all; where a disk has no links, copy it."""
    temporary = temporary_name(target)
    try:
        os.link(source, temporary)
        os.replace(temporary, target)
        flush_folder(target.parent)
    except OSError:
        write_bytes(target, source.read_bytes())
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # a rename to another name of the same file leaves both


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_bytes())
        seconds, records = known["seconds"], known["records"]
        whole = is_seconds(seconds) and isinstance(records, list) and all(map(is_line, records))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise CheckpointError(f"{path}: must be the JSON of a stage, not damaged")
    return {"seconds": float(seconds), "records": records}

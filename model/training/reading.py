"""What a module says of a corpus, batch by batch: it may stop between two batches, and go on to the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.data.batches import ordered_batches
from model.training.checkpoint import Checkpoint
from model.training.corpus import Corpus, make_batch

BATCH = 128


class Reading:
    """Some outputs of a module, each [sentences, ...], for a corpus; `rows` are in the order of the corpus."""

    def __init__(
        self, module: nn.Module, corpus: Corpus, names: Sequence[str], device: str = "cpu", *, bfloat16: bool = False
    ) -> None:
        self._module, self._corpus, self._device, self._bfloat16 = module.eval(), corpus, device, bfloat16
        self._batches = list(ordered_batches(corpus.lengths, BATCH))
        self._names = tuple(names)
        self.batches = 0
        self.rows: dict[str, NDArray[np.float32]] = {}

    @property
    def finished(self) -> bool:
        """Whether all sentences are read."""
        return self.batches == len(self._batches)

    @property
    def sentences(self) -> int:
        """How many are read."""
        return sum(map(len, self._batches[: self.batches]))

    @torch.no_grad()
    def step(self) -> None:
        """Read one batch."""
        index = self._batches[self.batches]
        batch = make_batch(self._corpus, index, self._device)
        with torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=self._bfloat16):
            found = self._module(batch.ids, batch.mask, batch.types)
        for name in self._names:
            values = getattr(found, name).float().cpu().numpy()
            if name not in self.rows:
                self.rows[name] = np.zeros((len(self._corpus), *values.shape[1:]), np.float32)
            self.rows[name][index] = values
        self.batches += 1

    def restore(self, rows: Mapping[str, Tensor], batches: Any) -> bool:
        """Go on behind so many batches, if these are such rows; return whether they are."""
        counted = isinstance(batches, int) and 0 < batches <= len(self._batches)
        lengths = {len(values) for values in rows.values()}
        if not counted or {*rows} != {*self._names} or lengths != {len(self._corpus)}:
            return False
        self.rows = {name: values.numpy() for name, values in rows.items()}
        self.batches = batches
        return True


class Readings:
    """All that is read for one stage, under the names of its parts: what a killed run finds again."""

    def __init__(self, stage: str, saved: Checkpoint | None) -> None:
        self._stage = stage
        self._saved = saved or Checkpoint({}, {})
        self._parts: dict[str, Reading] = {}
        spent = self._saved.data.get("seconds", 0.0)
        self.seconds: float = spent if isinstance(spent, float) else 0.0

    def add(self, part: str, reading: Reading) -> None:
        """Take a part, from where it was."""
        known = self._saved.data.get("batches")
        prefix = f"{part}/"
        rows = {name.removeprefix(prefix): t for name, t in self._saved.tensors.items() if name.startswith(prefix)}
        reading.restore(rows, known.get(part) if isinstance(known, dict) else None)
        self._parts[part] = reading

    def checkpoint(self, seconds: float) -> Checkpoint:
        """Return all parts so far, those that are read again only later included."""
        known = self._saved.data.get("batches")
        batches = dict(known) if isinstance(known, dict) else {}
        tensors = dict(self._saved.tensors)
        for part, reading in self._parts.items():
            batches[part] = reading.batches
            tensors |= {f"{part}/{name}": torch.from_numpy(rows) for name, rows in reading.rows.items()}
        return Checkpoint(tensors, {"stage": self._stage, "batches": batches, "seconds": seconds})

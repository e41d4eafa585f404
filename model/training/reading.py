"""What a module says of a corpus, batch by batch: it may stop between two batches, and go on to the same bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.data.batches import ordered_batches
from model.training.checkpoint import Checkpoint, CheckpointError
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
        self._done = 0
        self.rows: dict[str, NDArray[np.float32]] = {}
        self.seconds = 0.0

    @property
    def finished(self) -> bool:
        """Whether all sentences are read."""
        return self._done == len(self._batches)

    @property
    def sentences(self) -> int:
        """How many are read."""
        return sum(map(len, self._batches[: self._done]))

    @torch.no_grad()
    def step(self) -> None:
        """Read one batch."""
        index = self._batches[self._done]
        batch = make_batch(self._corpus, index, self._device)
        with torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=self._bfloat16):
            found = self._module(batch.ids, batch.mask, batch.types)
        for name in self._names:
            values = getattr(found, name).float().cpu().numpy()
            empty = np.zeros((len(self._corpus), *values.shape[1:]), np.float32)
            self.rows.setdefault(name, empty)[index] = values
        self._done += 1

    def checkpoint(self, stage: str) -> Checkpoint:
        """Return what is read so far, under the name of a stage."""
        tensors = {name: torch.from_numpy(rows) for name, rows in self.rows.items()}
        return Checkpoint(tensors, {"stage": stage, "batches": self._done, "seconds": self.seconds})

    def check_fit(self, checkpoint: Checkpoint, where: str) -> None:
        """Refuse a checkpoint of other sentences or other outputs."""
        batches, seconds = checkpoint.data.get("batches"), checkpoint.data.get("seconds")
        counts = isinstance(batches, int) and 0 < batches <= len(self._batches) and isinstance(seconds, float)
        lengths = {len(rows) for rows in checkpoint.tensors.values()}
        if not counts or {*checkpoint.tensors} != {*self._names} or lengths != {len(self._corpus)}:
            expected = f"{', '.join(self._names)} of {len(self._corpus)} sentences"
            raise CheckpointError(f"{where}: must hold {expected}, not what another run has read; delete it")

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was made."""
        self.rows = {name: rows.numpy().copy() for name, rows in checkpoint.tensors.items()}
        self._done, self.seconds = checkpoint.data["batches"], checkpoint.data["seconds"]

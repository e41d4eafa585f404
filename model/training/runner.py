"""Training stages in a run folder, each finished once and never again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.training.checkpoint import Checkpoint, load_into
from model.training.corpus import Corpus
from model.training.losses import TOTAL
from model.training.progress import Progress, Silence
from model.training.run import RunFolder
from model.training.stage import Stage, predict

SAVE_EVERY = 20.0
# A checkpoint may take this share of the time: large modules are saved less often.
_SHARE = 0.05
_DRAW_EVERY = 30.0


@dataclass
class Runner:
    """What all stages of a run share: the folder, the device, who watches, and the seconds between checkpoints.

    `draw` is called after a stage, unless it was called just before.
    """

    folder: RunFolder
    device: str = "cpu"
    progress: Progress = field(default_factory=Silence)
    save_every: float = SAVE_EVERY
    draw: Callable[[], None] | None = None
    _drawn: float = field(default_factory=time.monotonic)

    def train(self, stage: Stage) -> None:
        """Train a stage from where it is to its end; of a finished one, take the weights."""
        done = self.folder.finished(stage.name)
        if done is not None:
            load_into(stage.module, done.tensors, str(self.folder.stage_path(stage.name)))
            stage.module.to(self.device).eval()
            return
        stage.begin()
        self._resume(stage)
        self._loop(stage)
        stage.finish()
        score = stage.best_score if math.isfinite(stage.best_score) else None
        self.folder.finish(stage.name, Checkpoint(dict(stage.module.state_dict()), {"stage": stage.name, "dev": score}))
        self.folder.drop_checkpoints()
        if self.draw is not None and time.monotonic() - self._drawn > _DRAW_EVERY:
            self.draw()
            self._drawn = time.monotonic()

    def compute(self, name: str, make: Callable[[], dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
        """Return arrays that are made once and then read."""
        found = self.folder.finished(name)
        if found is None:
            found = Checkpoint({key: torch.from_numpy(array) for key, array in make().items()}, {"stage": name})
            self.folder.finish(name, found)
        return {key: tensor.numpy() for key, tensor in found.tensors.items()}

    def predict(self, what: str, module: nn.Module, corpus: Corpus, *, bfloat16: bool = False) -> NDArray[np.float32]:
        """Return the logits of a corpus, telling how it goes."""
        self.progress.begin(what, len(corpus))
        logits = predict(
            module, corpus, self.device, bfloat16=bfloat16, hear=lambda done: self.progress.advance(done, {})
        )
        self.progress.end()
        return logits

    def _resume(self, stage: Stage) -> None:
        saved, note = self.folder.load(stage.name, stage.check_fit)
        if note:
            self.progress.say(note)
        if saved is not None:
            stage.restore(saved, str(self.folder.path))
        self.folder.forget_after(stage.name, stage.step)

    def _loop(self, stage: Stage) -> None:
        size = stage.plan.batch
        self.progress.begin(stage.name, stage.steps * size, stage.step * size)
        clock = _Clock(self.save_every)
        while stage.step < stage.steps:
            stage.run_step()
            if stage.check_is_due():
                self.folder.log(_record(stage) | {"dev": stage.check()})
            elif stage.log_is_due():
                self.folder.log(_record(stage))
            self.progress.advance(stage.step * size, _shown(stage))
            if clock.is_due() and stage.step < stage.steps:
                with clock:
                    self.folder.save(stage.checkpoint())
        self.progress.end(f"dev {stage.best_score:.4f}")


class _Clock:
    """Says when the next checkpoint is due: after some seconds, and never so often that it slows the run down."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._took = 0.0
        self._last = time.monotonic()

    def is_due(self) -> bool:
        wait = max(self._seconds, self._took / _SHARE if self._seconds else 0.0)
        return time.monotonic() - self._last >= wait

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self._last = time.monotonic()
        self._took = self._last - self._begun


def _record(stage: Stage) -> dict[str, object]:
    return {"stage": stage.name, "step": stage.step, **stage.averages}


def _shown(stage: Stage) -> dict[str, float]:
    scores = {"dev": stage.best_score} if math.isfinite(stage.best_score) else {}
    return {"loss": stage.averages[TOTAL], **scores}

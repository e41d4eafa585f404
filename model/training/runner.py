"""Training stages in a run folder, each finished once and never again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.training.checkpoint import Checkpoint, CheckpointError, load_into
from model.training.corpus import Corpus
from model.training.facts import corpus_digest, module_facts
from model.training.losses import TOTAL
from model.training.progress import Progress, Silence
from model.training.reading import Reading, Readings
from model.training.run import RunFolder
from model.training.stage import Stage
from model.training.store import Facts, Store

SAVE_EVERY = 20.0
# A checkpoint may take this share of the time: large modules are saved less often.
_SHARE = 0.05
_DRAW_EVERY = 30.0
Arrays = dict[str, NDArray[np.float32]]
MakeFacts = Callable[[], Facts | None]


@dataclass
class Runner:
    """What all stages of a run share: the folder, the device, who watches, and the seconds between checkpoints.

    `draw` is called after a stage, unless it was called just before. What another run has put into the `store` is not
    made again.
    """

    folder: RunFolder
    device: str = "cpu"
    progress: Progress = field(default_factory=Silence)
    save_every: float = SAVE_EVERY
    draw: Callable[[], None] | None = None
    store: Store | None = None
    _drawn: float = field(default_factory=time.monotonic)
    _readings: Readings | None = None  # of the stage that is computed
    _began: float = 0.0

    def train(self, stage: Stage) -> None:
        """Train a stage from where it is to its end; of a finished one, take the weights."""
        done, facts = self.folder.finished(stage.name), None
        if done is None:
            facts = self._facts(lambda: stage_facts(stage))
            done = self._shared(stage.name, facts)
        if done is not None:
            load_into(stage.module, done.tensors, str(self.folder.stage_path(stage.name)))
            stage.module.to(self.device).eval()
            return
        stage.begin()
        self._resume(stage)
        self._loop(stage)
        stage.finish()
        score = stage.best_score if math.isfinite(stage.best_score) else None
        made = Checkpoint(dict(stage.module.state_dict()), {"stage": stage.name, "dev": score})
        self._finish(stage.name, made, stage.seconds, facts)
        self.folder.drop_checkpoints()
        if self.draw is not None and time.monotonic() - self._drawn > _DRAW_EVERY:
            self.draw()
            self._drawn = time.monotonic()

    def compute(
        self, name: str, names: Collection[str], make: Callable[[], Arrays], facts: MakeFacts | None = None
    ) -> Arrays:
        """Return arrays of some names, made once and then read; `facts` returns what decides them, for the store."""
        found = self.folder.finished(name)
        if found is None:
            known = None if facts is None else self._facts(facts)
            found = self._shared(name, known)
            if found is None:
                found = self._make(name, make, known)
        if missing := sorted({*names} - {*found.tensors}):
            where = self.folder.stage_path(name)
            raise CheckpointError(f"{where}: must hold {missing[0]}, not {', '.join(found.tensors)}; delete it")
        return {key: found.tensors[key].numpy() for key in names}

    def predict(self, what: str, module: nn.Module, corpus: Corpus, *, bfloat16: bool = False) -> NDArray[np.float32]:
        """Return the logits of a corpus, telling how it goes."""
        return self.outputs(what, module, corpus, ("logits",), bfloat16=bfloat16)["logits"]

    def outputs(
        self, what: str, module: nn.Module, corpus: Corpus, names: Sequence[str], *, bfloat16: bool = False
    ) -> Arrays:
        """Return some outputs of a module for a corpus, telling how it goes; a killed run goes on where it was."""
        reading = Reading(module, corpus, names, self.device, bfloat16=bfloat16)
        if self._readings is not None:
            self._readings.add(what, reading)
        self.progress.begin(what, len(corpus), reading.sentences)
        clock = _Clock(self.save_every)
        while not reading.finished:
            reading.step()
            self.progress.advance(reading.sentences, {})
            if self._readings is not None and clock.is_due():
                with clock:
                    self.folder.save_reading(self._readings.checkpoint(self._spent()))
        self.progress.end()
        return reading.rows

    def _make(self, name: str, make: Callable[[], Arrays], facts: Facts | None) -> Checkpoint:
        """Compute a stage; what is read for it is saved on the way."""
        saved, note = self.folder.load_reading(name)
        if note:
            self.progress.say(note)
        self._readings, self._began = Readings(name, saved), time.process_time()
        found = Checkpoint({key: torch.from_numpy(array) for key, array in make().items()}, {"stage": name})
        self._finish(name, found, self._spent(), facts)
        self._readings = None
        self.folder.drop_reading()
        return found

    def _spent(self) -> float:
        """Return the seconds that the stage that is computed has taken, those of a killed run included."""
        before = 0.0 if self._readings is None else self._readings.seconds
        return before + time.process_time() - self._began

    def _facts(self, make: MakeFacts) -> Facts | None:
        return None if self.store is None else make()

    def _shared(self, name: str, facts: Facts | None) -> Checkpoint | None:
        """Return a stage that another run has made, once this run has it too."""
        if self.store is None or facts is None:
            return None
        shared = self.store.fetch(facts, self.progress.say)
        if shared is None:
            return None
        self.folder.adopt(name, shared)
        self.progress.say(f"{name}: shared, made before in {shared.seconds:.1f} s of processor time")
        return shared.checkpoint

    def _finish(self, name: str, made: Checkpoint, seconds: float, facts: Facts | None) -> None:
        """Record a stage as finished: first in the store, so that nobody makes it again whenever this is killed."""
        if self.store is not None and facts is not None:
            records = [record for record in self.folder.metrics() if record.get("stage") == name]
            self.folder.adopt(name, self.store.keep(facts, made, records, round(seconds, 3)))
            return
        self.folder.record_cost(name, seconds)
        self.folder.finish(name, made)

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
        clock, spent, began = _Clock(self.save_every), stage.seconds, time.process_time()
        while stage.step < stage.steps:
            stage.run_step()
            if stage.check_is_due():
                self.folder.log(_record(stage) | {"dev": stage.check()})
            elif stage.log_is_due():
                self.folder.log(_record(stage))
            self.progress.advance(stage.step * size, _shown(stage))
            stage.seconds = spent + time.process_time() - began
            if clock.is_due() and stage.step < stage.steps:
                with clock:
                    self.folder.save(stage.checkpoint())
        self.progress.end(f"dev {stage.best_score:.4f}")


def stage_facts(stage: Stage) -> Facts | None:
    """Return everything that decides the bits of a stage that has not begun, or None where the stage does not say."""
    own = None if stage.facts is None else stage.facts()
    if own is None:
        return None
    known = {"plan": stage.plan.to_dict(), "seed": stage.seed, "corpus": corpus_digest(stage.corpus)}
    return {"module": module_facts(stage.module), **known, **own}


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

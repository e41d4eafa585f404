"""One stage of training: a loop that can stop at any step and go on to the same bits.

What a step does is a function of the weights, the optimizer, torch's random state and the step's number alone: batches
and dropped words are drawn from generators seeded by (seed, epoch) and (seed, step). So a checkpoint of those, and
nothing else, resumes a stage exactly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.checks import show
from model.data.batches import length_batches
from model.training.checkpoint import Checkpoint, CheckpointError, check_state, load_into
from model.training.checks import TrainingError
from model.training.corpus import Batch, Corpus, make_batch, make_dropped_batch
from model.training.losses import TOTAL, Loss
from model.training.optimizer import Optimizer
from model.training.plan import StagePlan
from model.training.reading import Reading

LOGS = 50
_MEMORY = 0.9
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sampling:
    """Which sentences an epoch shows, each once by default, and the weights of their losses, 1 by default.

    `facts` say what decides both, so that a stage can be compared with another one.
    """

    draw: Callable[[int], Indices] | None = None
    weights: NDArray[np.float64] | None = None
    facts: Mapping[str, Any] | None = None

    @property
    def known(self) -> Mapping[str, Any] | None:
        """What decides which sentences are shown, or None where nobody has said it."""
        return {} if self.draw is None and self.weights is None else self.facts


@dataclass
class Stage:
    """The training of one module by one plan, with everything that it needs.

    `draw` gives the sentences of an epoch, some perhaps more than once; without it each comes once. `facts` returns
    what decides loss, score and draw, for a store; without it the stage is not shared. `seconds` are those of the
    processor.
    """

    name: str
    module: nn.Module
    plan: StagePlan
    corpus: Corpus
    loss: Loss
    score: Callable[[], float]
    seed: int
    device: str = "cpu"
    draw: Callable[[int], Indices] | None = None
    facts: Callable[[], Mapping[str, Any] | None] | None = None
    seconds: float = 0.0
    step: int = 0
    best_score: float = -math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    averages: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Make ready for step 0."""
        torch.manual_seed(self.seed)
        self.module.to(self.device)
        self._optimizer = Optimizer(self.module, self.plan, self.steps)
        self._epoch = -1
        self._batches: list[Indices] = []

    @property
    def steps_per_epoch(self) -> int:
        """Batches that show as many sentences as there are."""
        return -(-len(self.corpus) // self.plan.batch)

    @property
    def steps(self) -> int:
        """Steps of the whole stage."""
        return max(1, round(self.plan.epochs * self.steps_per_epoch))

    def run_step(self) -> None:
        """Train on the next batch."""
        self.module.train()
        batch = self._batch()
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.plan.bfloat16):
            total, parts = self.loss(self.module, batch)
        if not math.isfinite(parts[TOTAL]):
            found = f"not {parts[TOTAL]}; lower rate, or clip more"
            raise TrainingError(f"{self.name}: the loss must be finite at step {self.step}, {found}")
        self._optimizer.step(total, self.step)
        for name, value in parts.items():
            self.averages[name] = _MEMORY * self.averages.get(name, value) + (1 - _MEMORY) * value
        self.step += 1

    def check_is_due(self) -> bool:
        """Return whether the dev score is to be taken after the step just made."""
        every = max(1, self.steps_per_epoch // self.plan.checks_per_epoch)
        return self.step % every == 0 or self.step == self.steps

    def log_is_due(self) -> bool:
        """Return whether the losses are to be recorded after the step just made."""
        return self.step % max(1, self.steps // LOGS) == 0 or self.check_is_due()

    def check(self) -> float:
        """Take the dev score and keep the weights if it is the best so far."""
        score = self.score()
        if score > self.best_score:
            self.best_score = score
            if self.plan.keep == "best":
                self.best = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        return score

    def finish(self) -> None:
        """Leave the module with the weights that the plan keeps."""
        if self.best:
            load_into(self.module, self.best, self.name)
        self.module.eval()
        for name, tensor in self.module.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise TrainingError(f"{self.name}: {name} must be finite after training, not NaN; lower rate")

    def checkpoint(self) -> Checkpoint:
        """Return everything that the next step depends on."""
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self._optimizer.state().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.startswith("cuda"):
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        score = self.best_score if math.isfinite(self.best_score) else None
        data = {"stage": self.name, "step": self.step, "best_score": score, "averages": self.averages}
        data["seconds"] = self.seconds
        return Checkpoint(tensors, data)

    def check_fit(self, checkpoint: Checkpoint, where: str) -> None:
        """Refuse a checkpoint from which this stage cannot go on; nothing is changed."""
        data, parts = checkpoint.data, _parts(checkpoint, where)
        if data.get("stage") != self.name:
            raise CheckpointError(f"{where}: must be of stage {self.name}, not {data.get('stage')!r:.80}")
        check_state(self.module, parts["module"], where)
        if parts["best"]:
            check_state(self.module, parts["best"], where)
        self._optimizer.check(parts["optimizer"], where)
        random = parts["random"].get("cpu")
        if random is None or random.dtype != torch.uint8 or random.shape != torch.get_rng_state().shape:
            raise CheckpointError(f"{where}: random.cpu: must be the state of torch's generator, not another tensor")
        step, score, averages = data.get("step"), data.get("best_score"), data.get("averages")
        seconds = data.get("seconds", 0.0)
        for key, legal in (
            ("step", type(step) is int and 0 <= step <= self.steps),
            ("best_score", score is None or type(score) in (int, float)),
            ("seconds", type(seconds) in (int, float) and seconds >= 0),
            ("averages", isinstance(averages, dict) and all(type(x) in (int, float) for x in averages.values())),
        ):
            if not legal:
                raise CheckpointError(f"{where}: {key}: must be what a stage writes, not {show(data.get(key))}")

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        """Go on from a checkpoint of this stage; of one that does not fit, nothing is taken."""
        self.check_fit(checkpoint, where)
        data, parts = checkpoint.data, _parts(checkpoint, where)
        load_into(self.module, parts["module"], where)
        self.best = {name: tensor.to(self.device) for name, tensor in parts["best"].items()}
        self._optimizer.restore(parts["optimizer"])
        torch.set_rng_state(parts["random"]["cpu"])
        if "cuda" in parts["random"] and self.device.startswith("cuda"):
            torch.cuda.set_rng_state(parts["random"]["cuda"], self.device)
        self.step, self.averages, self.seconds = data["step"], data["averages"], data.get("seconds", 0.0)
        self.best_score = -math.inf if data["best_score"] is None else data["best_score"]

    def _batch(self) -> Batch:
        epoch, place = divmod(self.step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._batches, self._epoch = self._draw_batches(epoch), epoch
        index, drop = self._batches[place], self.plan.word_drop
        if drop:
            return make_dropped_batch(self.corpus, index, self.device, drop, self.seed, self.step)
        return make_batch(self.corpus, index, self.device)

    def _draw_batches(self, epoch: int) -> list[Indices]:
        lengths = self.corpus.lengths
        if self.draw is None:
            return length_batches(lengths, self.plan.batch, self.seed, epoch)
        drawn = self.draw(epoch)
        return [drawn[places] for places in length_batches(lengths[drawn], self.plan.batch, self.seed, epoch)]


def _parts(checkpoint: Checkpoint, where: str) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of a checkpoint by what they belong to."""
    parts: dict[str, dict[str, Tensor]] = {"module": {}, "best": {}, "optimizer": {}, "random": {}}
    for name, tensor in checkpoint.tensors.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            raise CheckpointError(f"{where}: {show(name)}: must be a tensor of {', '.join(parts)}, not another")
        parts[part][rest] = tensor
    return parts


def stage_seed(seed: int, name: str) -> int:
    """Return the seed of one stage of a run: two stages draw different batches and dropouts."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4], "little") >> 1


def predict(
    module: nn.Module,
    corpus: Corpus,
    device: str = "cpu",
    *,
    bfloat16: bool = False,
    hear: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Return the logits [sentences, classes] of a corpus, in its own order: no sentence is left out."""
    return outputs(module, corpus, ("logits",), device, bfloat16=bfloat16, hear=hear)["logits"]


def outputs(
    module: nn.Module,
    corpus: Corpus,
    names: Sequence[str],
    device: str = "cpu",
    *,
    bfloat16: bool = False,
    hear: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Return some outputs of a module, each [sentences, ...], for a corpus in its own order."""
    reading = Reading(module, corpus, names, device, bfloat16=bfloat16)
    while not reading.finished:
        reading.step()
        if hear is not None:
            hear(reading.sentences)
    return reading.rows

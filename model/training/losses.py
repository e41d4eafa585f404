"""The loss of a batch: an objective on what the student says, its labels, and what a teacher says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.distillation import Objective
from model.training.corpus import Batch
from model.training.plan import StagePlan

Loss = Callable[[Any, Batch], tuple[Tensor, dict[str, float]]]
TOTAL = "total"


def batch_loss(
    plan: StagePlan, regression: bool, teacher: nn.Module | None = None, weights: NDArray[Any] | None = None
) -> Loss:
    """Return the loss of a plan: the sum to descend, and as numbers the `total` and its parts.

    `teacher` is a module that runs in every step, for its features; without it the stored logits of the batch count.
    `weights` multiply the losses of the sentences.
    """
    parts: dict[str, Any] = dict(plan.losses)
    objective = Objective(**parts, temperature=plan.temperature)
    own = None if weights is None else torch.from_numpy(weights).float()

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        said = None
        if teacher is not None:
            with torch.no_grad():
                said = teacher(batch.ids, batch.mask, batch.types)
        student: Any = module(batch.ids, batch.mask, batch.types)
        return objective.loss(
            student,
            said,
            batch.teacher_logits if said is None else said.logits,
            batch.labels,
            batch.mask,
            sample_weights=None if own is None else own[batch.index].to(student.logits.device),
            regression=regression,
            vectors=_vectors(module, student, batch),
        )

    return loss


def _vectors(module: Any, student: Any, batch: Batch) -> tuple[Tensor, Tensor] | None:
    """Return what the student and the teacher make of each sentence, where the student is to learn it."""
    projection = getattr(module, "projection", None)
    if projection is None or batch.teacher_vectors is None:
        return None
    return projection(student.pooled), batch.teacher_vectors

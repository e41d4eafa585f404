"""What logits are worth on a task."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from model.data.dataset import Task
from model.data.metrics import evaluate


def score_logits(task: Task, logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the first metric of a task for logits [sentences, classes]; of a score there is one."""
    predictions = logits[:, 0] if task.regression else logits.argmax(1)
    return float(evaluate(task, predictions, labels)[task.metrics[0]])

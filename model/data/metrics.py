"""What answers are worth: the metrics of the tasks from their definitions, and how sure a figure is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.data.dataset import Task
from model.data.errors import require

Array = NDArray[Any]
_CONFIDENCE = 0.95
_MAX_DRAWS = 1 << 22  # random indices held at once


@dataclass(frozen=True)
class Interval:
    """A figure, and the bounds between which it lies with 95 % confidence."""

    mean: float
    low: float
    high: float


def accuracy(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of right answers."""
    found, true = _classes(predictions, labels)
    return int(np.count_nonzero(found == true)) / len(true)


def mcc(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return the correlation of Matthews over any number of classes; 0 where all answers, or all labels, are equal."""
    found, true = _classes(predictions, labels)
    count, size = len(true), int(max(found.max(), true.max())) + 1
    right = int(np.count_nonzero(found == true))
    given = [int(number) for number in np.bincount(found, minlength=size)]
    wanted = [int(number) for number in np.bincount(true, minlength=size)]
    above = right * count - sum(a * b for a, b in zip(given, wanted, strict=True))
    below = (count**2 - sum(a * a for a in given)) * (count**2 - sum(b * b for b in wanted))
    return above / math.sqrt(below) if below else 0.0


def f1(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return the harmonic mean of precision and recall of class 1; 0 where class 1 is neither given nor wanted."""
    found, true = _classes(predictions, labels)
    return _f1_of(1, found, true)


def macro_f1(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean of the F1 of every class that is given or wanted."""
    found, true = _classes(predictions, labels)
    classes = np.union1d(found, true).tolist()
    return math.fsum(_f1_of(number, found, true) for number in classes) / len(classes)


def pearson(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return the linear correlation; 0 where all answers, or all labels, are equal."""
    found, true = _scores(predictions, labels)
    if len(found) < 2 or np.ptp(found) == 0 or np.ptp(true) == 0:
        return 0.0
    x, y = _centred(found), _centred(true)
    return float(np.clip(np.dot(x, y) / math.sqrt(np.dot(x, x) * np.dot(y, y)), -1, 1))


def spearman(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return the correlation of ranks; equal values share the mean of their ranks."""
    found, true = _scores(predictions, labels)
    return pearson(ranks(found), ranks(true))


def ranks(values: Array) -> Array:
    """Return the rank of each value from 1 on, the mean of the ranks where values are equal."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "accuracy": accuracy,
    "mcc": mcc,
    "f1": f1,
    "macro_f1": macro_f1,
    "pearson": pearson,
    "spearman": spearman,
}


def evaluate(task: Task, predictions: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Return every metric of a task over all examples at once; predictions are classes, or scores."""
    return {name: METRICS[name](predictions, labels) for name in task.metrics}


def bootstrap_interval(
    values: ArrayLike, other: ArrayLike | None = None, *, samples: int = 10_000, seed: int = 0
) -> Interval:
    """Return the mean over examples with its interval, from samples of the examples drawn with replacement.

    With the values of another system for the same examples, it is the mean of the difference, `values` less `other`:
    the samples are the same for both.
    """
    own = _numbers("values", values)
    if other is not None:
        own = own - _numbers("other", other, len(own))
    require(samples >= 1, "samples", "at least 1", samples)
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed])))
    at_once = max(1, _MAX_DRAWS // len(own))
    means = [
        own[generator.integers(len(own), size=(min(at_once, samples - start), len(own)))].mean(axis=1)
        for start in range(0, samples, at_once)
    ]
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(own.mean()), float(low), float(high))


def seed_interval(values: Sequence[float]) -> Interval:
    """Return the mean over seeds with Student's interval; one seed alone says nothing of it."""
    own = _numbers("values", values)
    require(len(own) >= 2, "values", "of at least two seeds", len(own))
    count = len(own)
    mean = math.fsum(own) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in own) / (count - 1))
    margin = student_quantile(count - 1) * spread / math.sqrt(count)
    return Interval(mean, mean - margin, mean + margin)


def student_quantile(freedom: int) -> float:
    """Return the t between whose negative and itself 95 % of Student's distribution lie."""
    low, high = 0.0, 16.0
    for _ in range(200):
        middle = (low + high) / 2
        if _student_inside(middle, freedom) < _CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _student_inside(t: float, freedom: int) -> float:
    """Return the probability between -t and t: the finite series for a whole number of degrees of freedom."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for step in range(freedom // 2):
        total += term
        term *= square * (2 * step + 1 + odd) / (2 * step + 2 + odd)
    return (angle + sine * total) * 2 / math.pi if odd else sine * total


def _f1_of(number: int, found: Array, true: Array) -> float:
    both = int(np.count_nonzero((found == number) & (true == number)))
    either = int(np.count_nonzero(found == number)) + int(np.count_nonzero(true == number))
    return 2 * both / either if either else 0.0


def _centred(values: Array) -> Array:
    centred = values - values.mean()
    return centred / np.abs(centred).max()


def _classes(predictions: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    found, true = np.asarray(predictions), np.asarray(labels)
    for name, values in (("predictions", found), ("labels", true)):
        whole = np.issubdtype(values.dtype, np.integer) and bool((values >= 0).all())
        require(whole and values.ndim == 1, name, "indices of classes", f"{values.dtype} {values.shape}")
    _check_lengths(found, true)
    return found, true


def _scores(predictions: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    found, true = _numbers("predictions", predictions), _numbers("labels", labels)
    _check_lengths(found, true)
    return found, true


def _check_lengths(found: Array, true: Array) -> None:
    require(len(true) > 0, "labels", "at least one", 0)
    require(len(found) == len(true), "predictions", f"{len(true)} answers, as labels", len(found))


def _numbers(name: str, values: ArrayLike, count: int | None = None) -> Array:
    numbers = np.asarray(values, np.float64)
    require(numbers.ndim == 1 and len(numbers) > 0, name, "a list of numbers", numbers.shape)
    require(bool(np.isfinite(numbers).all()), name, "finite numbers", "some that are not")
    if count is not None:
        require(len(numbers) == count, name, f"{count} numbers, one for each example", len(numbers))
    return numbers

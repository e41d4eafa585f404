"""What every source of data becomes: a task, and three splits of examples."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.checks import canonical_json
from model.data.errors import DataError, refuse, require

__all__ = ["CLASS_METRICS", "SCORE_METRICS", "DataError", "Dataset", "Split", "Task", "what_is_missing"]

CLASS_METRICS = ("accuracy", "mcc", "f1", "macro_f1")
SCORE_METRICS = ("pearson", "spearman")
PARTS = ("train", "dev", "test")
FEWEST = 8
_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Task:
    """What is asked of a text, or of two: one of some classes, or a score.

    `labels` are the names of the classes in the order of their indices, none for a score; the first of `metrics` is
    the one by which networks are chosen.
    """

    name: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    pairs: bool = False
    score_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        legal = SCORE_METRICS if self.regression else CLASS_METRICS
        require(len(self.labels) != 1, "labels", "at least 2 classes, or none for a score", self.labels)
        require(len(set(self.labels)) == len(self.labels), "labels", "different names", self.labels)
        require(bool(self.metrics), "metrics", "at least one metric", self.metrics)
        for metric in self.metrics:
            require(metric in legal, "metrics", f"some of {', '.join(legal)}", metric)
        require(
            "f1" not in self.metrics or self.classes == 2,
            "metrics",
            "macro_f1 where there are more than 2 classes",
            "f1",
        )
        if self.score_range is None:
            require(not self.regression, "score_range", "the lowest and the highest score", None)
        else:
            low, high = self.score_range
            require(self.regression, "score_range", "None for classes", self.score_range)
            finite = bool(np.isfinite(low) and np.isfinite(high))
            require(finite and low < high, "score_range", "a lower and a higher number", self.score_range)

    @property
    def regression(self) -> bool:
        """Whether the answer is a score."""
        return not self.labels

    @property
    def classes(self) -> int:
        """The number of outputs that a network for the task has: one for each class, one for a score."""
        return len(self.labels) or 1


@dataclass(frozen=True, eq=False)
class Split:
    """Some examples: texts, what they are paired with, labels, and what each belongs to (a film, a day, ...).

    Labels are int64 indices of classes or float32 scores, and cannot be written to.
    """

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: NDArray[Any]
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        labels = np.array(self.labels)
        require(labels.ndim == 1, "labels", "one number for each text", labels.shape)
        require(labels.dtype in (np.int64, np.float32), "labels", "int64 classes or float32 scores", str(labels.dtype))
        for name, column in (("labels", labels), ("pairs", self.pairs), ("groups", self.groups)):
            if column is not None:
                require(len(column) == len(self.texts), name, f"{len(self.texts)} entries, as texts", len(column))
        labels.flags.writeable = False
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | NDArray[Any]) -> Split:
        """Return the examples with these indices, in their order."""
        chosen = np.asarray(indices, np.int64)
        texts, pairs, groups = (_pick(column, chosen) for column in (self.texts, self.pairs, self.groups))
        return Split(texts or (), pairs, self.labels[chosen], groups)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of texts, pairs and labels, each text with its length before it."""
        summary = hashlib.sha256()
        for column in (self.texts, self.pairs):
            summary.update(b"none" if column is None else b"some")
            for text in column or ():
                data = text.encode("utf-8", "surrogatepass")
                summary.update(len(data).to_bytes(8, "little"))
                summary.update(data)
        summary.update(self.labels.astype(self.labels.dtype.newbyteorder("<")).tobytes())
        return summary.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A task with the examples to train on, to choose by and to report on, and one line on where they come from."""

    name: str
    task: Task
    train: Split
    dev: Split
    test: Split
    source: str

    def __post_init__(self) -> None:
        for part, split in self.splits.items():
            require(len(split) > 0, f"{self.name}: {part}", "at least one example", len(split))
            require((split.pairs is not None) == self.task.pairs, f"{self.name}: {part}", *self._wanted(split))
            self._check_labels(f"{self.name}: {part}: labels", split.labels)

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return dict(zip(PARTS, (self.train, self.dev, self.test), strict=True))

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the classes and of the three splits."""
        content = {part: split.digest for part, split in self.splits.items()}
        text = canonical_json({"labels": list(self.task.labels), "score": self.task.score_range, **content})
        return hashlib.sha256(text.encode()).hexdigest()

    def _wanted(self, split: Split) -> tuple[str, str]:
        found = "single texts" if split.pairs is None else "pairs"
        return ("pairs of texts, as the task says" if self.task.pairs else "single texts, as the task says"), found

    def _check_labels(self, where: str, labels: NDArray[Any]) -> None:
        if self.task.score_range is None:
            require(labels.dtype == np.int64, where, "int64 classes", str(labels.dtype))
            low, high = 0.0, float(self.task.classes - 1)
        else:
            require(labels.dtype == np.float32, where, "float32 scores", str(labels.dtype))
            low, high = self.task.score_range
        outside = labels[~((labels >= low) & (labels <= high))]
        if len(outside):
            refuse(where, f"from {low:g} to {high:g}", f"{outside[0]}")


def _pick(column: tuple[str, ...] | None, chosen: NDArray[Any]) -> tuple[str, ...] | None:
    return None if column is None else tuple(column[index] for index in chosen.tolist())


def what_is_missing(dataset: Dataset) -> str | None:
    """Return what the training set must be and is not, for anything to be learned from it; None if all is there."""
    train = dataset.train
    for holds, expected, found in (
        (len(train) >= FEWEST, f"at least {FEWEST} examples to train on", f"{len(train)}"),
        (len(np.unique(train.labels)) > 1, "examples of more than one label to train on", "of one alone"),
        (any(map(_WORD.search, train.texts)), "texts with words to train on", "signs alone"),
    ):
        if not holds:
            return f"{expected}, not {found}"
    return None

"""What a network must beat: single words and pairs of words, weighed by how rare they are, and a linear model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from model.data.dataset import Dataset, Split
from model.data.metrics import evaluate

STRENGTHS = (0.25, 1.0, 4.0, 16.0, 64.0)  # C of logistic regression
PENALTIES = (0.1, 0.3, 1.0, 3.0)  # alpha of ridge


@dataclass(frozen=True)
class Baseline:
    """The constant that dev chose (C, or alpha), and the metrics and predictions on dev and on test."""

    constant: float
    dev: dict[str, float]
    test: dict[str, float]
    predictions: Mapping[str, NDArray[Any]] = field(compare=False)


def linear_baseline(dataset: Dataset) -> Baseline:
    """Fit on train, choose by the task's first metric on dev, report on test.

    It is logistic regression for classes and ridge for scores. Of a pair it sees how far the words of the two texts
    differ, and which of them they share.
    """
    vectorizer = _vectorizer()
    vectorizer.fit([*dataset.train.texts, *(dataset.train.pairs or ())])
    train, dev, test = (_features(vectorizer, split) for split in dataset.splits.values())
    results = []
    for constant in PENALTIES if dataset.task.regression else STRENGTHS:
        model = _model(dataset, constant).fit(train, dataset.train.labels)
        said = {"dev": model.predict(dev), "test": model.predict(test)}
        on_dev, on_test = (evaluate(dataset.task, said[name], dataset.splits[name].labels) for name in said)
        results.append(Baseline(constant, on_dev, on_test, said))
    return max(results, key=lambda result: result.dev[dataset.task.metrics[0]])


def _vectorizer() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)


def _model(dataset: Dataset, constant: float) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    if dataset.task.regression:
        return Ridge(alpha=constant)
    return LogisticRegression(C=constant, max_iter=2000)


def _features(vectorizer: Any, split: Split) -> Any:
    from scipy.sparse import hstack

    first = vectorizer.transform(split.texts)
    if split.pairs is None:
        return first
    second = vectorizer.transform(split.pairs)
    return hstack([abs(first - second), first.multiply(second)]).tocsr()

"""What an integer network gets right on a data set: the ensemble, each member, each prefix, and the early exit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.baseline import linear_baseline
from model.data.batches import ordered_batches, random_numbers
from model.data.dataset import Dataset, Split, Task, what_is_missing
from model.data.metrics import METRICS, bootstrap_interval, evaluate
from model.data.text import check_text
from model.integer import IntegerNetwork, IntegerResult
from model.network import Network
from model.reading import encode_texts

BATCH = 256
SAMPLES = 1000
_TAIL = 0.025
_INTERVAL = 24


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Integer results in the order of the sentences."""

    logits: NDArray[np.int64]  # [members, sentences, classes]
    contributions: NDArray[np.int64]  # [members, sentences, classes]
    totals: NDArray[np.int64]  # [sentences, classes]
    members_run: NDArray[np.int64]  # [sentences], by the exact early exit

    def predictions(self, members: int | None = None) -> NDArray[Any]:
        """Return the classes, or for a mean the totals, of the first members, all of them unless said."""
        totals = self.contributions[:members].sum(0)
        return totals[:, 0].astype(np.float64) if totals.shape[1] == 1 else totals.argmax(1)


def evaluate_split(
    network: Network, split: Split, *, device: str = "cpu", hear: Callable[[int], None] | None = None
) -> Evaluation:
    """Run a network on every sentence of a split with torch's integer path."""
    encoded = encode_texts(network, split.texts, split.pairs)
    runner = IntegerNetwork(network, device)
    logits, contributions = (np.zeros((len(network.members), len(split), network.classes), np.int64) for _ in "12")
    totals, members_run = np.zeros((len(split), network.classes), np.int64), np.zeros(len(split), np.int64)
    done = 0
    for index in ordered_batches(encoded.lengths, BATCH):
        result = runner.run([encoded.ids[i] for i in index], [encoded.types[i] for i in index])
        logits[:, index], contributions[:, index] = result.logits, result.contributions
        totals[index], members_run[index] = result.totals, result.members_run
        done += len(index)
        if hear is not None:
            hear(done)
    return Evaluation(logits, contributions, totals, members_run)


def read_text(network: Network, text: str, pair: str | None = None, *, device: str = "cpu") -> IntegerResult:
    """Return what a network makes of one text, or of a pair of texts."""
    pairs = None if pair is None else [check_text(pair, "second text")]
    encoded = encode_texts(network, [check_text(text)], pairs)
    return IntegerNetwork(network, device).run(encoded.ids, encoded.types)


def figures(task: Task, split: Split, found: Evaluation) -> dict[str, Any]:
    """Return the figures of an evaluation: the ensemble's metrics, the members' and the prefixes', the early exit.

    `accuracy` is the first metric of the task, which `metric` names.
    """
    metric, labels = task.metrics[0], split.labels
    members = [logits[:, 0].astype(np.float64) if task.regression else logits.argmax(1) for logits in found.logits]
    prefixes = [found.predictions(count) for count in range(1, len(members) + 1)]
    return {
        "examples": len(split),
        "metric": metric,
        "metrics": evaluate(task, found.predictions(), labels),
        "accuracy": METRICS[metric](found.predictions(), labels),
        "interval": interval(metric, found.predictions(), labels),
        "majority_accuracy": None if task.regression else float(np.bincount(labels).max() / len(labels)),
        "members": len(members),
        "member_accuracy": [METRICS[metric](own, labels) for own in members],
        "prefix_accuracy": [METRICS[metric](own, labels) for own in prefixes],
        "expected_members": float(found.members_run.mean()),
    }


def beside_words(dataset: Dataset, split: str, predictions: NDArray[Any]) -> dict[str, Any]:
    """Return what words alone get on a split, and by how much predictions are better, with its interval.

    Both are drawn together, sentence by sentence. Where nothing can be learned from the training set, all is None.
    """
    names = ("tfidf_accuracy", "tfidf_difference", "tfidf_difference_interval")
    if what_is_missing(dataset):
        return dict.fromkeys(names)
    metric, labels = dataset.task.metrics[0], dataset.splits[split].labels
    words = linear_baseline(dataset).predictions[split]
    alone = METRICS[metric](words, labels)
    difference = METRICS[metric](predictions, labels) - alone
    return dict(zip(names, (alone, difference, interval(metric, predictions, labels, words)), strict=True))


def interval(
    metric: str, predictions: NDArray[Any], labels: NDArray[Any], other: NDArray[Any] | None = None
) -> list[float]:
    """Return the bounds between which a metric lies with 95 % confidence, from examples drawn with replacement.

    With the predictions of another system they are those of the difference, from the same draws for both.
    """
    if metric == "accuracy":
        right = [(said == labels).astype(np.float64) for said in (predictions, other) if said is not None]
        sure = bootstrap_interval(*right)
        return [sure.low, sure.high]
    draws = random_numbers(0, 0, _INTERVAL).integers(len(labels), size=(SAMPLES, len(labels)))
    values = [METRICS[metric](predictions[draw], labels[draw]) for draw in draws]
    if other is not None:
        values = [own - METRICS[metric](other[draw], labels[draw]) for own, draw in zip(values, draws, strict=True)]
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    return [float(low), float(high)]

import hashlib

import numpy as np
import pytest

from model.data.dataset import DataError, Dataset, Split, Task

CLASSES = np.array([0, 1, 1])


def task(**changes):
    values = dict(name="made up", labels=("no", "yes"), metrics=("accuracy",), pairs=False, score_range=None)
    return Task(**(values | changes))


def split(texts=("a", "b", "c"), pairs=None, labels=CLASSES, groups=None):
    return Split(texts, pairs, labels, groups)


def dataset(train=None, dev=None, test=None, **changes):
    parts = [split() if part is None else part for part in (train, dev, test)]
    return Dataset("made up", task(**changes), *parts, "a test")


def test_classes_and_scores():
    assert (task().classes, task().regression) == (2, False)
    scores = task(labels=(), metrics=("pearson",), score_range=(0.0, 5.0))
    assert (scores.classes, scores.regression) == (1, True)
    assert task(labels=("a", "b", "c"), metrics=("mcc", "macro_f1")).classes == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(labels=("a",)), "labels: must be at least 2 classes, or none for a score, not ('a',)"),
        (dict(labels=("a", "a")), "labels: must be different names, not ('a', 'a')"),
        (dict(metrics=()), "metrics: must be at least one metric, not ()"),
        (dict(metrics=("auc",)), "metrics: must be some of accuracy, mcc, f1, macro_f1, not 'auc'"),
        (dict(metrics=("pearson",)), "metrics: must be some of accuracy, mcc, f1, macro_f1, not 'pearson'"),
        (
            dict(labels=("a", "b", "c"), metrics=("f1",)),
            "metrics: must be macro_f1 where there are more than 2 classes, not 'f1'",
        ),
        (
            dict(labels=(), metrics=("accuracy",), score_range=(0.0, 1.0)),
            "metrics: must be some of pearson, spearman, not 'accuracy'",
        ),
        (
            dict(labels=(), metrics=("pearson",)),
            "score_range: must be the lowest and the highest score, not None",
        ),
        (dict(score_range=(0.0, 1.0)), "score_range: must be None for classes, not (0.0, 1.0)"),
        (
            dict(labels=(), metrics=("pearson",), score_range=(1.0, 1.0)),
            "score_range: must be a lower and a higher number, not (1.0, 1.0)",
        ),
        (
            dict(labels=(), metrics=("pearson",), score_range=(0.0, float("inf"))),
            "score_range: must be a lower and a higher number, not (0.0, inf)",
        ),
    ],
)
def test_a_wrong_task_is_refused(refused, changes, message):
    assert refused(DataError, lambda: task(**changes)) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(labels=CLASSES[:2]), "labels: must be 3 entries, as texts, not 2"),
        (dict(pairs=("a",)), "pairs: must be 3 entries, as texts, not 1"),
        (dict(groups=()), "groups: must be 3 entries, as texts, not 0"),
        (dict(labels=CLASSES[None]), "labels: must be one number for each text, not (1, 3)"),
        (dict(labels=CLASSES.astype(np.int32)), "labels: must be int64 classes or float32 scores, not 'int32'"),
        (dict(labels=CLASSES.astype(np.float64)), "labels: must be int64 classes or float32 scores, not 'float64'"),
    ],
)
def test_a_wrong_split_is_refused(refused, changes, message):
    assert refused(DataError, lambda: split(**changes)) == message


def test_labels_are_a_copy_that_cannot_be_written():
    labels = CLASSES.copy()
    made = split(labels=labels)
    labels[0] = 7
    assert made.labels.tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        made.labels[0] = 1


def test_take_keeps_the_order_that_is_asked_for():
    made = split(pairs=("x", "y", "z"), groups=("1", "2", "3")).take([2, 0, 2])
    assert made.texts == ("c", "a", "c")
    assert made.pairs == ("z", "x", "z")
    assert made.groups == ("3", "1", "3")
    assert made.labels.tolist() == [1, 0, 1]
    assert len(split().take(np.array([], np.int64))) == 0
    assert split().take([1]).pairs is None


def test_the_digest_of_a_split_is_fixed():
    made = split(texts=("a", "é"), pairs=("x", ""), labels=np.array([0, 1]))
    content = b"some" + (1).to_bytes(8, "little") + b"a" + (2).to_bytes(8, "little") + "é".encode()
    content += b"some" + (1).to_bytes(8, "little") + b"x" + bytes(8) + bytes(8) + (1).to_bytes(8, "little")
    assert made.digest == hashlib.sha256(content).hexdigest()


def test_the_digest_sees_every_change_and_no_group():
    other = [
        split(texts=("ab", "", "c")),
        split(pairs=("", "", "")),
        split(labels=np.array([0, 1, 0])),
        split(labels=CLASSES.astype(np.float32)),
        split().take([0, 2, 1]),
        split().take([0, 1]),
    ]
    assert len({made.digest for made in [split(), *other]}) == 7
    assert split(groups=("1", "2", "3")).digest == split().digest


def test_the_digest_of_a_dataset_sees_splits_and_classes():
    cut = split().take([0, 1])
    made = [dataset(), dataset(train=cut), dataset(dev=cut), dataset(test=cut), dataset(labels=("yes", "no"))]
    assert len({it.digest for it in made}) == 5
    assert dataset().digest == dataset().digest


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dataset(dev=split().take([])), "made up: dev: must be at least one example, not 0"),
        (
            lambda: dataset(test=split(pairs=("x", "y", "z"))),
            "made up: test: must be single texts, as the task says, not 'pairs'",
        ),
        (lambda: dataset(pairs=True), "made up: train: must be pairs of texts, as the task says, not 'single texts'"),
        (
            lambda: dataset(test=split(labels=np.array([0, 1, 2]))),
            "made up: test: labels: must be from 0 to 1, not 2",
        ),
        (
            lambda: dataset(dev=split(labels=np.array([0, -1, 1]))),
            "made up: dev: labels: must be from 0 to 1, not -1",
        ),
        (
            lambda: dataset(train=split(labels=CLASSES.astype(np.float32))),
            "made up: train: labels: must be int64 classes, not 'float32'",
        ),
        (
            lambda: dataset(labels=(), metrics=("pearson",), score_range=(0.0, 5.0)),
            "made up: train: labels: must be float32 scores, not 'int64'",
        ),
    ],
)
def test_a_wrong_dataset_is_refused(refused, make, message):
    assert refused(DataError, make) == message


@pytest.mark.parametrize("score", [np.nan, 5.5, -0.5])
def test_a_wrong_score_is_refused(refused, score):
    scores = split(labels=np.array([0, 5, score], np.float32))
    message = refused(
        DataError, lambda: dataset(scores, scores, scores, labels=(), metrics=("pearson",), score_range=(0, 5))
    )
    assert message == f"made up: train: labels: must be from 0 to 5, not {score}"

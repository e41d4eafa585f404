import subprocess
import sys
from pathlib import Path

import numpy as np

from model.data import Dataset, Split, Task
from model.data.baseline import PENALTIES, STRENGTHS, linear_baseline

WORDS = ("dull", "flat", "bad"), ("warm", "fine", "bright")
NOISE = [f"word{number}" for number in range(30)]


def split(seed, count, pairs=False, scores=False):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    texts, others = [], []
    for label in labels:
        words = [*generator.choice(NOISE, 6), *generator.choice(WORDS[label], 2)]
        texts.append(" ".join(generator.permutation(words)))
        others.append(" ".join(generator.permutation(words)) if label else " ".join(generator.choice(NOISE, 8)))
    values = (labels * 5).astype(np.float32) if scores else labels
    return Split(tuple(texts), tuple(others) if pairs else None, values)


def dataset(pairs=False, scores=False):
    task = (
        Task("made up", (), ("pearson", "spearman"), pairs, (0.0, 5.0))
        if scores
        else Task("made up", ("no", "yes"), ("accuracy", "f1"), pairs)
    )
    return Dataset("made up", task, *(split(seed, 200, pairs, scores) for seed in (1, 2, 3)), "a test")


def test_words_tell_the_classes():
    result = linear_baseline(dataset())
    assert result.constant in STRENGTHS
    assert set(result.dev) == set(result.test) == {"accuracy", "f1"}
    assert result.test["accuracy"] == 1
    assert result == linear_baseline(dataset())


def test_shared_words_tell_pairs_and_scores():
    assert linear_baseline(dataset(pairs=True)).test["accuracy"] > 0.95
    result = linear_baseline(dataset(pairs=True, scores=True))
    assert result.constant in PENALTIES
    assert result.test["pearson"] > 0.8


def test_words_of_the_second_text_alone_count():
    plain = dataset(pairs=True)
    splits = [
        Split(("a b c",) * len(it), tuple(WORDS[label][0] for label in it.labels), it.labels)
        for it in plain.splits.values()
    ]
    assert linear_baseline(Dataset("made up", plain.task, *splits, "a test")).test["accuracy"] == 1


def test_dev_alone_decides():
    """Dev and test that change places change the choice; the labels of test change nothing but the figures on it."""
    given = dataset()
    generator = np.random.default_rng(18)
    train, dev, test = (
        Split(it.texts, None, np.where(generator.random(len(it)) < 0.35, 1 - it.labels, it.labels))
        for it in given.splits.values()
    )
    result = linear_baseline(Dataset("made up", given.task, train, dev, test, "a test"))
    other = linear_baseline(Dataset("made up", given.task, train, test, dev, "a test"))
    turned = Split(test.texts, None, 1 - test.labels)
    again = linear_baseline(Dataset("made up", given.task, train, dev, turned, "a test"))
    assert (result.constant, result.dev) == (again.constant, again.dev)
    assert result.constant != other.constant
    assert round(again.test["accuracy"] + result.test["accuracy"], 9) == 1


def test_tweets_are_told_by_their_words(packaged):
    assert 0.91 < linear_baseline(packaged("tweets")).test["accuracy"] < 0.94


def test_data_without_a_baseline_needs_no_scikit_learn():
    code = "import sys, model.data.baseline, model.data; print({'sklearn', 'torch'} & set(sys.modules))"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "set()\n"

"""Corpora and batches: rows keep their place, padding is masked, special tokens are never dropped."""

import numpy as np
import pytest
import torch

from model.data.dataset import Split
from model.data.wordpiece import Tokenizer, train_tokenizer
from model.training.corpus import Corpus, encode_pool, encode_split, joined, make_batch, make_dropped_batch

TEXTS = ("a warm and clever film", "dreary", "the film is long but lovely in the end", "funny")
SECOND = ("clever film", "dull", "lovely", "the end")


@pytest.fixture
def tokenizer() -> Tokenizer:
    alphabet = " ".join("abcdefghijklmnopqrstuvwxyz")
    return train_tokenizer((*TEXTS, *SECOND, alphabet, "abcdefghijklmnopqrstuvwxyz"), 100)


@pytest.fixture
def corpus(tokenizer: Tokenizer) -> Corpus:
    return encode_split(tokenizer, Split(TEXTS, None, np.array([1, 0, 1, 1])), 8)


@pytest.fixture
def paired(tokenizer: Tokenizer) -> Corpus:
    return encode_split(tokenizer, Split(TEXTS, SECOND, np.array([1, 0, 1, 1])), 12)


def test_a_split(corpus: Corpus, tokenizer: Tokenizer) -> None:
    assert len(corpus) == 4
    assert corpus.lengths.tolist() == [len(ids) for ids in corpus.ids]
    assert corpus.lengths.max() == 8
    assert all((ids[0], ids[-1]) == (tokenizer.cls, tokenizer.sep) for ids in corpus.ids)


@pytest.mark.parametrize(("regression", "missing"), [(False, "-1"), (True, "nan")])
def test_a_pool_has_no_labels(tokenizer: Tokenizer, regression: bool, missing: str) -> None:
    labels = encode_pool(tokenizer, TEXTS, 8, regression).labels
    assert {str(label).removesuffix(".0") for label in labels.tolist()} == {missing}
    assert labels.dtype == (np.float32 if regression else np.int64)


def test_joined_corpora_keep_their_order(corpus: Corpus, tokenizer: Tokenizer) -> None:
    pool = encode_pool(tokenizer, ("lovely end",), 8, False)
    both = joined(corpus, pool)
    assert (len(both), both.labels.tolist()) == (5, [1, 0, 1, 1, -1])
    assert both.teacher_logits is None
    said = [np.full((count, 2), value, np.float32) for count, value in ((4, 1), (1, 2))]
    both = joined(corpus.taught(said[0]), pool.taught(said[1]))
    assert both.teacher_logits is not None
    assert both.teacher_logits[:, 0].tolist() == [1, 1, 1, 1, 2]


def test_a_batch_holds_the_rows_of_its_index(corpus: Corpus) -> None:
    logits = np.arange(8, dtype=np.float32).reshape(4, 2)
    batch = make_batch(corpus.taught(logits), np.array([2, 1]), "cpu")
    assert batch.index.tolist() == [2, 1]
    assert batch.labels.tolist() == [1, 0]
    assert batch.types is None
    assert batch.teacher_logits is not None
    assert batch.teacher_logits.tolist() == [[4, 5], [2, 3]]
    for row, place in enumerate((2, 1)):
        length = len(corpus.ids[place])
        assert batch.ids[row, :length].tolist() == corpus.ids[place].tolist()
        assert batch.mask[row].tolist() == [True] * length + [False] * (batch.ids.shape[1] - length)
        assert not batch.ids[row, length:].any()


def test_types_of_pairs(paired: Corpus) -> None:
    batch = make_batch(paired, np.array([0, 3]), "cpu")
    assert batch.types is not None
    assert batch.types.shape == batch.ids.shape
    assert batch.types[0, : len(paired.types[0])].tolist() == paired.types[0].tolist()


@pytest.mark.parametrize("kind", ["corpus", "paired"])
def test_special_tokens_are_never_dropped(kind: str, request: pytest.FixtureRequest, tokenizer: Tokenizer) -> None:
    corpus = request.getfixturevalue(kind)
    special = 2 if kind == "corpus" else 3
    seen = set()
    for step in range(40):
        batch = make_dropped_batch(corpus, np.arange(4), "cpu", 0.9, 7, step)
        for row in range(4):
            ids = batch.ids[row][batch.mask[row]]
            assert ids[0] == tokenizer.cls
            assert ids[-1] == tokenizer.sep
            assert int((ids == tokenizer.sep).sum()) == special - 1
            seen.add(len(ids))
    assert special in seen


def test_what_is_dropped_depends_on_seed_and_step_alone(corpus: Corpus) -> None:
    index = np.array([2, 0])
    one, same, other = (make_dropped_batch(corpus, index, "cpu", 0.5, 7, step) for step in (3, 3, 4))
    assert torch.equal(one.ids, same.ids)
    assert not (one.ids.shape == other.ids.shape and torch.equal(one.ids, other.ids))

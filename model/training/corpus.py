"""What a stage trains on: sentences as ids, labels where there are any, and what the teacher said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.data.batches import pad, random_numbers
from model.data.dataset import Split
from model.data.wordpiece import Tokenizer

_DROP = 21
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Encoded sentences in a fixed order; a label below 0, or NaN, says that there is none."""

    ids: list[NDArray[np.int32]]
    types: list[NDArray[np.int32]]
    labels: NDArray[Any]
    teacher_logits: Floats | None = None
    teacher_vectors: Floats | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sentence."""
        return np.array([len(ids) for ids in self.ids], np.int64)

    def taught(self, logits: Floats | None, vectors: Floats | None = None) -> Corpus:
        """Return these sentences with what a teacher says of them, and the vectors that it makes of them."""
        return replace(self, teacher_logits=logits, teacher_vectors=vectors)


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded sentences: B rows of S tokens; token types only where a sentence has a second part."""

    index: NDArray[np.int64]  # [B] of the corpus
    ids: Tensor  # [B, S]
    mask: Tensor  # [B, S]
    types: Tensor | None  # [B, S]
    labels: Tensor  # [B]
    teacher_logits: Tensor | None  # [B, C]
    teacher_vectors: Tensor | None = None  # [B, G]


def encode_split(tokenizer: Tokenizer, split: Split, limit: int) -> Corpus:
    """Return the corpus of a split."""
    encoded = tokenizer.encode(split.texts, split.pairs, limit=limit)
    return Corpus(encoded.ids, encoded.types, split.labels)


def encode_pool(tokenizer: Tokenizer, texts: Sequence[str], limit: int, regression: bool) -> Corpus:
    """Return the corpus of sentences that have no labels of their own."""
    encoded = tokenizer.encode(texts, limit=limit)
    labels = np.full(len(texts), np.nan, np.float32) if regression else np.full(len(texts), -1, np.int64)
    return Corpus(encoded.ids, encoded.types, labels)


def joined(first: Corpus, second: Corpus) -> Corpus:
    """Return one corpus after the other."""
    labels = np.concatenate((first.labels, second.labels))
    logits = _joined(first.teacher_logits, second.teacher_logits)
    vectors = _joined(first.teacher_vectors, second.teacher_vectors)
    return Corpus(first.ids + second.ids, first.types + second.types, labels, logits, vectors)


def make_batch(corpus: Corpus, index: NDArray[np.int64], device: str) -> Batch:
    """Return the padded batch of some sentences."""
    ids, types = [corpus.ids[i] for i in index], [corpus.types[i] for i in index]
    return _batch(corpus, index, ids, types, device)


def make_dropped_batch(
    corpus: Corpus, index: NDArray[np.int64], device: str, drop: float, seed: int, step: int
) -> Batch:
    """Return a batch in which each token but [CLS] and [SEP] is left out with the probability `drop`."""
    generator = random_numbers(seed, step, _DROP)
    kept = [_kept(corpus.types[i], drop, generator) for i in index]
    ids = [corpus.ids[i][keep] for i, keep in zip(index, kept, strict=True)]
    types = [corpus.types[i][keep] for i, keep in zip(index, kept, strict=True)]
    return _batch(corpus, index, ids, types, device)


def _batch(
    corpus: Corpus,
    index: NDArray[np.int64],
    ids: list[NDArray[np.int32]],
    types: list[NDArray[np.int32]],
    device: str,
) -> Batch:
    padded, mask = pad(ids, 0)
    paired = any(row.any() for row in types)
    logits, vectors = corpus.teacher_logits, corpus.teacher_vectors
    return Batch(
        index,
        torch.from_numpy(padded).to(device),
        torch.from_numpy(mask).to(device),
        torch.from_numpy(pad(types, 0)[0]).to(device) if paired else None,
        torch.from_numpy(corpus.labels[index]).to(device),
        None if logits is None else torch.from_numpy(logits[index]).to(device),
        None if vectors is None else torch.from_numpy(vectors[index]).to(device),
    )


def _joined(first: Floats | None, second: Floats | None) -> Floats | None:
    return None if first is None or second is None else np.concatenate((first, second))


def _kept(types: NDArray[np.int32], drop: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    keep = generator.random(len(types)) >= drop
    first_text = int(np.count_nonzero(types == 0))
    keep[[0, first_text - 1, -1]] = True
    return keep

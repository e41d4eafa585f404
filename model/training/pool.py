"""The pool: sentences without labels of their own, for the teacher to label.

They are made from the training set or taken from packages. Small students over-fit ten thousand examples; what the
teacher says of a hundred thousand more is worth points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from model.data.augment import jumble, replace, spans, splice
from model.data.batches import random_numbers
from model.data.catalog import unlabelled
from model.data.dataset import Dataset
from model.data.wordpiece import Tokenizer
from model.encoder import Encoder
from model.training.data_recipe import DataRecipe

NEIGHBOURS = 8
REPLACED = 0.3
JUMBLED = 0.3
_LIKENESS = 0.35
_CHUNK = 512
_UNLABELLED = 22


@dataclass(frozen=True)
class Words:
    """Words that the teacher knows, to take the place of others: all of them, and those nearest to a word."""

    whole: Sequence[str] = ()
    neighbours: Mapping[str, Sequence[str]] = field(default_factory=dict)


def teacher_words(recipe: DataRecipe, dataset: Dataset, teacher: Encoder, tokenizer: Tokenizer) -> Words:
    """Return the words of a teacher that a pool needs."""
    whole = [piece for _, piece in whole_words(tokenizer)]
    return Words(whole, word_neighbours(dataset.train.texts, teacher, tokenizer) if recipe.replace else {})


def make_pool(
    recipe: DataRecipe, dataset: Dataset, words: Words, seed: int, glue: Path | None = None
) -> tuple[str, ...]:
    """Return the pool's texts: training texts changed, spliced and cut to pieces, and unlabelled ones from packages."""
    texts = dataset.train.texts
    pool: list[str] = []
    for turn in range(recipe.replace):
        pool += replace(texts, words.neighbours, REPLACED, seed=seed + turn)
    for turn in range(recipe.jumble):
        pool += jumble(texts, words.whole, JUMBLED, seed=seed + turn)
    if recipe.splice:
        pool += splice(texts, recipe.splice, seed=seed)
    if recipe.spans:
        pool += spans(texts, recipe.spans, seed=seed)
    if recipe.unlabelled:
        found = unlabelled([recipe.set], glue=glue, columns=recipe.columns, sources=recipe.sources)
        order = random_numbers(seed, 0, _UNLABELLED).permutation(len(found))
        pool += [found[place] for place in order[: recipe.unlabelled]]
    return tuple(pool)


@torch.no_grad()
def word_neighbours(texts: Sequence[str], teacher: Encoder, tokenizer: Tokenizer) -> dict[str, tuple[str, ...]]:
    """Return, for each whole word of the texts that is a piece of the teacher's, the words nearest to it there."""
    vocabulary = tokenizer.vocabulary
    words = [index for index, _ in whole_words(tokenizer)]
    vectors = teacher.embeddings.vocabulary.weight.detach().float().cpu()[words]
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(0), dim=1)
    used = {word.strip(".,;:!?\"'()").lower() for text in texts for word in text.split()}
    rows = [row for row, index in enumerate(words) if vocabulary[index] in used]
    found: dict[str, tuple[str, ...]] = {}
    for start in range(0, len(rows), _CHUNK):
        found |= _nearest(rows[start : start + _CHUNK], vectors, [vocabulary[index] for index in words])
    return found


def whole_words(tokenizer: Tokenizer) -> list[tuple[int, str]]:
    """Return the pieces of a tokenizer that are words of three letters or more, with their ids."""
    return [(index, piece) for index, piece in enumerate(tokenizer.vocabulary) if piece.isalpha() and len(piece) > 2]


def _nearest(rows: list[int], vectors: Tensor, words: list[str]) -> dict[str, tuple[str, ...]]:
    count = min(NEIGHBOURS + 1, len(words))
    likeness, places = (vectors[rows] @ vectors.T).topk(count, dim=1)
    found = {}
    for row, near, index in zip(rows, likeness.tolist(), places.tolist(), strict=True):
        names = tuple(words[i] for i, value in zip(index, near, strict=True) if i != row and value > _LIKENESS)
        if names:
            found[words[row]] = names
    return found

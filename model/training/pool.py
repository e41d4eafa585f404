"""The pool: sentences without labels of their own, for the teacher to label.

They are made from the training set or taken from packages. Small students over-fit ten thousand examples; what the
teacher says of a hundred thousand more is worth points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from model.data.augment import replace, splice
from model.data.batches import random_numbers
from model.data.catalog import unlabelled
from model.data.dataset import Dataset
from model.data.wordpiece import Tokenizer
from model.encoder import Encoder
from model.training.recipe import DataRecipe

NEIGHBOURS = 8
REPLACED = 0.3
_LIKENESS = 0.35
_CHUNK = 512
_UNLABELLED = 22
Neighbours = Mapping[str, Sequence[str]]


def make_pool(
    recipe: DataRecipe, dataset: Dataset, neighbours: Neighbours, seed: int, glue: Path | None = None
) -> tuple[str, ...]:
    """Return the pool's texts: training texts with words replaced, spliced ones, and unlabelled ones from packages."""
    texts = dataset.train.texts
    pool: list[str] = []
    for turn in range(recipe.replace):
        pool += replace(texts, neighbours, REPLACED, seed=seed + turn)
    if recipe.splice:
        pool += splice(texts, recipe.splice, seed=seed)
    if recipe.unlabelled:
        found = unlabelled([recipe.set], glue=glue, columns=recipe.columns, sources=recipe.sources)
        order = random_numbers(seed, 0, _UNLABELLED).permutation(len(found))
        pool += [found[place] for place in order[: recipe.unlabelled]]
    return tuple(pool)


@torch.no_grad()
def word_neighbours(texts: Sequence[str], teacher: Encoder, tokenizer: Tokenizer) -> dict[str, tuple[str, ...]]:
    """Return, for each whole word of the texts that is a piece of the teacher's, the words nearest to it there."""
    vocabulary = tokenizer.vocabulary
    words = [index for index, piece in enumerate(vocabulary) if piece.isalpha() and len(piece) > 2]
    vectors = teacher.embeddings.vocabulary.weight.detach().float().cpu()[words]
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(0), dim=1)
    used = {word.strip(".,;:!?\"'()").lower() for text in texts for word in text.split()}
    rows = [row for row, index in enumerate(words) if vocabulary[index] in used]
    found: dict[str, tuple[str, ...]] = {}
    for start in range(0, len(rows), _CHUNK):
        found |= _nearest(rows[start : start + _CHUNK], vectors, [vocabulary[index] for index in words])
    return found


def _nearest(rows: list[int], vectors: Tensor, words: list[str]) -> dict[str, tuple[str, ...]]:
    count = min(NEIGHBOURS + 1, len(words))
    likeness, places = (vectors[rows] @ vectors.T).topk(count, dim=1)
    found = {}
    for row, near, index in zip(rows, likeness.tolist(), places.tolist(), strict=True):
        names = tuple(words[i] for i, value in zip(index, near, strict=True) if i != row and value > _LIKENESS)
        if names:
            found[words[row]] = names
    return found

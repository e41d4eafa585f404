"""Which examples are looked at together, and when: the same on every machine for the same seed and epoch.

Examples of a like length share a batch, so that little of it is padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.data.errors import require

BUCKET = 50
_SHUFFLE, _SAMPLE = 1, 2

Indices = NDArray[np.int64]


def length_batches(lengths: ArrayLike, size: int, seed: int, epoch: int, bucket: int = BUCKET) -> list[Indices]:
    """Return shuffled batches that hold each index once; one of them is smaller where the examples do not divide.

    The shuffled examples are sorted by length within buckets of `bucket` batches, and the batches shuffled again: a
    bucket of 1 is fully random, a huge one fully sorted.
    """
    own = _lengths(lengths)
    _check_size(size, bucket)
    generator = random_numbers(seed, epoch, _SHUFFLE)
    return _bucketed(generator.permutation(len(own)), own, size, bucket, generator)


def ordered_batches(lengths: ArrayLike, size: int) -> list[Indices]:
    """Return batches that hold each index once, from the shortest examples to the longest: nothing is random.

    The indices say where the answers belong.
    """
    own = _lengths(lengths)
    _check_size(size, 1)
    return _cut(np.argsort(own, kind="stable"), size)


def sampled_batches(
    weights: ArrayLike, count: int, size: int, lengths: ArrayLike, seed: int, epoch: int, bucket: int = BUCKET
) -> list[Indices]:
    """Return batches with `count` indices, each drawn with a probability in proportion to its weight, and put back."""
    own, chances = _lengths(lengths), np.asarray(weights, np.float64)
    _check_size(size, bucket)
    require(count >= 1, "count", "at least 1", count)
    require(chances.shape == own.shape, "weights", f"{len(own)} numbers, as lengths", chances.shape)
    legal = bool(np.isfinite(chances).all() and (chances >= 0).all() and chances.sum() > 0)
    require(legal, "weights", "finite, none below 0 and not all 0", "others")
    generator = random_numbers(seed, epoch, _SAMPLE)
    sums = np.cumsum(chances)
    places = np.searchsorted(sums, generator.random(count) * sums[-1], side="right")
    drawn = np.minimum(places, np.flatnonzero(chances)[-1])
    return _bucketed(drawn, own, size, bucket, generator)


def pad(ids: Sequence[NDArray[Any]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the ids of a batch as one array [B, S], filled up with `pad_id`, and where the ids are [B, S]."""
    require(len(ids) > 0, "ids", "at least one example", 0)
    counts = np.array([len(row) for row in ids])
    mask = np.arange(max(1, counts.max())) < counts[:, None]
    padded = np.full(mask.shape, pad_id, np.int64)
    padded[mask] = np.concatenate(ids)
    return padded, mask


def random_numbers(seed: int, place: int, purpose: int) -> np.random.Generator:
    """Return the random numbers of a seed for an epoch, or another place, and a purpose: no other three share them."""
    for name, number, low in (("seed", seed, 0), ("epoch", place, 0), ("purpose", purpose, 1)):
        # Longer numbers would be several words to numpy, and a 0 at the end none at all: others would share them.
        require(low <= number < 1 << 32, name, f"from {low} to {(1 << 32) - 1}", number)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, place, purpose])))


def _bucketed(
    order: NDArray[Any], lengths: NDArray[Any], size: int, bucket: int, generator: np.random.Generator
) -> list[Indices]:
    batches = []
    for start in range(0, len(order), size * bucket):
        part = order[start : start + size * bucket]
        batches += _cut(part[np.argsort(lengths[part], kind="stable")] if bucket > 1 else part, size)
    return [batches[place] for place in generator.permutation(len(batches))]


def _cut(order: NDArray[Any], size: int) -> list[Indices]:
    return [order[start : start + size].astype(np.int64) for start in range(0, len(order), size)]


def _lengths(lengths: ArrayLike) -> NDArray[Any]:
    own = np.asarray(lengths)
    require(own.ndim == 1 and len(own) > 0, "lengths", "at least one number", own.shape)
    return own


def _check_size(size: int, bucket: int) -> None:
    require(size >= 1, "size", "at least 1", size)
    require(bucket >= 1, "bucket", "at least 1", bucket)

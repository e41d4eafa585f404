"""Cutting examples into train, dev and test, once and for all.

Where a part is not published with the data, it is chosen by the SHA-256 of a key: the name of the film, the day, the
episode, or the words of the text itself, with a salt for each source. The same key is in the same part on every
machine and in every version; an example that is added or removed moves no other one, unless it joins two groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from model.data.dataset import PARTS, Split

THOUSAND = 1000


class Shares(NamedTuple):
    """How many thousandths of the keys are for dev and for test; the others are for train."""

    dev: int
    test: int = 0


class Row(NamedTuple):
    """An example on its way into a split; rows with the same key are the same text."""

    key: str
    text: str
    label: float
    part: str
    group: str | None = None
    pair: str | None = None


def part_of(key: str, salt: str, shares: Shares) -> str:
    """Return the part of a key: train, dev or test."""
    digest = hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:8], "big") * THOUSAND >> 64
    if place < shares.test:
        return "test"
    return "dev" if place < shares.test + shares.dev else "train"


def joined(keys: Iterable[Sequence[str]]) -> list[str]:
    """Return for each example the name of its group: examples that share a key, through others too, share a group.

    The name is the smallest key of the group, so it does not depend on the order of the examples.
    """
    above: dict[str, str] = {}

    def top(key: str) -> str:
        while (higher := above.setdefault(key, key)) != key:
            above[key] = key = above[higher]
        return key

    firsts = []
    for own in keys:
        firsts.append(own[0])
        for key in own[1:]:
            low, high = sorted((top(own[0]), top(key)))
            above[high] = low
    return [top(first) for first in firsts]


def disjoint(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of which the text stands in no part that counts more: test first, then dev, then train."""
    rank = {part: number for number, part in enumerate(PARTS)}
    strongest: dict[str, int] = {}
    for row in rows:
        strongest[row.key] = max(strongest.get(row.key, 0), rank[row.part])
    return [row for row in rows if rank[row.part] == strongest[row.key]]


def distinct(rows: Sequence[Row]) -> list[Row]:
    """Return each text once, in the part that counts most, and none that has two labels there."""
    rows = disjoint(rows)
    labels: dict[str, set[float]] = {}
    for row in rows:
        labels.setdefault(row.key, set()).add(row.label)
    first = {row.key: row for row in reversed(rows)}
    return [row for row in rows if row is first[row.key] and len(labels[row.key]) == 1]


def to_splits(rows: Sequence[Row], regression: bool = False) -> tuple[Split, Split, Split]:
    """Return the three splits, each in the order of the rows."""
    train, dev, test = (_split([row for row in rows if row.part == part], regression) for part in PARTS)
    return train, dev, test


def _split(rows: Sequence[Row], regression: bool) -> Split:
    pairs = tuple(row.pair for row in rows if row.pair is not None)
    groups = tuple(row.group for row in rows if row.group is not None)
    labels = np.array([row.label for row in rows], np.float32 if regression else np.int64)
    return Split(tuple(row.text for row in rows), pairs or None, labels, groups or None)

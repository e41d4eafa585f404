"""Cutting dev from phrases of which many are parts of one sentence, as in SST-2.

A random cut would put a sentence into dev and its phrases, with nearly the same words and labels, into train: dev would
then follow train and not what is new. Here dev is made of whole sentences, and the phrases inside them leave train.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.data.split import Row, Shares, part_of

SEED_WORDS = 6  # a phrase with fewer words is no sentence
FEWEST_WORDS = 3  # a phrase with fewer words gives nothing away


def cut_sentences(rows: Sequence[Row], salt: str, shares: Shares) -> list[Row]:
    """Return the rows with dev cut from train; what is neither a sentence of dev nor free of one is left out."""
    words = {row.key: tuple(row.key.split()) for row in rows}
    dev = {key for key in whole(list(words.values())) if part_of(" ".join(key), salt, shares) == "dev"}
    inside = {part for sentence in dev for part in _parts(sentence)}
    kept = []
    for row in rows:
        if words[row.key] in dev:
            kept.append(row._replace(part="dev"))
        elif words[row.key] not in inside:
            kept.append(row)
    return kept


def whole(phrases: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the phrases of at least six words that are part of no longer one, the longest first."""
    found: list[tuple[str, ...]] = []
    by_seed: dict[tuple[str, ...], list[str]] = {}
    for phrase in sorted(set(phrases), key=lambda phrase: (-len(phrase), phrase)):
        text = f" {' '.join(phrase)} "
        if len(phrase) < SEED_WORDS or any(text in longer for longer in by_seed.get(phrase[:SEED_WORDS], ())):
            continue
        found.append(phrase)
        for start in range(len(phrase) - SEED_WORDS + 1):
            by_seed.setdefault(phrase[start : start + SEED_WORDS], []).append(text)
    return found


def _parts(sentence: tuple[str, ...]) -> list[tuple[str, ...]]:
    count = len(sentence)
    starts = range(count - FEWEST_WORDS + 1)
    return [sentence[start:end] for start in starts for end in range(start + FEWEST_WORDS, count + 1)]

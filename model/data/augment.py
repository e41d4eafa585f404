"""Texts that are like the given ones but not the same: the same seed gives the same texts, whatever stands beside them.

What is done to a text depends on the seed, on its place in the list, and on nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.batches import random_numbers
from model.data.errors import require

_DROP_WORDS, _TYPOS, _DROP_TOKENS, _SPLICE, _REPLACE, _JUMBLE, _SPAN = range(11, 18)
LONGEST_SPAN = 10
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_JOINT = re.compile(r"(?<=[,;:])\s+|\s+(?=(?:and|but|or|because|although|while|when|which|that|if|as)\s)")
_WORD = re.compile(r"\w+")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _ROWS for at, letter in enumerate(row)}

Generator = np.random.Generator


def drop_words(texts: Sequence[str], rate: float, seed: int) -> list[str]:
    """Return each text without some of its words: each one goes with the probability `rate`, but never all of them."""

    def shorter(text: str, generator: Generator) -> str:
        words = text.split()
        kept = _kept(len(words), rate, generator)
        return " ".join(words[place] for place in kept)

    _check_rate(rate)
    return _each(texts, seed, _DROP_WORDS, shorter)


def drop_tokens(ids: Sequence[NDArray[Any]], rate: float, seed: int, keep: Collection[int] = ()) -> list[NDArray[Any]]:
    """Return each row of ids without some of them; those of `keep`, the special ones, all stay, and never none else."""
    _check_rate(rate)
    found = []
    for place, row in enumerate(ids):
        generator = random_numbers(seed, place, _DROP_TOKENS)
        special = np.isin(row, list(keep))
        chosen = special.copy()
        ordinary = np.flatnonzero(~special)
        chosen[ordinary[_kept(len(ordinary), rate, generator)]] = True
        found.append(row[chosen])
    return found


def typos(texts: Sequence[str], rate: float, seed: int) -> list[str]:
    """Return each text with typing errors: each word of two letters or more has one with the probability `rate`.

    Two letters change places, one is left out, one stands twice, or one is the one beside it on the keyboard.
    """

    def mistyped(text: str, generator: Generator) -> str:
        def change(match: re.Match[str]) -> str:
            word = match[0]
            return _mistype(word, generator) if len(word) > 1 and generator.random() < rate else word

        return _WORD.sub(change, text)

    _check_rate(rate)
    return _each(texts, seed, _TYPOS, mistyped)


def replace(texts: Sequence[str], neighbours: Mapping[str, Sequence[str]], rate: float, seed: int) -> list[str]:
    """Return each text with words replaced by one of their neighbours, each one with the probability `rate`.

    Words are looked up in lower case; one that began with a capital begins with one again.
    """

    def other(text: str, generator: Generator) -> str:
        def change(match: re.Match[str]) -> str:
            word = match[0]
            choices = neighbours.get(word.lower())
            if not choices or generator.random() >= rate:
                return word
            choice = choices[int(generator.integers(len(choices)))]
            return choice[:1].upper() + choice[1:] if word[0].isupper() else choice

        return _WORD.sub(change, text)

    _check_rate(rate)
    return _each(texts, seed, _REPLACE, other)


def jumble(texts: Sequence[str], words: Sequence[str], rate: float, seed: int) -> list[str]:
    """Return each text with words replaced by any of `words`, each one with the probability `rate`.

    They make no sense, but a teacher judges each of `words` among others, also those that no text has.
    """
    require(len(words) > 0, "words", "one or more", words)

    def other(text: str, generator: Generator) -> str:
        def change(match: re.Match[str]) -> str:
            return words[int(generator.integers(len(words)))] if generator.random() < rate else match[0]

        return _WORD.sub(change, text)

    _check_rate(rate)
    return _each(texts, seed, _JUMBLE, other)


def spans(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Return some words in a row of a text each time, one to ten of them, for a teacher to judge the parts."""
    words = [text.split() for text in texts]
    words = [row for row in words if row]
    require(len(words) > 0, "texts", "with words", texts)
    require(count >= 0, "count", "0 or more", count)
    found = []
    for place in range(count):
        generator = random_numbers(seed, place, _SPAN)
        row = words[int(generator.integers(len(words)))]
        length = 1 + int(generator.integers(min(len(row), LONGEST_SPAN)))
        start = int(generator.integers(len(row) - length + 1))
        found.append(" ".join(row[start : start + length]))
    return found


def splice(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Return new texts: the beginning of one and the end of another, for a teacher to label.

    A text is cut where a clause begins, or in the middle of its words if it is a single clause; texts of one word are
    not used.
    """
    cut = list(_cut(texts))
    require(len(cut) >= 2, "texts", "at least two of two words or more", len(cut))
    require(count >= 0, "count", "0 or more", count)
    found = []
    for place in range(count):
        generator = random_numbers(seed, place, _SPLICE)
        first = int(generator.integers(len(cut)))
        second = (first + 1 + int(generator.integers(len(cut) - 1))) % len(cut)
        head, tail = cut[first], cut[second]
        found.append(f"{head[int(generator.integers(len(head)))][0]} {tail[int(generator.integers(len(tail)))][1]}")
    return found


def can_splice(texts: Sequence[str]) -> bool:
    """Return whether there are two texts to splice."""
    return len(list(islice(_cut(texts), 2))) == 2


def _cut(texts: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    """Yield the ways to cut each text that can be cut."""
    yield from filter(None, map(_halves, texts))


def _each(texts: Sequence[str], seed: int, purpose: int, change: Callable[[str, Generator], str]) -> list[str]:
    return [change(text, random_numbers(seed, place, purpose)) for place, text in enumerate(texts)]


def _kept(count: int, rate: float, generator: Generator) -> list[int]:
    """Return the places that stay, at least one of them."""
    draws = generator.random(count)
    kept = np.flatnonzero(draws >= rate).tolist()
    return kept or ([int(draws.argmax())] if count else [])


def _mistype(word: str, generator: Generator) -> str:
    kind, at = int(generator.integers(4)), int(generator.integers(len(word) - 1))
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[: at + 1] + word[at:]
    beside = _BESIDE.get(word[at], _LETTERS)
    return word[:at] + beside[int(generator.integers(len(beside)))] + word[at + 1 :]


def _halves(text: str) -> list[tuple[str, str]]:
    """Return the ways to cut a text in two."""
    found = [(text[: joint.start()].strip(), text[joint.end() :].strip()) for joint in _JOINT.finditer(text)]
    found = [(head, tail) for head, tail in found if head and tail]
    words = text.split()
    middle = len(words) // 2
    return found or ([(" ".join(words[:middle]), " ".join(words[middle:]))] if middle else [])


def _check_rate(rate: float) -> None:
    require(0 <= rate <= 1, "rate", "from 0 to 1", rate)

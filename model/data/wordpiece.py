"""From texts to numbers: BERT's WordPiece, trained here or loaded from a file."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer

from model.checks import NetworkError, canonical_json, require_integer, require_keys, show, strict_object
from model.data.errors import DataError, printable, read_text, refuse, require
from model.data.text import SURROGATE
from model.data.vocabulary import (
    MAX_SIZE,
    MAX_WORD,
    MIN_SIZE,
    PREFIX,
    SEEN_TWICE,
    SPECIAL,
    UNKNOWN,
    count_words,
    normalizer,
    train_vocabulary,
)

FORMAT = "wordpiece/1"
MAX_TOKENS = 65_536
_UNUSED = re.compile(r"\[unused\d+\]")
_BERT = {
    "model.type": "WordPiece",
    "model.unk_token": UNKNOWN,
    "model.continuing_subword_prefix": PREFIX,
    "model.max_input_chars_per_word": MAX_WORD,
    "normalizer.type": "BertNormalizer",
    "normalizer.clean_text": True,
    "normalizer.handle_chinese_chars": True,
    "pre_tokenizer.type": "BertPreTokenizer",
}


@dataclass(frozen=True, eq=False)
class Encoded:
    """Texts as numbers of pieces, each between [CLS] and [SEP], and the text (0 or 1) that a piece belongs to."""

    ids: list[NDArray[np.int32]]
    types: list[NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many pieces each example has."""
        return np.array([len(ids) for ids in self.ids], np.int64)


class Tokenizer:
    """Cuts texts into the pieces of a vocabulary as BERT does.

    A special piece is never found in a text: "[SEP]" in a text is a bracket, letters and a bracket.
    """

    def __init__(self, vocabulary: Iterable[str], lowercase: bool = True) -> None:
        self.vocabulary = tuple(vocabulary)
        self.lowercase = lowercase
        _check(self.vocabulary, lowercase)
        numbers = {piece: number for number, piece in enumerate(self.vocabulary)}
        self.pad, self.unknown, self.cls, self.sep, self.mask = (numbers[piece] for piece in SPECIAL)
        model = WordPiece(numbers, unk_token=UNKNOWN, max_input_chars_per_word=MAX_WORD)
        self._library = tokenizers.Tokenizer(model)
        self._library.normalizer = normalizer(lowercase)
        self._library.pre_tokenizer = BertPreTokenizer()

    @property
    def size(self) -> int:
        """The number of pieces, special ones included."""
        return len(self.vocabulary)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of `to_bytes`, so of the vocabulary and of all settings."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None, limit: int = 64) -> Encoded:
        """Return the pieces of each text, or pair of texts, at most `limit` of them.

        What is too long loses pieces at its end; of a pair, the longer one loses them, the second where both are long.
        An empty text is [CLS] [SEP].
        """
        specials = 2 if pairs is None else 3
        _integer("limit", limit, specials + 1, MAX_TOKENS)
        firsts = self._pieces(texts)
        if pairs is None:
            return _encoded([self._row(ids[: limit - specials]) for ids in firsts])
        require(len(pairs) == len(texts), "pairs", f"{len(texts)} texts, as many as the first ones", len(pairs))
        both = zip(firsts, self._pieces(pairs), strict=True)
        return _encoded([self._row(*shortened(first, second, limit - specials)) for first, second in both])

    def to_bytes(self) -> bytes:
        """Return the tokenizer in its one form: JSON with sorted keys."""
        content = {"format": FORMAT, "lowercase": self.lowercase, "vocabulary": list(self.vocabulary)}
        return canonical_json(content).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Tokenizer:
        """Return the tokenizer that `to_bytes` wrote; nothing else is read."""
        try:
            content = strict_object("tokenizer", data.decode("ascii"))
            require_keys("tokenizer", content, ("format", "lowercase", "vocabulary"))
        except UnicodeDecodeError as error:
            refuse("tokenizer", "ASCII", f"byte {data[error.start]:#04x} at {error.start}")
        except NetworkError as error:
            raise DataError(str(error)) from None
        require(content["format"] == FORMAT, "tokenizer.format", FORMAT, content["format"])
        require(isinstance(content["vocabulary"], list), "tokenizer.vocabulary", "a list", content["vocabulary"])
        return cls(content["vocabulary"], content["lowercase"])

    def _pieces(self, texts: Sequence[str]) -> list[list[int]]:
        found = self._library.encode_batch_fast(list(_legal(texts)), add_special_tokens=False)
        return [pieces.ids for pieces in found]

    def _row(self, first: Sequence[int], second: Sequence[int] | None = None) -> tuple[list[int], int]:
        row = [self.cls, *first, self.sep]
        return row + ([] if second is None else [*second, self.sep]), len(row)


def train_tokenizer(texts: Iterable[str], size: int, lowercase: bool = True) -> Tokenizer:
    """Return a tokenizer with up to `size` pieces; the same texts, in any order, give the same bytes."""
    _integer("size", size, MIN_SIZE, MAX_SIZE)
    vocabulary = train_vocabulary(_legal(texts), size, lowercase)
    fewest = f"texts with at least {MIN_SIZE} pieces"
    require(len(vocabulary) >= MIN_SIZE, "texts", fewest, len(vocabulary), "; give more text")
    return Tokenizer(vocabulary, lowercase)


def adapted_tokenizer(tokenizer: Tokenizer, texts: Sequence[str], size: int) -> Tokenizer:
    """Return a tokenizer of up to `size` pieces: those of another one that the texts use most, and words of their own.

    A word that the texts have twice is a piece, known to the other one or not; all other words count for the pieces
    that the other one cuts them into. Special pieces stay, and the characters of ASCII, so that words can be spelt. If
    the texts use fewer pieces, the first ones of the other tokenizer follow: the most frequent ones, as these are
    sorted. Its pieces come first, in its order, then the words in that of their letters.
    """
    _integer("size", size, MIN_SIZE, MAX_SIZE)
    known = {piece: number for number, piece in enumerate(tokenizer.vocabulary) if not _UNUSED.fullmatch(piece)}
    counts = _counts(tokenizer, texts)

    def rank(piece: str) -> tuple[bool, bool, int, int, str]:
        letter = piece.removeprefix(PREFIX)
        sign = len(letter) == 1 and letter.isascii() and piece in known
        return piece not in SPECIAL, not sign, -counts[piece], known.get(piece, len(tokenizer.vocabulary)), piece

    chosen = sorted({*known, *counts}, key=rank)[:size]
    last = len(tokenizer.vocabulary)
    return Tokenizer(sorted(chosen, key=lambda piece: (known.get(piece, last), piece)), tokenizer.lowercase)


def load_tokenizer(path: Path, lowercase: bool = True) -> Tokenizer:
    """Return the tokenizer of a file: `tokenizer.json`, `vocab.txt` with a piece on each line, or one of ours.

    Padding and truncation that stand in the file are dropped; `lowercase` is for vocab.txt, which does not say.
    """
    text = read_text(path)
    try:
        if not text.lstrip().startswith("{"):
            return Tokenizer((line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")), lowercase)
        if f'"{FORMAT}"' in text[:200]:
            return Tokenizer.from_bytes(text.encode())
        return Tokenizer(*_read_json(text))
    except DataError as error:
        raise DataError(f"{printable(path)}: {error}") from None


def shortened(first: Sequence[int], second: Sequence[int], room: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return a pair that fits: one piece at a time goes from the longer one, from the second where they are equal."""
    if len(first) + len(second) <= room:
        return first, second
    if len(second) <= room // 2:
        return first[: room - len(second)], second
    if len(first) <= room // 2:
        return first, second[: room - len(first)]
    return first[: (room + 1) // 2], second[: room // 2]


def _counts(tokenizer: Tokenizer, texts: Sequence[str]) -> Counter[str]:
    """Return how often texts use words that they have twice, and of all other words the pieces."""
    words, known = count_words(_legal(texts), tokenizer.lowercase), set(tokenizer.vocabulary)
    counts = Counter({word: count for word, count in words.items() if word in known or count >= SEEN_TWICE})
    others = [word for word in words if word not in counts]
    for word, ids in zip(others, tokenizer.encode(others, limit=MAX_TOKENS).ids, strict=True):
        counts.update({tokenizer.vocabulary[number]: words[word] for number in ids[1:-1].tolist()})
    return counts


def _legal(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts; an empty one is legal here, but not what UTF-8 cannot hold."""
    for number, text in enumerate(texts):
        require(isinstance(text, str) and not SURROGATE.search(text), f"texts[{number}]", "a text", text)
        yield text


def _encoded(rows: Sequence[tuple[list[int], int]]) -> Encoded:
    """Return rows of pieces, each with the number of those that belong to the first text."""
    ids = [np.array(pieces, np.int32) for pieces, _ in rows]
    types = [(np.arange(len(pieces)) >= first).astype(np.int32) for pieces, first in rows]
    return Encoded(ids, types)


def _check(vocabulary: tuple[str, ...], lowercase: bool) -> None:
    require(isinstance(lowercase, bool), "lowercase", "true or false", lowercase)
    expected = f"from {MIN_SIZE} to {MAX_SIZE} pieces"
    require(MIN_SIZE <= len(vocabulary) <= MAX_SIZE, "vocabulary", expected, len(vocabulary))
    seen: dict[str, int] = {}
    for number, piece in enumerate(vocabulary):
        legal = isinstance(piece, str) and bool(piece) and piece.isprintable() and " " not in piece
        require(legal, f"vocabulary[{number}]", "a piece of a word", piece)
        require(piece not in seen, f"vocabulary[{number}]", "another piece than those before", piece)
        seen[piece] = number
    for piece in SPECIAL:
        if piece not in seen:
            refuse("vocabulary", f"one with {piece}", f"{len(vocabulary)} pieces without it")


def _read_json(text: str) -> tuple[list[str], bool]:
    """Return vocabulary and case of a `tokenizer.json`, which must be what BERT has."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        refuse("file", "JSON", f"text with: {error}")
    for place, value in _BERT.items():
        section, _, field = place.partition(".")
        found = _object(content, section).get(field)
        require(found == value and type(found) is type(value), place, show(value), found)
    lowercase = content["normalizer"].get("lowercase")
    require(isinstance(lowercase, bool), "normalizer.lowercase", "true or false", lowercase)
    accents = content["normalizer"].get("strip_accents")
    require(accents in (None, lowercase), "normalizer.strip_accents", "null, or as lowercase", accents)
    numbers = _object(content["model"], "vocab", "model.vocab")
    whole = all(type(number) is int for number in numbers.values())
    if not whole or set(numbers.values()) != set(range(len(numbers))):
        refuse("model.vocab", "numbered from 0 on, without gaps", "otherwise")
    return sorted(numbers, key=numbers.__getitem__), lowercase


def _object(content: object, field: str, where: str = "") -> dict[str, Any]:
    value = content.get(field) if isinstance(content, dict) else None
    if not isinstance(value, dict):
        refuse(where or field, "an object", show(value), "; is this the tokenizer.json of a BERT?")
    return value


def _integer(field: str, value: int, low: int, high: int) -> None:
    try:
        require_integer(field, value, low, high)
    except NetworkError as error:
        raise DataError(str(error)) from None

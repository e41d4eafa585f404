"""The eight tasks of the GLUE benchmark that score one or two sentences, read from the files as published.

The labels of GLUE's test sets are not public. Papers report on the published dev set: it is our `test`. Our `dev` is
cut from the published train set by the SHA-256 of what leaks: the premise, the questions, the sentences of a pair. What
stands in `test` word for word is left out of train and dev.

A file has one example on a line and a tabulator between columns; quotation marks are letters like any other. A line
that is not so is refused with its number, but for one thing: a question of QQP may run over the end of its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.checks import nearest, show
from model.data.dataset import Dataset, Task
from model.data.errors import line_of, printable, read_text, refuse, require
from model.data.phrases import cut_sentences
from model.data.split import Row, Shares, disjoint, joined, part_of, to_splits
from model.data.text import check_text, normalise

TERMS = "GLUE folder of the user; each task has terms of its own, most of them research use"
SCORES = (0.0, 5.0)


@dataclass(frozen=True)
class Layout:
    """How a task is published, and how much of its train file becomes dev.

    `columns` hold the first text, the second one if there is one, and the label; without a header line they are
    numbers. `words` stand for the classes in the file. Examples that share one of the first `tied` texts are in the
    same part.
    """

    task: Task
    columns: tuple[str, ...]
    words: tuple[str, ...] = ("0", "1")
    dev: str = "dev.tsv"
    share: int = 100  # thousandths
    tied: int = 2
    width: int = 0  # the number of columns of a file without a header line
    loose: bool = False  # QQP: texts may be empty, and run over the end of a line


def _task(name: str, labels: tuple[str, ...], metrics: tuple[str, ...], pairs: bool = True) -> Task:
    return Task(f"glue/{name}", labels, metrics, pairs, None if labels else SCORES)


def _mnli(name: str, dev: str) -> Layout:
    labels = ("entailment", "neutral", "contradiction")
    columns = ("sentence1", "sentence2", "gold_label")
    return Layout(_task(name, labels, ("accuracy",)), columns, labels, dev, 25, tied=1)


_ENTAILMENT = ("entailment", "not_entailment")
LAYOUTS = {
    "CoLA": Layout(_task("CoLA", ("unacceptable", "acceptable"), ("mcc",), False), ("3", "1"), width=4),
    "SST-2": Layout(_task("SST-2", ("negative", "positive"), ("accuracy",), False), ("sentence", "label"), share=80),
    "MRPC": Layout(
        _task("MRPC", ("different", "equivalent"), ("accuracy", "f1")), ("#1 String", "#2 String", "Quality")
    ),
    "STS-B": Layout(_task("STS-B", (), ("pearson", "spearman")), ("sentence1", "sentence2", "score")),
    "QQP": Layout(
        _task("QQP", ("different", "duplicate"), ("accuracy", "f1")),
        ("question1", "question2", "is_duplicate"),
        share=25,
        loose=True,
    ),
    "MNLI": _mnli("MNLI", "dev_matched.tsv"),
    "MNLI-mm": _mnli("MNLI-mm", "dev_mismatched.tsv"),
    "QNLI": Layout(_task("QNLI", _ENTAILMENT, ("accuracy",)), ("question", "sentence", "label"), _ENTAILMENT, share=50),
    "RTE": Layout(_task("RTE", _ENTAILMENT, ("accuracy",)), ("sentence1", "sentence2", "label"), _ENTAILMENT, tied=1),
}


def load_glue(folder: Path | None, name: str) -> Dataset:
    """Return a task of GLUE; the folder holds one folder for each task."""
    require(name in LAYOUTS, "GLUE task", f"one of {', '.join(LAYOUTS)}", name, nearest(name, tuple(LAYOUTS)))
    layout = LAYOUTS[name]
    if folder is None or not folder.is_dir():
        found = "missing" if folder is None else f"{printable(folder)}, which is none"
        refuse("GLUE folder", "a folder that holds the tasks of GLUE", found, "; name yours with --glue")
    home = folder / name.removesuffix("-mm")
    train = _cut(name, read_rows(home / "train.tsv", layout), layout)
    test = [row._replace(part="test") for row in read_rows(home / layout.dev, layout)]
    splits = to_splits(disjoint([*train, *test]), layout.task.regression)
    return Dataset(layout.task.name, layout.task, *splits, f"{layout.dev} and train.tsv of GLUE's {name}; {TERMS}")


def read_rows(path: Path, layout: Layout) -> list[Row]:
    """Return the examples of a published file: all of them, in its order, as train."""
    rows = []
    for line, fields in _records(path, layout):
        texts = [field.strip() for field in fields[:-1]]
        for text in texts:
            if text or not layout.loose:
                check_text(text, line_of(path, line, "text"))
        value = _score(path, line, fields[-1]) if layout.task.regression else _class(path, line, fields[-1], layout)
        keys = [normalise(text) for text in texts]
        pair = texts[1] if layout.task.pairs else None
        rows.append(Row(" | ".join(keys), texts[0], value, "train", pair=pair))
    if not rows:
        refuse(printable(path), "a file with examples", "a header alone")
    return rows


def _cut(name: str, rows: Sequence[Row], layout: Layout) -> list[Row]:
    """Return the rows with dev cut from train; both MNLI tasks are cut alike."""
    salt, shares = f"glue {name.removesuffix('-mm')}", Shares(dev=layout.share)
    if name == "SST-2":
        return cut_sentences(rows, salt, shares)
    groups = joined([row.key.split(" | ")[: layout.tied] for row in rows])
    return [
        row._replace(part=part_of(group, salt, shares), group=group) for row, group in zip(rows, groups, strict=True)
    ]


def _records(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield line number, texts and label of each example."""
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    if not lines[-1]:
        lines.pop()
    if layout.width:
        width, places, first = layout.width, [int(column) for column in layout.columns], 0
    else:
        names = lines[0].split("\t")
        for column in layout.columns:
            require(column in names, line_of(path, 1), f"a header with the column {column}", names)
        width, places, first = len(names), [names.index(column) for column in layout.columns], 1
    at = first
    while at < len(lines):
        number, fields = at + 1, lines[at].split("\t")
        while layout.loose and len(fields) < width and at + 1 < len(lines):
            at += 1
            head, *rest = lines[at].split("\t")
            fields = [*fields[:-1], f"{fields[-1]} {head}", *rest]
        require(len(fields) == width, line_of(path, number), f"{width} columns", len(fields))
        yield number, [fields[place] for place in places]
        at += 1


def _class(path: Path, line: int, word: str, layout: Layout) -> int:
    expected = f"one of {', '.join(layout.words)}"
    require(word in layout.words, line_of(path, line, "label"), expected, word)
    return layout.words.index(word)


def _score(path: Path, line: int, text: str) -> float:
    low, high = SCORES
    where, expected = line_of(path, line, "score"), f"a number from {low:g} to {high:g}"
    try:
        score = float(text)
    except ValueError:
        refuse(where, expected, show(text))
    require(low <= score <= high, where, expected, score)
    return score

"""A user's own examples: in one file, which is cut, or in a folder with a file for each split.

A file is CSV, TSV or JSON lines, and its header names the columns: `text`, perhaps a second text, and `label` (or
whatever `Columns` calls them; further columns are left alone).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.checks import nearest, show
from model.data.dataset import PARTS, Dataset, Task
from model.data.errors import line_of, printable, refuse, require
from model.data.records import KINDS, Record, read_records
from model.data.split import Row, Shares, disjoint, part_of, to_splits
from model.data.text import check_text, normalise

MAX_CLASSES = 1000
SHARES = Shares(dev=100, test=200)
DEV_OF_TRAIN = Shares(dev=100)
SALT = "user"


@dataclass(frozen=True)
class Columns:
    """What the columns of a user's files are called, and what the labels are.

    `pair` and `group` are used where the files have such a column. Where a file is cut, a group stays in one part;
    without the column, examples with the same first text are a group. `labels` declares the classes in their order:
    without it they are collected and sorted. With a `score_range`, the label is a number.
    """

    text: str = "text"
    pair: str = "text2"
    label: str = "label"
    group: str = "group"
    labels: tuple[str, ...] = ()
    score_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Example:
    """A record of a file that has been looked at; its label has no number yet."""

    where: str
    text: str
    pair: str | None
    label: str
    group: str


def load_user(path: Path, columns: Columns | None = None) -> Dataset:
    """Return the examples of a file, cut by the hash of their groups, or of a folder with train, dev and test files.

    A folder without a dev file has its dev cut from train. An example of train or dev that also stands in test is left
    out, and `source` says how many.
    """
    columns = columns or Columns()
    files = _files(path)
    examples = {part: read_examples(file, columns) for part, file in files.items()}
    task = _task(path, [example for found in examples.values() for example in found], columns)
    rows = [_row(example, part, task) for part, found in examples.items() for example in found]
    if "dev" not in files:
        shares = DEV_OF_TRAIN if "test" in files else SHARES
        rows = [row if row.part == "test" else row._replace(part=part_of(str(row.group), SALT, shares)) for row in rows]
    kept = disjoint(rows)
    for part in PARTS:
        if not any(row.part == part for row in kept):
            refuse(printable(path), "enough examples for train, dev and test", f"{len(kept)}, none of them in {part}")
    return Dataset(path.stem, task, *to_splits(kept, task.regression), _source(path, len(rows) - len(kept)))


def read_examples(path: Path, columns: Columns) -> list[Example]:
    """Return the examples of a file, none of which is empty, too long or without a label."""
    found: list[Example] = []
    paired = False
    for line, record in read_records(path):
        where = line_of(path, line)
        _check_columns(where, record, columns)
        paired = paired if found else columns.pair in record
        expected = f"a record {'with' if paired else 'without'} {show(columns.pair)}, as the first one"
        require((columns.pair in record) == paired, where, expected, list(record))
        text = check_text(record[columns.text], f"{where}: {columns.text}")
        pair = check_text(record[columns.pair], f"{where}: {columns.pair}") if paired else None
        label = _label(record[columns.label], f"{where}: {columns.label}")
        grouped = columns.group in record
        group = _label(record[columns.group], f"{where}: {columns.group}") if grouped else normalise(text)
        found.append(Example(f"{where}: {columns.label}", text, pair, label, group))
    if not found:
        refuse(printable(path), "a file with examples", "a header alone")
    return found


def _files(path: Path) -> dict[str, Path]:
    if path.is_dir():
        files: dict[str, Path] = {}
        for part in PARTS:
            found = [path / f"{part}{kind}" for kind in KINDS if (path / f"{part}{kind}").exists()]
            require(len(found) <= 1, printable(path), f"a folder with one {part} file", [file.name for file in found])
            if found:
                files[part] = found[0]
        for part in ("train", "test"):
            if part not in files:
                names = " or ".join(f"{part}{kind}" for kind in KINDS)
                refuse(printable(path), f"a folder with {names}", "without", "; a single file is cut by itself")
        return files
    if not path.exists():
        refuse(printable(path), "a file or a folder", "missing")
    return {PARTS[0]: path}


def _check_columns(where: str, record: Record, columns: Columns) -> None:
    for option, name in (("text", columns.text), ("label", columns.label)):
        if name not in record:
            hint = nearest(name, tuple(record)) or f"; say --columns {option}=NAME, or data.columns in a recipe"
            refuse(where, f"a record with {show(name)}", show(list(record)), hint)


def _label(value: object, where: str) -> str:
    """Return a label or a group as text; JSON may write it as a number."""
    legal = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    text = str(value).strip()
    require(legal and bool(text), where, "a word or a number", value)
    return text


def _task(path: Path, examples: Sequence[Example], columns: Columns) -> Task:
    paired = examples[0].pair is not None
    if any((example.pair is not None) != paired for example in examples):
        refuse(printable(path), f"a folder with {show(columns.pair)} in all files or in none", "one with it in some")
    if columns.score_range is not None:
        return Task(path.stem, (), ("pearson", "spearman"), paired, columns.score_range)
    labels = columns.labels or tuple(sorted({example.label for example in examples}))
    hint = "; say --columns label=NAME, or data.columns in a recipe"
    where, expected = f"{printable(path)}: {columns.label}", f"from 2 to {MAX_CLASSES} different labels"
    require(2 <= len(labels) <= MAX_CLASSES, where, expected, len(labels), hint)
    return Task(path.stem, labels, ("accuracy",), paired)


def _row(example: Example, part: str, task: Task) -> Row:
    texts = (example.text,) if example.pair is None else (example.text, example.pair)
    key = " | ".join(normalise(text) for text in texts)
    return Row(key, example.text, _value(example, task), part, example.group, example.pair)


def _value(example: Example, task: Task) -> float:
    if task.score_range is None:
        expected = f"one of {show(', '.join(task.labels))}"
        if example.label not in task.labels:
            refuse(example.where, expected, show(example.label), nearest(example.label, task.labels))
        return task.labels.index(example.label)
    low, high = task.score_range
    try:
        value = float(example.label)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        refuse(example.where, f"a number from {low:g} to {high:g}", show(example.label))
    return value


def _source(path: Path, left_out: int) -> str:
    note = f"; {left_out} examples of train or dev that also stand in test or dev left out" if left_out else ""
    return f"{printable(path)}, on the terms of its owner{note}"

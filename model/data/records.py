"""CSV, TSV and JSON lines as records: the line that a record is on, and its fields by the name of their column."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from model.data.errors import DataError, line_of, printable, read_text, refuse, require

KINDS = (".csv", ".tsv", ".jsonl")
Record = dict[str, object]


def read_records(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield line and record of each example; the name of the file says how it is written. Empty lines are no examples.

    CSV quotes as spreadsheets do, so a record may span lines: it is named by its first one. In TSV, a quotation mark is
    a letter like any other.
    """
    readers = dict(zip(KINDS, (_csv_records, _tsv_records, _json_records), strict=True))
    kind = path.suffix.lower()
    if kind not in readers:
        refuse(printable(path), f"a file that ends in {', '.join(KINDS)}", repr(kind) if kind else "one without an end")
    return readers[kind](path, read_text(path))


def _csv_records(path: Path, text: str) -> Iterator[tuple[int, Record]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] = []
    line = 1
    try:
        for fields in reader:
            if fields and names:
                yield line, _record(path, line, names, fields, "; is a quotation mark missing?")
            elif fields:
                names = _header(path, line, fields)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{line_of(path, line)}: must be CSV, not a record with: {error}") from None


def _tsv_records(path: Path, text: str) -> Iterator[tuple[int, Record]]:
    names: list[str] = []
    for line, content in enumerate(text.split("\n"), 1):
        fields = content.removesuffix("\r").split("\t")
        if fields == [""]:
            continue
        if names:
            yield line, _record(path, line, names, fields, "")
        else:
            names = _header(path, line, fields)


def _json_records(path: Path, text: str) -> Iterator[tuple[int, Record]]:
    for line, content in enumerate(text.split("\n"), 1):
        if content.strip():
            yield line, _json_record(content, line_of(path, line))


def _json_record(content: str, where: str) -> Record:
    def unique(pairs: list[tuple[str, object]]) -> Record:
        names = [name for name, _ in pairs]
        for name in names:
            require(names.count(name) == 1, where, "an object with different names", name)
        return dict(pairs)

    try:
        value = json.loads(content, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        refuse(where, "a JSON object", f"text with: {error.msg} at character {error.pos + 1}")
    except RecursionError:
        refuse(where, "a JSON object", "one that is nested too deep")
    if not isinstance(value, dict):
        refuse(where, "a JSON object", type(value).__name__)
    return value


def _header(path: Path, line: int, names: list[str]) -> list[str]:
    require(len(set(names)) == len(names), line_of(path, line), "a header of different names", names)
    return names


def _record(path: Path, line: int, names: list[str], fields: list[str], hint: str) -> Record:
    require(len(fields) == len(names), line_of(path, line), f"{len(names)} columns, as the header", len(fields), hint)
    return dict(zip(names, fields, strict=True))

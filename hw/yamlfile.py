"""Guarded YAML: a small, strict part of the language, read as nodes that know their line.

Read are mappings, lists and single values in one UTF-8 document. Refused are aliases, anchors, merge keys, tags,
directives, duplicate keys and anything larger or deeper than a hand-written file is. Nothing is expanded or converted:
a value stays the text that was written, and who asks for a number says what a number is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hw.files import MAX_DEPTH, FileError, read_bytes
from hw.messages import MAX_SHOWN, shown

MAX_BYTES = 1 << 20
MAX_NODES = 2000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_TAB = re.compile(r"^ *\t", re.MULTILINE)
_MAGIC = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"\x80": "a pickle",
}


@dataclass(frozen=True)
class Scalar:
    """One value, as it was written; `plain` if without quotes."""

    line: int
    text: str
    plain: bool

    def __str__(self) -> str:
        if self.plain and not self.text:
            return "nothing"
        if not self.plain or not self.text.isprintable():
            return shown(self.text)
        return self.text if len(self.text) <= MAX_SHOWN else f"{self.text[:20]}... ({len(self.text)} characters)"


@dataclass(frozen=True)
class Sequence:
    """A list."""

    line: int
    items: tuple[Node, ...] = ()

    def __str__(self) -> str:
        return "a list"


@dataclass(frozen=True)
class Mapping:
    """Keys, each with its own line, and their values."""

    line: int
    entries: dict[str, Node]
    key_lines: dict[str, int]

    def __str__(self) -> str:
        return "a section with keys of its own"


Node = Scalar | Sequence | Mapping

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_LONGEST_NUMBER = 40


def plain_data(node: Node) -> Any:
    """Return a node as plain Python data: unquoted true, false, null and decimal numbers are what they say."""
    if isinstance(node, Mapping):
        return {key: plain_data(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain_data(item) for item in node.items]
    if not node.plain:
        return node.text
    if node.text in ("true", "false"):
        return node.text == "true"
    if node.text in ("", "null"):
        return None
    if len(node.text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(node.text):
        return node.text
    return int(node.text) if node.text.lstrip("+-").isdecimal() else float(node.text)


def read_yaml(path: Path) -> Node:
    """Return the one document in a file; every error is a FileError of one line, with the line number if known."""
    text = _decode(path, read_bytes(path, MAX_BYTES))
    try:
        return _Reader(path, yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(path, mark.line + 1 if mark else 1, f"must be YAML, but {error.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path}: must be YAML, but {' '.join(str(error).split())[:200]}") from None


def _error(path: Path, line: int, message: str) -> FileError:
    return FileError(f"{path}:{line}: {message}")


def _decode(path: Path, data: bytes) -> str:
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise FileError(f"{path}: must be a YAML text file, not {kind}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"0x{data[error.start]:02x}"
        raise _error(path, line, f"must be UTF-8 text, not the byte {byte}; save the file as UTF-8") from None
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        raise _error(path, line, f"must be text, not the control character 0x{ord(control.group()):02x}")
    if tab := _TAB.search(text):
        line = text.count("\n", 0, tab.start()) + 1
        raise _error(path, line, "must be indented with spaces, not with a tab")
    return text


class _Reader:
    """Builds nodes from parser events; each event is checked before it is followed, so nothing bad is ever built."""

    def __init__(self, path: Path, events: Iterator[yaml.Event]) -> None:
        self._path = path
        self._events = events
        self._nodes = 0

    def document(self) -> Node:
        self._next()
        first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            raise FileError(f"{self._path}: must hold settings, not nothing")
        root = self._node(self._next(), 1)
        self._next()
        end = self._next()
        if isinstance(end, yaml.DocumentStartEvent):
            raise self._refuse(end, "must hold one document, not several; remove the line '---'")
        return root

    def _next(self) -> yaml.Event:
        event = next(self._events)
        if isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
            raise self._refuse(event, "must have no directive; remove the line that starts with '%'")
        if isinstance(event, yaml.AliasEvent):
            raise self._refuse(event, f"must have no alias, not {shown('*' + event.anchor)}; write the value out")
        if isinstance(event, yaml.NodeEvent):
            self._check(event)
        return event

    def _check(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            raise self._refuse(event, f"must have no anchor, not {shown('&' + event.anchor)}; remove it")
        if (tag := getattr(event, "tag", None)) is not None:
            found = shown(tag.replace("tag:yaml.org,2002:", "!!"))
            raise self._refuse(event, f"must have no tag, not {found}; remove it")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._refuse(event, f"must hold at most {MAX_NODES} keys and values, not more")

    def _refuse(self, event: yaml.Event, message: str) -> FileError:
        return _error(self._path, event.start_mark.line + 1, message)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(line, event.value, not event.style)
        if depth > MAX_DEPTH:
            raise self._refuse(event, f"must be nested at most {MAX_DEPTH} deep, not deeper")
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
            return Sequence(line, tuple(items))
        return self._mapping(line, depth)

    def _mapping(self, line: int, depth: int) -> Mapping:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise self._refuse(event, f"must have a name as the key, not {key}")
            if key.text == "<<" and key.plain:
                raise self._refuse(event, "must have no merge key '<<'; write the values out")
            if key.text in entries:
                first = f"line {lines[key.text]} has it too"
                raise self._refuse(event, f"must have each key once, not {shown(key.text)} twice; {first}")
            entries[key.text] = self._node(self._next(), depth + 1)
            lines[key.text] = key.line
        return Mapping(line, entries, lines)

"""What every reader of data shares: the error, its message grammar, and reading a file whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from model.checks import show

MAX_FILE_BYTES = 2 << 30


class DataError(ValueError):
    """Data that is not what it should be; one line: `file: line: field: must be ..., not ...; the likely fix`."""


def refuse(where: str, expected: str, found: str, hint: str = "") -> NoReturn:
    """Refuse what stands at a place, what was found being given in words; `hint` is the likely fix."""
    raise DataError(f"{where}: must be {expected}, not {found}{hint}")


def require(holds: bool, where: str, expected: str, found: Any, hint: str = "") -> None:
    """Refuse what does not hold."""
    if not holds:
        refuse(where, expected, show(found), hint)


def printable(path: Path | str) -> str:
    """Return a path as it appears in a message: as it is, or quoted where a terminal could not show it."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def line_of(path: Path, line: int, field: str = "") -> str:
    """Return the place of a line, or of a field in it, as a message names it."""
    return f"{printable(path)}: line {line}" + (f": {field}" if field else "")


def read_file(path: Path) -> bytes:
    """Return the content of a regular file (or of a link to one)."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            refuse(printable(path), "a regular file", "a folder" if stat.S_ISDIR(mode) else "a device or pipe")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            require(size <= MAX_FILE_BYTES, printable(path), f"at most {MAX_FILE_BYTES} bytes", size)
            return file.read(size)
    except OSError as error:
        raise DataError(f"{printable(path)}: must be readable, not fail with: {error.strerror}") from None


def read_text(path: Path) -> str:
    """Return the text of a file: UTF-8 with or without its mark at the start, not empty, without NUL."""
    data = read_file(path)
    if not data.strip():
        refuse(printable(path), "a file with examples", "empty")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {data[error.start]:#04x}"
        refuse(line_of(path, line), "UTF-8", found, "; save the file as UTF-8")
    position = text.find("\0")
    if position >= 0:
        refuse(line_of(path, text.count("\n", 0, position) + 1), "text", "a line with a NUL character")
    return text

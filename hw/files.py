"""Reading and writing files that must be right: strict JSON, bounded sizes, atomic replacement."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from hw.messages import shown

MAX_JSON_BYTES = 1 << 20
MAX_DEPTH = 16
_NO_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^"\[\]{}]++', re.DOTALL)


class FileError(ValueError):
    """A file that is not what it should be; the message starts with its path."""


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes."""
    if not str(path).isprintable():
        raise FileError(f"path must be of printable characters, not {shown(str(path))}")
    try:
        if not path.is_file():
            found = "not a folder" if path.is_dir() else "not a device or pipe"
            raise FileError(f"{path}: must be a file, {found if path.exists() else 'but it does not exist'}")
        size = path.stat().st_size
        if size > limit:
            raise FileError(f"{path}: must be at most {limit} bytes, not {size}")
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Return a JSON object read strictly: UTF-8, no duplicate keys, no NaN, bounded depth and size."""
    data = read_bytes(path, limit)
    try:
        text = data.decode("utf-8")
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: must be strict JSON: {error}") from None
    if not isinstance(value, dict):
        raise FileError(f"{path}: must hold one JSON object, not {type(value).__name__}")
    return value


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to disk, and rename it into place."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: dict[str, Any], indent: int | None = 1) -> None:
    """Write a JSON object in one canonical form, on one line if `indent` is None."""
    write_atomic(path, (json.dumps(value, indent=indent, sort_keys=True) + "\n").encode())


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {shown(key)} stands twice")
        result[key] = value
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _NO_BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nesting must be at most {MAX_DEPTH} deep")

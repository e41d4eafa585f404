"""Files that are written whole or not at all, whenever the process is killed."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

#: How the name of a half-written file ends; it begins with a dot and the name of the file that it would have become.
TEMPORARY = ".tmp"


def temporary_name(path: Path) -> Path:
    """Return a free name beside a file for what will replace it."""
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}{TEMPORARY}")


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file: a temporary one beside it, flushed to disk, then renamed into place."""
    temporary = temporary_name(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _flush_folder(folder: Path) -> None:
    """Make the names in a folder as lasting as the files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

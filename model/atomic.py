"""Files that are written whole or not at all, whenever the process is killed."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

#: How the name of a half-written file ends; it begins with a dot and the name of the file that it would have become.
TEMPORARY = ".tmp"
#: How much of that name it has, so that it is no longer than the 255 bytes that disks allow.
_KEPT_BYTES = 200


def temporary_name(path: Path) -> Path:
    """Return a free name beside a file for what will replace it."""
    kept = os.fsencode(path.name)[:_KEPT_BYTES].decode(errors="ignore")
    return path.with_name(f".{kept}.{secrets.token_hex(8)}{TEMPORARY}")


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file: a temporary one beside it, flushed to disk, then renamed into place."""
    temporary = temporary_name(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def flush_folder(folder: Path) -> None:
    """Make the names in a folder as lasting as the files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Entries of 64 bits in lines of the scale and level buffers, and the fields in them."""

from __future__ import annotations

import numpy as np

from hw.arch import Accelerator

_ENTRY_BYTES = 8


def read_entries(accelerator: Accelerator, buffer: np.ndarray, line: int, lines: int) -> np.ndarray:
    """Return the entries of some lines of a buffer uint8 [line, byte], int64 [line * lane]."""
    used = buffer[line : line + lines, : accelerator.vector_lanes * _ENTRY_BYTES]
    return np.ascontiguousarray(used).view("<i8").ravel()


def signed_field(entries: np.ndarray, offset: int, width: int) -> np.ndarray:
    """Return the signed field of each entry."""
    return entries << 64 - offset - width >> 64 - width

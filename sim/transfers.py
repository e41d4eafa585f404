"""LOAD and STORE in values: which beats of memory, which lines of a buffer."""

from __future__ import annotations

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction
from sim.errors import MachineError

_ADDRESSES = 1 << 32


def require_lines(buffer: str, first: int, count: int, lines: int) -> None:
    """Refuse an access of `count` lines from `first` that leaves the buffer."""
    if first + count > lines:
        raise MachineError(
            f"access must lie in the {lines} lines of the {buffer} buffer, not in lines {first} to {first + count - 1}"
        )


def beat_numbers(accelerator: Accelerator, i: Instruction, size: int) -> np.ndarray:
    """Return the numbers of a transfer's beats in a memory of `size` bytes, segment by segment."""
    beat = accelerator.beat_bytes
    for name in ("address", "stride") if i.segments > 1 else ("address",):
        if getattr(i, name) % beat:
            raise MachineError(f"{name} must be a multiple of the {beat} bytes of a beat, not {getattr(i, name)}")
    starts = (i.address + np.arange(i.segments, dtype=np.int64) * i.stride) % _ADDRESSES
    end = int(starts.max()) + i.segment_beats * beat
    if end > size:
        raise MachineError(f"access must lie in the image of {size} bytes, not end at {end:#x}")
    return (starts[:, None] // beat + np.arange(i.segment_beats)).ravel()


def write_rows(buffer: np.ndarray, name: str, i: Instruction, beats: np.ndarray) -> None:
    """Write a stream of beats, uint8 [beat, byte], to rows of whole lines."""
    rows = len(beats) // i.row_beats
    row_lines = i.row_beats * beats.shape[1] // buffer.shape[2]
    banks, lines = _places(buffer, name, i, rows, row_lines)
    buffer[banks, lines] = beats.reshape(rows, row_lines, buffer.shape[2])


def read_rows(buffer: np.ndarray, name: str, i: Instruction, beat_bytes: int) -> np.ndarray:
    """Return a stream of beats, uint8 [beat, byte], from rows that start at the first beat of a line."""
    rows = i.segments * i.segment_beats // i.row_beats
    row_lines = -(-i.row_beats * beat_bytes // buffer.shape[2])
    banks, lines = _places(buffer, name, i, rows, row_lines)
    row_bytes = buffer[banks, lines].reshape(rows, -1)[:, : i.row_beats * beat_bytes]
    beats: np.ndarray = row_bytes.reshape(-1, beat_bytes)
    return beats


def require_rows(i: Instruction) -> None:
    """Refuse a transfer that is not a number of whole rows."""
    beats = i.segments * i.segment_beats
    if beats % i.row_beats:
        raise MachineError(f"segments * segment_beats must be a multiple of row_beats {i.row_beats}, not {beats}")


def _places(buffer: np.ndarray, name: str, i: Instruction, rows: int, row_lines: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bank and the lines of each row, to index a buffer with: [row, 1] and [row, line]."""
    banks = buffer.shape[0]
    require_lines(name, i.line, -(-rows // banks) * row_lines, buffer.shape[1])
    numbers = np.arange(rows)[:, None]
    return numbers % banks, i.line + numbers // banks * row_lines + np.arange(row_lines)

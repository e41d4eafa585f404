"""LOAD and STORE in values: which beats of memory, which lines of a buffer."""

from __future__ import annotations

import numpy as np

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction
from sim.errors import MachineError

MAX_GATHER_STRIDE = 12
_ADDRESSES = 1 << 32
_ID_BITS = 16


def require_lines(buffer: str, first: int, count: int, lines: int) -> None:
    """Refuse an access of `count` lines from `first` that leaves the buffer."""
    if first + count > lines:
        raise MachineError(
            f"access must lie in the {lines} lines of the {buffer} buffer, not in lines {first} to {first + count - 1}"
        )


def segment_offsets(accelerator: Accelerator, i: Instruction) -> np.ndarray:
    """Return where the segments of a transfer begin behind its address, one stride apart."""
    beat = accelerator.beat_bytes
    for name in ("address", "stride") if i.segments > 1 else ("address",):
        if getattr(i, name) % beat:
            raise MachineError(f"{name} must be a multiple of the {beat} bytes of a beat, not {getattr(i, name)}")
    return np.arange(i.segments, dtype=np.int64) * i.stride


def gathered_offsets(accelerator: Accelerator, i: Instruction, tokens: np.ndarray) -> np.ndarray:
    """Return where the segments of a LOAD with gather begin behind its address; `tokens` are lines of ids."""
    if problem := gather_problem(accelerator, i):
        raise MachineError(problem)
    per_line = accelerator.token_line_bits // _ID_BITS
    first = i.token // per_line
    require_lines("token", first, (i.token + i.segments - 1) // per_line - first + 1, len(tokens))
    ids = tokens.reshape(-1).view("<u2")[i.token : i.token + i.segments]
    return ids.astype(np.int64) << i.stride


def gather_problem(accelerator: Accelerator, i: Instruction) -> str:
    """Return what is wrong with a LOAD with gather, apart from its lines, or nothing."""
    if not accelerator.token_lines:
        return "token_lines must be at least 1 for gather, not 0"
    if i.buffer == Buffer.TOKEN:
        return f"buffer must not be that of the ids with gather, {Buffer.TOKEN:d}"
    if i.stride > MAX_GATHER_STRIDE:
        return f"stride must be at most {MAX_GATHER_STRIDE} with gather, not {i.stride}"
    apart, size = 1 << i.stride, i.segment_beats * accelerator.beat_bytes
    if size > apart:
        return f"a segment must have at most the {apart} bytes that stride {i.stride} tells, not {size}"
    if i.address % apart:
        return f"address must be a multiple of the {apart} bytes that stride {i.stride} tells, not {i.address}"
    return ""


def beat_numbers(accelerator: Accelerator, i: Instruction, offsets: np.ndarray, size: int) -> np.ndarray:
    """Return the numbers of a transfer's beats in a memory of `size` bytes, segment by segment."""
    beat = accelerator.beat_bytes
    starts = (i.address + offsets) % _ADDRESSES
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

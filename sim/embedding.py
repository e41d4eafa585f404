"""The source embedding of VECTOR in values: words, positions and token types, docs/arithmetic.md, section 8."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction
from sim.moments import saturate
from sim.transfers import require_lines

_FIXED_BITS = 16


def require_embedding_lines(accelerator: Accelerator, i: Instruction, slices: int) -> None:
    """Refuse rows of words, positions or token types that leave their buffers."""
    a = accelerator
    require_lines("word", i.source_line, i.rows * _word_lines(a, slices), a.word_lines)
    require_lines("embedding", i.add_line, i.rows * slices, a.embedding_lines)
    require_lines("embedding", i.scale_line, slices * (i.rows if i.typed else 1), a.embedding_lines)


def embedded_rows(
    accelerator: Accelerator, buffers: Mapping[str, np.ndarray], i: Instruction, slices: int
) -> np.ndarray:
    """Return each word's signs times its scale, plus position, plus token type, [row, slice * lane]."""
    channels, row_lines = slices * accelerator.vector_lanes, _word_lines(accelerator, slices)
    words = buffers["word"][0, i.source_line : i.source_line + i.rows * row_lines].reshape(i.rows, row_lines, -1)
    scales = np.ascontiguousarray(words[:, 0, :2]).view("<u2").astype(np.int64)
    bits = np.unpackbits(words[:, 1:].reshape(i.rows, -1), axis=-1, count=channels, bitorder="little")
    positions = _numbers(accelerator, buffers["embedding"][0], i.add_line, i.rows * slices).reshape(i.rows, -1)
    types = _numbers(accelerator, buffers["embedding"][0], i.scale_line, slices * (i.rows if i.typed else 1))
    signed = np.where(bits == 1, scales, -scales)
    return saturate(signed + positions + types.reshape(-1, channels), _FIXED_BITS)


def _word_lines(accelerator: Accelerator, slices: int) -> int:
    """Return the lines of a word: one with its scale, and those with its bits."""
    return 1 - -slices // accelerator.word_line_slices


def _numbers(accelerator: Accelerator, buffer: np.ndarray, line: int, count: int) -> np.ndarray:
    """Return the numbers of lines of the embedding buffer, int64 [line * lane]."""
    used = np.ascontiguousarray(buffer[line : line + count, : 2 * accelerator.vector_lanes])
    return used.view("<i2").ravel().astype(np.int64)

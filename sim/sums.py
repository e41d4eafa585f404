"""Buffers of sums in values: what SUMS writes, and the rows that VECTOR and SOFTMAX read."""

from __future__ import annotations

import numpy as np

from hw.isa import Instruction
from sim.transfers import require_lines


def write_sums(name: str, buffer: np.ndarray, i: Instruction, d: np.ndarray) -> None:
    """Write the D [column group, row, column] of a tile that a SUMS takes; rows that are not valid are left out."""
    groups, _, columns = d.shape
    banks, lines, line_sums = buffer.shape
    skipped, position = divmod(i.output_group, line_sums // columns)
    length = -(-(position + groups) * columns // line_sums)
    require_lines(name, i.output_line + skipped + (i.rows - 1) // banks * i.output_stride, length, lines)
    flat = buffer.reshape(banks, -1)
    for n in range(groups):
        for row in range(0, i.rows, banks):
            part = d[n, row : min(row + banks, i.rows)]
            start = (i.output_line + row // banks * i.output_stride) * line_sums + (i.output_group + n) * columns
            flat[: len(part), start : start + columns] = part


def require_sum_rows(name: str, buffer: np.ndarray, line: int, rows: int, length: int) -> None:
    """Refuse rows of `length` sums, from a line on, that leave the buffer."""
    banks, lines, line_sums = buffer.shape
    require_lines(name, line, -(-rows // banks) * -(-length // line_sums), lines)


def read_sum_rows(buffer: np.ndarray, line: int, rows: int, length: int) -> np.ndarray:
    """Return rows of `length` sums from a line on, with what follows in their last lines, [row, sum]."""
    banks, _, line_sums = buffer.shape
    row_lines, groups = -(-length // line_sums), -(-rows // banks)
    used = buffer[:, line : line + groups * row_lines]
    return used.reshape(banks, groups, -1).swapaxes(0, 1).reshape(groups * banks, -1)[:rows]

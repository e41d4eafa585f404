"""TABLE in values: a function of one number by straight pieces, which stand in the scale buffer."""

from __future__ import annotations

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction
from sim.checksum import checksum, fold_fields
from sim.entries import read_entries, signed_field
from sim.errors import MachineError
from sim.moments import round_shift
from sim.rules import check_table
from sim.transfers import require_lines

_PIECES = 256
_REACH = _PIECES // 2
_FIXED_BITS = 16


def execute_table(accelerator: Accelerator, i: Instruction, fixed: np.ndarray, scales: np.ndarray) -> int:
    """Execute a TABLE on the fixed buffer [line, lane] by lines of the scale buffer [line, byte]; return the checksum
    of the words that it wrote."""
    check_table(accelerator, i)
    lines, pieces = i.rows * -(-i.channels // accelerator.vector_lanes), -(-_PIECES // accelerator.vector_lanes)
    require_lines("fixed", i.source_line, lines, len(fixed))
    require_lines("fixed", i.fixed_line, lines, len(fixed))
    require_lines("scale", i.table_line, pieces, len(scales))
    x = fixed[i.source_line : i.source_line + lines].reshape(i.rows, -1)
    y = np.zeros_like(x)
    y[:, : i.channels] = _numbers(x[:, : i.channels], i.shift, read_entries(accelerator, scales, i.table_line, pieces))
    written = y.reshape(lines, -1)
    fixed[i.fixed_line : i.fixed_line + lines] = written
    return checksum(fold_fields(written & (1 << _FIXED_BITS) - 1, _FIXED_BITS))


def _numbers(x: np.ndarray, shift: int, entries: np.ndarray) -> np.ndarray:
    """Return what the pieces make of numbers; those of a table never leave 16 bits, so others are refused."""
    reach = _REACH << shift
    clamped = np.clip(x, -reach, reach - 1)
    piece = clamped >> shift
    rest = clamped - (piece << shift)
    found = entries[piece + _REACH]
    odd = found >> 48 & 1
    y = round_shift(2 * rest * signed_field(found, 0, 16) + signed_field(found, 16, 32) + rest * odd, shift)
    for row, channel in np.argwhere(y != y.astype(np.int16))[:1].tolist():
        raise MachineError(
            f"pieces must give numbers of {_FIXED_BITS} bits, not {y[row, channel]} in row {row}, channel {channel}"
        )
    return y

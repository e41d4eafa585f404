"""SOFTMAX in values: the score buffer, the maxima that SUMS leaves, and the attention codes of rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction
from sim.checksum import checksum, fold_bits
from sim.errors import MachineError
from sim.moments import round_shift
from sim.rules import check_softmax
from sim.sums import read_sum_rows, require_sum_rows, write_sums
from sim.transfers import require_lines
from sim.writes import require_code_lines, write_codes

_ENTRY_BITS = 16
_LEVEL_BITS, _LEVEL_USED = 32, (1 << 22) - 1
_LEVEL_SHIFT = 20
_NEVER_REACHED = 1 << _ENTRY_BITS


class Softmax:
    """The state of ROW: scores int64 [bank, line, sum], maxima int64 [slot, row], and which of them there are."""

    def __init__(self, accelerator: Accelerator) -> None:
        a = accelerator
        self.accelerator = a
        self.scores = np.zeros((a.drain_rows, a.score_lines * (a.row_lanes > 0), a.score_line_sums), np.int64)
        self.maxima = np.zeros((a.score_slots, a.rows), np.int64)
        self.left = np.zeros((a.score_slots, a.rows), bool)

    def write_scores(self, i: Instruction, d: np.ndarray) -> None:
        """Write the D [column group, row, column] of a tile that a SUMS takes, and keep the maximum of each row."""
        write_sums("score", self.scores, i, d)
        rows = d.swapaxes(0, 1).reshape(d.shape[1], -1)
        self.maxima[i.slot, : i.rows] = rows[: i.rows, : rows.shape[1] - i.spare].max(axis=1)
        self.left[i.slot, : i.rows] = True

    def execute(self, i: Instruction, buffers: Mapping[str, np.ndarray]) -> int:
        """Execute a SOFTMAX; return the checksum of the words that it wrote."""
        check_softmax(self.accelerator, i)
        lanes = self.accelerator.row_lanes
        slices, code_lines = -(-i.keys // lanes), [i.code_line + u * i.code_plane_stride for u in range(i.planes)]
        require_sum_rows("score", self.scores, i.score_line, i.rows, i.keys)
        require_code_lines(buffers["activation"], code_lines, i.code_group, slices, lanes)
        table = _entries(buffers["table"][0], i.table_line, i.last_entry + 1, _ENTRY_BITS)
        levels = _entries(buffers["table"][0], i.level_line, (1 << i.planes) - 1, _LEVEL_BITS) & _LEVEL_USED
        exponentials = table[self._indices(i)]
        bounds = _bounds(levels, exponentials.sum(axis=1))
        reached = (exponentials[:, :, None] >= bounds[:, None, :]).sum(axis=2)
        codes = np.zeros((i.planes, i.rows, slices * lanes), np.uint8)
        codes[:, :, : i.keys] = reached >> np.arange(i.planes - 1, -1, -1)[:, None, None] & 1
        sliced = codes.reshape(i.planes, i.rows, slices, lanes)
        write_codes(buffers["activation"], code_lines, i.code_group, sliced)
        steps = sliced.transpose(1, 2, 0, 3).reshape(-1, lanes)
        return checksum(np.concatenate([bounds.ravel(), fold_bits(steps)]))

    def _indices(self, i: Instruction) -> np.ndarray:
        """Return the place in the table of each score, [row, key]."""
        scores = read_sum_rows(self.scores, i.score_line, i.rows, i.keys)[:, : i.keys]
        for row, (found, largest) in enumerate(zip(self.left[i.slot], scores.max(axis=1).tolist(), strict=False)):
            if not found:
                raise MachineError(f"slot must hold the maximum of row {row}, not none in this run")
            if largest > self.maxima[i.slot, row]:
                raise MachineError(
                    f"slot must hold a maximum of row {row} that no score is above, "
                    f"not {self.maxima[i.slot, row]} for a score of {largest}"
                )
        distances = self.maxima[i.slot, : i.rows, None] - scores
        return np.minimum(round_shift(distances * i.multiplier, i.shift), i.last_entry)


def _entries(buffer: np.ndarray, line: int, count: int, bits: int) -> np.ndarray:
    """Return the first `count` unsigned entries of so many bits from a line of the table buffer on."""
    lines = -(-count * bits // (buffer.shape[1] * 8))
    require_lines("table", line, lines, len(buffer))
    used = np.ascontiguousarray(buffer[line : line + lines]).view(f"<u{bits // 8}")
    return used.ravel()[:count].astype(np.int64)


def _bounds(levels: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the least exponential that reaches each level in each row, [row, level]."""
    products = levels * totals[:, None]
    return np.minimum(-(-products >> _LEVEL_SHIFT), _NEVER_REACHED)

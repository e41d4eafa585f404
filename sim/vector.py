"""VECTOR in values: the sums buffer, the fixed buffer, and what becomes of a row on its way to codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction, Source
from sim.checksum import checksum, fold_bits
from sim.embedding import embedded_rows, require_embedding_lines
from sim.entries import read_entries, signed_field
from sim.moments import Moments, round_shift, saturate
from sim.rules import check_vector
from sim.sums import read_sum_rows, require_sum_rows
from sim.transfers import require_lines
from sim.writes import require_code_lines, write_codes

_FIXED_BITS = 16
_THRESHOLD_BITS = 17
_SETS = 3


class Vector:
    """The state of VECTOR: sums int64 [bank, line, sum], fixed int64 [line, lane], and the moments of rows."""

    def __init__(self, accelerator: Accelerator) -> None:
        a = accelerator
        self.accelerator = a
        there = a.vector_lanes > 0
        self.sums = np.zeros((a.drain_rows, a.sum_lines * there, a.sum_line_sums), np.int64)
        self.fixed = np.zeros((a.fixed_lines * there, a.vector_lanes), np.int64)
        self.moments = Moments(a.rows)

    def execute(self, i: Instruction, buffers: Mapping[str, np.ndarray]) -> int:
        """Execute a VECTOR; return the checksum of the words that it wrote. Numbers are [row, slice * lane]."""
        check_vector(self.accelerator, i)
        slices = -(-i.channels // self.accelerator.vector_lanes)
        code_lines = _code_lines(i)
        self._check_lines(i, slices)
        require_code_lines(buffers["activation"], code_lines, i.code_group, slices, self.accelerator.vector_lanes)
        y = self._row_numbers(i, slices, buffers)
        if i.normalise:
            y = self.moments.normalise(y, i.channels)
        if i.scale:
            y = _scaled(i, y, *self._scales(i, slices, buffers["scale"][0]))
        if i.add:
            other = self._fixed_rows(i.add_line, i.rows, slices)
            y = np.maximum(y, other) if i.maximum else saturate(y + other, _FIXED_BITS)
        valid = np.arange(y.shape[1]) < i.channels
        kept = np.where(valid, y, 0)
        codes = self._codes(i, y, slices, buffers["level"][0]) & valid
        if i.keep:
            self.fixed[i.fixed_line : i.fixed_line + i.rows * slices] = kept.reshape(i.rows * slices, -1)
        if i.statistics:
            self.moments.take(y[:, : i.channels], i.epsilon)
        codes = codes.reshape(len(codes), i.rows, slices, self.accelerator.vector_lanes)
        write_codes(buffers["activation"], code_lines, i.code_group, codes)
        return self._checksum(kept if i.keep else np.zeros_like(kept), codes, i.planes)

    def _check_lines(self, i: Instruction, slices: int) -> None:
        """Refuse a line outside its buffer."""
        a, count = self.accelerator, i.rows * slices
        if i.source == Source.SUMS:
            require_sum_rows("sums", self.sums, i.source_line, i.rows, i.channels)
        elif i.source == Source.EMBEDDING:
            require_embedding_lines(a, i, slices)
        else:
            require_lines("fixed", i.source_line, count, a.fixed_lines)
        if i.scale and not i.multiply:
            require_lines("scale", i.scale_line, slices, a.scale_lines)
        if i.add or i.multiply:
            require_lines("fixed", i.add_line, count, a.fixed_lines)
        if i.keep:
            require_lines("fixed", i.fixed_line, count, a.fixed_lines)
        if i.sets and i.planes == 1:
            require_lines("level", i.level_line, slices, a.level_lines)

    def _row_numbers(self, i: Instruction, slices: int, buffers: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return what the source holds, or makes."""
        if i.source == Source.EMBEDDING:
            return embedded_rows(self.accelerator, buffers, i, slices)
        if i.source == Source.FIXED:
            return self._fixed_rows(i.source_line, i.rows, slices)
        return read_sum_rows(self.sums, i.source_line, i.rows, i.channels)[:, : slices * self.accelerator.vector_lanes]

    def _fixed_rows(self, line: int, rows: int, slices: int) -> np.ndarray:
        """Return rows of the fixed buffer."""
        return self.fixed[line : line + rows * slices].reshape(rows, -1)

    def _scales(self, i: Instruction, slices: int, buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return multipliers and addends: of each channel, or with `multiply` of each number of the rows."""
        if i.multiply:
            return self._fixed_rows(i.add_line, i.rows, slices), np.zeros(1, np.int64)
        entries = read_entries(self.accelerator, buffer, i.scale_line, slices)
        return signed_field(entries, 0, 16), signed_field(entries, 16, 32)

    # --- codes ---------------------------------------------------------------------------------------------------

    def _codes(self, i: Instruction, y: np.ndarray, slices: int, buffer: np.ndarray) -> np.ndarray:
        """Return the bits of all sets, or of all planes, bool [set or plane, row, slice * lane]."""
        if i.planes > 1:
            return (y >> np.arange(i.planes - 1, -1, -1)[:, None, None] & 1) != 0
        codes = np.zeros((i.sets, *y.shape), bool)
        if i.sets:
            entries = read_entries(self.accelerator, buffer, i.level_line, slices)
            for s in range(i.sets):
                polarity = entries >> 18 * s + _THRESHOLD_BITS & 1
                codes[s] = (y >= signed_field(entries, 18 * s, _THRESHOLD_BITS)) ^ (polarity != 0)
        return codes

    def _checksum(self, y: np.ndarray, codes: np.ndarray, planes: int) -> int:
        """Return the checksum of all steps: y of each lane, then a bit of each lane for each of three sets."""
        _, rows, slices, lanes = codes.shape
        words = np.zeros((rows, slices, planes, (_FIXED_BITS + _SETS) * lanes), np.uint8)
        places = y.reshape(rows, slices, 1, lanes, 1) >> np.arange(_FIXED_BITS) & 1
        words[..., : _FIXED_BITS * lanes] = places.reshape(rows, slices, 1, -1)
        for number, bits in enumerate(codes):
            plane, s = (number, 0) if planes > 1 else (0, number)
            start = (_FIXED_BITS + s) * lanes
            words[:, :, plane, start : start + lanes] = bits
        return checksum(fold_bits(words.reshape(rows * slices * planes, -1)))


def _code_lines(i: Instruction) -> list[int]:
    """Return the line from which the codes of each set, or each plane, are counted."""
    if i.planes > 1:
        return [i.code_line + u * i.code_line_1 for u in range(i.planes)]
    return [i.code_line, i.code_line_1, i.code_line_2][: i.sets]


def _scaled(i: Instruction, v: np.ndarray, multipliers: np.ndarray, addends: np.ndarray) -> np.ndarray:
    """Return round_shift(v * multiplier + addend, shift), clamped to 16 bits or to codes of several bits."""
    y = round_shift(v * multipliers + addends, i.shift)
    if i.planes == 1:
        return saturate(y, _FIXED_BITS)
    return saturate(y, i.planes) if i.code_signed else np.clip(y, 0, (1 << i.planes) - 1)

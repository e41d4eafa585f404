"""What makes bits in values: the thresholds of BINARIZE, and where its bits and those of VECTOR and SOFTMAX go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hw.arch import Accelerator
from hw.isa import Destination, Instruction
from sim.transfers import require_lines


def read_thresholds(accelerator: Accelerator, buffer: np.ndarray, i: Instruction) -> tuple[np.ndarray, np.ndarray]:
    """Return the thresholds, int64, and polarities, bool, of a BINARIZE, both [column group or 1, column]."""
    count = 1 if i.shared else i.column_groups
    require_lines("threshold", i.threshold_line, count, accelerator.threshold_lines)
    bits = accelerator.threshold_entry_bits
    lines = np.ascontiguousarray(buffer[i.threshold_line : i.threshold_line + count])
    used = accelerator.columns * bits // 8
    entries = np.ascontiguousarray(lines[:, :used]).view(f"<u{bits // 8}").astype(np.int64)
    low = entries & ((1 << accelerator.sum_bits) - 1)
    sign = low >> (accelerator.sum_bits - 1)
    return low - (sign << accelerator.sum_bits), entries >> (bits - 1) != 0


class _Run(NamedTuple):
    """Bits [bank, group, bit] for some banks, `apart` lines behind where the instruction begins, `group` groups on."""

    banks: slice
    apart: int
    group: int
    bits: np.ndarray


def write_bits(buffer: np.ndarray, i: Instruction, bits: np.ndarray) -> None:
    """Write the bits [row tile, column group, row, column] to the buffer that a BINARIZE names."""
    row_tiles, column_groups, rows, columns = bits.shape
    name = Destination(i.destination).name.lower()
    if i.transpose:
        width, groups, strides = rows, row_tiles, column_groups - 1
    else:
        width, groups = columns, column_groups
        to_key = i.destination == Destination.KEY
        strides = (i.output_bank + i.rows - 1) // columns if to_key else row_tiles - 1
    line_groups = buffer.shape[2] * 8 // width
    skipped, position = divmod(i.output_group, line_groups)
    lines = -(-(position + groups) // line_groups)
    require_lines(name, i.output_line + skipped + strides * i.output_stride, lines, buffer.shape[1])
    for run in _runs(i, bits, overlapping=strides > 0 and i.output_stride < lines):
        put(buffer[run.banks], i.output_line + run.apart, i.output_group + run.group, run.bits)


def _runs(i: Instruction, bits: np.ndarray, overlapping: bool) -> Iterator[_Run]:
    """Return what is written, in the order of the tiles and their rows as far as that matters."""
    if i.destination != Destination.KEY:
        return _rows(i, bits)
    return _columns(i, bits, overlapping) if i.transpose else _keys(i, bits, overlapping)


def _rows(i: Instruction, bits: np.ndarray) -> Iterator[_Run]:
    """Yield the rows of each row tile: row r to bank r."""
    rows = bits.shape[2]
    for m, tile in enumerate(bits):
        valid = min(rows, i.rows - m * rows)
        yield _Run(slice(valid), m * i.output_stride, 0, tile[:, :valid].swapaxes(0, 1))


def _keys(i: Instruction, bits: np.ndarray, overlapping: bool) -> Iterator[_Run]:
    """Yield the rows as keys, as many together as lie in different banks; rows of one tile may overlap each other."""
    _, groups, rows, columns = bits.shape
    step = 1 if overlapping and rows > columns else groups
    for m, tile in enumerate(bits):
        valid = min(rows, i.rows - m * rows)
        for n in range(0, groups, step):
            for row in range(0, valid, columns):
                part = tile[n : n + step, row : min(row + columns, valid)].swapaxes(0, 1)
                line, bank = divmod(i.output_bank + m * rows + row, columns)
                yield _Run(slice(bank, bank + len(part)), line * i.output_stride, n, part)


def _columns(i: Instruction, bits: np.ndarray, overlapping: bool) -> Iterator[_Run]:
    """Yield the columns of each column group, each a row of its bank; those of one row tile may overlap each other."""
    row_tiles, groups = bits.shape[:2]
    step = 1 if overlapping else row_tiles
    for m in range(0, row_tiles, step):
        for n in range(groups):
            yield _Run(slice(None), n * i.output_stride, m, bits[m : m + step, n].transpose(2, 0, 1))


def put(banks: np.ndarray, line: int, position: int, bits: np.ndarray) -> None:
    """Write bits [bank, group, bit] at positions counted from a line on, clearing what is behind in their last line."""
    line_bits = banks.shape[2] * 8
    width = bits.shape[2]
    skipped, position = divmod(position, line_bits // width)
    start, end = position * width, (position + bits.shape[1]) * width
    first, lines = line + skipped, -(-end // line_bits)
    row = np.zeros((len(bits), lines * line_bits), np.uint8)
    row[:, :start] = np.unpackbits(banks[:, first], axis=-1, bitorder="little")[:, :start]
    row[:, start:end] = bits.reshape(len(bits), -1)
    packed = np.packbits(row, axis=-1, bitorder="little")
    banks[:, first : first + lines] = packed.reshape(len(bits), lines, -1)


def require_code_lines(buffer: np.ndarray, lines: list[int], group: int, slices: int, lanes: int) -> None:
    """Refuse codes of so many slices, counted in units of `lanes` bits from each line, that leave the buffer."""
    line_slices = buffer.shape[2] * 8 // lanes
    skipped, last = group // line_slices, (group + slices - 1) // line_slices
    for line in lines:
        require_lines("activation", line + skipped, last - skipped + 1, buffer.shape[1])


def write_codes(buffer: np.ndarray, lines: list[int], group: int, codes: np.ndarray) -> None:
    """Write the codes [set or plane, row, slice, lane], step by step where sets or planes share lines."""
    count, rows, slices, lanes = codes.shape
    if not count:
        return
    line_slices = buffer.shape[2] * 8 // lanes
    ordered, length = sorted(lines), -(-(group % line_slices + slices) // line_slices)
    apart = all(after - before >= length for before, after in zip(ordered, ordered[1:], strict=False))
    together = slices if apart else 1
    for q in range(0, slices, together):
        for line, part in zip(lines, codes[:, :, q : q + together], strict=True):
            put(buffer[:rows], line, group + q, part)

"""MATMUL in values: the sums of all tiles of an instruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction
from sim.rules import check_matmul, largest_product
from sim.transfers import require_lines

_BLOCK_ELEMENTS = 1 << 24
_FLOAT32_INTEGERS = 1 << 24


@dataclass(frozen=True)
class Tiles:
    """What the array has added up: sums int64 [row tile, column group, row, column], corrections [row tile, 1, row, 1].

    `reach` bounds what they can be: the products in each sum, the padding included, by the largest of each.
    """

    sums: np.ndarray
    corrections: np.ndarray
    reach: int

    @classmethod
    def zero(cls, accelerator: Accelerator) -> Tiles:
        """Return one tile to which nothing has been added."""
        sums = np.zeros((1, 1, accelerator.rows, accelerator.columns), np.int64)
        return cls(sums, np.zeros((1, 1, accelerator.rows, 1), np.int64), 0)

    def last(self) -> Tiles:
        """Return the last tile, as the array holds it."""
        return Tiles(self.sums[-1:, -1:], self.corrections[-1:], self.reach)

    def values(self) -> np.ndarray:
        """Return D of each sum."""
        values: np.ndarray = 2 * self.sums - self.corrections
        return values


class _Operand(NamedTuple):
    """Where one side of a MATMUL stands, and what its planes mean."""

    buffer: str
    line: int
    stride: int
    tiles: int
    plane_stride: int
    planes: int
    negative: int

    def lines(self, tiles: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the lines [plane, tile, step] of some tiles."""
        planes = np.arange(self.planes)[:, None, None] * self.plane_stride
        lines: np.ndarray = self.line + planes + tiles[:, None] * self.stride + steps
        return lines

    @property
    def last_line(self) -> int:
        """The line in which the last plane of the last tile begins."""
        return self.line + (self.tiles - 1) * self.stride + (self.planes - 1) * self.plane_stride


def compute_tiles(accelerator: Accelerator, buffers: Mapping[str, np.ndarray], i: Instruction, held: Tiles) -> Tiles:
    """Return the tiles of a MATMUL; `held` is what it adds to if it does not start afresh."""
    held = held if not i.first else Tiles.zero(accelerator)
    reach = held.reach + i.words * accelerator.word_bits * largest_product(i)
    check_matmul(accelerator, i, reach)
    lines = -(-i.words // accelerator.line_words)
    operands = _operands(accelerator, i)
    for operand in operands:
        require_lines(operand.buffer, operand.last_line, lines, buffers[operand.buffer].shape[1])
    sums, corrections = _compute(accelerator, buffers, i, *operands)
    return Tiles(held.sums + sums, held.corrections + corrections, reach)


def _operands(accelerator: Accelerator, i: Instruction) -> tuple[_Operand, _Operand]:
    row_tiles = -(-i.rows // accelerator.rows)
    left = (i.activation_line, i.activation_stride, row_tiles, i.activation_plane_stride, i.activation_planes)
    right = (i.weight_line, i.weight_stride, i.column_groups, i.weight_plane_stride, i.weight_planes)
    return (
        _Operand("activation", *left, i.activation_negative),
        _Operand("key" if i.keys else "weight", *right, i.weight_negative),
    )


def _compute(
    accelerator: Accelerator, buffers: Mapping[str, np.ndarray], i: Instruction, left: _Operand, right: _Operand
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and corrections, in blocks of row tiles so that unpacked activations stay small."""
    depth = i.words * accelerator.word_bits
    exact = np.float32 if depth * largest_product(i) < _FLOAT32_INTEGERS else np.float64
    steps = np.arange(-(-depth // accelerator.line_bits))
    weights = _codes(buffers[right.buffer], right, np.arange(right.tiles), steps, depth).astype(exact)
    block = max(1, _BLOCK_ELEMENTS // (depth * accelerator.rows))
    parts = []
    for start in range(0, left.tiles, block):
        tiles = np.arange(start, min(start + block, left.tiles))
        activations = _codes(buffers[left.buffer], left, tiles, steps, depth).astype(exact)
        parts.append(_multiply(activations, weights, i))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _codes(buffer: np.ndarray, operand: _Operand, tiles: np.ndarray, steps: np.ndarray, depth: int) -> np.ndarray:
    """Return what the first `depth` codes of some tiles count for in every bank, [tile, bank, code].

    Doubling from plane to plane makes the planes of all pairs count as the levels of docs/machine.md do.
    """
    first, *rest = operand.lines(tiles, steps)
    codes = _unpack(buffer, first, depth)
    if operand.negative or rest:
        codes = codes.astype(np.int16)
    if operand.negative:
        codes = -codes
    for lines in rest:
        codes = 2 * codes + _unpack(buffer, lines, depth)
    return codes


def _unpack(buffer: np.ndarray, lines: np.ndarray, depth: int) -> np.ndarray:
    """Return the first `depth` bits of the lines [tile, line] in every bank, uint8 [tile, bank, bit]."""
    packed = buffer[:, lines].swapaxes(0, 1).reshape(len(lines), buffer.shape[0], -1)
    return np.unpackbits(packed, axis=-1, count=depth, bitorder="little")


def _multiply(activations: np.ndarray, weights: np.ndarray, i: Instruction) -> tuple[np.ndarray, np.ndarray]:
    """Return sums [row tile, column group, row, column] and corrections; the floats hold integers exactly."""
    (row_tiles, rows, depth), (groups, columns, _) = activations.shape, weights.shape
    both = activations.reshape(-1, depth) @ weights.reshape(-1, depth).T
    both = both.reshape(row_tiles, rows, groups, columns).swapaxes(1, 2).astype(np.int64)
    totals = _total(activations)[:, None, :, None]
    if i.plain:
        return both, np.zeros_like(totals)
    if i.unsigned:
        return both, -totals if i.weight_negative else totals
    matches = depth - totals - _total(weights)[None, :, None, :] + 2 * both
    return matches, np.full_like(totals, depth + i.pad)


def _total(codes: np.ndarray) -> np.ndarray:
    totals: np.ndarray = codes.sum(axis=-1, dtype=np.float64)
    return totals.astype(np.int64)

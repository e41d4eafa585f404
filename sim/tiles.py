"""MATMUL and thresholds in values: the sums of all tiles of an instruction, and what they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction
from sim.errors import MachineError
from sim.transfers import require_lines

_BLOCK_ELEMENTS = 1 << 24
_FLOAT32_INTEGERS = 1 << 24


@dataclass(frozen=True)
class Tiles:
    """What the array has added up: sums int64 [row tile, column group, row, column], corrections [row tile, 1, row, 1].

    `inputs` is the number of products in each sum, the padding included.
    """

    sums: np.ndarray
    corrections: np.ndarray
    inputs: int

    @classmethod
    def zero(cls, accelerator: Accelerator) -> Tiles:
        """Return one tile to which nothing has been added."""
        sums = np.zeros((1, 1, accelerator.rows, accelerator.columns), np.int64)
        return cls(sums, np.zeros((1, 1, accelerator.rows, 1), np.int64), 0)

    def last(self) -> Tiles:
        """Return the last tile, as the array holds it."""
        return Tiles(self.sums[-1:, -1:], self.corrections[-1:], self.inputs)

    def values(self) -> np.ndarray:
        """Return D of each sum."""
        values: np.ndarray = 2 * self.sums - self.corrections
        return values


def compute_tiles(accelerator: Accelerator, buffers: Mapping[Buffer, np.ndarray], i: Instruction, held: Tiles) -> Tiles:
    """Return the tiles of a MATMUL; `held` is what it adds to if it does not start afresh."""
    row_tiles = -(-i.rows // accelerator.rows)
    held = held if not i.first else Tiles.zero(accelerator)
    inputs = held.inputs + i.words * accelerator.word_bits
    _check_matmul(accelerator, i, row_tiles, inputs)
    lines = -(-i.words // accelerator.line_words)
    for name, line, stride, count in (
        ("activation", i.activation_line, i.activation_stride, row_tiles),
        ("weight", i.weight_line, i.weight_stride, i.column_groups),
    ):
        available = accelerator.activation_lines if name == "activation" else accelerator.weight_lines
        require_lines(name, line + (count - 1) * stride, lines, available)
    sums, corrections = _compute(accelerator, buffers, i, row_tiles)
    return Tiles(held.sums + sums, held.corrections + corrections, inputs)


def _check_matmul(accelerator: Accelerator, i: Instruction, row_tiles: int, inputs: int) -> None:
    if not (i.first and i.handover) and (row_tiles, i.column_groups) != (1, 1):
        raise MachineError(
            f"MATMUL without first or without handover must be one tile, not {row_tiles} x {i.column_groups}"
        )
    if i.pad and (i.unsigned or not i.first):
        raise MachineError(f"pad must be 0 where unsigned is 1 or first is 0, not {i.pad}")
    if i.pad >= accelerator.word_bits:
        raise MachineError(f"pad must be less than the {accelerator.word_bits} bits of a word, not {i.pad}")
    if inputs > accelerator.max_inputs:
        raise MachineError(f"inputs of a sum must be at most {accelerator.max_inputs}, not {inputs}")


def _compute(
    accelerator: Accelerator, buffers: Mapping[Buffer, np.ndarray], i: Instruction, row_tiles: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and corrections, in blocks of row tiles so that unpacked activations stay small."""
    depth = i.words * accelerator.word_bits
    steps = np.arange(-(-depth // accelerator.line_bits))
    weight_lines = i.weight_line + np.arange(i.column_groups)[:, None] * i.weight_stride + steps
    weights = _unpack(buffers[Buffer.WEIGHT], weight_lines, depth)
    block = max(1, _BLOCK_ELEMENTS // (depth * accelerator.rows))
    parts = []
    for start in range(0, row_tiles, block):
        tiles = np.arange(start, min(start + block, row_tiles))
        activation_lines = i.activation_line + tiles[:, None] * i.activation_stride + steps
        parts.append(_multiply(_unpack(buffers[Buffer.ACTIVATION], activation_lines, depth), weights, i))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _unpack(buffer: np.ndarray, lines: np.ndarray, depth: int) -> np.ndarray:
    """Return the first `depth` bits of the lines [tile, line] in every bank, as floats [tile, bank, bit]."""
    packed = buffer[:, lines].swapaxes(0, 1).reshape(len(lines), buffer.shape[0], -1)
    bits = np.unpackbits(packed, axis=-1, count=depth, bitorder="little")
    return bits.astype(np.float32 if depth < _FLOAT32_INTEGERS else np.float64)


def _multiply(activations: np.ndarray, weights: np.ndarray, i: Instruction) -> tuple[np.ndarray, np.ndarray]:
    """Return sums [row tile, column group, row, column] and corrections; the floats hold integers exactly."""
    (row_tiles, rows, depth), (groups, columns, _) = activations.shape, weights.shape
    both = activations.reshape(-1, depth) @ weights.reshape(-1, depth).T
    both = both.reshape(row_tiles, rows, groups, columns).swapaxes(1, 2).astype(np.int64)
    ones = _count(activations)[:, None, :, None]
    if i.unsigned:
        return both, ones
    matches = depth - ones - _count(weights)[None, :, None, :] + 2 * both
    return matches, np.full_like(ones, depth + i.pad)


def _count(bits: np.ndarray) -> np.ndarray:
    counts: np.ndarray = bits.sum(axis=-1, dtype=np.float64)
    return counts.astype(np.int64)


def read_thresholds(accelerator: Accelerator, buffer: np.ndarray, i: Instruction) -> tuple[np.ndarray, np.ndarray]:
    """Return the thresholds, int64, and polarities, bool, of a BINARIZE, both [column group, column]."""
    require_lines("threshold", i.threshold_line, i.column_groups, accelerator.threshold_lines)
    bits = accelerator.threshold_entry_bits
    lines = np.ascontiguousarray(buffer[i.threshold_line : i.threshold_line + i.column_groups])
    used = accelerator.columns * bits // 8
    entries = np.ascontiguousarray(lines[:, :used]).view(f"<u{bits // 8}").astype(np.int64)
    low = entries & ((1 << accelerator.sum_bits) - 1)
    sign = low >> (accelerator.sum_bits - 1)
    return low - (sign << accelerator.sum_bits), entries >> (bits - 1) != 0

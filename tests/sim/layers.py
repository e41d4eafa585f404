"""Whole binary layers as programs, mapped by hand in the plainest way, for the tests of the value model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction
from hw.program import Program
from tests.sim.programs import ARRAY, DRAIN, HALT, LOAD, STORE, binarize, load, matmul, program, store

FILLER = 0xA5
"""What the memory of the output holds before the run."""


def up(value: int, unit: int) -> int:
    """Return the number of units that hold a value."""
    return -(-value // unit)


def pack_rows(bits: np.ndarray, row_bits: int) -> bytes:
    """Return rows of bits, [row, bit], each padded with zeros to `row_bits`, as they stand in memory."""
    rows = np.zeros((len(bits), row_bits), np.uint8)
    rows[:, : bits.shape[1]] = bits
    return np.packbits(rows, axis=-1, bitorder="little").tobytes()


@dataclass(frozen=True)
class Layer:
    """A binary layer: activations [M, K], weights [N, K], thresholds [N], polarity [N]."""

    activations: np.ndarray
    weights: np.ndarray
    thresholds: np.ndarray
    polarity: np.ndarray
    unsigned: bool = False


@dataclass(frozen=True)
class Placement:
    """A layer on an accelerator: everything in the buffers at once, each stored row in whole output lines."""

    accelerator: Accelerator
    layer: Layer

    @property
    def rows(self) -> int:
        """Rows of the activations."""
        return len(self.layer.activations)

    @property
    def depth(self) -> int:
        """Inputs of a sum."""
        return self.layer.activations.shape[1]

    @property
    def groups(self) -> int:
        """Column groups."""
        return up(len(self.layer.weights), self.accelerator.columns)

    @property
    def row_lines(self) -> int:
        """Lines of a row of activations or weights."""
        return up(self.depth, self.accelerator.line_bits)

    @property
    def output_lines(self) -> int:
        """Lines of an output row."""
        return up(self.groups, self.accelerator.output_line_groups)

    def blocks(self) -> list[bytes]:
        """Return activations, weights, thresholds and the place for the output as they stand in memory."""
        a = self.accelerator
        row_bits = self.row_lines * a.line_bits
        weights = np.zeros((self.groups * a.columns, self.depth), np.uint8)
        weights[: len(self.layer.weights)] = self.layer.weights
        output = bytes([FILLER]) * (self.rows * self.output_lines * a.output_line_bits // 8)
        blocks = [pack_rows(self.layer.activations, row_bits), pack_rows(weights, row_bits), self._thresholds(), output]
        return [block.ljust(up(len(block), 32) * 32, b"\0") for block in blocks]

    def _thresholds(self) -> bytes:
        a = self.accelerator
        bits = a.threshold_entry_bits
        entries = np.zeros(self.groups * a.columns, np.int64)
        low = self.layer.thresholds.astype(np.int64) & ((1 << bits - 1) - 1)
        entries[: len(low)] = low | self.layer.polarity.astype(np.int64) << bits - 1
        lines = entries.astype(f"<u{bits // 8}").reshape(self.groups, a.columns)
        return b"".join(line.tobytes().ljust(a.threshold_line_bits // 8, b"\0") for line in lines)

    @property
    def addresses(self) -> list[int]:
        """Addresses of the blocks."""
        return [int(n) for n in np.cumsum([0, *(len(block) for block in self.blocks()[:-1])])]

    def transfers(self) -> tuple[list[Instruction], Instruction]:
        """Return the LOADs and the STORE."""
        a = self.accelerator
        addresses = self.addresses
        row_beats = self.row_lines * a.line_beats
        loads = [
            load(address=addresses[0], row_beats=row_beats, segments=self.rows, segment_beats=row_beats,
                 stride=row_beats * a.beat_bytes),
            load(buffer=Buffer.WEIGHT, address=addresses[1], row_beats=row_beats,
                 segment_beats=self.groups * a.columns * row_beats),
            load(buffer=Buffer.THRESHOLD, address=addresses[2], row_beats=a.threshold_line_beats,
                 segment_beats=self.groups * a.threshold_line_beats, signal=ARRAY | DRAIN),
        ]  # fmt: skip
        beats = self.output_lines * a.output_line_beats
        return loads, store(address=addresses[3], row_beats=beats, segment_beats=self.rows * beats, wait=DRAIN)

    def whole(self) -> Program:
        """Return the program that computes the layer with one MATMUL."""
        operands = self._matmul_operands() | {"rows": self.rows, "column_groups": self.groups}
        shape = {"rows": self.rows, "column_groups": self.groups}
        compute = [
            matmul(**operands, words=self._words(), pad=self._pad(), handover=1, wait=LOAD),
            binarize(**shape, output_stride=self.output_lines, wait=LOAD, signal=STORE),
        ]
        return self._program(compute)

    def split(self, lines: int) -> Program:
        """Return the program that computes each tile with two MATMUL, the first one over so many lines."""
        a = self.accelerator
        words = lines * a.line_words
        tiles = [(m, n) for m in range(up(self.rows, a.rows)) for n in range(self.groups)]
        compute = []
        for m, n in tiles:
            wait = LOAD if (m, n) == (0, 0) else 0
            signal = STORE if (m, n) == tiles[-1] else 0
            rows = min(a.rows, self.rows - m * a.rows)
            first = {"activation_line": m * self.row_lines, "weight_line": n * self.row_lines}
            rest = {name: line + lines for name, line in first.items()}
            common = self._matmul_operands() | {"rows": rows}
            compute += [
                matmul(**(common | first), words=words, pad=self._pad(), wait=wait),
                matmul(**(common | rest), words=self._words() - words, first=0, handover=1),
                binarize(rows=rows, threshold_line=n, output_line=m * self.output_lines, output_group=n, wait=wait,
                         signal=signal),
            ]  # fmt: skip
        return self._program(compute)

    def _matmul_operands(self) -> dict[str, int]:
        lines = {"activation_stride": self.row_lines, "weight_stride": self.row_lines}
        return lines | {"unsigned": int(self.layer.unsigned)}

    def _words(self) -> int:
        return up(self.depth, self.accelerator.word_bits)

    def _pad(self) -> int:
        return 0 if self.layer.unsigned else self._words() * self.accelerator.word_bits - self.depth

    def _program(self, compute: list[Instruction]) -> Program:
        loads, last = self.transfers()
        return program(self.accelerator, [*loads, *compute, last, HALT], b"".join(self.blocks()))

    def output(self, memory: np.ndarray) -> np.ndarray:
        """Return the output rows in memory, all their bits."""
        end = self.addresses[3] + self.rows * self.output_lines * self.accelerator.output_line_bits // 8
        rows = memory[self.addresses[3] : end].reshape(self.rows, -1)
        return np.unpackbits(rows, axis=-1, bitorder="little")

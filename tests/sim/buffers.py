"""Buffers of the value model, filled and read bit by bit, for the tests of single instructions."""

from __future__ import annotations

import numpy as np

from hw.arch import Accelerator
from sim.machine import Machine


def machine(accelerator: Accelerator) -> Machine:
    """Return a machine without memory."""
    return Machine(accelerator, np.zeros(0, np.uint8))


def fill(machine: Machine, name: str, rows: np.ndarray, line: int = 0, stride: int | None = None) -> None:
    """Put rows of bits into a buffer, row r into bank r mod banks, `stride` lines behind that of the row before it."""
    buffer = machine.buffers[name]
    banks, _, line_bytes = buffer.shape
    packed = np.packbits(rows.astype(np.uint8), axis=-1, bitorder="little")
    lines = -(-packed.shape[1] // line_bytes)
    whole = np.zeros((len(rows), lines * line_bytes), np.uint8)
    whole[:, : packed.shape[1]] = packed
    for row, content in enumerate(whole):
        start = line + row // banks * (lines if stride is None else stride)
        buffer[row % banks, start : start + lines] = content.reshape(lines, line_bytes)


def fill_thresholds(machine: Machine, thresholds: np.ndarray, polarity: np.ndarray) -> None:
    """Put the thresholds of column groups from line 0 on, both [column group, column]."""
    a = machine.accelerator
    bits = a.threshold_entry_bits
    entries = thresholds.astype(np.int64) & ((1 << bits - 1) - 1) | polarity.astype(np.int64) << bits - 1
    packed = entries.astype(f"<u{bits // 8}").view(np.uint8).reshape(len(thresholds), -1)
    machine.buffers["threshold"][0, : len(thresholds), : packed.shape[1]] = packed


def bits_of(machine: Machine, name: str) -> np.ndarray:
    """Return the content of a buffer, uint8 [bank, line, bit]."""
    return np.unpackbits(machine.buffers[name], axis=-1, bitorder="little")


def plane(codes: np.ndarray, planes: int, u: int) -> np.ndarray:
    """Return bit plane u of codes of so many bits, that of the highest bit first."""
    return (codes.astype(np.int64) >> (planes - 1 - u) & 1).astype(np.uint8)

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


def fill_scales(machine: Machine, multipliers: np.ndarray, addends: np.ndarray, line: int = 0) -> None:
    """Put the multiplier and the addend of each channel into lines of scales from a line on; the rest is ones."""
    entries = [int(m) & 0xFFFF | (int(a) & 0xFFFFFFFF) << 16 for m, a in zip(multipliers, addends, strict=True)]
    _fill_entries(machine, "scale", entries, line)


def fill_levels(machine: Machine, thresholds: np.ndarray, polarity: np.ndarray, line: int = 0) -> None:
    """Put thresholds and polarities, both [set, channel], into lines of levels from a line on; the rest is ones."""
    entries = [0] * thresholds.shape[1]
    for s, (row, turned) in enumerate(zip(thresholds, polarity, strict=True)):
        for c in range(len(entries)):
            entries[c] |= (int(row[c]) & 0x1FFFF | int(turned[c]) << 17) << 18 * s
    _fill_entries(machine, "level", entries, line)


def _fill_entries(machine: Machine, name: str, entries: list[int], line: int) -> None:
    lanes, buffer = machine.accelerator.vector_lanes, machine.buffers[name][0]
    for first in range(0, len(entries), lanes):
        part = b"".join(entry.to_bytes(8, "little") for entry in entries[first : first + lanes])
        buffer[line + first // lanes] = 0xFF
        buffer[line + first // lanes, : len(part)] = np.frombuffer(part, np.uint8)


def fill_table(machine: Machine, points: np.ndarray, shift: int, line: int = 0) -> None:
    """Put the 256 pieces between 257 points into lines of scales from a line on; the rest is ones."""
    entries = [piece_entry(*ends, shift) for ends in zip(points.tolist(), points[1:].tolist(), strict=False)]
    _fill_entries(machine, "scale", entries, line)


def piece_entry(left: int, right: int, shift: int) -> int:
    """Return the entry of a straight piece from one number to another; bits that mean nothing are ones."""
    return (right - left) // 2 & 0xFFFF | (left << shift & 0xFFFFFFFF) << 16 | (right - left) % 2 << 48 | 0x7FFF << 49


def fill_entries(machine: Machine, name: str, entries: np.ndarray, bits: int, line: int = 0) -> None:
    """Put unsigned entries of 16 or 32 bits, one behind the other, into a buffer of one bank from a line on."""
    packed = np.frombuffer(entries.astype(f"<u{bits // 8}").tobytes(), np.uint8)
    buffer = machine.buffers[name][0]
    buffer.reshape(-1)[line * buffer.shape[1] :][: len(packed)] = packed


def fill_fixed(machine: Machine, rows: np.ndarray, line: int = 0) -> None:
    """Put rows of numbers into the fixed buffer from a line on; lanes that are not valid get 99."""
    lanes = machine.accelerator.vector_lanes
    for row in rows:
        for first in range(0, len(row), lanes):
            part = row[first : first + lanes]
            machine.vector.fixed[line] = 99
            machine.vector.fixed[line, : len(part)] = part
            line += 1


def fixed_rows(machine: Machine, rows: int, channels: int, line: int = 0) -> np.ndarray:
    """Return rows of the fixed buffer from a line on; lanes that are not valid must be 0."""
    lanes = machine.accelerator.vector_lanes
    slices = -(-channels // lanes)
    found = machine.vector.fixed[line : line + rows * slices].reshape(rows, slices * lanes)
    assert not found[:, channels:].any()
    return found[:, :channels]


def fill_sums(machine: Machine, rows: np.ndarray, line: int = 0) -> None:
    """Put rows of sums into the sums buffer from a line on; what is behind a row in its last line gets 77."""
    banks, _, line_sums = machine.vector.sums.shape
    for r, row in enumerate(rows):
        for first in range(0, len(row), line_sums):
            part = row[first : first + line_sums]
            place = line + r // banks * -(-len(row) // line_sums) + first // line_sums
            machine.vector.sums[r % banks, place] = 77
            machine.vector.sums[r % banks, place, : len(part)] = part


def code_rows(machine: Machine, rows: int, channels: int, line: int, group: int = 0) -> np.ndarray:
    """Return the bits of rows that a VECTOR has put into the activation buffer from a slice of a line on.

    What is behind them in their last line, and in lanes that are not valid, must be 0.
    """
    start = group * machine.accelerator.vector_lanes
    bits = bits_of(machine, "activation")[:rows, line:].reshape(rows, -1)
    end = start + channels
    assert not bits[:, end : -(-end // machine.accelerator.line_bits) * machine.accelerator.line_bits].any()
    return bits[:, start:end]

"""The memory of a mapped layer: where its regions are, what they hold before the run, where its output bits are then.

Every row starts at a beat and is padded with zeros to whole buffer lines:

| region | one row | rows |
|---|---|---|
| activations | the K bits of a row | rows |
| weights | the K bits of an output channel | outputs, padded with zero rows to whole column groups |
| thresholds | the entries of a column group; padding never fires | column groups |
| outputs | the N bits of a row, written by the program | rows |
| program | the instructions | |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.arch import Accelerator
from hw.isa import INSTRUCTION_BYTES, Instruction
from hw.program import MAX_IMAGE_BYTES, Program, Region
from mapping.errors import MappingError
from mapping.geometry import Geometry
from model.network import BinaryLayer

ALIGNMENT = 4096
"""Regions start at the boundary that no burst crosses, so that rows are cut by it as rarely as possible."""


@dataclass(frozen=True)
class Layout:
    """The data regions of one layer, in the order of their addresses; the program comes behind them."""

    geometry: Geometry
    activations: Region
    weights: Region
    thresholds: Region
    outputs: Region

    @property
    def regions(self) -> tuple[Region, ...]:
        """The data regions in the order of their addresses."""
        return self.activations, self.weights, self.thresholds, self.outputs


def place(geometry: Geometry) -> Layout:
    """Give every region of a layer its address."""
    columns = geometry.column_groups * geometry.accelerator.columns
    sizes = (
        ("activations", geometry.rows * geometry.row_bytes, "read"),
        ("weights", columns * geometry.row_bytes, "read"),
        ("thresholds", geometry.column_groups * geometry.threshold_line_bytes, "read"),
        ("outputs", geometry.rows * geometry.output_row_bytes, "write"),
    )
    regions, address = [], 0
    for name, size, access in sizes:
        regions.append(Region(name, address, size, access))
        address = _aligned(address + size)
    _check_size(address)
    return Layout(geometry, *regions)


def assemble(
    layout: Layout, instructions: Sequence[Instruction], activations: np.ndarray, layer: BinaryLayer
) -> Program:
    """Return the program with its memory image: instructions, activations, weights and thresholds in their places."""
    accelerator = layout.geometry.accelerator
    address = _aligned(layout.outputs.end)
    code = b"".join(instruction.encode() for instruction in instructions)
    _check_size(address + len(code))
    image = bytearray(address)
    for region, rows in (
        (layout.activations, _activation_rows(layout.geometry, activations)),
        (layout.weights, _weight_rows(layout.geometry, layer)),
        (layout.thresholds, threshold_rows(accelerator, layer.thresholds, layer.polarity)),
    ):
        image[region.address : region.end] = rows.tobytes()
    program = Region("program", address, len(instructions) * INSTRUCTION_BYTES, "program")
    return Program(accelerator, tuple(instructions), address, (*layout.regions, program), bytes(image) + code)


def read_outputs(layout: Layout, memory: bytes | bytearray | np.ndarray) -> np.ndarray:
    """Return the output bits as uint8 [rows, outputs] from the memory after the run."""
    region, geometry = layout.outputs, layout.geometry
    data = np.frombuffer(bytes(memory[region.address : region.end]), np.uint8)
    rows = data.reshape(geometry.rows, geometry.output_row_bytes)
    return np.unpackbits(rows, axis=1, count=geometry.outputs, bitorder="little")


def threshold_rows(accelerator: Accelerator, thresholds: np.ndarray, polarity: np.ndarray) -> np.ndarray:
    """Return the threshold lines of some channels as uint8 [column groups, bytes of a line].

    Thresholds are clamped to the range of a sum, which changes no output bit. Columns without a channel never fire.
    """
    columns, bits = accelerator.columns, accelerator.threshold_entry_bits
    groups = -(-len(thresholds) // columns)
    high = (1 << accelerator.sum_bits - 1) - 1
    entries = np.full(groups * columns, high, np.int64)
    entries[: len(thresholds)] = np.clip(thresholds.astype(np.int64), -high - 1, high)
    entries &= (1 << bits - 1) - 1
    entries[: len(thresholds)] |= polarity.astype(np.int64) << bits - 1
    padded = np.full((groups, accelerator.threshold_line_bits // bits), high, f"<u{bits // 8}")
    padded[:, :columns] = entries.reshape(groups, columns)
    return padded.view(np.uint8)


def _activation_rows(geometry: Geometry, activations: np.ndarray) -> np.ndarray:
    expected = (geometry.rows, geometry.inputs)
    if activations.shape != expected or activations.dtype != np.uint8:
        raise MappingError(
            f"activations must be uint8 {list(expected)}, not {activations.dtype} {list(activations.shape)}"
        )
    if activations.max(initial=0) > 1:
        raise MappingError(f"activations must be bits (0 or 1), not {activations.max()}")
    return _padded(np.packbits(activations, axis=1, bitorder="little"), geometry.rows, geometry.row_bytes)


def _weight_rows(geometry: Geometry, layer: BinaryLayer) -> np.ndarray:
    return _padded(layer.weights, geometry.column_groups * geometry.accelerator.columns, geometry.row_bytes)


def _padded(rows: np.ndarray, count: int, row_bytes: int) -> np.ndarray:
    result = np.zeros((count, row_bytes), np.uint8)
    result[: rows.shape[0], : rows.shape[1]] = rows
    return result


def _aligned(address: int) -> int:
    return -(-address // ALIGNMENT) * ALIGNMENT


def _check_size(size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise MappingError(f"layer: image must be at most {MAX_IMAGE_BYTES} bytes, not {size}; map fewer rows")

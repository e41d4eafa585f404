"""Where a layer stands in memory, what is written there before the run, and how the outputs are read back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Opcode, make
from mapping.errors import MappingError
from mapping.geometry import Geometry
from mapping.layout import ALIGNMENT, assemble, place, read_outputs, threshold_rows
from model.network import BinaryLayer
from tests.mapping.cases import layer_and_activations

ACCELERATOR = Accelerator(rows=2, columns=4, word_bits=16, port_bits=32)
HALT = (make(Opcode.HALT),)


def test_regions_are_aligned_in_order_and_apart() -> None:
    layout = place(Geometry(ACCELERATOR, 300, 100, 70, False))
    assert [region.name for region in layout.regions] == ["activations", "weights", "thresholds", "outputs"]
    assert [region.access for region in layout.regions] == ["read", "read", "read", "write"]
    assert [region.size for region in layout.regions] == [300 * 16, 72 * 16, 18 * 8, 300 * 12]
    for before, after in zip(layout.regions, layout.regions[1:], strict=False):
        assert before.end <= after.address < before.end + ALIGNMENT
        assert after.address % ALIGNMENT == 0


def test_rows_are_padded_with_zeros() -> None:
    layer, activations = layer_and_activations(1, 3, 17, 5)
    layout = place(Geometry(ACCELERATOR, 3, 17, 5, False))
    program = assemble(layout, HALT, activations, layer)
    image = np.frombuffer(program.image, np.uint8)
    rows = np.unpackbits(image[: layout.activations.end].reshape(3, 4), axis=1, bitorder="little")
    np.testing.assert_array_equal(rows[:, :17], activations)
    assert not rows[:, 17:].any()
    weights = image[layout.weights.address : layout.weights.end].reshape(8, 4)
    rows = np.unpackbits(weights, axis=1, bitorder="little")
    np.testing.assert_array_equal(rows[:5, :17], layer.weight_bits)
    assert not rows[:, 17:].any() and not rows[5:].any()
    assert not image[layout.outputs.address : layout.outputs.end].any()


def test_the_program_stands_behind_the_data() -> None:
    layer, activations = layer_and_activations(1, 3, 17, 5)
    program = assemble(place(Geometry(ACCELERATOR, 3, 17, 5, False)), HALT, activations, layer)
    region = program.region("program")
    assert (region.address, region.size, region.access) == (program.address, 32, "program")
    assert region.address % ALIGNMENT == 0
    assert region.end == len(program.image)


@pytest.mark.parametrize(("columns", "port_bits", "sum_bits"), [(4, 32, 15), (1, 64, 15), (2, 8, 16), (8, 32, 31)])
def test_threshold_entries(columns: int, port_bits: int, sum_bits: int) -> None:
    accelerator = Accelerator(columns=columns, port_bits=port_bits, sum_bits=sum_bits)
    bits = accelerator.threshold_entry_bits
    rows = threshold_rows(accelerator, np.array([-3, 5, 0], np.int32), np.array([1, 0, 1], np.uint8))
    assert rows.shape == (-(-3 // columns), accelerator.threshold_line_bits // 8)
    entries = rows.view(f"<u{bits // 8}")[:, :columns].reshape(-1)
    mask = (1 << bits - 1) - 1
    never = (1 << sum_bits - 1) - 1
    assert [int(entry) >> bits - 1 for entry in entries] == [1, 0, 1, *[0] * (len(entries) - 3)]
    assert [int(entry) & mask for entry in entries] == [-3 & mask, 5, 0, *[never] * (len(entries) - 3)]


def test_padding_behind_the_columns_of_a_line_never_fires() -> None:
    accelerator = Accelerator(columns=1, port_bits=64, sum_bits=15)
    rows = threshold_rows(accelerator, np.array([7], np.int32), np.array([1], np.uint8))
    assert rows.view("<u2").tolist() == [[7 | 1 << 15, 16383, 16383, 16383]]


def test_thresholds_are_clamped_to_the_range_of_a_sum() -> None:
    accelerator = Accelerator(columns=2, sum_bits=8, word_bits=8)
    rows = threshold_rows(accelerator, np.array([-1000, 1000], np.int32), np.array([0, 0], np.uint8))
    assert rows.view("<u2").tolist() == [[-128 & 0x7FFF, 127]]


def test_outputs_are_read_without_their_padding() -> None:
    layout = place(Geometry(ACCELERATOR, 2, 8, 33, False))
    memory = bytearray(layout.outputs.end)
    memory[layout.outputs.address] = 0b101
    memory[layout.outputs.address + 8 + 4] = 0xFF
    bits = read_outputs(layout, memory)
    assert (bits.shape, bits.dtype) == ((2, 33), np.uint8)
    assert np.argwhere(bits).tolist() == [[0, 0], [0, 2], [1, 32]]
    np.testing.assert_array_equal(read_outputs(layout, np.frombuffer(bytes(memory), np.uint8)), bits)


def test_activations_that_are_not_bits_are_refused(refused: Callable[..., str]) -> None:
    layer, activations = layer_and_activations(1, 3, 17, 5)
    layout = place(Geometry(ACCELERATOR, 3, 17, 5, False))
    message = refused(MappingError, assemble, layout, HALT, activations.astype(np.int64), layer)
    assert message == "activations must be uint8 [3, 17], not int64 [3, 17]"
    message = refused(MappingError, assemble, layout, HALT, activations[:2], layer)
    assert message == "activations must be uint8 [3, 17], not uint8 [2, 17]"
    message = refused(MappingError, assemble, layout, HALT, activations + 1, layer)
    assert message == "activations must be bits (0 or 1), not 2"


def test_a_memory_that_is_too_large_is_refused(refused: Callable[..., str]) -> None:
    message = refused(MappingError, place, Geometry(ACCELERATOR, 1 << 26, 256, 1, False))
    assert message.startswith("layer: image must be at most 1073741824 bytes, not ")
    assert message.endswith("; map fewer rows")


def test_weights_keep_the_order_of_channels() -> None:
    weights = np.arange(1, 6, dtype=np.uint8).reshape(5, 1)
    layer = BinaryLayer("layer", 8, 5, "signed", weights, np.zeros(5, np.int32), np.zeros(5, np.uint8))
    layout = place(Geometry(ACCELERATOR, 1, 8, 5, False))
    image = assemble(layout, HALT, np.zeros((1, 8), np.uint8), layer).image
    assert [image[layout.weights.address + 4 * row] for row in range(8)] == [1, 2, 3, 4, 5, 0, 0, 0]

"""The sizes of a layer on an accelerator, and the refusal of sums that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hw.arch import Accelerator
from mapping.errors import MappingError
from mapping.geometry import Geometry


def test_sizes_of_an_even_layer() -> None:
    geometry = Geometry(Accelerator(rows=4, columns=4, word_bits=16, port_bits=32), 8, 64, 8, False)
    assert (geometry.row_groups, geometry.column_groups, geometry.words, geometry.lines) == (2, 2, 4, 2)
    assert (geometry.pad, geometry.row_bytes, geometry.output_lines, geometry.output_row_bytes) == (0, 8, 1, 4)
    assert geometry.tile_steps == 16


def test_sizes_of_an_odd_layer() -> None:
    geometry = Geometry(Accelerator(rows=4, columns=4, word_bits=16, port_bits=32), 9, 65, 33, False)
    assert (geometry.row_groups, geometry.column_groups, geometry.words, geometry.lines) == (3, 9, 5, 3)
    assert (geometry.pad, geometry.row_bytes, geometry.output_lines, geometry.output_row_bytes) == (15, 12, 2, 8)
    assert [geometry.rows_in(*span) for span in ((0, 1), (0, 3), (2, 3))] == [4, 9, 1]


def test_the_unsigned_set_has_no_pad() -> None:
    assert Geometry(Accelerator(), 1, 1, 1, True).pad == 0
    assert Geometry(Accelerator(), 1, 1, 1, False).pad == 15


@pytest.mark.parametrize(("sum_bits", "largest"), [(8, 126), (12, 2046), (15, 16382)])
def test_the_largest_sum_fits_and_the_next_names_the_width(
    sum_bits: int, largest: int, refused: Callable[..., str]
) -> None:
    accelerator = Accelerator(sum_bits=sum_bits, word_bits=1)
    assert Geometry(accelerator, 1, largest, 1, False).words == largest
    assert refused(MappingError, Geometry, accelerator, 1, largest + 1, 1, False) == (
        f"layer: inputs must be at most {largest} when padded to words of 1 bits, not {largest + 1}; "
        f"array.sum_bits must be at least {sum_bits + 1}, not {sum_bits}"
    )


def test_the_named_width_is_enough_and_one_less_is_not(refused: Callable[..., str]) -> None:
    for inputs in (15, 16, 127, 3072, 4095):
        message = refused(MappingError, Geometry, Accelerator(sum_bits=4, word_bits=1), 1, inputs, 1, False)
        need = int(message.split("at least ")[1].split(",")[0])
        assert Geometry(Accelerator(sum_bits=need, word_bits=1), 1, inputs, 1, False).words == inputs
        refused(MappingError, Geometry, Accelerator(sum_bits=need - 1, word_bits=1), 1, inputs, 1, False)


@pytest.mark.parametrize("name", ["rows", "inputs", "outputs"])
@pytest.mark.parametrize("value", [0, -1, True, 1.0])
def test_a_size_that_is_no_count_is_refused(name: str, value: Any, refused: Callable[..., str]) -> None:
    sizes = {"rows": 1, "inputs": 1, "outputs": 1} | {name: value}
    message = refused(MappingError, lambda: Geometry(Accelerator(), **sizes, unsigned=False))
    assert message == f"layer: {name} must be an integer of at least 1, not {value!r}"

"""How a tiling cuts a layer, and which tilings are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from hw.arch import Accelerator
from mapping.candidates import candidates
from mapping.errors import MappingError
from mapping.geometry import Geometry
from mapping.tiling import Tiling, cut, legal
from sim.memory import MemoryProfile

ACCELERATOR = Accelerator(
    rows=2, columns=2, word_bits=8, port_bits=8, activation_lines=8, weight_lines=8, threshold_lines=4, output_lines=4
)
GEOMETRY = Geometry(ACCELERATOR, 10, 16, 20, False)
TILING = Tiling(
    step_groups=1,
    first_groups=1,
    wide_groups=1,
    block_groups=2,
    panel_groups=4,
    part_lines=2,
    chunk_panels=1,
    lookahead=2,
)


def test_cuts_of_a_layer() -> None:
    cuts = cut(GEOMETRY, TILING)
    assert cuts.blocks == ((0, 2), (2, 4), (4, 5))
    assert cuts.steps == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5))
    assert cuts.panels == ((0, 4), (4, 8), (8, 10))
    assert cuts.parts == ((0, 2),)
    assert cuts.chunks == ((0, 1), (1, 2), (2, 3))
    assert cuts.thresholds == ((0, 1), (1, 2), (2, 3))
    assert cuts.columns_of((1, 3)) == (4, 10)


@pytest.mark.parametrize(
    ("groups", "panel", "ramp", "sizes"),
    [
        (20, 6, 0, [6, 6, 6, 2]),
        (20, 6, 8, [6, 1, 1, 2, 4, 6]),
        (19, 6, 8, [6, 1, 2, 4, 6]),
        (20, 6, 6, [6, 1, 2, 3, 4, 4]),
        (30, 6, 5, [6, 1, 2, 3, 3, 4, 5, 6]),
        (5, 6, 8, [5]),
        (7, 6, 8, [6, 1]),
        (8, 6, 8, [6, 1, 1]),
        (3, 1, 4, [1, 1, 1]),
    ],
)
def test_panels_of_a_ramp(groups: int, panel: int, ramp: int, sizes: list[int]) -> None:
    accelerator = Accelerator(
        rows=1, columns=1, word_bits=8, port_bits=8, activation_lines=64, weight_lines=64, output_lines=64
    )
    geometry = Geometry(accelerator, 1, 8, groups, False)
    panel = min(panel, groups)
    tiling = Tiling(1, 1, 1, 1, panel, 1, groups, 2, ramp)
    assert [high - low for low, high in cut(geometry, tiling).panels] == sizes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part_lines": 3}, "tiling: part_lines must be from 1 to 2, not 3"),
        ({"part_lines": 1}, "tiling: panel_groups must be from 1 to 1, not 4"),
        ({"part_lines": 1, "step_groups": 2}, "tiling: step_groups must be from 1 to 1, not 2"),
        ({"step_groups": 0}, "tiling: step_groups must be from 1 to 5, not 0"),
        ({"panel_groups": 11}, "tiling: panel_groups must be from 1 to 10, not 11"),
        ({"panel_groups": 5}, "tiling: panel_groups x part_lines must be from 1 to 8, not 10"),
        ({"step_groups": 5, "first_groups": 5, "wide_groups": 5, "block_groups": 5}, "step_groups x part_lines must"),
        ({"block_groups": 6}, "tiling: block_groups must be from 1 to 5, not 6"),
        ({"first_groups": 6}, "tiling: first_groups must be from 1 to 5, not 6"),
        ({"wide_groups": 2}, "first_groups and wide_groups must be step_groups (1) where activations or outputs"),
        ({"step_groups": 2, "first_groups": 2, "wide_groups": 3}, "wide_groups must be a multiple of step_groups (2)"),
        ({"chunk_panels": 11}, "tiling: chunk_panels must be from 1 to 10, not 11"),
        ({"panel_groups": 3}, "tiling: chunks must start at whole output lines, not at column group 3"),
        ({"chunk_panels": 3, "block_groups": 3}, "tiling: steps of a block with open output chunks must be"),
        ({"lookahead": 129}, "tiling: lookahead must be from 0 to 128, not 129"),
        ({"ramp": 17}, "tiling: ramp must be from 0 to 16, not 17"),
    ],
)
def test_a_tiling_that_does_not_fit_is_refused(
    changes: dict[str, Any], message: str, refused: Callable[..., str]
) -> None:
    tiling = dataclasses.replace(TILING, **changes)
    assert message in refused(MappingError, cut, GEOMETRY, tiling)
    assert not legal(GEOMETRY, tiling)


def test_more_thresholds_than_a_buffer_holds_are_refused(refused: Callable[..., str]) -> None:
    geometry = Geometry(ACCELERATOR.replace(threshold_lines=2), 10, 16, 20, False)
    assert refused(MappingError, cut, geometry, TILING) == "tiling: panel_groups must be from 1 to 2, not 4"


def test_candidates_are_legal_sorted_and_the_same_each_time() -> None:
    found = candidates(GEOMETRY, MemoryProfile())
    assert found == sorted(found) == candidates(GEOMETRY, MemoryProfile())
    assert len({candidate.tiling for candidate in found}) == len(found) > 10
    for candidate in found:
        cut(GEOMETRY, candidate.tiling)


def test_there_is_a_tiling_for_the_smallest_buffers() -> None:
    smallest = ACCELERATOR.replace(activation_lines=2, weight_lines=2, threshold_lines=2, output_lines=2)
    for inputs in (8, 16, 24, 800):
        assert candidates(Geometry(smallest, 33, inputs, 41, False), MemoryProfile())

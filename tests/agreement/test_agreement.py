"""RTL = simulator: every bit, every cycle, every state count, for random accelerators, layers and memories.

The seed is printed; `python -m tests.regress --seed S --only N` replays case N.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.bench.build import default_cache, missing_tool
from tests.agreement.compare import compare, failures
from tests.agreement.points import LAYERS_PER_GROUP, group, simulator_of

SEED = 20261121
VERILATOR_GROUPS = 4
ICARUS_GROUPS = 6


def _first_groups(simulator: str, count: int) -> list[int]:
    numbers = (n for n in range(1000) if simulator_of(group(SEED, n)[0].accelerator) == simulator)
    return [next(numbers) for _ in range(count)]


def _check(number: int, simulator: str, work: Path) -> None:
    points = group(SEED, number)
    print(f"seed {SEED}, cases {points[0].number} to {points[-1].number} on {simulator}")
    results = compare(points, simulator, default_cache(), work)
    assert len(results) == LAYERS_PER_GROUP
    assert failures(points, results) == []


@pytest.mark.parametrize("number", _first_groups("verilator", VERILATOR_GROUPS))
def test_random_groups_agree_on_verilator(number: int, tmp_path: Path) -> None:
    _check(number, "verilator", tmp_path)


@pytest.mark.icarus
@pytest.mark.parametrize("number", _first_groups("icarus", ICARUS_GROUPS))
def test_random_groups_agree_on_icarus(number: int, tmp_path: Path) -> None:
    missing = missing_tool("icarus")
    if missing:
        pytest.skip(missing)
    _check(number, "icarus", tmp_path)


def test_a_group_is_the_same_for_a_seed() -> None:
    assert group(SEED, 3) == group(SEED, 3)
    assert group(SEED, 3) != group(SEED, 4)
    assert group(SEED, 3) != group(SEED + 1, 3)


def test_the_groups_reach_the_edges() -> None:
    points = [point for number in range(60) for point in group(SEED, number)]
    accelerators = {point.accelerator for point in points}
    assert {1} <= {a.rows for a in accelerators} and {1} <= {a.columns for a in accelerators}
    assert {1} <= {a.word_bits for a in accelerators} and {2} <= {a.weight_lines for a in accelerators}
    assert any(a.word_bits > a.port_bits for a in accelerators) and any(a.word_bits < a.port_bits for a in accelerators)
    assert {point.input_set for point in points} == {"signed", "unsigned"}
    assert any(point.rows == 1 for point in points) and any(point.inputs >= 768 for point in points)
    assert any(point.resets for point in points)

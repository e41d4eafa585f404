"""RTL = simulator = integer reference for whole networks, from ids to the class, and from a seed.

The seed is printed; `python -m tests.regress --networks --seed S --only N` replays case N.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from hw.bench.build import default_cache, missing_tool
from hw.bench.compare import is_equal
from hw.isa import Opcode
from sim.machine import execute
from tests.agreement.compare import kinds_of
from tests.agreement.networks import NETWORKS_PER_GROUP, NetworkCase, case_of, compare_networks, network_group

SEED = 20261143
GROUPS = 3


@cache
def cases_of(number: int) -> list[NetworkCase]:
    """Return the cases of a group; drawing them takes seconds."""
    return network_group(SEED, number)


@pytest.mark.icarus
@pytest.mark.parametrize("number", range(GROUPS))
def test_networks_agree(number: int, tmp_path: Path) -> None:
    if missing := missing_tool("icarus"):
        pytest.skip(missing)
    print(f"seed {SEED}, cases {number * NETWORKS_PER_GROUP} to {(number + 1) * NETWORKS_PER_GROUP - 1}")
    cases = cases_of(number)
    results = compare_networks(cases, "icarus", default_cache(), tmp_path)
    assert [(str(c), r) for c, r in zip(cases, results, strict=True) if not is_equal(r) or kinds_of(r)] == []


def test_a_group_is_the_same_for_a_seed() -> None:
    programs = [case.program for case in cases_of(1)]
    assert programs == [case.program for case in network_group(SEED, 1)]
    assert programs != [case.program for case in cases_of(2)]


def test_a_case_is_made_again_from_its_point() -> None:
    for case in cases_of(0):
        assert case_of(case.point, case.number) == case


def test_the_groups_reach_the_edges() -> None:
    cases = [case for number in range(GROUPS) for case in cases_of(number)]
    opcodes = {i.opcode for case in cases for i in case.program.instructions}
    assert opcodes >= set(Opcode) - {Opcode.FENCE}
    ends = [(case.program.instructions[execute(case.program).end].opcode) for case in cases]
    assert {Opcode.EXIT, Opcode.HALT} == set(ends)
    kinds = {operation.op for case in cases for operation in case.network.operations}
    assert kinds >= {"table", "multiply", "maximum", "concatenate", "head_threshold", "first", "mean"}
    bits = {getattr(o, "bits", 1) for case in cases for o in case.network.operations if o.op == "quantize"}
    assert bits >= {2, 4}
    assert {case.network.vote for case in cases} == {"soft", "hard", "mean"}
    assert any(len(case.point.ids) == 1 for case in cases) and any(len(set(case.point.types)) > 1 for case in cases)

"""RTL = simulator for programs that no mapper makes, each in a simulation of its own, from a seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.bench.build import default_cache, missing_tool
from hw.bench.compare import is_equal
from hw.isa import Instruction, Opcode
from tests.agreement.loose_cases import compare_loose, loose_group

SEED = 20261121
ACCELERATORS = 6


@pytest.mark.icarus
@pytest.mark.parametrize("number", range(ACCELERATORS))
def test_loose_programs_agree(number: int, tmp_path: Path) -> None:
    if missing := missing_tool("icarus"):
        pytest.skip(missing)
    print(f"seed {SEED}, accelerator {number}")
    cases = loose_group(SEED, number)
    for case, result in zip(cases, compare_loose(cases, "icarus", default_cache(), tmp_path), strict=True):
        assert is_equal(result), (str(case), result)


def of(opcode: Opcode) -> list[Instruction]:
    cases = [case for number in range(40) for case in loose_group(SEED, number)]
    return [i for case in cases for i in case.program.instructions if i.opcode is opcode]


def test_transfers_reach_what_mappers_never_use() -> None:
    assert any(i.stride >> 31 for i in of(Opcode.STORE))
    assert any(i.stride >> 31 for i in of(Opcode.LOAD) if i.buffer == 2 and i.segments > 1)
    assert {i.buffer for i in of(Opcode.LOAD)} == {0, 1, 2, 3, 4}


def test_products_reach_what_mappers_never_use() -> None:
    products, outputs = of(Opcode.MATMUL), of(Opcode.BINARIZE)
    assert any(i.output_group for i in outputs) and any(i.output_stride > 1 for i in outputs if i.rows > 7)
    assert any(i.words > 64 for i in products) and any(i.rows > 7 for i in products)
    assert any(not i.first and i.handover for i in products) and any(i.activation_stride == 0 for i in products)
    assert any(i.activation_planes > 2 for i in products) and any(i.weight_planes > 1 for i in products)
    assert any(i.activation_negative != i.weight_negative for i in products) and any(i.keys for i in products)
    assert {(0, 0), (1, 0), (2, 0), (2, 1)} == {(i.destination, i.transpose) for i in outputs}
    assert any(i.shared for i in outputs) and any(i.spare for i in outputs) and any(i.output_bank for i in outputs)


def test_vectors_reach_every_part_and_combination() -> None:
    vectors = of(Opcode.VECTOR)
    assert any(i.output_group and i.spare for i in of(Opcode.SUMS))
    assert {(i.source, i.scale, i.add) for i in vectors} == {(0, 0, 0), (0, 1, 0), (0, 1, 1)} | {
        (1, scale, add) for scale in (0, 1) for add in (0, 1)
    }
    assert {(i.normalise, i.statistics) for i in vectors} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert {i.sets for i in vectors} == {0, 1, 2, 3} and {i.wait & 16 for i in vectors} == {0, 16}
    assert any(i.wait & 15 for i in vectors) and any(i.signal for i in vectors)
    assert any(i.planes > 1 and i.code_signed for i in vectors) and any(i.planes > 2 for i in vectors)
    assert any(i.keep and i.add and i.add_line == i.fixed_line for i in vectors)

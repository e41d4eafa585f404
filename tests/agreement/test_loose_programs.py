"""RTL = simulator for programs that no mapper makes, one after the other on the same core, from a seed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from hw.arch import Accelerator
from hw.bench.build import default_cache, missing_tool
from hw.bench.compare import is_equal
from hw.isa import Buffer, Destination, Instruction, Opcode, Source, SumsDestination, Unit
from mapping.footprint import footprint
from mapping.footprints.base import Sizes, Where
from sim.machine import Execution, execute
from tests.agreement.compare import compare_programs
from tests.agreement.loose_accesses import accesses
from tests.agreement.loose_cases import LooseCase, loose_group

SEED = 20261121
NUMBERS = (3, 11, 26, 32, 34, 36)
"""Groups that run here: short ones, which have every unit between them."""

GROUPS = 40
_OWN_LOAD, _OWN_VECTOR = 1 << Unit.LOAD, 1 << Unit.VECTOR


@pytest.mark.icarus
@pytest.mark.parametrize("number", NUMBERS)
def test_loose_programs_agree(number: int, tmp_path: Path) -> None:
    if missing := missing_tool("icarus"):
        pytest.skip(missing)
    print(f"seed {SEED}, accelerator {number}")
    cases = loose_group(SEED, number)
    for case, result in zip(cases, compare_programs(cases, "icarus", default_cache(), tmp_path), strict=True):
        assert is_equal(result), (str(case), result)


@cache
def all_cases() -> list[tuple[LooseCase, Execution]]:
    cases = [case for number in range(GROUPS) for case in loose_group(SEED, number)]
    return [(case, execute(case.program)) for case in cases]


def run_of(opcode: Opcode) -> list[tuple[Accelerator, Instruction]]:
    """Return all instructions of an opcode that a run reaches."""
    return [
        (case.program.accelerator, i)
        for case, execution in all_cases()
        for i in case.program.instructions[: execution.end + 1]
        if i.opcode is opcode
    ]


def of(opcode: Opcode) -> list[Instruction]:
    return [i for _, i in run_of(opcode)]


def test_what_runs_here_reaches_every_instruction() -> None:
    cases = [case for number in NUMBERS for case in loose_group(SEED, number)]
    reached = [i for case in cases for i in case.program.instructions[: execute(case.program).end + 1]]
    assert {i.opcode for i in reached} == set(Opcode)
    assert {i.buffer for i in reached if i.opcode is Opcode.LOAD and i.gather} > {Buffer.WORD, Buffer.EMBEDDING}
    assert {i.planes for i in reached if i.opcode is Opcode.SOFTMAX} == {1, 2, 4}


def test_the_same_seed_gives_the_same_cases() -> None:
    assert loose_group(SEED, 3) == loose_group(SEED, 3) != loose_group(SEED, 4)


def test_transfers_reach_what_mappers_never_use() -> None:
    assert any(i.stride >> 31 for i in of(Opcode.STORE))
    assert any(i.stride >> 31 for i in of(Opcode.LOAD) if i.buffer == Buffer.THRESHOLD and i.segments > 1)
    assert {i.buffer for i in of(Opcode.LOAD)} == set(Buffer)


def test_gathers_reach_every_pitch_and_any_id() -> None:
    gathers = [i for i in of(Opcode.LOAD) if i.gather]
    assert len({i.stride for i in gathers}) > 8 and {i.buffer for i in gathers} > {Buffer.WORD, Buffer.EMBEDDING}
    assert {1, 2, 3, 4} < {i.segments for i in gathers} and any(i.segments > 10 for i in gathers)
    assert any(i.address >> 31 for i in gathers) and any(not i.address for i in gathers)
    assert {i.wait & _OWN_LOAD for i in gathers} == {0, _OWN_LOAD} and any(i.token for i in gathers)


def test_products_reach_what_mappers_never_use() -> None:
    products, outputs = of(Opcode.MATMUL), of(Opcode.BINARIZE)
    assert any(i.output_group for i in outputs) and any(i.output_stride > 1 for i in outputs if i.rows > 7)
    assert any(i.words > 30 for i in products) and any(i.rows > 7 for i in products)
    assert any(not i.first and i.handover for i in products) and any(i.activation_stride == 0 for i in products)
    assert any(i.activation_planes > 2 for i in products) and any(i.weight_planes > 1 for i in products)
    assert any(i.activation_negative != i.weight_negative for i in products) and any(i.keys for i in products)
    places = [(place, 0) for place in Destination]
    assert {*places, (Destination.KEY, 1)} == {(i.destination, i.transpose) for i in outputs}
    assert any(i.shared for i in outputs) and any(i.spare for i in outputs) and any(i.output_bank for i in outputs)


def test_vectors_reach_every_part_and_combination() -> None:
    vectors = of(Opcode.VECTOR)
    sums, fixed = Source.SUMS, Source.FIXED
    assert any(i.output_group and i.spare for i in of(Opcode.SUMS) if i.destination == SumsDestination.SUMS)
    combinations = {(i.source, i.scale, i.add) for i in vectors if i.source != Source.EMBEDDING}
    assert combinations == {(sums, 0, 0), (sums, 1, 0), (sums, 1, 1)} | {(fixed, s, a) for s in (0, 1) for a in (0, 1)}
    assert {(i.normalise, i.statistics) for i in vectors} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert {i.sets for i in vectors} == {0, 1, 2, 3} and {i.wait & _OWN_VECTOR for i in vectors} == {0, _OWN_VECTOR}
    assert any(i.wait & ~_OWN_VECTOR for i in vectors) and any(i.signal for i in vectors)
    assert any(i.planes > 1 and i.code_signed for i in vectors) and any(i.planes > 2 for i in vectors)
    assert any(i.keep and i.add and i.add_line == i.fixed_line for i in vectors)


def test_vectors_of_two_numbers_reach_every_part() -> None:
    larger, products = ([i for i in of(Opcode.VECTOR) if getattr(i, name)] for name in ("maximum", "multiply"))
    flags = [(i.source, i.normalise) for i in larger], [(i.source, i.normalise) for i in products]
    assert set(flags[0]) == set(flags[1]) == {(Source.SUMS, 0), (Source.FIXED, 0), (Source.FIXED, 1)}
    assert {i.scale for i in larger} == {0, 1} and len({i.shift for i in products}) > 12
    assert any(not i.maximum for i in of(Opcode.VECTOR) if i.add)
    for found in (larger, products):
        assert {i.keep for i in found} == {i.statistics for i in found} == {0, 1} and {i.sets for i in found} > {0, 1}
        assert any(i.keep and i.add_line == i.fixed_line for i in found)
    assert any(i.planes > 1 for i in products)


def test_tables_reach_every_shift_and_place() -> None:
    tables = run_of(Opcode.TABLE)
    shifts = {i.shift for _, i in tables}
    assert {0, 8} < shifts and len(shifts) > 6 and {a.vector_lanes for a, _ in tables} == {1, 2, 4, 8}
    assert any(i.rows > 10 for _, i in tables) and any(i.rows == 1 for _, i in tables)
    assert any(i.table_line for _, i in tables) and {i.source_line == i.fixed_line for _, i in tables} == {True, False}
    assert any(i.channels % a.vector_lanes and i.channels > a.vector_lanes for a, i in tables)
    assert {i.wait & _OWN_VECTOR for _, i in tables} == {0, _OWN_VECTOR} and any(i.wait & _OWN_LOAD for _, i in tables)
    assert any(i.signal for _, i in tables)


def test_the_checker_takes_what_reads_the_fixed_buffer() -> None:
    """Each alone, with the same lines; sets of codes may lie upon each other, which no program needs."""
    for opcode in (Opcode.VECTOR, Opcode.MEAN, Opcode.TABLE):
        for a, i in run_of(opcode):
            if opcode is Opcode.VECTOR and (i.sets or i.source != Source.FIXED):
                continue
            touched = footprint(Sizes(a), Where(0, i))
            boxes = list(touched.reads), [(put.space, put.box) for put in touched.writes]
            lines = [{(name, n) for name, box in found for n in range(box.start, box.stop)} for found in boxes]
            assert lines == list(accesses(a, i)), i


def test_embeddings_and_means_reach_every_part() -> None:
    embeddings = [(a, i) for a, i in run_of(Opcode.VECTOR) if i.source == Source.EMBEDDING]
    for name, values in (("typed", {0, 1}), ("keep", {0, 1}), ("statistics", {0, 1}), ("sets", {0, 1, 2, 3})):
        assert {getattr(i, name) for _, i in embeddings} == values
    assert any(i.rows > 1 and i.channels > a.vector_lanes * a.word_line_slices for a, i in embeddings)
    means = run_of(Opcode.MEAN)
    assert any(i.rows == 1 for _, i in means) and any(i.rows > 20 for _, i in means)
    assert any(i.channels % a.vector_lanes and i.channels > a.vector_lanes for a, i in means)


def test_rows_reach_every_plane_and_more_levels_than_slices() -> None:
    rows = run_of(Opcode.SOFTMAX)
    assert {i.planes for _, i in rows} == {1, 2, 4} and {a.row_lanes for a, _ in rows} == {1, 2, 4, 8, 16, 32}
    slices = [(i, -(-i.keys // a.row_lanes)) for a, i in rows]
    assert any(q < (1 << i.planes) - 1 for i, q in slices) and any(q > (1 << i.planes) - 1 for i, q in slices)
    assert {0, 65535} < {i.multiplier for _, i in rows} and len({i.shift for _, i in rows}) > 12
    assert any(i.last_entry == 0 for _, i in rows) and any(i.last_entry > 100 for _, i in rows)
    assert any(i.code_group % a.line_row_slices for a, i in rows) and any(i.rows > a.drain_rows for a, i in rows)
    assert len({i.slot for _, i in rows}) > 4 and any(i.wait & 1 << Unit.VECTOR for _, i in rows)


def test_votes_reach_ties_decisions_and_ends() -> None:
    votes = run_of(Opcode.CLASSIFY)
    assert {(i.vote, i.first) for _, i in votes} >= {(0, 1), (0, 0), (1, 1), (1, 0), (2, 1)}
    assert any(i.classes > 5 for _, i in votes) and any(i.swing > 1 << 32 for _, i in votes)
    ends = [case.program.instructions[execution.end].opcode for case, execution in all_cases()]
    assert 10 < ends.count(Opcode.EXIT) < len(ends) - 10
    assert len(of(Opcode.EXIT)) > ends.count(Opcode.EXIT)
    results = [execution.result for _, execution in all_cases()]
    assert any(result.leader for result in results) and any(result.members > 2 for result in results)
    assert {case.reset_rate is None for case, _ in all_cases()} == {True, False}

"""The checker refuses each kind of broken program: good programs with one thing changed."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.isa import FIELDS, SIGNAL, WAIT, Instruction, Opcode
from hw.program import Program, Region
from mapping.checker import check
from mapping.errors import CheckError, MappingError
from mapping.mapper import map_layer
from mapping.tiling import Tiling
from sim.machine import execute
from sim.timing import simulate
from tests.mapping.broken import SMALL, Edit, broken, edit_operand, find, good, put
from tests.mapping.cases import changed, layer_and_activations, profile, with_operands
from tests.sim.programs import FENCE, HALT, sums, vector


def test_the_good_program_is_good() -> None:
    check(good())
    opcodes = [instruction.opcode for instruction in good().instructions]
    assert opcodes.count(Opcode.LOAD) == 15 and opcodes.count(Opcode.MATMUL) == 9
    assert issubclass(CheckError, MappingError)


OPERANDS = [
    (edit_operand(Opcode.LOAD, address=40960), "memory 0xa000 to 0xa006 must be inside one region, not outside"),
    (edit_operand(Opcode.LOAD, address=12), "memory 0xc to 0x12 must be inside one region, not outside"),
    (edit_operand(Opcode.LOAD, address=(1 << 32) - 1), "end of the last segment must be at most 0x100000000, not "),
    (edit_operand(Opcode.LOAD, address=16384), "region loaded from must be for read or write, not program for program"),
    (edit_operand(Opcode.STORE, address=0), "region stored to must be for write, not activations for read"),
    (edit_operand(Opcode.LOAD, row_beats=4), "segments x segment_beats must be a multiple of row_beats (4), not 6"),
    (edit_operand(Opcode.LOAD, where={"buffer": 1}, line=10), "last weight line must be at most 11, not 15"),
    (edit_operand(Opcode.LOAD, where={"buffer": 0}, line=6), "last activation line must be at most 7, not 8"),
    (edit_operand(Opcode.LOAD, where={"buffer": 2}, line=4), "last threshold line must be at most 3, not 5"),
    (edit_operand(Opcode.LOAD, buffer=3), "one that there is, activation (0), weight (1), threshold (2), not 3"),
    (edit_operand(Opcode.LOAD, buffer=4), "one that there is, activation (0), weight (1), threshold (2), not 4"),
    (edit_operand(Opcode.STORE, line=3), "last output line must be at most 3, not 4"),
    (edit_operand(Opcode.STORE, segments=2, segment_beats=1, stride=0), "stride must be at least the 1 bytes of a"),
    (edit_operand(Opcode.MATMUL, activation_line=6), "last activation line must be at most 7, not 8"),
    (edit_operand(Opcode.MATMUL, weight_line=9), "last weight line must be at most 11, not 14"),
    (edit_operand(Opcode.MATMUL, weight_stride=20), "last weight line must be at most 11, not 22"),
    (edit_operand(Opcode.MATMUL, words=9), "last activation line must be at most 7, not 8"),
    (edit_operand(Opcode.MATMUL, pad=8), "pad must be less than 8 here, not 8"),
    (edit_operand(Opcode.MATMUL, unsigned=1, pad=1), "pad must be less than 1 here, not 1"),
    (edit_operand(Opcode.MATMUL, first=0), "rows and column_groups must be one tile without first and handover"),
    (edit_operand(Opcode.MATMUL, -1, first=0), "first must be 1 where no sums stay in the array, not 0"),
    (edit_operand(Opcode.MATMUL, keys=1), "keys must be 0 where there is no key buffer, not 1"),
    (edit_operand(Opcode.MATMUL, weight_planes=2), "weight_planes must be at most code_bits, 1, not 2"),
    (edit_operand(Opcode.BINARIZE, destination=2), "destination must be output (0) or activation (1), not 2"),
    (edit_operand(Opcode.BINARIZE, spare=2), "spare must be less than the 2 columns, not 2"),
    (edit_operand(Opcode.BINARIZE, threshold_line=3), "last threshold line must be at most 3, not 4"),
    (edit_operand(Opcode.BINARIZE, output_line=4), "last output line must be at most 3, not 4"),
    (edit_operand(Opcode.BINARIZE, output_group=15), "last output line must be at most 3, not 4"),
    (edit_operand(Opcode.BINARIZE, rows=1), "rows must be 2 as in MATMUL "),
    (edit_operand(Opcode.BINARIZE, column_groups=1), "column_groups must be 2 as in MATMUL "),
    (edit_operand(Opcode.MATMUL, words=0), "MATMUL.words must be an integer from 1 to 65535, not 0"),
    (edit_operand(Opcode.STORE, row_beats=0), "STORE.row_beats must be an integer from 1 to 65535, not 0"),
    (edit_operand(Opcode.LOAD, signal=1), "LOAD.signal must name only array+drain+store+vector+row, not the mask 1"),
]


@pytest.mark.parametrize(("edit", "message"), OPERANDS, ids=[message[:40] for _, message in OPERANDS])
def test_operands(edit: Edit, message: str) -> None:
    found = broken(edit)
    assert message in found
    assert " instruction " in found


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (sums(), "destination must be other than sums where there is no sums buffer, not 0"),
        (vector(), "vector_lanes must be at least 1 for VECTOR, not 0"),
    ],
)
def test_what_works_on_sums_needs_its_parts(instruction: Instruction, message: str) -> None:
    assert broken(lambda instructions: instructions.insert(0, instruction)).endswith(f": {message}")


def test_a_field_that_is_too_wide_is_refused_even_if_it_encodes() -> None:
    instructions = list(good().instructions)
    index = find(instructions, Opcode.LOAD)
    put(instructions, index, row_beats=3 << 16 | 6)
    with pytest.raises(CheckError, match=r"instruction 0 \(load .*operands and masks must be within their fields"):
        check(changed(good(), instructions))


def test_alignment_to_beats_and_lines() -> None:
    layer, activations = layer_and_activations(1, 4, 64, 4)
    wide = Accelerator(port_bits=32, word_bits=64)
    program = map_layer(wide, layer, activations).program
    for operands, message in (
        ({"address": 2}, "address must be a multiple of the 4 bytes of a beat, not 2"),
        ({"row_beats": 1}, "row_beats must be a multiple of the 2 beats of a line, not 1"),
        ({"segments": 2, "segment_beats": 4, "stride": 18}, "stride must be a multiple of the 4 bytes of a beat"),
    ):
        instructions = list(program.instructions)
        put(instructions, find(instructions, Opcode.LOAD), **operands)
        with pytest.raises(CheckError) as caught:
            check(changed(program, instructions))
        assert message in str(caught.value)


# --- ends, pairs, results ----------------------------------------------------------------------------------------


def test_a_missing_halt() -> None:
    assert "last instruction must be HALT, not STORE" in broken(lambda instructions: instructions.pop())


def test_a_halt_in_the_middle() -> None:
    assert "HALT must be the last instruction (" in broken(lambda instructions: instructions.insert(3, HALT))


def test_a_matmul_without_binarize() -> None:
    def edit(instructions: list[Instruction]) -> None:
        del instructions[find(instructions, Opcode.BINARIZE)]

    assert "its BINARIZE or SUMS must follow the handover, not MATMUL (instruction " in broken(edit)


def test_a_fence_between_matmul_and_binarize() -> None:
    def edit(instructions: list[Instruction]) -> None:
        instructions.insert(find(instructions, Opcode.BINARIZE), FENCE)

    assert "its BINARIZE or SUMS must follow the handover, not FENCE (instruction " in broken(edit)


def test_a_binarize_without_matmul() -> None:
    def edit(instructions: list[Instruction]) -> None:
        index = find(instructions, Opcode.BINARIZE)
        instructions.insert(index, with_operands(instructions[index], wait=0, signal=0))

    assert "BINARIZE must be behind a MATMUL with handover, not alone" in broken(edit)


def test_results_that_are_replaced_before_they_are_stored() -> None:
    found = broken(edit_operand(Opcode.BINARIZE, 3, output_group=0))
    assert "results in output line " in found and "must be stored before being replaced, not lost" in found


def test_results_that_are_never_stored() -> None:
    def edit(instructions: list[Instruction]) -> None:
        index = find(instructions, Opcode.STORE, -1)
        token = instructions[index].wait
        assert token == 4
        put(instructions, find(instructions, Opcode.BINARIZE, -1, signal=8), signal=0)
        del instructions[index]

    assert "results in output line 0 of bank 0 must be stored, not left there" in broken(edit)


def test_a_store_of_a_line_that_does_not_begin_at_its_first_position() -> None:
    def edit(instructions: list[Instruction]) -> None:
        put(instructions, find(instructions, Opcode.BINARIZE), output_group=1, column_groups=1)
        put(instructions, find(instructions, Opcode.MATMUL), column_groups=1)

    found = broken(edit)
    assert "(store " in found
    assert "output lines 0-1 must be written from its first position, not from a later one" in found


# --- regions -----------------------------------------------------------------------------------------------------


def with_region(changed_name: str, changes: dict[str, Any]) -> Program:
    """Return the good program with one region changed."""
    regions = tuple(
        dataclasses.replace(region, **changes) if region.name == changed_name else region for region in good().regions
    )
    return dataclasses.replace(good(), regions=regions)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("weights", {"address": 10}, "region weights must start behind activations, which ends at 0xf, not at 0xa"),
        ("outputs", {"address": 16384}, "must start behind outputs, which ends at 0x400a, not at 0x4000"),
        ("program", {"size": 32}, "one region for the program must hold its "),
        ("program", {"access": "read"}, "one region for the program must hold its "),
        ("weights", {"size": 8}, "must be inside one region, not outside"),
        ("outputs", {"access": "read"}, "region stored to must be for write, not outputs for read"),
    ],
)
def test_regions(name: str, changes: dict[str, Any], message: str, refused: Callable[..., str]) -> None:
    assert message in refused(CheckError, check, with_region(name, changes))


def test_a_region_off_the_beats_is_refused(refused: Callable[..., str]) -> None:
    layer, activations = layer_and_activations(1, 1, 8, 1)
    program = map_layer(Accelerator(), layer, activations).program
    regions = (*program.regions, Region("odd", 16385, 0, "read"))
    message = refused(CheckError, check, dataclasses.replace(program, regions=regions))
    assert message == "program: region odd must start at a beat of 4 bytes, not at 0x4001"


@pytest.mark.parametrize("seed", range(150))
def test_what_passes_runs_to_its_end(seed: int) -> None:
    source = random.Random(f"mutant {seed}")
    instructions = list(good().instructions)
    for _ in range(source.choice([1, 1, 2, 3])):
        index = source.randrange(len(instructions) - 1)
        instruction = instructions[index]
        field = source.choice([*FIELDS[instruction.opcode], WAIT, SIGNAL])
        value = source.choice([0, 1, 2, 3, 4, 6, getattr(instruction, field.name) ^ 1 << source.randrange(field.width)])
        put(instructions, index, **{field.name: value})
    print(f"seed {seed}: instruction {index}: {instructions[index]}")
    try:
        check(changed(good(), instructions))
    except CheckError:
        return
    execute(changed(good(), instructions))
    simulate(SMALL, instructions, profile(source))


def test_thousands_of_instructions_are_checked() -> None:
    layer, activations = layer_and_activations(2, 60, 24, 40)
    tiling = Tiling(1, 1, 1, 2, 1, 3, 20, 2)
    program = map_layer(SMALL.replace(output_lines=64), layer, activations, tiling=tiling).program
    assert len(program.instructions) > 1500
    check(program)

"""Programs of whole networks pass the checker, and none of their tokens, loads and places can be left out."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable

import pytest

from hw.arch import Accelerator
from hw.isa import Instruction, Opcode, Unit
from mapping.checker import check
from mapping.errors import CheckError, MappingError
from mapping.footprints.base import Where
from mapping.handover import Pairing
from mapping.order import Order
from mapping.whole.mapper import map_network
from model.synthetic_network import random_network
from sim.timing import simulate
from tests.mapping.cases import changed, profile, tokens, with_operands, without_token
from tests.mapping.whole import (
    KINDS,
    SMALL,
    TYPES,
    VOCABULARY,
    any_accelerator,
    broken,
    network,
    numbers,
    refusal,
    whole,
)
from tests.sim.programs import FENCE

UNORDERED = "nothing makes it wait for "


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 16])
def test_token_counts(kind: str, count: int) -> None:
    check(whole(kind, SMALL, (0,) * count), VOCABULARY)
    if count > 1:
        check(whole(kind, SMALL, (0,) * (count // 2) + (1,) * (count - count // 2)), VOCABULARY)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 1, "drain_rows": 1},
        {
            "columns": 1,
            "drain_rows": 1,
            "activation_lines": 128,
            "key_lines": 512,
            "threshold_lines": 64,
            "weight_lines": 256,
        },
        {"rows": 8, "drain_rows": 4},
        {"rows": 8, "columns": 8, "drain_rows": 8},
        {"columns": 16},
        {"vector_lanes": 1, "fixed_lines": 1024, "embedding_lines": 512, "scale_lines": 256, "level_lines": 256},
        {"vector_lanes": 32},
        {"row_lanes": 1},
        {"row_lanes": 32},
        {"word_bits": 8},
        {"word_bits": 64},
        {"port_bits": 8, "word_lines": 64},
        {"port_bits": 128},
        {"score_slots": 1},
        {"queue_depth": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["mean", "first"])
def test_accelerators(kind: str, changes: dict[str, int]) -> None:
    check(whole(kind, SMALL.replace(**changes)), VOCABULARY)


@pytest.mark.parametrize("seed", range(24))
def test_random_networks(seed: int) -> None:
    source = random.Random(f"network {seed}")
    fixed = {"bits": 1, "attention_bits": source.choice([1, 1, 2])}
    made = random_network(seed, feed_forward="plain", ternary=False, pooler=False, **fixed)
    accelerator = any_accelerator(source)
    types = [0] * source.randint(1, min(made.limit, 12))
    print(f"seed {seed}: {len(types)} tokens on {accelerator}")
    try:
        mapped = map_network(accelerator, made, types)
    except MappingError as error:
        assert not isinstance(error, CheckError)
        return
    check(mapped.program, min(o.words.shape[0] for o in made.operations if o.op == "embed"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_without_any_one_token_a_program_is_refused(kind: str, seed: int) -> None:
    source, instructions = random.Random(f"tokens {seed}"), whole(kind).instructions
    pairs = tokens(instructions)
    assert {pair[1] for pair in pairs} >= {Unit.LOAD, Unit.DRAIN, Unit.VECTOR}
    for pair in source.sample(pairs, 6):
        print(f"{kind} without {pair}")
        assert UNORDERED in refusal(whole(kind), without_token(instructions, pair))


@pytest.mark.parametrize("kind", KINDS)
def test_without_any_one_own_wait_a_program_is_refused(kind: str) -> None:
    instructions = whole(kind).instructions
    own = [index for index, i in enumerate(instructions) if i.wait >> i.unit & 1]
    assert {instructions[index].unit for index in own} == {Unit.LOAD, Unit.VECTOR} or kind != "mean"
    for index in own:
        edited, i = list(instructions), instructions[index]
        edited[index] = with_operands(i, wait=i.wait & ~(1 << i.unit))
        assert f"{UNORDERED}{i.unit.name} instruction" in refusal(whole(kind), edited)


@pytest.mark.parametrize("kind", KINDS)
def test_fences_do_for_tokens(kind: str) -> None:
    edited: list[Instruction] = []
    for instruction in whole(kind).instructions[:-1]:
        edited.append(with_operands(instruction, wait=0, signal=0))
        if instruction.opcode is not Opcode.MATMUL:
            edited.append(FENCE)
    check(changed(whole(kind), [*edited, whole(kind).instructions[-1]]))


@pytest.mark.parametrize("kind", ["mean", "head"])
def test_no_load_can_be_left_out(kind: str) -> None:
    """With a FENCE in its place, so that only what it has loaded is missing."""
    instructions = [with_operands(i, wait=0, signal=0) for i in whole(kind).instructions]
    fenced: list[Instruction] = []
    for instruction in instructions:
        fenced += [instruction] if instruction.opcode in (Opcode.MATMUL, Opcode.HALT) else [instruction, FENCE]
    missing = Counter[str]()
    for index in numbers(fenced, Opcode.LOAD):
        try:
            check(changed(whole(kind), [*fenced[:index], FENCE, *fenced[index + 1 :]]))
            missing["stale"] += 1
        except CheckError as error:
            assert "must be written before being read, not empty" in str(error)
            missing["empty"] += 1
    # A load that replaces what an earlier one has left cannot be missed: there is something in its place.
    assert missing["empty"] > missing["stale"]


def test_products_of_heads_in_another_order() -> None:
    def edit(instructions: list[Instruction]) -> None:
        late = numbers(instructions, Opcode.BINARIZE, destination=1, output_group=3)[0]
        early = numbers(instructions, Opcode.BINARIZE, output_line=instructions[late].output_line, output_group=0)[0]
        for first, second in ((early - 1, late - 1), (early, late)):
            one, other = instructions[first], instructions[second]
            instructions[first] = with_operands(other, wait=one.wait, signal=one.signal)
            instructions[second] = with_operands(one, wait=other.wait, signal=other.signal)

    for kind in ("first", "mean"):
        message = broken(kind, edit)
        assert UNORDERED in message or "written from the first position on, in order" in message


def test_classify_in_another_order() -> None:
    def edit(instructions: list[Instruction]) -> None:
        one, other = numbers(instructions, Opcode.CLASSIFY)
        instructions[one], instructions[other] = instructions[other], instructions[one]

    assert "first must be 1 in the first CLASSIFY, not 0" in broken("mean", edit)


def test_softmax_before_its_sums() -> None:
    def edit(instructions: list[Instruction]) -> None:
        softmax = numbers(instructions, Opcode.SOFTMAX)[0]
        instructions.insert(numbers(instructions, Opcode.SUMS, slot=0)[0] - 1, instructions.pop(softmax))

    assert "wait for DRAIN must be for an earlier signal, not instruction " in broken("mean", edit)


def test_an_exit_before_the_logits_are_stored() -> None:
    def edit(instructions: list[Instruction]) -> None:
        exits = numbers(instructions, Opcode.EXIT)[0]
        instructions.insert(numbers(instructions, Opcode.STORE)[0], instructions.pop(exits))

    assert "(exit): results in output line " in broken("mean", edit)


@pytest.mark.parametrize("name", ["tokens", "logits", "parameters"])
def test_a_region_that_is_too_small(name: str, refused: Callable[..., str]) -> None:
    program = whole("mean")
    short = [dataclasses.replace(r, size=r.size - 4) if r.name == name else r for r in program.regions]
    message = refused(CheckError, check, dataclasses.replace(program, regions=tuple(short)))
    assert "must be inside one region, not outside" in message


def test_the_shape_of_softmax_is_that_of_its_sums() -> None:
    def edit(instructions: list[Instruction]) -> None:
        index = numbers(instructions, Opcode.SOFTMAX)[0]
        instructions[index] = with_operands(instructions[index], slot=1 - instructions[index].slot)

    message = broken("mean", edit)
    assert "has left in slot" in message or UNORDERED in message or "slot 1 must be filled" in message


def test_many_instructions_are_checked() -> None:
    accelerator = Accelerator(
        **{name: getattr(SMALL, name) for name in ("vector_lanes", "row_lanes", "classes", "token_lines")},
        rows=1,
        columns=1,
        word_bits=8,
        sum_bits=12,
        code_bits=2,
        activation_lines=1024,
        weight_lines=256,
        key_lines=1024,
        threshold_lines=256,
        output_lines=8,
        sum_lines=1024,
        fixed_lines=256,
    )
    made = map_network(accelerator, network("mean"), TYPES + TYPES)
    assert len(made.program.instructions) > 300
    check(made.program, VOCABULARY)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_to_have_retired_has_in_the_simulator(kind: str, seed: int) -> None:
    program = whole(kind)
    places = [Where(index, instruction) for index, instruction in enumerate(program.instructions)]
    drains = Pairing(SMALL).follow(places)
    order = Order(program.instructions, drains, SMALL.queue_depth)
    timing = simulate(SMALL, program.instructions, profile(random.Random(f"{kind} {seed}")))
    for index, clock in enumerate(order.issued):
        known = [earlier for earlier in clock if earlier >= 0]
        if known and program.instructions[index].unit is not Unit.SEQUENCER:
            assert timing.retire[known].max() < timing.issue[index]

"""What the checker proves about order: every token is needed, none can overflow, nothing can wait for ever."""

from __future__ import annotations

import random

import pytest

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction, Opcode, Unit
from hw.program import Program, Region
from mapping.builder import Access, Builder
from mapping.candidates import candidates
from mapping.checker import check
from mapping.errors import CheckError
from mapping.geometry import Geometry
from mapping.mapper import map_layer
from mapping.order import Order
from sim.timing import simulate
from tests.mapping.cases import accelerator, changed, layer_and_activations, operands, profile, tokens, without_token
from tests.sim.programs import ARRAY, DRAIN, HALT, LOAD, VECTOR, binarize, load, matmul, store, vector

SMALL = Accelerator(rows=2, columns=2, word_bits=8, port_bits=8, output_lines=4, queue_depth=4)


def program(instructions: list[Instruction], chosen: Accelerator = SMALL) -> Program:
    """Return a program on 256 bytes to read and 256 to write."""
    code = b"".join(instruction.encode() for instruction in instructions)
    regions = (
        Region("data", 0, 256, "read"),
        Region("results", 256, 256, "write"),
        Region("program", 512, len(code), "program"),
    )
    return Program(chosen, tuple(instructions), 512, regions, bytes(512) + code)


def refusal(instructions: list[Instruction], chosen: Accelerator = SMALL) -> str:
    """Return the message with which a program is refused."""
    with pytest.raises(CheckError) as caught:
        check(program(instructions, chosen))
    return str(caught.value)


@pytest.mark.parametrize("seed", range(40))
def test_without_any_one_token_a_program_is_refused(seed: int) -> None:
    source = random.Random(f"tokens {seed}")
    chosen = accelerator(source).replace(sum_bits=15)
    shape = source.choice([1, 5, 17]), source.choice([1, 17, 64, 130]), source.choice([1, 9, 17, 40])
    layer, activations = layer_and_activations(seed, *shape)
    memory = profile(source)
    found = [c.tiling for c in candidates(Geometry(chosen, *shape, False), memory) if c.instructions < 500]
    if not found:
        return
    mapped = map_layer(chosen, layer, activations, memory, source.choice(found))
    pairs = tokens(mapped.program.instructions)
    for pair in source.sample(pairs, min(8, len(pairs))):
        print(f"seed {seed}: {shape} {mapped.tiling} without {pair} on {chosen}")
        with pytest.raises(CheckError, match=f"nothing makes it wait for {pair[1].name} instruction"):
            check(changed(mapped.program, without_token(mapped.program.instructions, pair)))


def loads(signals: tuple[int, int, int] = (0, ARRAY, DRAIN)) -> list[Instruction]:
    """Return loads of one activation row, the weights of two channels, and one threshold line."""
    return [
        load(signal=signals[0]),
        load(buffer=Buffer.WEIGHT, segment_beats=2, signal=signals[1]),
        load(buffer=Buffer.THRESHOLD, row_beats=4, segment_beats=4, signal=signals[2]),
    ]


def test_a_hand_made_program_is_good() -> None:
    made = [*loads(), matmul(handover=1, wait=LOAD), binarize(wait=LOAD, signal=8), store(address=256, wait=DRAIN)]
    check(program([*made, HALT]))


@pytest.mark.parametrize("count", [255, 256])
def test_more_tokens_than_a_counter_holds_are_refused(count: int) -> None:
    made = [*loads((0, 0, DRAIN)), *[load(line=1, signal=ARRAY)] * count]
    made += [matmul(wait=LOAD), *[matmul(first=0, wait=LOAD)] * (count - 1), matmul(first=0, handover=1)]
    made += [binarize(wait=LOAD, signal=8), store(address=256, wait=DRAIN), HALT]
    if count == 255:
        check(program(made))
    else:
        message = refusal(made)
        assert message.startswith("program: instruction 258 (load ")
        assert "tokens for ARRAY must be at most 255 under way, not 256" in message


def test_tokens_that_the_queue_bounds_do_not_overflow() -> None:
    made = [*loads(), matmul(wait=LOAD)]
    made += [load(line=1, signal=ARRAY), matmul(first=0, wait=LOAD)] * 400
    made += [matmul(first=0, handover=1), binarize(wait=LOAD, signal=8), store(address=256, wait=DRAIN), HALT]
    check(program(made))


def test_a_binarize_must_not_wait_for_its_own_matmul() -> None:
    shape = {"rows": 3}
    made = loads()
    made[0] = load(segments=1, segment_beats=3)
    body = [
        matmul(handover=1, activation_stride=1, wait=LOAD, signal=DRAIN, **shape),
        binarize(wait=LOAD | ARRAY, signal=8, output_stride=1, **shape),
        store(address=256, segment_beats=3, wait=DRAIN),
        HALT,
    ]
    assert "must not wait for MATMUL 3, which ends after BINARIZE 4 begins" in refusal([*made, *body])
    with pytest.raises(ValueError, match="must run to its HALT"):
        simulate(SMALL, [*made, *body], profile(random.Random(0)))
    body[0], body[1] = (
        matmul(handover=1, activation_stride=1, wait=LOAD, **shape),
        binarize(wait=LOAD, signal=8, output_stride=1, **shape),
    )
    check(program([*made, *body]))


def test_a_load_between_matmul_and_binarize_must_not_wait_for_the_matmul() -> None:
    made = loads()
    made[0] = load(segment_beats=3)
    shape = {"rows": 3}
    between = load(line=1, wait=ARRAY)
    body = [matmul(handover=1, activation_stride=1, wait=LOAD, signal=LOAD, **shape), between]
    body += [binarize(wait=LOAD, signal=8, output_stride=1, **shape)]
    body += [store(address=256, segment_beats=3, wait=DRAIN), HALT]
    message = refusal([*made, *body])
    assert message.startswith("program: instruction 4 (load ")
    assert "must not wait for MATMUL 3, which ends after BINARIZE 5 begins" in message


def test_sums_must_be_continued_and_handed_over() -> None:
    end = [binarize(wait=LOAD, signal=8), store(address=256, wait=DRAIN), HALT]
    twice = [*loads(), matmul(wait=LOAD), matmul(handover=1), *end]
    assert "first must be 0 while sums stay in the array, not 1" in refusal(twice)
    left = [*loads((0, ARRAY, 0)), matmul(wait=LOAD), HALT]
    assert "sums of MATMUL 3 must be handed over, not left in the array" in refusal(left)
    other = [*loads(), matmul(wait=LOAD), matmul(first=0, handover=1, unsigned=1), *end]
    assert "unsigned must be 0 as in the MATMUL it continues, not 1" in refusal(other)
    wide = [*loads(), *[matmul(first=int(n == 0), wait=LOAD * (n == 0)) for n in range(16)], HALT]
    assert "inputs of a sum must be at most 126, not 128" in refusal(wide, SMALL.replace(sum_bits=8))


def test_the_own_bit_of_a_vector_is_no_token() -> None:
    # What the LOAD has done is known to instruction 2 with what instruction 1 has done, and to all behind it.
    made = [load(signal=VECTOR), vector(wait=LOAD), vector(wait=VECTOR), vector(), HALT]
    order = Order(made, {}, 4)
    assert [clock[Unit.VECTOR] for clock in order.issued] == [-1, -1, 1, 1, 3]
    assert [clock[Unit.LOAD] for clock in order.issued] == [-1, 0, 0, 0, 0]


def test_a_signal_to_vector_must_have_a_wait() -> None:
    with pytest.raises(CheckError, match="signal to VECTOR must have a wait, not be number 1 of 0"):
        Order([load(signal=VECTOR), vector(wait=VECTOR), HALT], {}, 4)


def memory_chain() -> list[Instruction]:
    """Return instructions that store a result and load it again as an activation, with the builder's tokens."""
    builder = Builder({"activation": 256, "weight": 256, "threshold": 64, "output": 4, "results": 256})
    spaces = {Buffer.ACTIVATION: "activation", Buffer.WEIGHT: "weight", Buffer.THRESHOLD: "threshold"}

    def add(instruction: Instruction, reads: list[Access], writes: list[Access]) -> None:
        builder.add(instruction.opcode, operands(instruction), reads, writes)

    for instruction in loads((0, 0, 0)):
        add(instruction, [], [Access(spaces[Buffer(instruction.buffer)], 0, 1)])
    for turn in range(3):
        inputs = [Access("activation", 0, 1), Access("weight", 0, 1)]
        add(matmul(handover=1), inputs, [])
        add(binarize(), [Access("threshold", 0, 1)], [Access("output", 0, 1)])
        add(store(address=256 + turn % 2), [Access("output", 0, 1)], [Access("results", turn % 2, turn % 2 + 1)])
        if turn < 2:
            add(load(address=256 + turn), [Access("results", turn, turn + 1)], [Access("activation", 0, 1)])
    return list(builder.halt())


def test_what_was_stored_can_be_loaded_with_the_right_tokens() -> None:
    made = memory_chain()
    check(program(made))
    stores = [index for index, instruction in enumerate(made) if instruction.opcode is Opcode.STORE]
    pairs = [pair for pair in tokens(made) if pair[0] in stores and made[pair[2]].opcode is Opcode.LOAD]
    assert len(pairs) == 2
    message = refusal(without_token(made, pairs[0]))
    assert "region results at 0x100 must be written before being read; nothing makes it wait for STORE" in message


def test_a_load_of_what_was_never_stored_is_refused() -> None:
    made = memory_chain()
    index = next(i for i, z in enumerate(made) if z.opcode is Opcode.LOAD and z.address == 256)
    made[index] = load(address=300, wait=made[index].wait, signal=made[index].signal)
    assert "region results at 0x12c must be written before being read, not empty" in refusal(made)


def test_every_pair_of_the_memory_chain_is_needed() -> None:
    made = memory_chain()
    for pair in tokens(made):
        assert "nothing makes it wait for" in refusal(without_token(made, pair))

"""The checker refuses programs whose instructions are not ordered by tokens: good programs with one thing changed."""

from __future__ import annotations

from hw.isa import Instruction, Opcode
from mapping.checker import check
from tests.mapping.broken import broken, edit_operand, find, good, put
from tests.mapping.cases import changed, with_operands
from tests.sim.programs import FENCE, HALT


def test_a_dropped_signal() -> None:
    def edit(instructions: list[Instruction]) -> None:
        put(instructions, find(instructions, Opcode.BINARIZE, -1, signal=8), signal=0)

    assert "wait for DRAIN must have a signal, not be number 3 of 2" in broken(edit)


def test_a_dropped_wait() -> None:
    def edit(instructions: list[Instruction]) -> None:
        put(instructions, find(instructions, Opcode.STORE, -1), wait=0)

    assert "signal to STORE must have a wait, not be number 3 of 2" in broken(edit)


def test_an_extra_token() -> None:
    def edit(instructions: list[Instruction]) -> None:
        index = find(instructions, Opcode.STORE)
        put(instructions, index, signal=instructions[index].signal | 1)

    assert "signal to LOAD must have a wait, not be number 1 of 0" in broken(edit)


def test_a_missing_pair_leaves_a_read_unordered() -> None:
    def edit(instructions: list[Instruction]) -> None:
        put(instructions, find(instructions, Opcode.STORE, -1), wait=0)
        put(instructions, find(instructions, Opcode.BINARIZE, -1, signal=8), signal=0)

    message = broken(edit)
    assert "(store " in message
    assert "must be written before being read; nothing makes it wait for DRAIN instruction " in message


def test_a_missing_pair_leaves_a_replacement_unordered() -> None:
    def edit(instructions: list[Instruction]) -> None:
        index = next(i for i, instruction in enumerate(instructions) if instruction.wait == 2)
        signaller = next(i for i, instruction in enumerate(instructions) if instruction.signal & 1)
        put(instructions, index, wait=0)
        put(instructions, signaller, signal=instructions[signaller].signal & ~1)

    message = broken(edit)
    assert "(load " in message
    assert "must be read before being replaced; nothing makes it wait for ARRAY instruction " in message


def test_swapped_loads_and_users() -> None:
    def edit(instructions: list[Instruction]) -> None:
        index = find(instructions, Opcode.MATMUL)
        instructions.insert(0, instructions.pop(index))
        instructions.insert(1, instructions.pop(index + 1))

    assert "wait for LOAD must be for an earlier signal, not instruction " in broken(edit)


def test_a_wait_for_a_later_signal() -> None:
    def edit(instructions: list[Instruction]) -> None:
        index = find(instructions, Opcode.STORE)
        instructions[index - 1], instructions[index] = instructions[index], instructions[index - 1]

    assert "wait for DRAIN must be for an earlier signal, not instruction " in broken(edit)


def test_a_line_that_was_never_written() -> None:
    message = broken(edit_operand(Opcode.MATMUL, activation_line=5))
    assert "activation lines 5-7 must be written before being read, not empty" in message


def test_a_bank_that_was_never_written() -> None:
    def edit(instructions: list[Instruction]) -> None:
        index = find(instructions, Opcode.LOAD)
        put(instructions, index, segment_beats=3)

    assert "activation lines 0-2 must be written before being read, not empty" in broken(edit)


def test_a_fence_orders_everything() -> None:
    instructions: list[Instruction] = []
    for instruction in good().instructions[:-1]:
        instructions.append(with_operands(instruction, wait=0, signal=0))
        if instruction.opcode is not Opcode.MATMUL:
            instructions.append(FENCE)
    check(changed(good(), [*instructions, HALT]))

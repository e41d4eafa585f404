"""A program that is good, and what breaks it: one thing changed at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from hw.arch import Accelerator
from hw.isa import Instruction, Opcode
from hw.program import Program
from mapping.checker import check
from mapping.errors import CheckError
from mapping.mapper import map_layer
from mapping.tiling import Tiling
from tests.mapping.cases import changed, layer_and_activations, with_operands

SMALL = Accelerator(
    name="small",
    rows=2,
    columns=2,
    word_bits=8,
    port_bits=8,
    activation_lines=8,
    weight_lines=12,
    threshold_lines=4,
    output_lines=4,
)
TILING = Tiling(1, 1, 1, 2, 2, 3, 4, 2)

Edit = Callable[[list[Instruction]], object]


@functools.cache
def good() -> Program:
    """Return a program that replaces items in every buffer, 5 x 24 x 10 in tiles of 2 x 2."""
    layer, activations = layer_and_activations(1, 5, 24, 10)
    return map_layer(SMALL, layer, activations, tiling=TILING).program


def find(instructions: list[Instruction], opcode: Opcode, number: int = 0, **operands: int) -> int:
    """Return the index of the numbered instruction of an opcode with some operands; -1 is the last."""
    found = [
        index
        for index, instruction in enumerate(instructions)
        if instruction.opcode is opcode and all(getattr(instruction, n) == v for n, v in operands.items())
    ]
    return found[number]


def put(instructions: list[Instruction], index: int, **operands: int) -> None:
    """Change operands or masks of one instruction."""
    instructions[index] = with_operands(instructions[index], **operands)


def broken(edit: Edit) -> str:
    """Return the message with which the edited program is refused."""
    instructions = list(good().instructions)
    edit(instructions)
    with pytest.raises(CheckError) as caught:
        check(changed(good(), instructions))
    message = str(caught.value)
    assert message.startswith("program: ") and "\n" not in message
    return message


def edit_operand(opcode: Opcode, number: int = 0, where: dict[str, int] | None = None, **operands: int) -> Edit:
    """Return an edit that changes one instruction's operands."""
    return lambda instructions: put(instructions, find(instructions, opcode, number, **(where or {})), **operands)

"""Networks and accelerators on which whole programs are checked, and what breaks such a program."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence

import pytest

from hw.arch import Accelerator, AcceleratorError
from hw.isa import Instruction, Opcode
from hw.program import Program
from mapping.checker import check
from mapping.errors import CheckError
from mapping.whole.mapper import map_network
from model.network import Network
from model.synthetic_network import random_network
from tests.mapping.cases import changed

SMALL = Accelerator(
    name="small",
    rows=4,
    columns=4,
    word_bits=16,
    sum_bits=12,
    drain_rows=2,
    code_bits=2,
    activation_lines=48,
    weight_lines=64,
    key_lines=64,
    threshold_lines=16,
    output_lines=8,
    vector_lanes=8,
    sum_lines=32,
    fixed_lines=64,
    scale_lines=64,
    level_lines=32,
    row_lanes=4,
    score_lines=16,
    score_slots=2,
    table_lines=64,
    token_lines=8,
    word_lines=32,
    embedding_lines=64,
    classes=4,
    port_bits=32,
)
VOCABULARY = 50

_SKETCH = {"layers": 1, "width": 20, "heads": 2, "inner": 24, "feed_forward": "plain", "stack": 1, "ternary": False}
_SKETCH |= {"members": 2, "shared": False, "vote": "soft", "classes": 3, "vocabulary": VOCABULARY, "types": 2}
_SKETCH |= {"limit": 16, "pooler": False, "bits": 1}
KINDS: dict[str, dict[str, object]] = {
    "mean": {"attention_bits": 1, "attention": "row", "pooling": "mean"},
    "first": {"attention_bits": 2, "attention": "row", "pooling": "first"},
    "head": {"attention_bits": 1, "attention": "head", "pooling": "first"},
    "hard": {"attention_bits": 1, "attention": "row", "pooling": "mean", "vote": "hard", "members": 3},
}
TYPES = (0, 0, 1, 1, 1, 0)

Edit = Callable[[list[Instruction]], object]


@functools.cache
def network(kind: str) -> Network:
    """Return a network of one layer."""
    return random_network(3, **_SKETCH | KINDS[kind])


@functools.cache
def whole(kind: str, accelerator: Accelerator = SMALL, types: tuple[int, ...] = TYPES) -> Program:
    """Return the program of a network."""
    return map_network(accelerator, network(kind), types).program


def refusal(program: Program, instructions: Sequence[Instruction]) -> str:
    """Return the message with which a program with other instructions is refused."""
    with pytest.raises(CheckError) as caught:
        check(changed(program, list(instructions)))
    message = str(caught.value)
    assert message.startswith("program: ")
    assert "\n" not in message
    return message


def broken(kind: str, edit: Edit) -> str:
    """Return the message with which an edited program is refused."""
    instructions = list(whole(kind).instructions)
    edit(instructions)
    return refusal(whole(kind), instructions)


def numbers(instructions: Sequence[Instruction], opcode: Opcode, **operands: int) -> list[int]:
    """Return the indices of the instructions of an opcode with some operands."""
    return [
        index
        for index, instruction in enumerate(instructions)
        if instruction.opcode is opcode and all(getattr(instruction, n) == v for n, v in operands.items())
    ]


def any_accelerator(source: random.Random) -> Accelerator:
    """Return a random legal accelerator with all units."""
    while True:
        rows, columns = source.choice([1, 2, 4, 8]), source.choice([1, 2, 4, 8, 16])
        try:
            return Accelerator(
                rows=rows,
                columns=columns,
                word_bits=source.choice([8, 16, 32, 64]),
                sum_bits=source.choice([14, 16, 18]),
                drain_rows=source.choice([d for d in (1, 2, 4, 8) if d <= min(rows, columns)]),
                code_bits=source.choice([1, 2, 4]),
                activation_lines=source.choice([128, 512, 2048]),
                weight_lines=source.choice([64, 256, 2048]),
                key_lines=source.choice([256, 512, 4096]),
                threshold_lines=source.choice([128, 512]),
                output_lines=source.choice([8, 64]),
                vector_lanes=source.choice([1, 2, 4, 8, 16, 32]),
                sum_lines=source.choice([512, 4096]),
                fixed_lines=source.choice([4096, 8192]),
                scale_lines=source.choice([512, 2048]),
                level_lines=source.choice([512, 2048]),
                row_lanes=source.choice([1, 2, 4, 8, 16, 32]),
                score_lines=source.choice([64, 256, 2048]),
                score_slots=source.choice([1, 2, 3]),
                table_lines=source.choice([256, 1024]),
                token_lines=source.choice([16, 64]),
                word_lines=source.choice([256, 1024]),
                embedding_lines=source.choice([1024, 8192]),
                classes=source.choice([7, 16]),
                port_bits=source.choice([8, 16, 32, 64, 128]),
                queue_depth=source.choice([1, 2, 4, 8]),
            )
        except AcceleratorError:
            continue

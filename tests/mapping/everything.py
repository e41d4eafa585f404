"""A program by hand in which every instruction of the machine stands with all that it can do, and what breaks it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction, Opcode, Source, SumsDestination, make
from hw.program import Program, Region
from mapping.checker import check
from mapping.errors import CheckError
from tests.mapping.cases import with_operands
from tests.sim.programs import FENCE, HALT, binarize, load, matmul, store, sums, table, vector

TINY = Accelerator(
    name="tiny",
    rows=4,
    columns=4,
    word_bits=16,
    sum_bits=12,
    drain_rows=2,
    code_bits=4,
    activation_lines=32,
    weight_lines=8,
    key_lines=16,
    threshold_lines=4,
    output_lines=4,
    vector_lanes=8,
    sum_lines=8,
    fixed_lines=32,
    scale_lines=48,
    level_lines=4,
    row_lanes=4,
    score_lines=16,
    score_slots=2,
    table_lines=16,
    token_lines=4,
    word_lines=16,
    embedding_lines=32,
    classes=4,
    port_bits=32,
)
READ, WRITE, CODE = 0, 4096, 8192

Steps = dict[str, Instruction]
Edit = Callable[[Steps], object]

_LOADS = {
    "activation": load(row_beats=4, segment_beats=16),
    "weight": load(buffer=Buffer.WEIGHT, row_beats=4, segment_beats=16),
    "threshold": load(buffer=Buffer.THRESHOLD, row_beats=2, segment_beats=8),
    "scale": load(buffer=Buffer.SCALE, row_beats=16, segment_beats=128),
    "level": load(buffer=Buffer.LEVEL, row_beats=16, segment_beats=64),
    "table": load(buffer=Buffer.TABLE, segment_beats=16),
    "token": load(buffer=Buffer.TOKEN, segment_beats=4),
    "word": load(buffer=Buffer.WORD, gather=1, token=1, row_beats=2, segments=4, segment_beats=2, stride=3),
    "embedding": load(buffer=Buffer.EMBEDDING, row_beats=4, segment_beats=96),
}
_SHAPE = {"rows": 4, "column_groups": 2}
_KEYS = {"keys": 1, "handover": 1, "weight_stride": 2, "weight_line": 0}
_PLAIN = {"unsigned": 1, "plain": 1, "activation_planes": 2, "activation_plane_stride": 1, "words": 1}
_SCORE = {"destination": SumsDestination.SCORE, "output_stride": 2, "spare": 2}
_SOFTMAX = {"score_line": 0, "code_line": 16, "code_plane_stride": 1, "keys": 6, "rows": 4, "slot": 1}
_SOFTMAX |= {"table_line": 0, "last_entry": 9, "multiplier": 1, "shift": 0, "planes": 2, "level_line": 8}
_CLASSIFY = {"source_line": 24, "scale_line": 3, "output_line": 0, "classes": 3, "shift": 0, "channels": 16}
_CLASSIFY |= {"vote_shift": 0, "vote": 0, "first": 1, "multiplier": 1, "bound": 1, "swing": 1 << 37}


def everything() -> Steps:
    """Return the instructions by name, without what orders them."""
    keyed = {"rows": 6, "column_groups": 1}
    wide = {"source": Source.FIXED, "channels": 16, "rows": 4, "scale": 1}
    pair = {"source": Source.FIXED, "channels": 16, "keep": 1, "add_line": 24}
    return dict(_LOADS) | {
        "embed": vector(source=Source.EMBEDDING, keep=1, statistics=1, add_line=0, scale_line=8, typed=1, **_ROWS),
        "normalise": vector(**wide, normalise=1, keep=1, sets=3, code_line=8, code_line_1=9, code_line_2=10),
        "add": vector(**wide, add=1, keep=1, fixed_line=8),
        "key product": matmul(handover=1, activation_line=0, activation_stride=1, **keyed),
        "key": binarize(destination=2, output_stride=2, **keyed),
        "key product 2": matmul(handover=1, activation_line=8, **_SHAPE),
        "key 2": binarize(destination=2, output_line=8, output_bank=0, spare=1, **_SHAPE),
        "value product": matmul(handover=1, activation_line=9, **_SHAPE),
        "value": binarize(destination=2, transpose=1, output_line=10, output_stride=1, shared=1, **_SHAPE),
        "score product": matmul(activation_line=8, pad=12, **_KEYS, **_SHAPE),
        "score": sums(slot=1, **_SCORE, **_SHAPE),
        "softmax": make(Opcode.SOFTMAX, **_SOFTMAX),
        "context product": matmul(
            **_PLAIN, **_KEYS | {"weight_line": 10, "weight_stride": 1}, activation_line=16, **_SHAPE
        ),
        "context": binarize(destination=1, output_line=18, output_group=0, **_SHAPE),
        "context product 2": matmul(handover=1, activation_line=10, **_SHAPE),
        "context 2": binarize(destination=1, output_line=18, output_group=2, **_SHAPE),
        "sums product": matmul(handover=1, activation_line=18, rows=4, column_groups=4),
        "sums": sums(output_stride=2, rows=4, column_groups=4),
        "quantize": vector(source=Source.SUMS, scale=1, sets=1, planes=2, code_line=20, code_line_1=1, **_ROWS),
        "planes product": matmul(
            unsigned=1,
            handover=1,
            activation_negative=1,
            activation_planes=2,
            activation_plane_stride=1,
            activation_line=20,
        ),
        "output": binarize(),
        "store": store(address=WRITE),
        "mean": make(Opcode.MEAN, source_line=8, fixed_line=24, multiplier=1 << 14, channels=16, shift=16, rows=4),
        "multiply": vector(**pair, scale=1, multiply=1, shift=9, source_line=24, fixed_line=26),
        "maximum": vector(**pair, add=1, maximum=1, source_line=26, fixed_line=28),
        "pieces": load(buffer=Buffer.SCALE, row_beats=16, segment_beats=512, line=16),
        "function": table(source_line=28, fixed_line=24, table_line=16, channels=16, shift=4),
        "classify": make(Opcode.CLASSIFY, **_CLASSIFY),
        "store logits": store(address=WRITE + 16, row_beats=3, segment_beats=3),
        "exit": make(Opcode.EXIT),
        "classify 2": make(Opcode.CLASSIFY, **_CLASSIFY | {"first": 0}),
        "store logits 2": store(address=WRITE + 32, row_beats=3, segment_beats=3),
    }


_ROWS = {"rows": 4, "channels": 16}


def program(instructions: list[Instruction], chosen: Accelerator = TINY) -> Program:
    """Return a program on 4096 bytes to read and 4096 to write."""
    code = b"".join(instruction.encode() for instruction in instructions)
    regions = (
        Region("data", READ, 4096, "read"),
        Region("results", WRITE, 4096, "write"),
        Region("program", CODE, len(code), "program"),
    )
    return Program(chosen, tuple(instructions), CODE, regions, bytes(CODE) + code)


def fenced(steps: Steps, without: tuple[str, ...] = ()) -> list[Instruction]:
    """Return the instructions with a FENCE behind each one but the MATMULs and those named."""
    result: list[Instruction] = []
    for name, instruction in steps.items():
        result.append(instruction)
        if instruction.opcode is not Opcode.MATMUL and name not in without:
            result.append(FENCE)
    return [*result, HALT]


def refusal(instructions: list[Instruction], chosen: Accelerator = TINY) -> str:
    """Return the message with which a program is refused."""
    with pytest.raises(CheckError) as caught:
        check(program(instructions, chosen))
    message = str(caught.value)
    assert message.startswith("program: ")
    assert "\n" not in message
    return message


def broken(edit: Edit, chosen: Accelerator = TINY) -> str:
    """Return the message with which the edited program is refused."""
    steps = everything()
    edit(steps)
    return refusal(fenced(steps), chosen)


def changing(name: str, **operands: int) -> Edit:
    """Return an edit that changes operands of one instruction."""

    def edit(steps: Steps) -> None:
        steps[name] = with_operands(steps[name], **operands)

    return edit


def changing_both(product: str, drain: str, **operands: int) -> Edit:
    """Return an edit that changes the shape of a MATMUL and of what takes it."""

    def edit(steps: Steps) -> None:
        changing(product, **operands)(steps)
        changing(drain, **operands)(steps)

    return edit


def without(*names: str) -> Edit:
    """Return an edit that leaves instructions out."""

    def edit(steps: Steps) -> None:
        for name in names:
            del steps[name]

    return edit


def renamed(region: str, **changes: object) -> Program:
    """Return the good program with one region changed."""
    good = program(fenced(everything()))
    regions = tuple(dataclasses.replace(r, **changes) if r.name == region else r for r in good.regions)
    return dataclasses.replace(good, regions=regions)

"""The step counter of the vector unit against loops over rows, slices and planes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.vector_steps import VectorCounter
from hw.isa import Opcode
from tests.hw.gateware.clockwork import check, drive, instruction, seeded, simulate, simulate_with_resets
from tests.hw.gateware.counters import compare, walk
from tests.hw.gateware.vectors import DEFAULTS, Operands, random_operands

ACCELERATORS = {
    "lanes = columns": Accelerator(rows=4, columns=4, vector_lanes=4, drain_rows=2),
    "fewer lanes": Accelerator(rows=5, columns=8, vector_lanes=2, drain_rows=3, code_bits=4),
    "more lanes": Accelerator(rows=3, columns=2, vector_lanes=16, word_bits=8, port_bits=8, code_bits=8),
    "one lane": Accelerator(rows=1, columns=1, vector_lanes=1, word_bits=1, port_bits=8),
    "most": Accelerator(rows=64, columns=64, vector_lanes=128, drain_rows=64, code_bits=2),
    "words": Accelerator(rows=3, columns=4, vector_lanes=4, drain_rows=2, token_lines=2),
    "words of one slice": Accelerator(rows=4, columns=4, vector_lanes=16, word_bits=8, port_bits=8, token_lines=2),
}


def any_vector(a: Accelerator, random: Random) -> tuple[Opcode, Operands]:
    return Opcode.VECTOR, random_operands(a, random)


@pytest.mark.parametrize("advance_rate", [1.0, 0.5])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_counter_equals_its_twin(name: str, advance_rate: float) -> None:
    a, random = ACCELERATORS[name], seeded("vector steps", name, advance_rate)
    dut = VectorCounter(a)

    async def process(ctx: Any) -> None:
        assert await compare(ctx, dut, a, any_vector, random, 500, advance_rate) > 0

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    a, random = ACCELERATORS["fewer lanes"], seeded("vector steps reset")
    dut = VectorCounter(a)

    async def part(ctx: Any) -> None:
        await compare(ctx, dut, a, any_vector, random, random.randrange(3, 40), 0.8)

    simulate_with_resets(dut, 15, part)


VECTOR = DEFAULTS | {"source": 0, "source_line": 100, "fixed_line": 200, "add_line": 300, "scale_line": 400}
VECTOR |= {"level_line": 500, "code_line": 600, "code_line_1": 700, "code_line_2": 800, "code_group": 3}


def test_rows_and_slices_by_hand() -> None:
    """Three rows of 11 channels: slices of 4, in lines of 8 sums of two banks; a line of codes has 8 slices."""
    a = Accelerator(rows=3, columns=8, vector_lanes=4, drain_rows=2)
    assert (a.sum_line_sums, a.line_slices) == (8, 8)
    sums = [(100, 0, 0), (100, 0, 1), (101, 0, 0), (100, 1, 0), (100, 1, 1), (101, 1, 0)]
    sums += [(102, 0, 0), (102, 0, 1), (103, 0, 0)]
    expected = []
    for index, (line, bank, piece) in enumerate(sums):
        r, q = divmod(index, 3)
        step = {"row": r, "row_end": q == 2, "source_line": line, "bank": bank, "piece": piece}
        step |= {"fixed_line": 200 + index, "add_line": 300 + index, "scale_line": 400 + q, "level_line": 500 + q}
        step |= {"code_lines": 600 | 700 << 16 | 800 << 32, "position": 3 + q} | ({"rest": 3} if q == 2 else {})
        expected.append(step)
    dut = VectorCounter(a)

    async def process(ctx: Any) -> None:
        await walk(ctx, dut, Opcode.VECTOR, VECTOR | {"rows": 3, "channels": 11}, expected)
        from_fixed = [step | {"source_line": 100 + index} for index, step in enumerate(expected)]
        await walk(ctx, dut, Opcode.VECTOR, VECTOR | {"rows": 3, "channels": 11, "source": 1}, from_fixed)

    simulate(dut, process)


def test_words_and_types_by_hand() -> None:
    """Two rows of nine slices: eight fill a line of words, and so a word has three lines with its scale."""
    a = Accelerator(rows=3, columns=4, vector_lanes=4, token_lines=2)
    assert a.word_line_slices == 8
    expected = []
    for r in range(2):
        for q in range(9):
            step = {"word_line": 100 + 3 * r, "bits_line": 101 + 3 * r + q // 8, "bits_piece": q % 8, "from_text": 1}
            step |= {"type_line": 400 + q + 9 * r, "add_line": 300 + q + 9 * r, "fixed_line": 200 + q + 9 * r}
            expected.append(step)
    dut = VectorCounter(a)

    async def process(ctx: Any) -> None:
        await walk(ctx, dut, Opcode.VECTOR, VECTOR | {"rows": 2, "channels": 35, "source": 2, "typed": 1}, expected)
        plain = [step | {"type_line": 400 + index % 9} for index, step in enumerate(expected)]
        await walk(ctx, dut, Opcode.VECTOR, VECTOR | {"rows": 2, "channels": 35, "source": 2}, plain)

    simulate(dut, process)


def test_planes_by_hand() -> None:
    """Each slice makes a step for each plane, `code_line_1` lines further, from the highest bit on."""
    a = Accelerator(rows=2, columns=4, vector_lanes=4, code_bits=4, port_bits=16)
    assert a.line_slices == 4
    expected = []
    for r in range(2):
        for q in range(2):
            for u in range(3):
                line = 600 + 700 * u + (3 + q) // 4
                step = {"row": r, "row_end": q, "scale_line": 400 + q, "plane_bit": 2 - u, "position": (3 + q) % 4}
                step |= {"code_lines": line | (700 + (3 + q) // 4) << 16 | (800 + (3 + q) // 4) << 32}
                expected.append(step | {"fixed_line": 200 + 2 * r + q})
    dut = VectorCounter(a)

    async def process(ctx: Any) -> None:
        planes = {"rows": 2, "channels": 8, "scale": 1, "sets": 1, "planes": 3}
        await walk(ctx, dut, Opcode.VECTOR, VECTOR | planes, expected)

    simulate(dut, process)


def test_nothing_moves_without_advance_and_nothing_is_accepted_while_blocked() -> None:
    dut = VectorCounter(Accelerator(vector_lanes=4))

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.VECTOR, **VECTOR, rows=1, channels=1), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        for _ in range(3):
            check(ctx, dut, {"step.valid": 1, "step.end": 1, "issue.can_accept": 0, "step.source_line": 100})
            await ctx.tick()
        drive(ctx, dut, {"advance": 1})
        check(ctx, dut, {"issue.can_accept": 1})
        drive(ctx, dut, {"blocked": 1})
        check(ctx, dut, {"issue.can_accept": 0})
        await ctx.tick()
        check(ctx, dut, {"step.valid": 0, "issue.can_accept": 0})
        drive(ctx, dut, {"blocked": 0})
        check(ctx, dut, {"issue.can_accept": 1})

    simulate(dut, process)

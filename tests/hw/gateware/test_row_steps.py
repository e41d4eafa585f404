"""The step counter of the row unit against loops over passes, rows, slices and planes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.row_steps import RowCounter
from hw.isa import Opcode
from tests.hw.gateware.clockwork import check, drive, instruction, seeded, simulate, simulate_with_resets
from tests.hw.gateware.softmaxes import DEFAULTS, Outputs, random_operands, steps_of

ACCELERATORS = {
    "lanes = columns": Accelerator(rows=4, columns=4, row_lanes=4, drain_rows=2),
    "fewer lanes": Accelerator(rows=5, columns=8, row_lanes=2, drain_rows=3, code_bits=4, score_slots=3),
    "more lanes": Accelerator(rows=3, columns=2, row_lanes=16, word_bits=8, port_bits=8, code_bits=8),
    "one lane": Accelerator(rows=1, columns=1, row_lanes=1, word_bits=1, port_bits=8, score_slots=1),
    "most": Accelerator(rows=64, columns=64, row_lanes=128, drain_rows=64, code_bits=2, score_slots=16),
}


async def compare(ctx: Any, dut: RowCounter, a: Accelerator, random: Random, cycles: int, advance_rate: float) -> int:
    """Run the counter beside the steps that it must make. Return how many instructions have finished.

    The last step of a first pass leaves some cycles behind.
    """
    steps: list[Outputs] = []
    leaves, begins = -1, 0
    finished, levels = 0, 0
    for cycle in range(cycles):
        softmax = random_operands(a, random)
        advance = int(random.random() < advance_rate)
        shown = steps[0] if steps and cycle >= begins else {}
        accepts = not steps or bool(advance and shown.get("end"))
        issued = int(accepts and random.random() < 0.8)
        drive(ctx, dut, {"issue.head": instruction(Opcode.SOFTMAX, **softmax), "issue.issued": issued})
        drive(ctx, dut, {"advance": advance, "passed": cycle == leaves})
        expected = {"issue.can_accept": accepts, "step.valid": bool(shown), "waiting": bool(steps and not shown)}
        check(ctx, dut, expected | {f"step.{name}": value for name, value in shown.items()}, cycle)
        if cycle == leaves:
            begins = cycle + 8 + levels
        if shown and advance:
            if shown["pass_end"]:
                leaves, begins = cycle + random.randint(1, 9), 1 << 30
            finished += shown["end"]
            steps = steps[1:]
        await ctx.tick()
        if issued:
            steps, begins, levels = list(steps_of(a, softmax)), 0, 2 ** softmax["planes"] - 1
            check(ctx, dut, {"level_line": softmax["level_line"], "levels": levels})
    drive(ctx, dut, {"issue.issued": 0, "passed": 0})
    return finished


@pytest.mark.parametrize("advance_rate", [1.0, 0.5])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_counter_equals_its_twin(name: str, advance_rate: float) -> None:
    a, random = ACCELERATORS[name], seeded("row steps", name, advance_rate)
    dut = RowCounter(a)

    async def process(ctx: Any) -> None:
        assert await compare(ctx, dut, a, random, 1000, advance_rate) > 0

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    a, random = ACCELERATORS["fewer lanes"], seeded("row steps reset")
    dut = RowCounter(a)

    async def part(ctx: Any) -> None:
        await compare(ctx, dut, a, random, random.randrange(3, 60), 0.8)

    simulate_with_resets(dut, 20, part)


SOFTMAX = DEFAULTS | {"score_line": 100, "code_line": 600, "code_group": 3, "code_plane_stride": 50}


async def walk(ctx: Any, dut: RowCounter, passes: list[list[Outputs]], levels: int, **operands: int) -> None:
    """Issue a SOFTMAX and see these steps, and no others, from the next cycle on."""
    drive(
        ctx, dut, {"issue.head": instruction(Opcode.SOFTMAX, **(SOFTMAX | operands)), "issue.issued": 1, "advance": 1}
    )
    check(ctx, dut, {"step.valid": 0, "waiting": 0, "issue.can_accept": 1}, "issued in t")
    await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0})
    for second, steps in enumerate(passes):
        for index, step in enumerate(steps):
            last = index == len(steps) - 1
            ends = {"step.end": last and second, "step.pass_end": last and not second, "step.second": second}
            accepts = {"issue.can_accept": last and second, "waiting": 0}
            check(ctx, dut, {"step.valid": 1} | ends | accepts | step, (second, index))
            await ctx.tick()
        for cycle in range(0 if second else 3 + 8 + levels):
            check(ctx, dut, {"step.valid": 0, "waiting": 1, "issue.can_accept": 0}, cycle)
            drive(ctx, dut, {"passed": cycle == 3})
            await ctx.tick()
        drive(ctx, dut, {"passed": 0})
    check(ctx, dut, {"step.valid": 0, "waiting": 0, "issue.can_accept": 1})


def test_rows_and_slices_by_hand() -> None:
    """Three rows of 11 keys: slices of 4, in lines of 8 scores of two banks; a line of codes has 8 slices."""
    a = Accelerator(rows=3, columns=8, row_lanes=4, drain_rows=2)
    assert (a.score_line_sums, a.line_row_slices) == (8, 8)
    places = [(100, 0, 0), (100, 0, 1), (101, 0, 0), (100, 1, 0), (100, 1, 1), (101, 1, 0)]
    places += [(102, 0, 0), (102, 0, 1), (103, 0, 0)]
    expected = []
    for index, (line, bank, piece) in enumerate(places):
        r, q = divmod(index, 3)
        step = {"row": r, "row_end": q == 2, "score_line": line, "bank": bank, "piece": piece, "whole": q < 2}
        step |= {"maximum_line": 2 + r // 2, "code_line": 600, "position": 3 + q} | ({"rest": 3} if q == 2 else {})
        expected.append({f"step.{name}": value for name, value in step.items()})
    dut = RowCounter(a)

    async def process(ctx: Any) -> None:
        for _ in range(2):
            await walk(ctx, dut, [expected, expected], 1, rows=3, keys=11, slot=1)

    simulate(dut, process)


def test_planes_and_steps_without_keys_by_hand() -> None:
    """Six keys in slices of 4, codes of two bits: the first pass has three steps, the second one two for each slice."""
    a = Accelerator(rows=2, columns=4, row_lanes=4, code_bits=4, port_bits=16)
    assert a.line_row_slices == 4
    first = [
        {"step.row": r, "step.row_end": q == 2, "step.whole": q == 0, "step.score_line": 100 + 2 * r + min(q, 1)}
        | ({"step.rest": [0, 2, 0][q]} if q else {})
        for r in range(2)
        for q in range(3)
    ]
    second = [
        {"step.row": r, "step.row_end": q and u, "step.score_line": 100 + 2 * r + q, "step.plane_bit": 1 - u}
        | {"step.code_line": 600 + 50 * u + (3 + q) // 4, "step.position": (3 + q) % 4, "step.levels": 3}
        for r in range(2)
        for q in range(2)
        for u in range(2)
    ]
    dut = RowCounter(a)

    async def process(ctx: Any) -> None:
        await walk(ctx, dut, [first, second], 3, rows=2, keys=6, planes=2)

    simulate(dut, process)


def test_as_many_keys_as_there_can_be() -> None:
    """1,024 keys and one lane: a step for each of them, in both passes."""
    a = ACCELERATORS["one lane"]
    steps = [{f"step.{n}": value for n, value in step.items()} for step in steps_of(a, SOFTMAX | {"keys": 1024})]
    dut = RowCounter(a)

    async def process(ctx: Any) -> None:
        await walk(ctx, dut, [steps[:1024], steps[1024:]], 1, keys=1024)

    simulate(dut, process)

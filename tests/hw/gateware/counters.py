"""The step counters of the vector unit beside loops, and along steps that are written down by hand."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from hw.arch import Accelerator
from hw.isa import Opcode
from tests.hw.gateware.clockwork import check, drive, instruction
from tests.hw.gateware.vectors import Operands, Outputs, steps_of
from tests.hw.gateware.votes import STEPS

AnyInstruction = Callable[[Accelerator, Random], tuple[Opcode, Operands]]


async def compare(
    ctx: Any, dut: Any, a: Accelerator, any_instruction: AnyInstruction, random: Random, cycles: int, rate: float
) -> int:
    """Run a counter beside the steps that it must make. Return how many instructions have finished."""
    steps: list[Outputs] = []
    finished = 0
    for cycle in range(cycles):
        code, operands = any_instruction(a, random)
        advance, blocked = int(random.random() < rate), int(random.random() < 0.2)
        ends = not steps or bool(advance and steps[0]["end"])
        issued = int(ends and not blocked and random.random() < 0.8)
        drive(ctx, dut, {"issue.head": instruction(code, **operands), "issue.issued": issued})
        drive(ctx, dut, {"advance": advance, "blocked": blocked})
        expected = {"issue.can_accept": ends and not blocked, "step.valid": bool(steps)}
        expected |= {f"step.{name}": value for name, value in steps[0].items()} if steps else {}
        check(ctx, dut, expected, cycle)
        finished += int(bool(steps) and ends)
        steps = list(STEPS.get(code, steps_of)(a, operands)) if issued else steps[advance:]
        await ctx.tick()
        if issued and code is Opcode.VECTOR:
            check(ctx, dut, {name: operands[name] for name in ("channels", "epsilon")})
    drive(ctx, dut, {"issue.issued": 0})
    return finished


async def walk(ctx: Any, dut: Any, code: Opcode, operands: Operands, expected: list[Outputs]) -> None:
    """Issue an instruction and see these steps, and no others, from the next cycle on."""
    drive(ctx, dut, {"issue.head": instruction(code, **operands), "issue.issued": 1, "advance": 1})
    check(ctx, dut, {"step.valid": 0, "issue.can_accept": 1}, "issued in t")
    await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0})
    for index, step in enumerate(expected):
        last = index == len(expected) - 1
        fields = {f"step.{name}": value for name, value in ({"valid": 1, "end": last} | step).items()}
        check(ctx, dut, fields | {"issue.can_accept": last}, index)
        await ctx.tick()
    check(ctx, dut, {"step.valid": 0, "issue.can_accept": 1})

"""The logits against integers: any number of slices, ties, both ends of 32 bits, gaps and resets."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.gateware.logits import LATENCY, LogitSums
from tests.hw.gateware.clockwork import drive, seeded, simulate, simulate_with_resets
from tests.hw.gateware.members import any_logit, logit_of

Class = tuple[list[list[tuple[int, int]]], int]


def any_class(random: Random, lanes: int) -> Class:
    """Return slices of numbers and weights, and a bias."""
    slices = random.choice([1, 1, 2, random.randint(1, 5)])
    extreme = random.random() < 0.3
    products = [
        [
            (random.choice([-32768, 32767]), random.choice([-128, 127]))
            if extreme
            else (random.randint(-32768, 32767), random.randint(-128, 127))
            for _ in range(lanes)
        ]
        for _ in range(slices)
    ]
    return products, any_logit(random)


async def run(
    ctx: Any, dut: LogitSums, classes: list[Class], shift: int, random: Random, gaps: float, limit: int
) -> int:
    """Give classes, and see each logit LATENCY cycles behind its bias. Return how many have come."""
    lanes = len(classes[0][0][0])
    steps = []
    for products, bias in classes:
        steps += [(int(index == 0), part, None) for index, part in enumerate(products)]
        steps.append((0, [(random.getrandbits(15), random.getrandbits(7))] * lanes, bias))
    expected: dict[int, int] = {}
    made = (logit_of([x * w for part in products for x, w in part], bias, shift) for products, bias in classes)
    came = 0
    drive(ctx, dut, {"shift": shift})
    for cycle in range(limit):
        valid = bool(steps) and random.random() >= gaps
        drive(ctx, dut, {"valid": int(valid), "last": random.getrandbits(1), "begins": random.getrandbits(1)})
        if valid:
            begins, part, bias = steps.pop(0)
            for lane, (x, w) in enumerate(part):
                ctx.set(dut.values[lane], x)
                ctx.set(dut.weights[lane], w)
            drive(ctx, dut, {"begins": begins, "last": int(bias is not None), "bias": bias or 0})
            if bias is not None:
                expected[cycle + LATENCY] = next(made)
        assert ctx.get(dut.done) == (cycle in expected)
        if cycle in expected:
            assert ctx.get(dut.logit) == expected[cycle]
            came += 1
        await ctx.tick()
    drive(ctx, dut, {"valid": 0})
    return came


@pytest.mark.parametrize("gaps", [0, 0.4])
@pytest.mark.parametrize("shift", [0, 1, 9, 31])
@pytest.mark.parametrize("lanes", [1, 2, 8, 32])
def test_classes_of_any_size(lanes: int, shift: int, gaps: float) -> None:
    random, dut = seeded("logits", lanes, shift, gaps), LogitSums(lanes)
    classes = [any_class(random, lanes) for _ in range(40)]

    async def process(ctx: Any) -> None:
        assert await run(ctx, dut, classes, shift, random, gaps, 400) == 40

    simulate(dut, process)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums(sign: int) -> None:
    """4,096 channels at their ends, a bias at its end: a logit saturates, or is shifted into range."""
    random, dut = seeded("largest logits", sign), LogitSums(64)
    x, w = -32768, -128 if sign > 0 else 127
    bias = (1 << 31) - 1 if sign > 0 else -(1 << 31)
    classes: list[Class] = [([[(x, w)] * 64] * 64, bias)] * 2

    async def process(ctx: Any) -> None:
        for shift in (0, 2, 3, 4):
            assert await run(ctx, dut, classes, shift, random, 0, 140) == 2

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    random, dut = seeded("logits reset"), LogitSums(2)

    async def part(ctx: Any) -> None:
        await run(ctx, dut, [any_class(random, 2) for _ in range(9)], 3, random, 0.2, random.randrange(4, 30))

    simulate_with_resets(dut, 15, part)

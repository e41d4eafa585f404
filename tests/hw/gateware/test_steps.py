"""The step counter against loops over tiles, pairs of planes and words."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.steps import PairCounter, StepCounter
from hw.isa import Opcode
from tests.hw.gateware.clockwork import check, drive, instruction, seeded, simulate, simulate_with_resets
from tests.hw.gateware.matmuls import Outputs, pairs_of, random_matmul, steps_of

ACCELERATORS = [
    Accelerator(rows=4, columns=4, word_bits=16, port_bits=64),
    Accelerator(rows=3, columns=2, word_bits=32, port_bits=32),
    Accelerator(rows=1, columns=1, word_bits=1, port_bits=256, pipeline=0),
    Accelerator(rows=64, columns=1, word_bits=128, port_bits=8),
    Accelerator(rows=4, columns=4, word_bits=16, port_bits=32, code_bits=8, key_lines=4),
    Accelerator(rows=3, columns=2, word_bits=8, port_bits=8, code_bits=2),
]


async def compare(ctx: Any, dut: StepCounter, a: Accelerator, random: Random, cycles: int, advance_rate: float) -> int:
    """Run the counter beside the steps that it must make. Return how many instructions have finished."""
    steps: list[Outputs] = []
    finished = 0
    for cycle in range(cycles):
        matmul = random_matmul(a, random)
        advance = int(random.random() < advance_rate)
        accepts = not steps or bool(advance and steps[0]["step.end"])
        issued = int(accepts and random.random() < 0.8)
        drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **matmul), "issue.issued": issued})
        drive(ctx, dut, {"advance": advance})
        state = {"active": bool(steps), "issue.can_accept": accepts, "step.valid": bool(steps)}
        check(ctx, dut, state | (steps[0] if steps else {}), cycle)
        finished += int(bool(steps) and accepts)
        steps = list(steps_of(a, matmul)) if issued else steps[advance:]
        await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0})
    return finished


@pytest.mark.parametrize("advance_rate", [1.0, 0.5])
@pytest.mark.parametrize("index", range(len(ACCELERATORS)))
def test_counter_equals_its_twin(index: int, advance_rate: float) -> None:
    a, random = ACCELERATORS[index], seeded("counter", index, advance_rate)
    dut = StepCounter(a)

    async def process(ctx: Any) -> None:
        assert await compare(ctx, dut, a, random, 800, advance_rate) > 0

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    a, random = ACCELERATORS[0], seeded("steps reset")
    dut = StepCounter(a)

    async def part(ctx: Any) -> None:
        await compare(ctx, dut, a, random, random.randrange(3, 40), 0.8)

    simulate_with_resets(dut, 15, part)


LINES = {"activation_line": 10, "weight_line": 20, "activation_stride": 100, "weight_stride": 50}
MATMUL = {"unsigned": 0, "first": 1, "handover": 1, "pad": 3, "words": 3, "rows": 5, "column_groups": 2} | LINES


def test_order_by_hand() -> None:
    a = Accelerator(rows=4, word_bits=16, port_bits=32)
    dut = StepCounter(a)

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **MATMUL), "issue.issued": 1, "advance": 1})
        check(ctx, dut, {"active": 0, "issue.can_accept": 1}, "issued in t")
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        expected = [
            *[(10, 20, 0, 4), (10, 20, 1, 4), (11, 21, 0, 4), (10, 70, 0, 4), (10, 70, 1, 4), (11, 71, 0, 4)],
            *[(110, 20, 0, 1), (110, 20, 1, 1), (111, 21, 0, 1), (110, 70, 0, 1), (110, 70, 1, 1), (111, 71, 0, 1)],
        ]
        for index, (activation, weight, word, rows) in enumerate(expected):
            step = {"activation_line": activation, "weight_line": weight, "word": word, "step.rows": rows}
            step |= {"step.first": index % 3 == 0, "step.hand_over": index % 3 == 2, "step.end": index == 11}
            check(ctx, dut, step | {"active": 1, "issue.can_accept": index == 11}, "the first step is in t+1")
            await ctx.tick()
        check(ctx, dut, {"active": 0, "step.valid": 0, "issue.can_accept": 1})

    simulate(dut, process)


def test_nothing_moves_without_advance() -> None:
    dut = StepCounter(Accelerator())

    async def process(ctx: Any) -> None:
        single = MATMUL | {"words": 1, "rows": 1, "column_groups": 1}
        drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **single), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        for _ in range(4):
            check(ctx, dut, {"active": 1, "issue.can_accept": 0, "step.end": 1, "activation_line": 10})
            await ctx.tick()
        drive(ctx, dut, {"advance": 1})
        check(ctx, dut, {"issue.can_accept": 1})

    simulate(dut, process)


ORDERS = {
    (1, 1): [(0, 0)],
    (2, 1): [(0, 0), (1, 0)],
    (1, 2): [(0, 0), (0, 1)],
    (4, 1): [(0, 0), (1, 0), (2, 0), (3, 0)],
    (1, 4): [(0, 0), (0, 1), (0, 2), (0, 3)],
    (2, 2): [(0, 0), (1, 0), (0, 1), (1, 1)],
    (4, 2): [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (3, 0), (2, 1), (3, 1)],
    (2, 4): [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)],
    (4, 4): [
        *[(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)],
        *[(3, 1), (2, 2), (1, 3), (3, 2), (2, 3), (3, 3)],
    ],
}


@pytest.mark.parametrize("planes", ORDERS, ids=str)
def test_order_of_pairs_by_hand(planes: tuple[int, int]) -> None:
    dut, order = PairCounter(Accelerator(code_bits=4)), ORDERS[planes]

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"activation_planes": planes[0], "weight_planes": planes[1]})
        drive(ctx, dut, {"activation_stride": 100, "weight_stride": 7})
        for lap in range(3):
            for index, (u, v) in enumerate(order):
                fresh = index > 0 and sum(order[index - 1]) < u + v
                expected = {"first": index == 0, "last": index == len(order) - 1, "double": fresh}
                expected |= {"pair.activation": u, "pair.weight": v}
                expected |= {"pair.activation_line": 100 * u, "pair.weight_line": 7 * v}
                after = order[(index + 1) % len(order)]
                expected |= {"following.activation_line": 100 * after[0], "following.weight_line": 7 * after[1]}
                for advance in (0, 1):
                    drive(ctx, dut, {"advance": advance})
                    check(ctx, dut, expected, (lap, index))
                    await ctx.tick()

    simulate(dut, process)


def test_every_number_of_planes_has_each_pair_once() -> None:
    for p in range(1, 9):
        for q in range(1, 9):
            pairs = pairs_of(p, q)
            assert sorted(pairs) == [(u, v) for u in range(p) for v in range(q)]
            assert [sum(pair) for pair in pairs] == sorted(sum(pair) for pair in pairs)


def test_planes_by_hand() -> None:
    a = Accelerator(rows=4, word_bits=16, port_bits=32, code_bits=2)
    dut = StepCounter(a)
    planes = {"activation_planes": 2, "weight_planes": 2, "activation_plane_stride": 3, "weight_plane_stride": 4}
    planes |= {"unsigned": 1, "plain": 1, "pad": 0, "activation_negative": 1, "rows": 4}

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **(MATMUL | planes)), "issue.issued": 1})
        drive(ctx, dut, {"advance": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        step = 0
        for base in (20, 70):
            for activation, weight, double, negative in [(10, 0, 0, 1), (13, 0, 1, 0), (10, 4, 0, 1), (13, 4, 1, 0)]:
                for k, (line, word) in enumerate([(0, 0), (0, 1), (1, 0)]):
                    expected = {"activation_line": activation + line, "weight_line": base + weight + line, "word": word}
                    expected |= {"step.double": double and k == 0, "step.negative": negative}
                    expected |= {"step.first": step % 12 == 0, "step.hand_over": step % 12 == 11}
                    expected["step.end"] = step == 23
                    check(ctx, dut, expected, step)
                    step += 1
                    await ctx.tick()
        check(ctx, dut, {"active": 0})

    simulate(dut, process)

"""The step counters of MEAN, CLASSIFY and TABLE, and of all four instructions together, against loops."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.vector_kinds import StepCounter
from hw.isa import Opcode
from tests.hw.gateware.clockwork import seeded, simulate, simulate_with_resets
from tests.hw.gateware.counters import compare, walk
from tests.hw.gateware.vectors import Operands, Outputs, random_operands

ACCELERATORS = {
    "four lanes": Accelerator(rows=4, columns=4, vector_lanes=4, drain_rows=2, token_lines=2, classes=1024),
    "two lanes": Accelerator(rows=5, columns=8, vector_lanes=2, drain_rows=3, code_bits=4, classes=20),
    "one lane": Accelerator(rows=1, columns=1, vector_lanes=1, word_bits=1, port_bits=8, classes=1),
    "no vote": Accelerator(rows=3, columns=2, vector_lanes=16, word_bits=8, port_bits=8),
}


def any_instruction(a: Accelerator, random: Random) -> tuple[Opcode, Operands]:
    far = random.choice([0, 65535, random.randrange(65536)])
    place = {"source_line": random.choice([far, random.randrange(64)]), "shift": random.randrange(25)}
    place["channels"] = random.choice([1, a.vector_lanes, a.vector_lanes + 1, random.randint(1, 5 * a.vector_lanes)])
    code = random.choice([Opcode.VECTOR, Opcode.MEAN, Opcode.TABLE, *([Opcode.CLASSIFY] if a.classes else [])])
    if code is Opcode.TABLE:
        lines = {name: random.choice([far, random.randrange(64)]) for name in ("fixed_line", "table_line")}
        return code, place | lines | {"rows": random.choice([1, 2, random.randint(1, 7)])}
    if code is Opcode.MEAN:
        mean = {"fixed_line": random.choice([far, 5]), "multiplier": random.getrandbits(15)}
        return code, place | mean | {"rows": random.choice([1, 2, random.randint(1, 20)])}
    if code is Opcode.CLASSIFY:
        vote = dict.fromkeys(("vote_shift", "vote", "multiplier", "output_line"), 0)
        classes = random.choice([1, 7, 8, 9, 16, 17, random.randint(1, 20)])
        return code, place | vote | {"classes": min(classes, a.classes), "scale_line": random.choice([far, 3])}
    return code, random_operands(a, random)


@pytest.mark.parametrize("rate", [1.0, 0.5])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_counter_equals_its_twin(name: str, rate: float) -> None:
    a, random = ACCELERATORS[name], seeded("kinds", name, rate)
    dut = StepCounter(a)

    async def process(ctx: Any) -> None:
        assert await compare(ctx, dut, a, any_instruction, random, 1200, rate) > 15

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    a, random = ACCELERATORS["two lanes"], seeded("kinds reset")
    dut = StepCounter(a)

    async def part(ctx: Any) -> None:
        await compare(ctx, dut, a, any_instruction, random, random.randrange(3, 40), 0.8)

    simulate_with_resets(dut, 15, part)


def test_a_mean_by_hand() -> None:
    """Three rows of two slices of four lanes: a row is two lines, and the last of three steps writes."""
    dut = StepCounter(ACCELERATORS["four lanes"])
    mean = {"source_line": 10, "fixed_line": 30, "multiplier": 21845, "shift": 16, "channels": 5, "rows": 3}
    lines = [(10, 30), (12, 30), (14, 30), (11, 31), (13, 31), (15, 31)]
    expected = [{"source_line": s, "fixed_line": f, "keep": s in (14, 15)} for s, f in lines]

    async def process(ctx: Any) -> None:
        await walk(ctx, dut, Opcode.MEAN, mean, expected)

    simulate(dut, process)


def test_a_table_by_hand() -> None:
    """Two rows of six channels on four lanes: a line is written with the fourth step and the second one after it."""
    dut = StepCounter(ACCELERATORS["four lanes"])
    table = {"source_line": 65534, "fixed_line": 30, "table_line": 7, "shift": 8, "channels": 6, "rows": 2}
    expected = []
    for index, source_line in enumerate((65534, 65535, 0, 1)):
        last = index % 2
        for lane in range(2 if last else 4):
            step = {"source_line": source_line, "fixed_line": 30 + index, "scale_line": 7, "shift": 8, "lane": lane}
            step |= {"keep": lane == (1 if last else 3), "row_end": last} | ({"rest": 2} if last else {})
            expected.append(step)
    assert len(expected) == 12

    async def process(ctx: Any) -> None:
        await walk(ctx, dut, Opcode.TABLE, table, expected)

    simulate(dut, process)


def test_the_largest_table() -> None:
    """64 rows, more than the array has, of a slice and a channel."""
    dut = StepCounter(ACCELERATORS["no vote"])
    table = {"source_line": 0, "fixed_line": 0, "table_line": 0, "shift": 0, "channels": 17, "rows": 64}
    lines = [line for row in range(64) for line in [2 * row] * 16 + [2 * row + 1]]

    async def process(ctx: Any) -> None:
        await walk(ctx, dut, Opcode.TABLE, table, [{"source_line": line, "fixed_line": line} for line in lines])

    simulate(dut, process)


def test_a_classify_by_hand() -> None:
    """Nine classes of two slices: two blocks of two lines of weights, and behind them nine lines with a bias."""
    dut = StepCounter(ACCELERATORS["four lanes"])
    classify = {"source_line": 10, "scale_line": 50, "output_line": 0, "classes": 9, "shift": 0, "channels": 8}
    classify |= {"vote_shift": 0, "vote": 0, "multiplier": 0}
    expected: list[Outputs] = []
    for k in range(9):
        first = 52 if k == 8 else 50
        expected += [{"source_line": 10 + q, "scale_line": first + q, "weight": k % 8, "bias": 0} for q in (0, 1)]
        expected.append({"scale_line": 54 + k, "bias": 1})

    async def process(ctx: Any) -> None:
        await walk(ctx, dut, Opcode.CLASSIFY, classify, expected)

    simulate(dut, process)

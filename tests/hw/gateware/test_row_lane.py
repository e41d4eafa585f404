"""A lane of the row unit against integers: index, entry and bit of each score."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.row_lane import LATENCY, RowLane
from tests.hw.gateware.clockwork import check, drive, seeded, simulate
from tests.hw.gateware.rows import round_shift

ACCELERATORS = {
    "one plane": Accelerator(row_lanes=4),
    "narrow": Accelerator(row_lanes=1, code_bits=2, sum_bits=4, rows=1, columns=1, word_bits=1, port_bits=8),
    "wide": Accelerator(row_lanes=4, code_bits=4, sum_bits=31, port_bits=256),
    "codes of a byte": Accelerator(row_lanes=4, code_bits=8, sum_bits=20, port_bits=64),
}
Operands = dict[str, int]
#: The stage in which each operand is used.
STAGES = {"score": 1, "maximum": 1, "multiplier": 2, "shift": 3, "last_entry": 3, "table_line": 3, "table": 4}
STAGES |= {"counts": 4, "limits": 5, "plane_bit": 5}


def any_step(a: Accelerator, random: Random) -> Operands:
    high = (1 << a.sum_bits - 1) - 1
    maximum = random.choice([high, 0, random.randint(-high - 1, high)])
    score = random.choice([-high - 1, maximum, max(maximum - random.randrange(99), -high - 1)])
    bits = min(a.code_bits, 4)
    table = random.getrandbits(a.table_line_bits)
    near = table >> 16 * random.randrange(a.table_line_bits // 16) & 0xFFFF
    limits = sorted(
        random.choice([0, 1, 65535, 65536, near, near + 1, random.randrange(65537)]) for _ in range(2**bits - 1)
    )
    return {
        "score": score,
        "maximum": maximum,
        "multiplier": random.choice([0, 1, 65535, random.randrange(65536)]),
        "shift": random.choice([0, 1, 31, random.randrange(32)]),
        "last_entry": random.choice([0, 1, 65535, random.randrange(65536)]),
        "table_line": random.choice([0, 65535, random.randrange(65536)]),
        "table": table,
        "counts": int(random.random() < 0.8),
        "limits": sum(limit << 17 * k for k, limit in enumerate(limits)),
        "plane_bit": random.randrange(bits),
    }


def results_of(a: Accelerator, step: Operands) -> dict[str, tuple[int, int]]:
    """Return what is shown of a step, and in which stage."""
    distance = step["maximum"] - step["score"]
    index = min(round_shift(distance * step["multiplier"], step["shift"]), step["last_entry"])
    offset, piece = divmod(index, a.table_line_bits // 16)
    entry = (step["table"] >> 16 * piece & 0xFFFF) * step["counts"]
    limits = [step["limits"] >> 17 * k & 0x1FFFF for k in range(2 ** min(a.code_bits, 4) - 1)]
    code = sum(entry >= limit for limit in limits)
    bit = code >> step["plane_bit"] & step["counts"]
    return {"line": (3, (step["table_line"] + offset) % 65536), "entry": (5, entry), "bit": (6, bit)}


def inputs_of(a: Accelerator, stages: list[Operands]) -> Operands:
    """Return what stands on the inputs while these steps are in the stages 1 to 5."""
    names = [name for name in STAGES if a.code_bits > 1 or name != "plane_bit"]
    return {name: stages[STAGES[name] - 1][name] for name in names}


@pytest.mark.parametrize("advance_rate", [1.0, 0.6])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_lane_equals_its_twin(name: str, advance_rate: float) -> None:
    a, random = ACCELERATORS[name], seeded("row lane", name, advance_rate)
    dut = RowLane(a)

    async def process(ctx: Any) -> None:
        stages = [any_step(a, random) for _ in range(LATENCY + 1)]
        for cycle in range(1500):
            advance = int(random.random() < advance_rate)
            inputs = inputs_of(a, stages if advance else [any_step(a, random) for _ in stages])
            if not advance:
                inputs |= {name: inputs_of(a, stages)[name] for name in ("shift", "last_entry", "table_line")}
            sums = {name: inputs[name] % (1 << a.sum_bits) for name in ("score", "maximum")}
            drive(ctx, dut, inputs | sums | {"advance": advance})
            for port, stage in (("line", 3), ("entry", 5), ("bit", 6)):
                if cycle > 30:
                    assert results_of(a, stages[stage - 1])[port] == (stage, int(ctx.get(getattr(dut, port)))), cycle
            if advance:
                stages = [any_step(a, random), *stages[:-1]]
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize(
    ("distance", "multiplier", "shift", "last_entry", "index"),
    [
        (3, 1, 1, 999, 2),
        (2, 1, 1, 999, 1),
        (0, 65535, 0, 999, 0),
        (7, 0, 0, 999, 0),
        (7, 0, 31, 999, 0),
        (255, 65535, 0, 65535, 65535),
        (255, 32897, 0, 65535, 65535),
        (255, 65535, 31, 65535, 0),
        (255, 65535, 24, 65535, 1),
        (5, 3, 0, 15, 15),
        (5, 3, 0, 14, 14),
        (5, 3, 0, 0, 0),
    ],
)
def test_index_by_hand(distance: int, multiplier: int, shift: int, last_entry: int, index: int) -> None:
    """With two entries in a line the index shows in the line and in the piece. Stage 6 comes five cycles later.

    255 * 32897 is 2^23 + 127: the highest bit alone says that it is beyond the last entry.
    """
    dut = RowLane(Accelerator(row_lanes=1, sum_bits=8, word_bits=8))

    async def process(ctx: Any) -> None:
        operands = {"multiplier": multiplier, "shift": shift, "last_entry": last_entry, "table_line": 9, "counts": 1}
        operands |= {"score": -128 % 256, "maximum": (distance - 128) % 256, "table": 40000 << 16 | 50000}
        drive(ctx, dut, operands | {"limits": 45000, "advance": 1})
        for cycle in range(LATENCY + 1):
            if cycle == 2:
                check(ctx, dut, {"line": (9 + index // 2) % 65536})
            if cycle == 4:
                check(ctx, dut, {"entry": 40000 if index % 2 else 50000})
            if cycle == 5:
                check(ctx, dut, {"bit": index % 2 == 0})
            await ctx.tick()

    simulate(dut, process)

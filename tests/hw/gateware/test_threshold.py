"""The threshold unit against integers: sums at, just below and just above their thresholds, and where the bits go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.arch import Accelerator
from hw.gateware.threshold import ThresholdUnit
from hw.isa import Opcode
from tests.hw.gateware.clockwork import check, drive, fold, instruction, seeded, simulate

ACCELERATORS = {
    "default": Accelerator(),
    "partial groups": Accelerator(rows=5, columns=2, drain_rows=3, sum_bits=8),
    "32-bit entries": Accelerator(rows=3, columns=8, drain_rows=3, sum_bits=20, port_bits=64),
    "widest sums": Accelerator(rows=1, columns=1, word_bits=1, sum_bits=31, port_bits=8),
    "narrowest sums": Accelerator(rows=4, columns=16, word_bits=1, sum_bits=4, drain_rows=2, port_bits=32),
    "16 bits in 32": Accelerator(rows=2, columns=4, sum_bits=16, port_bits=256),
}
Operands = dict[str, int]


@dataclass
class Group:
    """One group of drain rows: what the drain register shows, and what must come of it."""

    sums: list[list[int]]
    corrections: list[int]
    entries: list[int]
    threshold_line: int
    release: int
    end: int
    banks: int
    write_line: int
    position: int
    bits: list[int] = field(default_factory=list)


def threshold_of(a: Accelerator, random: Random) -> int:
    low, high = -(1 << a.sum_bits - 1), (1 << a.sum_bits - 1) - 1
    return random.choice([low, low + 1, -1, 0, 1, high - 1, high, random.randint(low, high), random.randint(-5, 5)])


def entry_of(a: Accelerator, threshold: int, polarity: int, random: Random) -> int:
    """Return a threshold as it stands in memory; the bits between sum and polarity do not matter."""
    spare = a.threshold_entry_bits - 1 - a.sum_bits
    return threshold % (1 << a.sum_bits) | random.getrandbits(spare) << a.sum_bits | polarity << a.sum_bits + spare


def sum_near(a: Accelerator, threshold: int, correction: int, random: Random) -> int:
    """Return the number of matches that brings D = 2*sum - correction to a threshold, to a neighbour, or to an end."""
    target = threshold + random.choice([-2, -1, 0, 1, 2])
    if random.random() < 0.2:
        target = random.choice([-correction, correction, 0, random.randint(-a.max_inputs, a.max_inputs)])
    total = (target + correction) // 2
    return max(0, min(total, (a.max_inputs + correction) // 2, (1 << a.count_bits) - 1))


def groups_of(a: Accelerator, binarize: Operands, random: Random) -> Iterator[Group]:
    """Make the groups of a BINARIZE, in the order of docs/machine.md, section 2."""
    rows, columns = binarize["rows"], binarize["column_groups"]
    for m in range(-(-rows // a.rows)):
        valid = min(a.rows, rows - m * a.rows)
        for n in range(columns):
            for start in range(0, valid, a.drain_rows):
                yield group_of(a, binarize, (m, n, start, valid), random)


def group_of(a: Accelerator, binarize: Operands, place: tuple[int, int, int, int], random: Random) -> Group:
    m, n, start, valid = place
    thresholds = [threshold_of(a, random) for _ in range(a.columns)]
    polarities = [random.getrandbits(1) for _ in range(a.columns)]
    corrections = [random.choice([0, 1, a.max_inputs, random.randint(0, a.max_inputs)]) for _ in range(a.drain_rows)]
    sums = [[sum_near(a, threshold, c, random) for threshold in thresholds] for c in corrections]
    released = start + a.drain_rows >= valid
    last_tile = n == binarize["column_groups"] - 1 and (m + 1) * a.rows >= binarize["rows"]
    p = binarize["output_group"] + n
    group = Group(
        sums=sums,
        corrections=corrections,
        entries=[entry_of(a, t, s, random) for t, s in zip(thresholds, polarities, strict=True)],
        threshold_line=(binarize["threshold_line"] + n) % 65536,
        release=int(released),
        end=int(released and last_tile),
        banks=sum(1 << row for row in range(start, min(valid, start + a.drain_rows))),
        write_line=(binarize["output_line"] + m * binarize["output_stride"] + p // a.output_line_groups) % 65536,
        position=p % a.output_line_groups,
    )
    for index in range(a.drain_rows):
        fires = [2 * s - corrections[index] >= t for s, t in zip(sums[index], thresholds, strict=True)]
        word = sum((fire ^ polarity) << c for c, (fire, polarity) in enumerate(zip(fires, polarities, strict=True)))
        group.bits.append(word if start + index < valid else 0)
    return group


def shown_by_drain(a: Accelerator, group: Group | None, random: Random) -> int:
    """Return the drain register's rows as one number; noise while there is no tile."""
    width = a.count_bits * a.columns + a.sum_bits
    if group is None:
        return random.getrandbits(width * a.drain_rows)
    rows = 0
    for index, (sums, correction) in enumerate(zip(group.sums, group.corrections, strict=True)):
        row = sum(total << a.count_bits * c for c, total in enumerate(sums)) | correction << a.count_bits * a.columns
        rows |= row << width * index
    return rows


def written(a: Accelerator, group: Group | None) -> dict[str, int]:
    """Return what the unit writes for a group that it took two cycles ago."""
    if group is None:
        return {"write_banks": 0, "words.valid": 0, "words.end": 0}
    data = sum(bits << a.columns * index for index, bits in enumerate(group.bits))
    place = {"write_banks": group.banks, "write_line": group.write_line, "write_position": group.position}
    return place | {"write_data": data, "words.valid": 1, "words.end": group.end, "words.fold": fold(data)}


def random_binarize(a: Accelerator, random: Random) -> Operands:
    far = random.choice([0, 1, 65535, random.randrange(65536)])
    return {
        "threshold_line": random.choice([far, random.randrange(64)]),
        "output_line": random.choice([far, random.randrange(64)]),
        "output_group": random.choice([0, 1, a.output_line_groups - 1, random.randrange(65536)]),
        "output_stride": random.choice([0, 1, 3, far]),
        "rows": random.choice([1, a.rows, a.rows + 1, random.randint(1, 3 * a.rows)]),
        "column_groups": random.choice([1, 2, random.randint(1, 2 * a.output_line_groups + 1)]),
    }


async def compare(ctx: Any, dut: ThresholdUnit, a: Accelerator, random: Random, cycles: int, full: float) -> int:
    """Run the unit beside the list of groups that it must take. Return how many instructions have retired."""
    groups: list[Group] = []
    past: list[Group | None] = [None] * 3
    entries, retired = 0, 0
    for cycle in range(cycles):
        binarize = random_binarize(a, random)
        group = groups[0] if groups and random.random() < full else None
        noise = int(not groups and random.random() < 0.5)
        accepts = not groups or bool(group and group.end)
        issued = int(accepts and random.random() < 0.8)
        drive(ctx, dut, {"issue.head": instruction(Opcode.BINARIZE, **binarize), "issue.issued": issued})
        drive(ctx, dut, {"drain.full": int(bool(group)) or noise, "drain.rows": shown_by_drain(a, group, random)})
        drive(ctx, dut, {"threshold.data": entries})
        expected = {"issue.can_accept": accepts, "active": bool(groups), "drain.take": group is not None}
        expected |= {"drain.release": bool(group and group.release), "threshold.enable": group is not None}
        expected |= {"threshold.line": group.threshold_line} if group else {}
        expected |= {"retire": bool(past[2] and past[2].end), **written(a, past[1])}
        check(ctx, dut, expected, cycle)
        retired += int(expected["retire"])
        if group:
            groups.pop(0)
            entries = sum(entry << a.threshold_entry_bits * c for c, entry in enumerate(group.entries))
        past = [group, *past[:2]]
        groups = list(groups_of(a, binarize, random)) if issued else groups
        await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0, "drain.full": 0})
    return retired


@pytest.mark.parametrize("full", [1.0, 0.4])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_unit_equals_its_twin(name: str, full: float) -> None:
    a, random = ACCELERATORS[name], seeded("threshold", name, full)
    dut = ThresholdUnit(a)

    async def process(ctx: Any) -> None:
        assert await compare(ctx, dut, a, random, 400, full) > 2

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    a, random = ACCELERATORS["partial groups"], seeded("threshold reset")
    dut, reset = ThresholdUnit(a), Signal()

    async def process(ctx: Any) -> None:
        for _ in range(15):
            await compare(ctx, dut, a, random, random.randrange(5, 40), 0.7)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)

    simulate(ResetInserter(reset)(dut), process)


BINARIZE = {"threshold_line": 9, "output_line": 5, "output_stride": 0, "rows": 1, "column_groups": 1}


@pytest.mark.parametrize("polarity", [0, 1])
@pytest.mark.parametrize("threshold", [-128, -127, -5, -1, 0, 1, 4, 126, 127])
def test_fires_exactly_from_its_threshold(threshold: int, polarity: int) -> None:
    a = Accelerator(rows=1, columns=1, word_bits=1, sum_bits=8, port_bits=8)
    dut = ThresholdUnit(a)

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"threshold.data": threshold % 256 | polarity << 15})
        drive(ctx, dut, {"issue.head": instruction(Opcode.BINARIZE, output_group=0, **BINARIZE)})
        for total in (threshold - 1, threshold, threshold + 1):
            if abs(total) > a.max_inputs:
                continue
            correction = 126 if total % 2 == 0 else 125
            drive(ctx, dut, {"issue.issued": 1})
            await ctx.tick()
            drive(ctx, dut, {"issue.issued": 0, "drain.full": 1})
            drive(ctx, dut, {"drain.rows": (total + correction) // 2 | correction << a.count_bits})
            check(ctx, dut, {"drain.take": 1, "threshold.enable": 1, "threshold.line": 9}, "taken in t")
            await ctx.tick()
            drive(ctx, dut, {"drain.full": 0, "drain.rows": 0})
            check(ctx, dut, {"write_banks": 0, "retire": 0}, "compared in t+1")
            await ctx.tick()
            check(ctx, dut, {"write_banks": 1, "write_data": int(total >= threshold) ^ polarity, "retire": 0}, total)
            await ctx.tick()
            check(ctx, dut, {"write_banks": 0, "retire": 1}, "retired in t+3")
            await ctx.tick()
            check(ctx, dut, {"retire": 0})

    simulate(dut, process)


def test_a_group_that_crosses_a_line_goes_to_the_next_one() -> None:
    a = Accelerator(rows=1, columns=4, port_bits=16, word_bits=16)
    assert a.output_line_groups == 4
    dut = ThresholdUnit(a)
    binarize = BINARIZE | {"output_group": 2, "column_groups": 4, "rows": 2, "output_stride": 10}

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.BINARIZE, **binarize), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0, "drain.full": 1})
        await ctx.tick().repeat(2)
        for place in [(5, 2), (5, 3), (6, 0), (6, 1), (15, 2), (15, 3), (16, 0), (16, 1)]:
            check(ctx, dut, {"write_banks": 1, "write_line": place[0], "write_position": place[1]}, place)
            await ctx.tick()

    simulate(dut, process)

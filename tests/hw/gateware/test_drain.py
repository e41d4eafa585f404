"""The drain unit against integers: sums at, just below and just above their thresholds, and where the bits go."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.drain import DrainUnit
from hw.gateware.groups import takes_sums
from hw.isa import Destination, Opcode, SumsDestination
from tests.hw.gateware.binarizes import (
    Group,
    Operands,
    Write,
    groups_of,
    random_binarize,
    random_sums,
    shown_by_drain,
    sums_of,
    words_of,
    written,
)
from tests.hw.gateware.clockwork import check, drive, instruction, seeded, seen, simulate, simulate_with_resets

ACCELERATORS = {
    "default": Accelerator(),
    "partial groups": Accelerator(rows=5, columns=2, drain_rows=3, sum_bits=8),
    "32-bit entries": Accelerator(rows=3, columns=8, drain_rows=3, sum_bits=20, port_bits=64),
    "widest sums": Accelerator(rows=1, columns=1, word_bits=1, sum_bits=31, port_bits=8),
    "narrowest sums": Accelerator(rows=4, columns=16, word_bits=1, sum_bits=4, drain_rows=2, port_bits=32),
    "16 bits in 32": Accelerator(rows=2, columns=4, sum_bits=16, port_bits=256),
    "fewer rows": Accelerator(rows=2, columns=8, drain_rows=2, port_bits=8, key_lines=4),
    "as many rows": Accelerator(rows=4, columns=4, drain_rows=2, port_bits=16, key_lines=4),
    "more rows": Accelerator(rows=8, columns=2, drain_rows=2, word_bits=4, port_bits=8, key_lines=4),
    "one row": Accelerator(rows=1, columns=4, key_lines=4, sum_bits=8),
    "one column": Accelerator(rows=4, columns=1, key_lines=4, word_bits=2, port_bits=8),
    "widest groups": Accelerator(rows=4, columns=4, drain_rows=4, word_bits=1, port_bits=8, key_lines=4),
    "fewer lanes": Accelerator(rows=5, columns=4, drain_rows=3, vector_lanes=2),
    "more lanes": Accelerator(rows=4, columns=2, drain_rows=2, sum_bits=31, key_lines=4, vector_lanes=16),
    "scores only": Accelerator(rows=5, columns=4, drain_rows=3, row_lanes=8),
    "scores and sums": Accelerator(rows=4, columns=2, drain_rows=2, key_lines=4, vector_lanes=4, row_lanes=8),
    "slots": Accelerator(rows=3, columns=8, row_lanes=2, vector_lanes=2, score_slots=16),
    "one of each and lanes": Accelerator(rows=1, columns=1, word_bits=1, sum_bits=9, port_bits=8, vector_lanes=4),
}


async def compare(ctx: Any, dut: DrainUnit, a: Accelerator, random: Random, cycles: int, full: float) -> int:
    """Run the unit beside the list of groups that it must take. Return how many instructions have retired."""
    groups: list[Group] = []
    past: list[Group | None] = [None] * 3
    entries, retired = 0, 0
    for cycle in range(cycles):
        code = random.choice([Opcode.BINARIZE, Opcode.SUMS]) if takes_sums(a) else Opcode.BINARIZE
        operands = random_sums(a, random) if code is Opcode.SUMS else random_binarize(a, random)
        group = groups[0] if groups and random.random() < full else None
        noise = int(not groups and random.random() < 0.5)
        accepts = not groups or bool(group and group.end)
        issued = int(accepts and random.random() < 0.8)
        drive(ctx, dut, {"issue.head": instruction(code, **operands), "issue.issued": issued})
        drive(ctx, dut, {"drain.full": int(bool(group)) or noise, "drain.rows": shown_by_drain(a, group, random)})
        drive(ctx, dut, {"threshold.data": entries})
        expected = {"issue.can_accept": accepts, "active": bool(groups), "drain.take": group is not None}
        expected |= {"drain.release": bool(group and group.release), "threshold.enable": group is not None}
        expected |= {"threshold.line": group.threshold_line} if group and not group.maxima else {}
        expected |= {"retire": bool(past[2] and past[2].end), **words_of(past[1])}
        check(ctx, dut, expected, cycle)
        for destination, writes in written(ctx, dut, a).items():
            assert writes == (past[1].writes if past[1] and past[1].destination == destination else []), cycle
        if past[1] and past[1].destination == "score":
            check(ctx, dut, {f"scores.{name}": value for name, value in past[1].maxima.items()}, cycle)
        retired += int(expected["retire"])
        if group:
            groups.pop(0)
            entries = sum(entry << a.threshold_entry_bits * c for c, entry in enumerate(group.entries))
        past = [group, *past[:2]]
        made = sums_of if code is Opcode.SUMS else groups_of
        groups = list(made(a, operands, random)) if issued else groups
        await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0, "drain.full": 0})
    return retired


@pytest.mark.parametrize("full", [1.0, 0.4])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_unit_equals_its_twin(name: str, full: float) -> None:
    a, random = ACCELERATORS[name], seeded("threshold", name, full)
    dut = DrainUnit(a)

    async def process(ctx: Any) -> None:
        assert await compare(ctx, dut, a, random, 400, full) > 2

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    a, random = ACCELERATORS["partial groups"], seeded("threshold reset")
    dut = DrainUnit(a)

    async def part(ctx: Any) -> None:
        await compare(ctx, dut, a, random, random.randrange(5, 40), 0.7)

    simulate_with_resets(dut, 15, part)


BINARIZE = {"threshold_line": 9, "output_line": 5, "output_stride": 0, "rows": 1, "column_groups": 1}


async def run_full(ctx: Any, dut: DrainUnit, a: Accelerator, **operands: int) -> dict[Destination, list[list[Write]]]:
    """Run a BINARIZE on tiles in which row r, column c fires where c = r modulo columns. Return its writes by cycle."""
    drive(ctx, dut, {"issue.head": instruction(Opcode.BINARIZE, **operands), "issue.issued": 1, "drain.full": 1})
    drive(ctx, dut, {"threshold.data": sum(1 << a.threshold_entry_bits * c for c in range(a.columns))})
    await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0})
    width, taken = a.count_bits * a.columns + a.sum_bits, 0
    result: dict[Destination, list[list[Write]]] = {}
    for _ in range(200):
        rows = [1 << a.count_bits * ((taken + index) % a.columns) for index in range(a.drain_rows)]
        drive(ctx, dut, {"drain.rows": sum(row << width * index for index, row in enumerate(rows))})
        taken = 0 if seen(ctx, dut, "drain.release") else taken + a.drain_rows * seen(ctx, dut, "drain.take")
        for destination, writes in written(ctx, dut, a).items():
            result.setdefault(destination, []).extend([writes] if writes else [])
        if seen(ctx, dut, "retire"):
            return result
        await ctx.tick()
    raise AssertionError("the instruction must retire")


@pytest.mark.parametrize("polarity", [0, 1])
@pytest.mark.parametrize("threshold", [-128, -127, -5, -1, 0, 1, 4, 126, 127])
def test_fires_exactly_from_its_threshold(threshold: int, polarity: int) -> None:
    a = Accelerator(rows=1, columns=1, word_bits=1, sum_bits=8, port_bits=8)
    dut = DrainUnit(a)

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
            check(ctx, dut, {"output.banks": 0, "retire": 0}, "compared in t+1")
            await ctx.tick()
            check(ctx, dut, {"output.banks": 1, "output.data": int(total >= threshold) ^ polarity, "retire": 0}, total)
            await ctx.tick()
            check(ctx, dut, {"output.banks": 0, "retire": 1}, "retired in t+3")
            await ctx.tick()
            check(ctx, dut, {"retire": 0})

    simulate(dut, process)


def test_a_group_that_crosses_a_line_goes_to_the_next_one() -> None:
    a = Accelerator(rows=1, columns=4, port_bits=16, word_bits=16)
    assert a.output_line_groups == 4
    dut = DrainUnit(a)
    binarize = BINARIZE | {"output_group": 2, "column_groups": 4, "rows": 2, "output_stride": 10}

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.BINARIZE, **binarize), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0, "drain.full": 1})
        await ctx.tick().repeat(2)
        for place in [(5, 2), (5, 3), (6, 0), (6, 1), (15, 2), (15, 3), (16, 0), (16, 1)]:
            check(ctx, dut, {"output.banks": 1, "output.line": place[0], "output.position": place[1]}, place)
            await ctx.tick()

    simulate(dut, process)


def keyed(rows: int, columns: int) -> Accelerator:
    return Accelerator(rows=rows, columns=columns, drain_rows=min(rows, 2), word_bits=8, port_bits=8, key_lines=4)


#: rows, columns of the array; operands; what is written in each cycle.
BY_HAND: dict[str, tuple[int, int, Operands, list[list[Write]]]] = {
    "rows < columns, from a bank in the middle to the next line": (
        *(2, 8, {"rows": 6, "output_bank": 4, "output_stride": 10, "output_group": 0}),
        [[(4, 5, 0, 1), (5, 5, 0, 2)], [(6, 5, 0, 1), (7, 5, 0, 2)], [(0, 15, 0, 1), (1, 15, 0, 2)]],
    ),
    "rows = columns, two column groups of two tiles, the last one partial": (
        *(4, 4, {"rows": 5, "column_groups": 2, "output_stride": 10, "output_group": 1}),
        [
            *[[(0, 5, 4, 1), (1, 5, 4, 2)], [(2, 5, 4, 4), (3, 5, 4, 8)]],
            *[[(0, 6, 0, 1), (1, 6, 0, 2)], [(2, 6, 0, 4), (3, 6, 0, 8)]],
            *[[(0, 15, 4, 1)], [(0, 16, 0, 1)]],
        ],
    ),
    "rows > columns, a tile on two lines for each of its column groups": (
        *(4, 2, {"rows": 7, "column_groups": 2, "output_stride": 10, "output_group": 2}),
        [
            *[[(0, 5, 4, 1), (1, 5, 4, 2)], [(0, 15, 4, 1), (1, 15, 4, 2)]],
            *[[(0, 5, 6, 1), (1, 5, 6, 2)], [(0, 15, 6, 1), (1, 15, 6, 2)]],
            *[[(0, 25, 4, 1), (1, 25, 4, 2)], [(0, 35, 4, 1)]],
            *[[(0, 25, 6, 1), (1, 25, 6, 2)], [(0, 35, 6, 1)]],
        ],
    ),
    "spare columns of the last column group only": (
        *(1, 4, {"rows": 1, "column_groups": 2, "output_group": 0, "spare": 3}),
        [[(0, 5, 0, 1)], [(0, 5, 4, 1)]],
    ),
    "all columns but one are spare": (4, 4, {"rows": 2, "output_group": 0, "spare": 3}, [[(0, 5, 0, 1), (1, 5, 0, 0)]]),
    "transposed: a full and a partial tile, the second in the middle of the line": (
        *(4, 2, {"rows": 7, "column_groups": 2, "transpose": 1, "output_stride": 10, "output_group": 0}),
        [
            *[[(0, 5, 0, 0b0101), (1, 5, 0, 0b1010)], [(0, 15, 0, 0b0101), (1, 15, 0, 0b1010)]],
            *[[(0, 5, 4, 0b0101), (1, 5, 4, 0b0010)], [(0, 15, 4, 0b0101), (1, 15, 4, 0b0010)]],
        ],
    ),
    "transposed: from one line to the next one, with a spare column": (
        *(4, 2, {"rows": 8, "transpose": 1, "output_stride": 10, "output_group": 3, "spare": 1}),
        [[(0, 6, 4, 0b0101), (1, 6, 4, 0)], [(0, 7, 0, 0b0101), (1, 7, 0, 0)]],
    ),
    "transposed: one row of a tile, after a full one": (
        *(2, 2, {"rows": 3, "transpose": 1, "output_group": 0}),
        [[(0, 5, 0, 1), (1, 5, 0, 2)], [(0, 5, 2, 1), (1, 5, 2, 0)]],
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_keys_by_hand(case: str) -> None:
    rows, columns, operands, expected = BY_HAND[case]
    a = keyed(rows, columns)
    dut = DrainUnit(a)

    async def process(ctx: Any) -> None:
        for _ in range(2):
            writes = await run_full(ctx, dut, a, **(BINARIZE | operands), destination=Destination.KEY)
            assert writes == {Destination.OUTPUT: [], Destination.ACTIVATION: [], Destination.KEY: expected}

    simulate(dut, process)


def test_activation_lines_may_hold_more_groups_than_output_lines() -> None:
    a = Accelerator(rows=16, columns=4, word_bits=8, port_bits=8, key_lines=4)
    assert (a.output_line_groups, a.line_groups) == (2, 4)
    dut = DrainUnit(a)

    async def process(ctx: Any) -> None:
        for destination, place in ((Destination.OUTPUT, (6, 4)), (Destination.ACTIVATION, (5, 12))):
            writes = await run_full(ctx, dut, a, **BINARIZE, output_group=3, destination=destination)
            assert writes == {d: [[(0, *place, 1)]] if d is destination else [] for d in Destination}

    simulate(dut, process)


def test_a_shared_threshold_line_serves_all_column_groups() -> None:
    dut = DrainUnit(Accelerator(rows=1))

    async def process(ctx: Any) -> None:
        for shared, lines in ((0, [9, 10, 11]), (1, [9, 9, 9])):
            binarize = BINARIZE | {"column_groups": 3, "output_group": 0, "shared": shared}
            drive(ctx, dut, {"issue.head": instruction(Opcode.BINARIZE, **binarize), "issue.issued": 1})
            await ctx.tick()
            drive(ctx, dut, {"issue.issued": 0, "drain.full": 1})
            for line in lines:
                check(ctx, dut, {"threshold.line": line, "threshold.enable": 1})
                await ctx.tick()

    simulate(dut, process)


def test_sums_by_hand() -> None:
    """Two groups of rows in two column groups, of which the second begins a line and has one valid column."""
    a = Accelerator(rows=4, columns=2, drain_rows=2, sum_bits=8, word_bits=8, vector_lanes=4)
    dut = DrainUnit(a)
    sums = {"output_line": 5, "output_group": 1, "output_stride": 10, "rows": 3, "column_groups": 2, "spare": 1}
    counts = [[(3, 4), (1, 0)], [(7, 2)], [(9, 50), (63, 50)], [(0, 50)]]
    expected = [
        [(0, 5, 2, 0x03_01), (1, 5, 2, 0xFB_FD)],
        [(0, 15, 2, 0xFF_09)],
        [(0, 6, 0, 0x0D), (1, 6, 0, 0x79)],
        [(0, 16, 0, 0xFB)],
    ]

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.SUMS, **sums), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0, "drain.full": 1})
        for cycle in range(7):
            rows = counts[cycle] if cycle < 4 else []
            row_bits = 2 * a.count_bits + a.sum_bits
            data = [first | second << 7 | 5 << 14 for first, second in rows]
            drive(ctx, dut, {"drain.rows": sum(row << row_bits * index for index, row in enumerate(data))})
            seen_now = written(ctx, dut, a)
            assert seen_now.pop("sums") == (expected[cycle - 2] if 2 <= cycle < 6 else []), "written in t+2"
            assert not any(seen_now.values()), "and nowhere else"
            check(ctx, dut, {"drain.take": cycle < 4, "drain.release": cycle in (1, 3), "retire": cycle == 6})
            await ctx.tick()

    simulate(dut, process)


def test_scores_by_hand() -> None:
    """Three rows in two groups, in slot 3 of an array of three groups; the second column group begins a line."""
    a = Accelerator(rows=6, columns=2, drain_rows=2, sum_bits=8, word_bits=8, row_lanes=4, score_slots=4)
    dut = DrainUnit(a)
    sums = {"destination": SumsDestination.SCORE, "slot": 3, "output_line": 5, "output_group": 1, "output_stride": 10}
    sums |= {"rows": 3, "column_groups": 2, "spare": 1}
    expected = [
        ([(0, 5, 2, 0xFB_FD), (1, 5, 2, 0xFB_FD)], 0b11, 1, 12),
        ([(0, 15, 2, 0xFB_FD)], 0b11, 1, 13),
        ([(0, 6, 0, 0xFD), (1, 6, 0, 0xFD)], 0b01, 0, 12),
        ([(0, 16, 0, 0xFD)], 0b01, 0, 13),
    ]

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.SUMS, **sums), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0, "drain.full": 1})
        row = 1 | 0 << 7 | 5 << 14
        drive(ctx, dut, {"drain.rows": row | row << 22})
        for cycle in range(7):
            seen_now = written(ctx, dut, a)
            writes, columns, first, line = expected[cycle - 2] if 2 <= cycle < 6 else ([], 0, 0, 0)
            assert seen_now.pop("score") == writes, "written in t+2"
            assert not any(seen_now.values()), "and nowhere else"
            if writes:
                found = {"scores.columns": columns, "scores.first": first, "scores.maximum_line": line}
                check(ctx, dut, found, cycle)
            check(ctx, dut, {"drain.take": cycle < 4, "retire": cycle == 6})
            await ctx.tick()

    simulate(dut, process)

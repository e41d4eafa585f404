"""TABLEs in the vector unit, among its other instructions: every number, every word and every cycle."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.isa import Opcode, Source
from tests.hw.gateware import test_votes
from tests.hw.gateware.clockwork import packed, seeded, seen, simulate, simulate_with_resets
from tests.hw.gateware.curves import SHIFTS, any_curve, beside_the_clamp, put_curves, tabled
from tests.hw.gateware.lockstep import compare, timeline
from tests.hw.gateware.test_votes import Silent, cycle_with_votes
from tests.hw.gateware.vector_unit import BLOCK, BLOCKS, random_tables, unit
from tests.hw.gateware.vectors import DEFAULTS, Operands, Tables
from tests.hw.gateware.votes import VotingTwin

ACCELERATORS = {
    "four lanes": Accelerator(rows=3, columns=4, vector_lanes=4, drain_rows=2, sum_bits=15, token_lines=2, classes=9),
    "codes": Accelerator(rows=4, columns=8, vector_lanes=2, drain_rows=3, sum_bits=31, code_bits=4),
    "one lane": Accelerator(rows=1, columns=1, vector_lanes=1, word_bits=1, sum_bits=20, port_bits=8, classes=1),
    "lines with spare entries": Accelerator(rows=2, columns=2, vector_lanes=2, word_bits=8, sum_bits=9, port_bits=256),
}


def tables_of(a: Accelerator, random: Random) -> Tables:
    """Return random tables with a function for each shift behind the scales, and numbers where they end."""
    tables = random_tables(a, random)
    for line in tables.fixed[::2]:
        line[random.randrange(a.vector_lanes)] = beside_the_clamp(random.choice(SHIFTS), random)
    put_curves(tables, {shift: any_curve(random) for shift in SHIFTS}, a.vector_lanes)
    return tables


def any_table(twin: VotingTwin, random: Random) -> tuple[Operands, int]:
    """Return a TABLE on a block, in place or to another one, and whether it waits for those before it."""
    own, lanes = int(random.random() < 0.5), twin.a.vector_lanes
    source = random.randrange(BLOCKS) if own else 0
    target = random.choice([block for block in range(1, BLOCKS) if block != source or own])
    channels = random.choice([1, lanes, lanes + 1, random.randint(1, 3 * lanes)])
    shift, line = random.choice(list(twin.tables.curves))
    table = {"opcode": Opcode.TABLE, "channels": channels, "rows": random.choice([1, random.randint(1, 6)])}
    table |= {"source_line": BLOCK * source, "fixed_line": BLOCK * target, "table_line": line, "shift": shift}
    return table, own


def any_instruction(twin: VotingTwin, random: Random) -> tuple[Operands, int]:
    return any_table(twin, random) if random.random() < 0.5 else test_votes.any_instruction(twin, random)


@pytest.mark.parametrize("taken_rate", [0.0, 0.5])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_unit_equals_its_twin(name: str, taken_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS[name], seeded("tables", name, taken_rate)
    dut = unit(a, monkeypatch)

    async def process(ctx: Any) -> None:
        twin = Silent(a, tables_of(a, random))
        rates = {"cycles": 900, "taken_rate": taken_rate}
        await compare(ctx, dut, twin, cycle_with_votes, any_instruction, random, **rates)
        assert len(twin.pulses) > 10

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS["four lanes"], seeded("tables reset")
    dut = unit(a, monkeypatch)

    async def part(ctx: Any) -> None:
        twin, cycles = Silent(a, tables_of(a, random)), random.randrange(5, 60)
        await compare(ctx, dut, twin, cycle_with_votes, any_instruction, random, cycles=cycles, taken_rate=0.3)

    simulate_with_resets(dut, 10, part)


SMALL = Accelerator(rows=2, columns=2, vector_lanes=2, word_bits=8, sum_bits=9, drain_rows=2)
TABLE = {"opcode": Opcode.TABLE, "source_line": 0, "fixed_line": 40, "table_line": 0, "shift": 8, "rows": 1}
STEP = DEFAULTS | {"source": Source.FIXED, "source_line": 0, "channels": 2, "rows": 1, "keep": 1}


def events_of(
    monkeypatch: pytest.MonkeyPatch, program: list[tuple[int, Operands]], taken: set[int]
) -> dict[str, list[int]]:
    random = seeded("timeline")
    tables = random_tables(SMALL, random)
    tables.scales = []
    put_curves(tables, {8: any_curve(random)}, 2)
    return timeline(unit(SMALL, monkeypatch), Silent(SMALL, tables), cycle_with_votes, program, taken)


def test_cycles_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows of three channels in slices of two: a step for each, entered from 1 on, a line with each last lane."""
    events = events_of(monkeypatch, [(0, TABLE | {"channels": 3, "rows": 2}), (0, STEP)], set())
    assert events["issued"] == [0, 6]
    assert events["enters"] == [1, 2, 3, 4, 5, 6, 7]
    assert events["fixed"] == events["word"] == [8, 9, 11, 12, 13]
    assert events["pulse"] == [13, 14]
    assert events["stands"] == []


def test_a_table_of_one_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    events = events_of(monkeypatch, [(3, TABLE | {"channels": 1}), (0, TABLE | {"channels": 1})], set())
    happens = {"issued": [3, 4], "enters": [4, 5], "fixed": [10, 11], "word": [10, 11], "pulse": [11, 12]}
    assert events == happens | {"stands": [], "codes": []}


def test_a_table_behind_codes_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The VECTOR's only step has two sets, which are written in 9 and 11; the steps behind it stand with it."""
    program = [(0, STEP | {"sets": 2}), (0, TABLE | {"channels": 4})]
    events = events_of(monkeypatch, program, {7, 8, 10})
    assert events["issued"] == [0, 1]
    assert events["codes"] == [9, 11]
    assert events["stands"] == [7, 8, 9, 10]
    assert events["fixed"] == [11, 13, 15]
    assert events["pulse"] == [12, 16]


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("shift", SHIFTS)
def test_the_function_of_the_definition(shift: int, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends of 16 bits and of the function, in place: 17 channels, so that the last slice of a row is one lane."""
    a, random = SMALL.replace(vector_lanes=lanes), seeded("function", shift, lanes)
    dut, curve, tables = unit(a, monkeypatch), any_curve(random), Tables([], [], [], [[[(0, 0)] * 3] * lanes], [], [])
    put_curves(tables, {shift: curve}, lanes)
    length = 1 << shift
    ends = [-32768, 32767, -128 * length - 1, -128 * length, 128 * length - 1, 128 * length, 0, -1, length - 1, -length]
    slices = -(-17 // lanes)
    rows = [[min(max(random.choice([*ends, random.randint(-32768, 32767)]), -32768), 32767) for _ in range(17)]
            for _ in range(3)]  # fmt: skip
    for row in rows:
        row[:10] = [min(max(end, -32768), 32767) for end in ends]
        padded = row + [-77] * (slices * lanes - 17)
        tables.fixed += [padded[first : first + lanes] for first in range(0, len(padded), lanes)]
    written: dict[int, int] = {}

    async def process(ctx: Any) -> None:
        twin = Silent(a, tables)
        table = TABLE | {"fixed_line": 0, "shift": shift, "channels": 17, "rows": 3}
        await cycle_with_votes(ctx, dut, twin, 0, table)
        while twin.outstanding:
            if seen(ctx, dut, "fixed.enable"):
                written[seen(ctx, dut, "fixed.line")] = seen(ctx, dut, "fixed.data")
            await cycle_with_votes(ctx, dut, twin, 0, None)

    simulate(dut, process)
    expected = []
    for row in rows:
        results = [tabled(curve, number, shift) for number in row] + [0] * (slices * lanes - 17)
        expected += [packed(results[first : first + lanes], 16) for first in range(0, len(results), lanes)]
    assert written == dict(enumerate(expected))

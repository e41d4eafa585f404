"""The row unit against integers: every limit, every bit and every cycle."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.row import LANE_MODULE, RowUnit
from hw.gateware.row_lane import RowLane
from hw.isa import Opcode
from tests.hw.gateware.cells import put_cells_inside
from tests.hw.gateware.clockwork import check, drive, instruction, packed, seeded, seen, simulate, simulate_with_resets
from tests.hw.gateware.lockstep import compare, timeline
from tests.hw.gateware.softmaxes import DEFAULTS, Operands, Tables, Twin, codes_of, maximum_line

ACCELERATORS = {
    "lanes = columns": Accelerator(rows=3, columns=4, row_lanes=4, drain_rows=2, code_bits=2),
    "fewer lanes": Accelerator(rows=4, columns=8, row_lanes=2, drain_rows=3, sum_bits=31, code_bits=4, port_bits=64),
    "more lanes": Accelerator(rows=2, columns=2, row_lanes=16, word_bits=8, sum_bits=9, port_bits=8, code_bits=8),
    "one lane": Accelerator(rows=1, columns=1, row_lanes=1, word_bits=1, sum_bits=20, port_bits=8, score_slots=1),
}
LINES, ENTRIES = 16, 64


def unit(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> RowUnit:
    """Return a unit that holds its lanes itself."""
    put_cells_inside(monkeypatch, {LANE_MODULE: lambda: RowLane(a)})
    return RowUnit(a)


def random_tables(a: Accelerator, random: Random) -> Tables:
    """Return buffers with anything in them; no score is above a maximum."""
    high = (1 << a.sum_bits - 1) - 1
    spread = random.choice([1, 60, 2 * high + 1])
    top = random.choice([high, high - random.randrange(high)])
    scores = [
        [[max(top - random.randint(0, spread), -high - 1) for _ in range(a.score_line_sums)] for _ in range(LINES)]
        for _ in range(a.drain_rows)
    ]
    maxima = {(s, r): random.randint(top, min(top + 3, high)) for s in range(a.score_slots) for r in range(a.rows)}
    entries = [random.choice([0, 1, 65535, random.randrange(65536)]) for _ in range(ENTRIES)]
    levels = [random.choice([0, 1 << 21, random.randrange(1 << 21), random.randrange(1 << 17)]) for _ in range(ENTRIES)]
    return Tables(scores, maxima, entries, sorted(levels))


def answer_of(a: Accelerator, twin: Twin, port: str, line: int) -> int:
    """Return what a port shows of a line; what is not there is read as another line."""
    tables, (entries, levels) = twin.tables, twin.per_line
    if port == "scores":
        lines = [packed(bank[line % LINES], a.sum_bits) for bank in tables.scores]
        return packed(lines, a.sum_bits * a.score_line_sums)
    if port == "maxima":
        rows = {maximum_line(a, s, r) << 7 | r % a.drain_rows: m for (s, r), m in tables.maxima.items()}
        return packed([rows.get(line << 7 | bank, 0) for bank in range(a.drain_rows)], a.sum_bits)
    if port == "level":
        first = line * levels % ENTRIES
        return packed([level | 0x155 << 22 for level in tables.levels[first : first + levels]], 32)
    lines = [line >> 16 * lane & 0xFFFF for lane in range(a.row_lanes)]
    firsts = [at * entries % ENTRIES for at in lines]
    return packed([packed(tables.entries[first : first + entries], 16) for first in firsts], a.table_line_bits)


def random_softmax(twin: Twin, random: Random) -> tuple[Operands, int]:
    """Return a legal SOFTMAX on few lines, which waits for none before it."""
    a = twin.a
    planes = random.choice([planes for planes in (1, 2, 4) if planes <= a.code_bits])
    table_line = random.randrange(ENTRIES // twin.per_line[0])
    entries = ENTRIES - table_line * twin.per_line[0]
    softmax = {
        "score_line": random.randrange(8),
        "keys": random.choice([1, a.row_lanes, random.randint(1, 3 * a.row_lanes + 1)]),
        "rows": random.randint(1, a.rows),
        "slot": random.randrange(a.score_slots),
        "planes": planes,
        "table_line": table_line,
        "last_entry": random.choice([0, entries - 1, random.randrange(entries)]),
        "multiplier": random.choice([0, 1, 65535, random.randrange(65536)]),
        "shift": random.choice([0, 31, random.randrange(32)]),
        "level_line": random.randrange((ENTRIES - 15) // twin.per_line[1]),
        **{name: random.randrange(65536) for name in ("code_line", "code_group", "code_plane_stride")},
    }
    return DEFAULTS | softmax, 0


async def cycle_of(ctx: Any, dut: RowUnit, twin: Twin, taken: int, issued: Operands | None) -> None:
    """Run a cycle of the unit beside its twin, and answer what it reads; its words come in their order."""
    a = twin.a
    drive(ctx, dut, {"taken": taken, "issue.issued": issued is not None})
    if issued:
        drive(ctx, dut, {"issue.head": instruction(Opcode.SOFTMAX, **issued)})
    check(ctx, dut, twin.outputs(taken), twin.cycle)
    words = [seen(ctx, dut, "words.fold")] if seen(ctx, dut, "words.valid") else []
    ports = [port for port in ("scores", "maxima", "table", "level") if seen(ctx, dut, f"{port}.enable")]
    lines = {port: seen(ctx, dut, f"{port}.lines" if port == "table" else f"{port}.line") for port in ports}
    twin.step(taken, issued)
    twin.shown += words
    assert twin.shown == twin.words[: len(twin.shown)]
    await ctx.tick()
    drive(ctx, dut, {f"{port}.data": answer_of(a, twin, port, line) for port, line in lines.items()})


@pytest.mark.parametrize("taken_rate", [0.0, 0.5])
@pytest.mark.parametrize("run", range(3))
@pytest.mark.parametrize("name", ACCELERATORS)
def test_unit_equals_its_twin(name: str, run: int, taken_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS[name], seeded("row", name, run, taken_rate)
    dut = unit(a, monkeypatch)

    async def process(ctx: Any) -> None:
        twin = Twin(a, random_tables(a, random))
        await compare(ctx, dut, twin, cycle_of, random_softmax, random, cycles=600, taken_rate=taken_rate)
        assert twin.retired > 3
        assert len(twin.words) > 40

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS["lanes = columns"], seeded("row reset")
    dut = unit(a, monkeypatch)

    async def part(ctx: Any) -> None:
        twin, cycles = Twin(a, random_tables(a, random)), random.randrange(5, 90)
        await compare(ctx, dut, twin, cycle_of, random_softmax, random, cycles=cycles, taken_rate=0.3)

    simulate_with_resets(dut, 20, part)


SMALL = Accelerator(rows=2, columns=2, row_lanes=2, word_bits=8, sum_bits=9, drain_rows=2, code_bits=4)


def events_of(
    monkeypatch: pytest.MonkeyPatch, program: list[tuple[int, Operands]], taken: set[int]
) -> dict[str, list[int]]:
    twin = Twin(SMALL, random_tables(SMALL, seeded("timeline")))
    return timeline(unit(SMALL, monkeypatch), twin, cycle_of, [(at, DEFAULTS | own) for at, own in program], taken)


def test_cycles_of_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issued in 3, entered in 4, leaves stage 6 in 10; the second pass enters in 10 + 8 + 1; written in 25."""
    events = events_of(monkeypatch, [(3, {})], set())
    assert (events["issued"], events["enters"]) == ([3], [4, 19])
    assert events["stands"] == list(range(5, 19)), "it waits for the second pass"
    assert (events["codes"], events["pulse"]) == ([25], [26])
    assert events["word"] == [17, 25]


def test_cycles_of_rows_slices_and_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five keys in three slices, two rows, two planes: 2 * 3 and 2 * 3 * 2 steps, and the next as the last enters."""
    events = events_of(monkeypatch, [(0, {"keys": 5, "rows": 2, "planes": 2}), (1, {})], set())
    assert events["issued"] == [0, 34]
    assert events["enters"] == [*range(1, 7), *range(12 + 8 + 3, 35), 35, 41 + 9]
    assert events["codes"] == [*range(29, 41), 56]
    assert events["pulse"] == [41, 57]
    assert events["word"] == [16, 17, 18, 19, 20, 21, *range(29, 41), 48, 56]


def test_more_levels_than_slices_make_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One key, four planes: 15 steps in the first pass, four in the second one."""
    events = events_of(monkeypatch, [(0, {"planes": 4})], set())
    assert events["enters"] == [*range(1, 16), *range(21 + 8 + 15, 48)]
    assert events["word"] == [*range(28, 43), *range(50, 54)]


def test_only_the_second_pass_stands_still_while_others_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps in the first pass leave in 7 and 8; those of the second one enter from 17 on."""
    events = events_of(monkeypatch, [(0, {"keys": 4})], {*range(17), 24, 25})
    assert events["enters"] == [1, 2, 17, 18]
    assert events["stands"] == [*range(3, 17), 24, 25]
    assert (events["codes"], events["pulse"]) == ([23, 26], [27])


def test_a_first_pass_behind_codes_that_wait_waits_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step of the first instruction is written in 30 instead of 22."""
    events = events_of(monkeypatch, [(0, {}), (0, {"rows": 2})], set(range(19, 30)))
    assert events["issued"] == [0, 16]
    assert (events["codes"][0], events["pulse"][0]) == (30, 31)
    assert events["enters"][:4] == [1, 16, 17, 18]
    assert events["enters"][4:] == [32 + 9, 32 + 10]


@pytest.mark.parametrize("planes", [1, 2, 4])
@pytest.mark.parametrize("keys", [1, 5, 12])
@pytest.mark.parametrize("equal", [False, True])
def test_codes_are_those_of_the_definition(
    keys: int, planes: int, equal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows, a table that falls and levels that rise."""
    a, random = SMALL, seeded("definition", keys, planes, equal)
    dut, twin = unit(a, monkeypatch), Twin(a, random_tables(a, random))
    rows = [[random.randint(-60, -60 if equal else 60) for _ in range(keys)] for _ in range(2)]
    table = sorted((65535, *(random.randrange(65536) for _ in range(31))), reverse=True)
    levels = sorted(random.choice([0, 1 << 20, random.randrange(1 << 19)]) for _ in range(2**planes - 1))
    twin.tables.entries[:32], twin.tables.levels[: len(levels)] = table, levels
    softmax = DEFAULTS | {"keys": keys, "rows": 2, "planes": planes, "last_entry": 31, "multiplier": 3, "shift": 3}
    softmax |= {"code_plane_stride": 100, "score_line": 2}
    for r, row in enumerate(rows):
        twin.tables.maxima[0, r] = max(row)
        padded = row + [99] * (-len(row) % a.score_line_sums)
        for q in range(0, keys, a.score_line_sums):
            twin.tables.scores[r][2 + q // a.score_line_sums] = padded[q : q + a.score_line_sums]
    codes = [[0] * keys for _ in rows]

    async def process(ctx: Any) -> None:
        issued: Operands | None = softmax
        while twin.pulse != twin.cycle:
            await cycle_of(ctx, dut, twin, 0, issued)
            issued = None
            if banks := seen(ctx, dut, "activation.banks"):
                line, position = seen(ctx, dut, "activation.line"), seen(ctx, dut, "activation.position")
                plane, line = divmod(line, 100)
                bits = seen(ctx, dut, "activation.data")
                for lane in range(a.row_lanes):
                    key = (line * a.line_row_slices + position) * a.row_lanes + lane
                    bit = bits >> lane & 1
                    assert key < keys or not bit, "a lane that is not valid gives 0"
                    if key < keys:
                        codes[banks - 1][key] |= bit << planes - 1 - plane

    simulate(dut, process)
    assert codes == [codes_of(row, softmax, table, levels) for row in rows]

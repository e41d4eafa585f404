"""The vector unit against integers: every number, every bit and every cycle."""

from __future__ import annotations

from typing import Any

import pytest

from hw.arch import Accelerator
from hw.isa import Source
from tests.hw.gateware.clockwork import packed, seeded, seen, simulate, simulate_with_resets
from tests.hw.gateware.lockstep import compare, timeline
from tests.hw.gateware.rows import normalised, round_shift, saturated
from tests.hw.gateware.vector_unit import cycle_of, random_tables, random_vector, unit
from tests.hw.gateware.vectors import DEFAULTS, Operands, Scale, Twin

ACCELERATORS = {
    "lanes = columns": Accelerator(rows=3, columns=4, vector_lanes=4, drain_rows=2, sum_bits=15, token_lines=2),
    "fewer lanes": Accelerator(rows=4, columns=8, vector_lanes=2, drain_rows=3, sum_bits=31, code_bits=4),
    "more lanes": Accelerator(rows=2, columns=2, vector_lanes=8, word_bits=8, sum_bits=9, port_bits=8, code_bits=8),
    "one lane": Accelerator(rows=1, columns=1, vector_lanes=1, word_bits=1, sum_bits=20, port_bits=8, code_bits=2),
    "words of more lines": Accelerator(
        rows=3, columns=8, vector_lanes=16, drain_rows=3, sum_bits=9, word_bits=8, port_bits=16
    ).replace(token_lines=2),
}


@pytest.mark.parametrize("taken_rate", [0.0, 0.5])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_unit_equals_its_twin(name: str, taken_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS[name], seeded("vector", name, taken_rate)
    dut = unit(a, monkeypatch)

    async def process(ctx: Any) -> None:
        twin = Twin(a, random_tables(a, random))
        await compare(ctx, dut, twin, cycle_of, random_vector, random, cycles=1500, taken_rate=taken_rate)
        assert len(twin.pulses) > 20
        assert twin.norms

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS["fewer lanes"], seeded("vector reset")
    dut = unit(a, monkeypatch)

    async def part(ctx: Any) -> None:
        twin, cycles = Twin(a, random_tables(a, random)), random.randrange(5, 60)
        await compare(ctx, dut, twin, cycle_of, random_vector, random, cycles=cycles, taken_rate=0.3)

    simulate_with_resets(dut, 15, part)


VECTOR = DEFAULTS | {"source": Source.SUMS, "source_line": 0, "rows": 1}
SMALL = Accelerator(rows=2, columns=2, vector_lanes=2, word_bits=8, sum_bits=9, drain_rows=2)


def events_of(
    monkeypatch: pytest.MonkeyPatch, program: list[tuple[int, Operands]], taken: set[int]
) -> dict[str, list[int]]:
    twin = Twin(SMALL, random_tables(SMALL, seeded("timeline")))
    return timeline(unit(SMALL, monkeypatch), twin, cycle_of, [(at, VECTOR | own) for at, own in program], taken)


KEPT = {"channels": 2, "scale": 1, "keep": 1}


def test_cycles_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issued in 3, entered in 4, in stage 6 in 10; the pulse one cycle later."""
    events = events_of(monkeypatch, [(3, KEPT)], set())
    happens = {"issued": [3], "enters": [4], "fixed": [10], "word": [10], "pulse": [11]}
    assert events == happens | {"stands": [], "codes": []}


def test_steps_follow_each_other_and_so_do_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows of three slices, then one step, accepted as the last of six enters."""
    events = events_of(monkeypatch, [(0, KEPT | {"channels": 5, "rows": 2}), (1, KEPT)], set())
    assert events["issued"] == [0, 6]
    assert events["enters"] == [1, 2, 3, 4, 5, 6, 7]
    assert events["fixed"] == [7, 8, 9, 10, 11, 12, 13]
    assert events["pulse"] == [13, 14]


@pytest.mark.parametrize("sets", [1, 2, 3])
def test_each_set_takes_a_cycle(sets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps: the first is in stage 6 in cycle 7."""
    events = events_of(monkeypatch, [(0, {"channels": 6, "sets": sets})], set())
    assert events["codes"] == list(range(7, 7 + 3 * sets))
    last = 6 + 3 * sets
    assert events["stands"] == [c for c in range(7, last + 1) if (c - 6) % sets]
    assert events["pulse"] == [last + 1]


def test_a_step_without_codes_does_not_wait_for_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    events = events_of(monkeypatch, [(0, KEPT | {"channels": 6})], set(range(40)))
    assert (events["fixed"], events["stands"], events["pulse"]) == (
        [7, 8, 9],
        [],
        [10],
    )


def test_it_stands_still_while_drain_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of two steps, two sets each, and numbers; the buffer is taken in cycles 7, 9 and 10."""
    events = events_of(monkeypatch, [(0, KEPT | {"channels": 4, "sets": 2}), (0, KEPT)], {0, 3, 7, 9, 10})
    assert events["codes"] == [8, 11, 12, 13]
    assert events["stands"] == [7, 8, 9, 10, 12]
    assert events["fixed"] == [11, 13, 14]
    assert events["pulse"] == [14, 15]


def test_the_pipeline_fills_while_it_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has entered stays where it is; nothing enters, and an instruction that ends is not replaced."""
    program = [(0, {"channels": 2, "sets": 1}), (6, KEPT | {"channels": 4}), (8, KEPT)]
    events = events_of(monkeypatch, program, set(range(7, 12)))
    assert events["issued"] == [0, 6, 13]
    assert events["enters"] == [1, 12, 13, 14]
    assert events["stands"] == [7, 8, 9, 10, 11]
    assert events["fixed"] == [18, 19, 20]


def test_statistics_are_12_cycles_behind_and_nothing_is_accepted_before(monkeypatch: pytest.MonkeyPatch) -> None:
    program = [(0, KEPT), (0, KEPT | {"statistics": 1, "rows": 2}), (0, KEPT), (0, KEPT)]
    events = events_of(monkeypatch, program, set())
    assert events["issued"] == [0, 1, 22, 23]
    assert events["enters"] == [1, 2, 3, 23, 24]
    assert events["fixed"] == [7, 8, 9, 29, 30]
    assert events["pulse"] == [8, 21, 30, 31], "the one in 8 is not that of the statistics"


def test_statistics_of_steps_with_codes_count_from_the_last_set(monkeypatch: pytest.MonkeyPatch) -> None:
    events = events_of(monkeypatch, [(0, KEPT | {"statistics": 1, "sets": 3})], {8})
    assert (events["codes"], events["pulse"]) == ([7, 9, 10], [22])


@pytest.mark.parametrize("channels", [1, 5, 8])
def test_a_row_is_normalised_as_the_definition_says(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows: statistics, and then the norm with a gain of 1, which saturates at 16 bits."""
    a, random = ACCELERATORS["lanes = columns"], seeded("norm", channels)
    dut, slices = unit(a, monkeypatch), -(-channels // 4)
    rows = [[random.randint(-999, 999) for _ in range(channels)] for _ in range(2)]
    tables = random_tables(a, random)
    for index, row in enumerate(rows):
        padded = row + [77] * (slices * 4 - channels)
        for q in range(slices):
            tables.fixed[index * slices + q] = padded[4 * q : 4 * q + 4]
    tables.scales[0] = tables.scales[1] = [Scale(1, 0)] * 4
    fixed = DEFAULTS | {"source": Source.FIXED, "source_line": 0, "channels": channels, "rows": 2}
    written: dict[int, int] = {}

    async def process(ctx: Any) -> None:
        twin = Twin(a, tables)
        for vector in (
            fixed | {"statistics": 1, "epsilon": 1},
            fixed | {"normalise": 1, "scale": 1, "keep": 1, "fixed_line": 40},
        ):
            await cycle_of(ctx, dut, twin, 0, vector)
            while twin.outstanding:
                if seen(ctx, dut, "fixed.enable"):
                    written[seen(ctx, dut, "fixed.line")] = seen(ctx, dut, "fixed.data")
                await cycle_of(ctx, dut, twin, 0, None)

    simulate(dut, process)
    expected = {}
    for index, row in enumerate(rows):
        values = [min(max(g, -32768), 32767) for g in normalised(row, 1)] + [0] * (slices * 4 - channels)
        expected |= {40 + index * slices + q: packed(values[4 * q : 4 * q + 4], 16) for q in range(slices)}
    assert written == expected


ENDS = (-32768, -32767, -1, 0, 1, 181, 32766, 32767)


@pytest.mark.parametrize("shift", [None, 0, 1, 15, 31])
def test_products_and_the_larger_of_two_numbers(shift: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each end of 16 bits with each other one, in place: 17 slices, the last of them of one channel."""
    a, pairs = SMALL.replace(vector_lanes=4), [(x, other) for x in ENDS for other in ENDS] + [(-32768, -32768)]
    dut, tables = unit(a, monkeypatch), random_tables(a, seeded("pairs", shift))
    slices = -(-len(pairs) // 4)
    for index, pair in enumerate(pairs):
        for place, number in enumerate(pair):
            tables.fixed[place * slices + index // 4][index % 4] = number
    kind = {"add": 1, "maximum": 1} if shift is None else {"scale": 1, "multiply": 1, "shift": shift}
    vector = DEFAULTS | {"source": Source.FIXED, "source_line": 0, "add_line": slices, "fixed_line": slices}
    vector |= {"channels": len(pairs), "rows": 1, "keep": 1, "scale_line": 65535, **kind}
    written: list[int] = []

    async def process(ctx: Any) -> None:
        twin = Twin(a, tables)
        await cycle_of(ctx, dut, twin, 0, vector)
        while twin.outstanding:
            written.extend([seen(ctx, dut, "fixed.data")] * seen(ctx, dut, "fixed.enable"))
            await cycle_of(ctx, dut, twin, 0, None)

    simulate(dut, process)
    found = [(line >> 16 * lane & 0xFFFF ^ 0x8000) - 0x8000 for line in written for lane in range(4)]
    if shift is None:
        expected = [max(pair) for pair in pairs]
    else:
        expected = [saturated(round_shift(x * other, shift), 16) for x, other in pairs]
    assert found == expected + [0] * (4 * slices - len(pairs))


def test_lines_for_products_sums_and_comparisons_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that use the same port in stages 3 and 5 follow each other, and stand while the buffer is taken."""
    two = KEPT | {"source": Source.FIXED, "channels": 4}
    kinds = [{"add": 1}, {"multiply": 1}, {"add": 1, "maximum": 1}, {"multiply": 1, "sets": 1}, {"add": 1}]
    program = [(0, two | kind | {"fixed_line": 40, "add_line": 2 + place}) for place, kind in enumerate(kinds)]
    events = events_of(monkeypatch, program, {13, 14})
    assert events["enters"] == [*range(1, 11)]
    assert events["stands"] == [13, 14]
    assert events["fixed"] == [7, 8, 9, 10, 11, 12, 15, 16, 17, 18]

"""What finds the piece of a number against the definition: every piece, both ends of it, and what lies outside."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.pieces import PieceFinder
from tests.hw.gateware.clockwork import check, drive, packed, seeded, seen, simulate
from tests.hw.gateware.curves import PIECES, SHIFTS, any_curve, lines_of, rises, tabled
from tests.hw.gateware.rows import round_shift
from tests.hw.gateware.vectors import Scale

#: A number with the shift of its function.
Place = tuple[int, int]


def places_of(shift: int, random: Random) -> list[Place]:
    """Return both ends of each piece and a number of it, the ends of 16 bits, and numbers beside the clamp."""
    length = 1 << shift
    numbers = [piece * length + place for piece in range(-128, 128) for place in {0, 1, length - 1, length // 2}]
    numbers += [-32768, 32767, -128 * length - 1, 128 * length, 128 * length + 1]
    numbers += [random.randint(-32768, 32767) for _ in range(50)]
    return [(number, shift) for number in numbers if -32768 <= number <= 32767]


def split(place: Place) -> tuple[int, int]:
    """Return the piece of a number and where in it the number is."""
    number, shift = place
    return divmod(min(max(number + (128 << shift), 0), (256 << shift) - 1), 1 << shift)


def signed(number: int, bits: int) -> int:
    return number - (number >> bits - 1 << bits)


async def look_up(
    ctx: Any, dut: PieceFinder, lanes: int, lines: dict[int, list[list[Scale]]], places: list[Place], random: Random
) -> list[int]:
    """Send numbers through, with stalls; return what the multiplier and the addend of each make of it."""
    found = []
    stages: list[Place | None] = [None] * 3
    waiting = list(reversed(places))
    while waiting or any(stages):
        advance, lane = int(random.random() < 0.7), random.randrange(lanes)
        numbers = [random.randint(-32768, 32767) for _ in range(lanes)]
        if stages[0]:
            numbers[lane] = stages[0][0]
        entries = random.getrandbits(64 * lanes)
        if stages[2]:
            line = lines[stages[2][1]][split(stages[2])[0] // lanes]
            entries = packed([scale.entry() for scale in line], 64)
        drive(ctx, dut, {"advance": advance, "slice": packed(numbers, 16), "lane": lane, "entries": entries})
        drive(ctx, dut, {"shift": stages[1][1] if stages[1] else random.randrange(16)})
        if stages[1]:
            piece, rest = split(stages[1])
            check(ctx, dut, {"line": piece // lanes, "doubled": 2 * rest}, stages[1])
        if stages[2] and advance:
            doubled, shift = 2 * split(stages[2])[1], stages[2][1]
            multiplier, addend = signed(seen(ctx, dut, "multiplier"), 16), signed(seen(ctx, dut, "addend"), 32)
            found.append(round_shift(doubled * multiplier + addend, shift))
        await ctx.tick()
        if advance:
            stages = [waiting.pop() if waiting else None, *stages[:2]]
    return found


@pytest.mark.parametrize("lanes", [1, 8, 128])
def test_numbers_of_each_piece(lanes: int) -> None:
    random = seeded("pieces", lanes)
    shifts = SHIFTS if lanes == 8 else (0, 5, 8)
    curves = {shift: any_curve(random) for shift in shifts}
    lines = {shift: lines_of(curve, shift, lanes) for shift, curve in curves.items()}
    places = [place for shift in shifts for place in places_of(shift, random)]
    random.shuffle(places)
    dut = PieceFinder(Accelerator(vector_lanes=lanes))

    async def process(ctx: Any) -> None:
        found = await look_up(ctx, dut, lanes, lines, places, random)
        assert found == [tabled(curves[shift], number, shift) for number, shift in places]

    simulate(dut, process)
    assert {split(place)[0] for place in places} == set(range(PIECES))
    for curve in curves.values():
        assert {65535, -65535, 0} <= rises(curve)


def test_numbers_outside_are_at_the_ends_of_the_function() -> None:
    """Entries 8 apart, and so a slope of 1: the largest number does not reach the last entry."""
    curve = [8 * number for number in range(-128, 129)]
    assert [tabled(curve, number, 3) for number in (-32768, -1025, -1024, -1023)] == [-1024, -1024, -1024, -1023]
    assert [tabled(curve, number, 3) for number in (1022, 1023, 1024, 32767)] == [1022, 1023, 1023, 1023]

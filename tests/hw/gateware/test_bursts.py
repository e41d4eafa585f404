"""Splitting transfers into bursts and walking through rows, against integers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.bursts import BurstSplitter, RowWalker
from tests.hw.gateware.clockwork import check, drive, seeded, simulate
from tests.hw.gateware.transfers import PAGE, Burst, Place, bursts_of, places_of


def random_transfer(a: Accelerator, random: Random) -> dict[str, int]:
    beat = a.beat_bytes
    page, segments = random.randrange(0, 1 << 32, PAGE), random.choice([1, 1, 2, 5])
    offset = random.choice([0, beat, PAGE - beat, PAGE - 3 * beat, random.randrange(0, PAGE, beat)])
    longest = random.choice([1, 2, a.burst_beats, a.burst_beats + 1, 2 * a.burst_beats, 300])
    beats = random.randint(1, longest) if random.random() < 0.6 else longest
    steps = (0, beats, beats + 1, PAGE // beat, -beats, random.randrange(1 << 20))
    stride = random.choice(steps) * beat % (1 << 32)
    return {"address": (page + offset) % (1 << 32), "segments": segments, "segment_beats": beats, "stride": stride}


def splitter_state(bursts: list[Burst], selected: int) -> dict[str, int]:
    """Return what the splitter shows with these bursts left."""
    state = {"active": bool(bursts), "request.valid": bool(bursts), "finishing": selected and len(bursts) == 1}
    if bursts:
        state |= {"request.address": bursts[0][0], "request.beats": bursts[0][1], "last": len(bursts) == 1}
    return {name: int(value) for name, value in state.items()}


@pytest.mark.parametrize("selection", [1.0, 0.4])
@pytest.mark.parametrize(
    ("port_bits", "burst_beats"), [(8, 1), (8, 256), (16, 5), (32, 16), (64, 255), (128, 256), (256, 7), (256, 256)]
)
def test_splitter_equals_its_twin(port_bits: int, burst_beats: int, selection: float) -> None:
    a = Accelerator(port_bits=port_bits, burst_beats=burst_beats)
    dut, random = BurstSplitter(a), seeded("splitter", port_bits, burst_beats, selection)

    async def process(ctx: Any) -> None:
        bursts: list[Burst] = []
        for cycle in range(400):
            selected = int(bool(bursts) and random.random() < selection)
            ends = not bursts or (selected and len(bursts) == 1)
            start = int(bool(ends) and random.random() < 0.8)
            transfer = random_transfer(a, random)
            drive(ctx, dut, {"request.selected": selected, "start": start, **transfer})
            check(ctx, dut, splitter_state(bursts, selected), cycle)
            bursts = bursts_of(a, **transfer) if start else bursts[selected:]
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize(
    ("burst_beats", "transfer", "expected"),
    [
        (16, (0x100, 1, 1, 0), [(0x100, 1)]),
        (16, (0x100, 1, 16, 0), [(0x100, 16)]),
        (16, (0x100, 1, 17, 0), [(0x100, 16), (0x140, 1)]),
        (16, (0xFFC, 1, 2, 0), [(0xFFC, 1), (0x1000, 1)]),
        (16, (0xFC0, 1, 17, 0), [(0xFC0, 16), (0x1000, 1)]),
        (256, (0xFE0, 1, 300, 0), [(0xFE0, 8), (0x1000, 256), (0x1400, 36)]),
        (1, (0xFF8, 2, 2, 0x1000), [(0xFF8, 1), (0xFFC, 1), (0x1FF8, 1), (0x1FFC, 1)]),
        (16, (0x20, 3, 2, 0), [(0x20, 2)] * 3),
        (16, (0x20, 3, 1, 0xFFFFFFF0), [(0x20, 1), (0x10, 1), (0, 1)]),
        (16, (0xFFFFFFFC, 1, 1, 0), [(0xFFFFFFFC, 1)]),
        (256, (0, 1, 65535, 0), [(at * 1024, 256) for at in range(255)] + [(0x3FC00, 255)]),
        (2, (0, 300, 1, 4), [(at * 4, 1) for at in range(300)]),
        (7, (0, 2, 8, 0x20), [(0, 7), (0x1C, 1), (0x20, 7), (0x3C, 1)]),
    ],
)
def test_bursts_by_hand(burst_beats: int, transfer: tuple[int, int, int, int], expected: list[Burst]) -> None:
    a = Accelerator(port_bits=32, burst_beats=burst_beats)
    operands = dict(zip(("address", "segments", "segment_beats", "stride"), transfer, strict=True))
    assert bursts_of(a, **operands) == expected
    dut = BurstSplitter(a)

    async def process(ctx: Any) -> None:
        check(ctx, dut, {"active": 0, "request.valid": 0, "finishing": 0})
        drive(ctx, dut, {"start": 1, **operands})
        await ctx.tick()
        drive(ctx, dut, {"start": 0, **dict.fromkeys(operands, 0), "request.selected": 1})
        for left in range(len(expected), -1, -1):
            check(ctx, dut, splitter_state(expected[len(expected) - left :], int(left > 0)))
            await ctx.tick()

    simulate(dut, process)


def test_an_offered_burst_stays_until_it_is_selected() -> None:
    dut = BurstSplitter(Accelerator())

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"start": 1, "address": 0x40, "segments": 2, "segment_beats": 20, "stride": 0x80})
        await ctx.tick()
        drive(ctx, dut, {"start": 0})
        for _ in range(5):
            check(ctx, dut, {"request.valid": 1, "request.address": 0x40, "request.beats": 16, "last": 0})
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize("line_beats", [1, 2, 4, 256])
@pytest.mark.parametrize("banks", [1, 2, 3, 64])
def test_walker_equals_its_twin(banks: int, line_beats: int) -> None:
    dut, random = RowWalker(), seeded("walker", banks, line_beats)
    row_choices = [1, 2, 3, line_beats, line_beats + 1, 2 * line_beats, max(1, line_beats - 1)]

    async def process(ctx: Any) -> None:
        places: list[Place] = []
        for cycle in range(500):
            if not places:
                rows, row_beats = random.choice([1, banks, banks + 1, random.randint(1, 9)]), random.choice(row_choices)
                rows = max(1, min(rows, 600 // row_beats))
                segments = random.choice([n for n in range(1, rows * row_beats + 1) if rows * row_beats % n == 0])
                line = random.choice([0, 1, 65535, random.randrange(65536)])
                shape = {"row_beats": row_beats, "segments": segments, "segment_beats": rows * row_beats // segments}
                walk = {"banks": banks, "line_beats": line_beats}
                drive(ctx, dut, {f"transfer.{name}": value for name, value in (shape | {"line": line}).items()} | walk)
                places = places_of(**walk, line=line, row_beats=row_beats, beats=rows * row_beats)
            bank, line, lane, last = places[0]
            step = int(random.random() < 0.8)
            drive(ctx, dut, {"step": step})
            check(ctx, dut, {"bank": bank, "line": line, "lane": lane, "last": last}, cycle)
            places = places[step:]
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize(
    ("banks", "line_beats", "row_beats", "beats", "expected"),
    [
        (2, 2, 3, 7, [(0, 7, 0), (0, 7, 1), (0, 8, 0), (1, 7, 0), (1, 7, 1), (1, 8, 0), (0, 9, 0)]),
        (3, 1, 1, 4, [(0, 7, 0), (1, 7, 0), (2, 7, 0), (0, 8, 0)]),
        (1, 4, 2, 4, [(0, 7, 0), (0, 7, 1), (0, 8, 0), (0, 8, 1)]),
        (2, 1, 2, 3, [(0, 7, 0), (0, 8, 0), (1, 7, 0)]),
    ],
)
def test_walks_by_hand(
    banks: int, line_beats: int, row_beats: int, beats: int, expected: list[tuple[int, int, int]]
) -> None:
    dut = RowWalker()
    transfer = {"line": 7, "row_beats": row_beats, "segments": 1, "segment_beats": beats}

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {f"transfer.{name}": value for name, value in transfer.items()})
        drive(ctx, dut, {"banks": banks, "line_beats": line_beats, "step": 1})
        for _ in range(2):
            for index, (bank, line, lane) in enumerate(expected):
                check(ctx, dut, {"bank": bank, "line": line, "lane": lane, "last": int(index == beats - 1)}, index)
                await ctx.tick()

    simulate(dut, process)

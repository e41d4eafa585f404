"""The retirement trace against zlib, and the state counters against a list of priorities."""

from __future__ import annotations

import zlib
from collections import deque
from typing import Any

import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.gateware.trace import UNIT_COUNT, StateCounters, UnitTrace, crc32_step
from hw.isa import STATE_NAMES, Unit
from tests.hw.gateware.clockwork import check, drive, seeded, simulate


class Crc(wiring.Component):
    """A step of the checksum alone."""

    def __init__(self) -> None:
        super().__init__({"state": In(32), "word": In(32), "after": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.after.eq(crc32_step(self.state, self.word))
        m.d.sync += Signal().eq(0)
        return m


def crc32(words: list[int]) -> int:
    """Return the checksum of 32-bit words, by zlib; no words give 0."""
    return zlib.crc32(b"".join(word.to_bytes(4, "little") for word in words))


def test_a_step_is_zlibs() -> None:
    dut, random = Crc(), seeded("crc")
    single = [1 << bit for bit in range(32)]
    words = [0, 0xFFFFFFFF, *single, *(0xFFFFFFFF ^ bit for bit in single)]
    words += [random.getrandbits(32) for _ in range(60)]

    async def process(ctx: Any) -> None:
        state, past = 0xFFFFFFFF, []
        for word in words:
            drive(ctx, dut, {"state": 0xFFFFFFFF, "word": word})
            check(ctx, dut, {"after": 0xFFFFFFFF ^ crc32([word])}, hex(word))
            past.append(word)
            drive(ctx, dut, {"state": state, "word": word})
            state = 0xFFFFFFFF ^ crc32(past)
            check(ctx, dut, {"after": state}, len(past))

    simulate(dut, process)


def noise(random: Any) -> dict[str, int]:
    return {"words.fold": random.getrandbits(32), "words.valid": 0, "words.end": 0, "issued": 0, "retire": 0}


@pytest.mark.parametrize("in_flight", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_records_join_issue_words_and_retirement(in_flight: int, seed: int) -> None:
    """Instructions overlap as in the units: words end in order, no later than their retirement."""
    dut, random = UnitTrace(in_flight=in_flight), seeded("trace", in_flight, seed)
    reset = Signal()

    async def process(ctx: Any) -> None:
        issued: deque[int] = deque()
        ended: deque[tuple[int, int]] = deque()
        words: list[int] = []
        records: list[tuple[int, int, int] | None] = [None, None]
        for cycle in range(random.randrange(100), 450):
            given = noise(random) | {"cycle": cycle}
            if len(issued) + len(ended) + sum(r is not None for r in records) < in_flight and random.random() < 0.5:
                given["issued"] = 1
            if issued and random.random() < 0.7:
                given["words.valid"], given["words.end"] = int(random.random() < 0.7), int(random.random() < 0.4)
                words += [given["words.fold"]] * given["words.valid"]
                if given["words.end"]:
                    ended.append((issued.popleft(), crc32(words)))
                    words = []
            record = None
            if ended and random.random() < 0.5:
                issue, checksum = ended.popleft()
                given["retire"], record = 1, (issue, cycle, checksum)
            if given["issued"]:
                issued.append(cycle)
            drive(ctx, dut, given)
            due = records.pop(0)
            expected = {"record.valid": int(due is not None)}
            if due:
                expected |= {"record.issue": due[0], "record.retire": due[1], "record.checksum": due[2]}
            check(ctx, dut, expected, cycle)
            records.append(record)
            ctx.set(reset, clear := int(cycle % 150 == 149))
            await ctx.tick()
            if clear:
                issued, ended, words, records = deque(), deque(), [], [None, None]

    simulate(ResetInserter(reset)(dut), process)


def test_an_instruction_without_words_has_checksum_0_and_the_next_starts_afresh() -> None:
    dut = UnitTrace(in_flight=4)
    steps = [  # words valid, end, fold; what must have been checked then
        ((1, 0, 0x01020304), None),
        ((1, 1, 0xFFFFFFFF), [0x01020304, 0xFFFFFFFF]),
        ((0, 1, 0x55555555), []),
        ((1, 1, 0x01020304), [0x01020304]),
        ((1, 1, 0), [0]),
    ]

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issued": 1, "cycle": 7})
        await ctx.tick()
        for cycle, ((valid, end, fold), words) in enumerate(steps, 8):
            drive(ctx, dut, {"issued": end, "cycle": cycle, "retire": end})
            drive(ctx, dut, {"words.valid": valid, "words.end": end, "words.fold": fold})
            await ctx.tick()
            drive(ctx, dut, {"retire": 0, "issued": 0, "words.valid": 0, "words.end": 0})
            check(ctx, dut, {"record.valid": 0}, "one cycle after the pulse")
            await ctx.tick()
            check(ctx, dut, {"record.valid": int(end)}, "two cycles after the pulse")
            if words is not None:
                check(ctx, dut, {"record.retire": cycle, "record.checksum": crc32(words)}, cycle)

    simulate(dut, process)
    assert crc32([]) == 0


async def read_counts(ctx: Any, dut: StateCounters) -> list[list[int]]:
    counts = []
    for select in range(UNIT_COUNT * len(STATE_NAMES)):
        drive(ctx, dut, {"select": select})
        counts.append(int(ctx.get(dut.value)))
    return [counts[unit * len(STATE_NAMES) : (unit + 1) * len(STATE_NAMES)] for unit in range(UNIT_COUNT)]


def test_every_combination_counts_its_first_state() -> None:
    dut = StateCounters()

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"enable": 1})
        counts = [[0] * len(STATE_NAMES) for _ in range(UNIT_COUNT)]
        for pattern in range(16):
            conditions = [(pattern + 3 * unit) % 16 for unit in range(UNIT_COUNT)]
            drive(ctx, dut, {"states": sum(bits << 4 * unit for unit, bits in enumerate(conditions))})
            for unit, bits in enumerate(conditions):
                counts[unit][next((state for state in range(4) if bits >> state & 1), 4)] += 1
            await ctx.tick()
            assert await read_counts(ctx, dut) == counts, pattern

    simulate(dut, process)


def test_counts_add_up_to_the_cycles_and_clear_leaves_cycle_0_as_empty() -> None:
    dut, random = StateCounters(), seeded("states")

    async def process(ctx: Any) -> None:
        for enable_rate in (1.0, 0.5):
            drive(ctx, dut, {"clear": 1, "enable": 1, "states": random.getrandbits(4 * UNIT_COUNT)})
            await ctx.tick()
            assert await read_counts(ctx, dut) == [[0, 0, 0, 0, 1]] * UNIT_COUNT
            cycles = 1
            for _ in range(100):
                enable = int(random.random() < enable_rate)
                cycles += enable
                drive(ctx, dut, {"clear": 0, "enable": enable, "states": random.getrandbits(4 * UNIT_COUNT)})
                await ctx.tick()
            assert [sum(unit) for unit in await read_counts(ctx, dut)] == [cycles] * UNIT_COUNT

    simulate(dut, process)


def test_the_counts_of_a_unit_that_is_left_out_are_0() -> None:
    dut = StateCounters(tuple(unit for unit in Unit if unit is not Unit.VECTOR))

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"clear": 1})
        await ctx.tick()
        drive(ctx, dut, {"clear": 0, "enable": 1, "states": (1 << 4 * UNIT_COUNT) - 1})
        await ctx.tick().repeat(3)
        assert await read_counts(ctx, dut) == [[0] * 5 if unit is Unit.VECTOR else [3, 0, 0, 0, 1] for unit in Unit]

    simulate(dut, process)

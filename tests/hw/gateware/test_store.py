"""The store unit against a twin, cycle by cycle, under a slow memory; and what it sends, by hand."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.store import StoreUnit
from hw.isa import Opcode
from tests.hw.gateware.clockwork import check, drive, fold, instruction, seeded, simulate, simulate_with_resets
from tests.hw.gateware.transfers import Place, bursts_of, places_of

ACCELERATORS = [
    Accelerator(rows=3, columns=8, word_bits=64, port_bits=16, burst_beats=4, writes_in_flight=1),
    Accelerator(rows=2, columns=2, word_bits=8, port_bits=64, burst_beats=256, writes_in_flight=3),
    Accelerator(rows=1, columns=1, word_bits=4, port_bits=8, burst_beats=1, writes_in_flight=4, transfers_in_flight=3),
]
Operands = dict[str, int]


def content(a: Accelerator, place: Place) -> int:
    """Return what the output buffer holds at a place: a number that no other place has by chance."""
    bank, line, lane, _ = place
    return (bank * 0x9E3779B97F4A7C15 + line * 0xC2B2AE3D27D4EB4F + lane * 0x165667B19E3779F9 >> 7) % (1 << a.port_bits)


@dataclass
class Given:
    """The unit's inputs in one cycle."""

    issued: Operands | None = None
    aw_ready: int = 0
    w_ready: int = 0
    b_valid: int = 0
    hold: int = 0


class StoreTwin:
    """Queues and registers of docs/machine.md, 3.8, as lists."""

    def __init__(self, a: Accelerator) -> None:
        self.a = a
        self.bursts: list[tuple[int, int]] = []
        self.address: tuple[int, int] | None = None
        self.transfers: deque[deque[Place]] = deque()
        self.data: deque[int] = deque()
        self.sent = 0
        self.beat: tuple[Place, int] | None = None
        self.responses: deque[int] = deque()
        self.requested = self.written = self.answered = 0

    @property
    def unanswered(self) -> int:
        """Bursts that are with the memory, request and beats, and have no response."""
        return min(self.requested, self.written) - self.answered

    def selects(self, given: Given) -> bool:
        free = self.address is None or given.aw_ready
        return bool(self.bursts and free and len(self.responses) < self.a.writes_in_flight and not given.hold)

    def accepts(self, given: Given) -> bool:
        ends = not self.bursts or (self.selects(given) and len(self.bursts) == 1)
        return bool(ends) and len(self.transfers) < self.a.transfers_in_flight

    def reads(self, given: Given) -> bool:
        return bool(self.data and (self.beat is None or given.w_ready))

    def outputs(self, given: Given) -> dict[str, int]:
        state = {
            "issue.can_accept": self.accepts(given),
            "channels.aw_valid": self.address is not None,
            "channels.w_valid": self.beat is not None,
            "read_enable": self.reads(given),
            "retire": given.b_valid and self.responses[0],
            "pending": bool(self.transfers or self.responses),
            "busy": bool(self.responses),
            "words.valid": given.w_ready and self.beat is not None,
        }
        if self.address:
            state |= {"channels.aw_address": self.address[0], "channels.aw_beats": self.address[1]}
        if self.beat:
            place, last = self.beat
            beat = content(self.a, place)
            state |= {"channels.w_data": beat, "channels.w_last": last, "words.fold": fold(beat)}
            state |= {"words.end": given.w_ready and place[3]}
        if state["read_enable"]:
            bank, line, lane, _ = self.transfers[0][0]
            state |= {"read_bank": bank, "read_line": line, "read_lane": lane}
        return {name: int(value) for name, value in state.items()}

    def step(self, given: Given) -> None:
        selected, reads = self.selects(given), self.reads(given)
        if given.b_valid:
            self.responses.popleft()
            self.answered += 1
        if given.w_ready and self.beat:
            self.written += self.beat[1]
            self.beat = None
        if reads:
            self.read()
        if given.aw_ready and self.address:
            self.requested += 1
            self.address = None
        if selected:
            self.address = self.bursts.pop(0)
            self.data.append(self.address[1])
            self.responses.append(int(not self.bursts))
        if given.issued:
            self.accept(given.issued)

    def read(self) -> None:
        place = self.transfers[0].popleft()
        self.sent += 1
        ends = self.sent == self.data[0]
        self.beat = (place, int(ends))
        if ends:
            self.sent = 0
            self.data.popleft()
        if place[3]:
            self.transfers.popleft()

    def accept(self, store: Operands) -> None:
        a, beats = self.a, store["segments"] * store["segment_beats"]
        walk = {"line": store["line"], "row_beats": store["row_beats"], "beats": beats}
        self.transfers.append(deque(places_of(banks=a.rows, line_beats=a.output_line_beats, **walk)))
        split = ("address", "segments", "segment_beats", "stride")
        self.bursts = bursts_of(a, **{name: store[name] for name in split})


def random_store(a: Accelerator, random: Random) -> Operands:
    row_beats, rows = random.randint(1, 2 * a.output_line_beats + 1), random.randint(1, 5)
    total = row_beats * rows
    segments = random.choice([n for n in range(1, total + 1) if total % n == 0])
    address = random.choice([0, 4096 - 2 * a.beat_bytes, random.randrange(0, 1 << 16, a.beat_bytes)])
    stride = random.randrange(0, 1 << 14, a.beat_bytes)
    counts = {"row_beats": row_beats, "segments": segments, "segment_beats": total // segments}
    return counts | {"line": random.randrange(64), "address": address, "stride": stride}


Rates = dict[str, float]


async def compare(ctx: Any, dut: StoreUnit, a: Accelerator, random: Random, cycles: int, rates: Rates) -> int:
    """Run the unit beside a fresh twin, with the output buffer behind it. Return how many have retired."""
    twin, retired, beat, store = StoreTwin(a), 0, 0, random_store(a, random)
    for cycle in range(cycles):
        given = Given(
            aw_ready=int(random.random() < rates["ready"]),
            w_ready=int(random.random() < rates["ready"]),
            b_valid=int(twin.unanswered > 0 and random.random() < rates["answer"]),
            hold=int(random.random() < rates["hold"]),
        )
        given.issued = store if twin.accepts(given) and random.random() < rates["issue"] else None
        drive(ctx, dut, {"issue.head": instruction(Opcode.STORE, **store), "issue.issued": int(bool(given.issued))})
        ready = {"channels.aw_ready": given.aw_ready, "channels.w_ready": given.w_ready, "hold": given.hold}
        drive(ctx, dut, ready | {"channels.b_valid": given.b_valid, "beat": beat})
        expected = twin.outputs(given)
        check(ctx, dut, expected, cycle)
        retired += expected["retire"]
        beat = content(a, twin.transfers[0][0]) if expected["read_enable"] else beat
        twin.step(given)
        store = random_store(a, random) if given.issued else store
        await ctx.tick()
    drive(ctx, dut, dict.fromkeys(("issue.issued", "channels.aw_ready", "channels.w_ready", "channels.b_valid"), 0))
    return retired


@pytest.mark.parametrize("issue", [1.0, 0.1])
@pytest.mark.parametrize("answer", [1.0, 0.1])
@pytest.mark.parametrize("ready", [1.0, 0.4])
@pytest.mark.parametrize("index", range(len(ACCELERATORS)))
def test_unit_equals_its_twin(index: int, ready: float, answer: float, issue: float) -> None:
    a, random = ACCELERATORS[index], seeded("store", index, ready, answer, issue)
    dut = StoreUnit(a)

    async def process(ctx: Any) -> None:
        rates = {"ready": ready, "answer": answer, "issue": issue, "hold": 0.0}
        assert await compare(ctx, dut, a, random, 300, rates) > 0

    simulate(dut, process)


@pytest.mark.parametrize("index", range(len(ACCELERATORS)))
def test_a_reset_in_flight_leaves_nothing_behind(index: int) -> None:
    a, random = ACCELERATORS[index], seeded("store reset", index)
    dut = StoreUnit(a)

    async def part(ctx: Any) -> None:
        rates = {"ready": 0.6, "answer": 0.6, "issue": 0.9, "hold": 0.1}
        await compare(ctx, dut, a, random, random.randrange(8, 60), rates)

    simulate_with_resets(dut, 12, part)


STORE = {"address": 0xFF8, "line": 0, "row_beats": 1, "segments": 1, "segment_beats": 3, "stride": 0}
READY = {"channels.aw_ready": 1, "channels.w_ready": 1}


def test_latencies_and_wlast() -> None:
    dut = StoreUnit(Accelerator())

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.STORE, **STORE), "issue.issued": 1, **READY})
        check(ctx, dut, {"issue.can_accept": 1, "channels.aw_valid": 0, "pending": 0}, "issued in 0")
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        rows = [  # AW valid, beats; read bank; W valid, last; answered; retired
            (0, 0, None, 0, 0, 0, 0),
            (1, 2, 0, 0, 0, 0, 0),
            (1, 1, 1, 1, 0, 0, 0),
            (0, 0, 2, 1, 1, 0, 0),
            (0, 0, None, 1, 1, 1, 0),
            (0, 0, None, 0, 0, 1, 1),
        ]
        for cycle, (aw_valid, beats, bank, w_valid, last, answered, retired) in enumerate(rows, 1):
            drive(ctx, dut, {"channels.b_valid": answered})
            expected = {"channels.aw_valid": aw_valid, "read_enable": bank is not None, "channels.w_valid": w_valid}
            expected |= {"channels.aw_beats": beats} if aw_valid else {}
            expected |= {"read_bank": bank} if bank is not None else {}
            expected |= {"channels.w_last": last} if w_valid else {}
            check(ctx, dut, expected | {"retire": retired, "busy": cycle > 1, "pending": 1}, cycle)
            await ctx.tick()
        drive(ctx, dut, {"channels.b_valid": 0})
        check(ctx, dut, {"busy": 0, "pending": 0, "retire": 0, "issue.can_accept": 1})

    simulate(dut, process)


def test_beats_do_not_wait_for_their_request() -> None:
    dut = StoreUnit(Accelerator())

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.STORE, **STORE | {"segment_beats": 2}), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0, "channels.w_ready": 1})
        beats = 0
        for _ in range(20):
            beats += ctx.get(dut.channels.w_valid)
            await ctx.tick()
            check(ctx, dut, {"busy": 1, "retire": 0, "channels.aw_valid": 1})
        assert beats == 2
        drive(ctx, dut, {"channels.aw_ready": 1})
        await ctx.tick()
        drive(ctx, dut, {"channels.b_valid": 1})
        check(ctx, dut, {"channels.aw_valid": 0, "retire": 1})

    simulate(dut, process)


def test_hold_stops_new_bursts_and_lets_the_open_one_finish() -> None:
    dut = StoreUnit(Accelerator())

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.STORE, **STORE), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        await ctx.tick()
        drive(ctx, dut, {"hold": 1, **READY})
        addresses, lasts = [], 0
        for _ in range(20):
            valid = ctx.get(dut.channels.aw_valid)
            addresses += [ctx.get(dut.channels.aw_address)] * valid
            lasts += ctx.get(dut.channels.w_valid) & ctx.get(dut.channels.w_last)
            await ctx.tick()
        assert (addresses, lasts) == ([0xFF8], 1)
        drive(ctx, dut, {"channels.b_valid": 1})
        check(ctx, dut, {"busy": 1, "retire": 0})
        await ctx.tick()
        drive(ctx, dut, {"channels.b_valid": 0})
        check(ctx, dut, {"busy": 0})

    simulate(dut, process)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_writes_in_flight_bounds_the_open_bursts(depth: int) -> None:
    dut = StoreUnit(Accelerator(writes_in_flight=depth, burst_beats=1))
    store = STORE | {"segment_beats": 16}

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.STORE, **store), "issue.issued": 1, **READY})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        for answered in range(3):
            opened = 0
            for _ in range(20):
                opened += ctx.get(dut.channels.aw_valid)
                await ctx.tick()
            assert opened == (1 if answered else depth)
            drive(ctx, dut, {"channels.b_valid": 1})
            await ctx.tick()
            drive(ctx, dut, {"channels.b_valid": 0})
            check(ctx, dut, {"channels.aw_valid": 0}, "a pop in the same cycle does not help")

    simulate(dut, process)

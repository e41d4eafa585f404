"""Instruction fetch and the read arbiter, against counters and lists."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.arch import Accelerator
from hw.gateware.fetch import Fetch, ReadArbiter
from hw.gateware.interfaces import fetched_bits
from tests.hw.gateware.clockwork import check, drive, seeded, simulate, simulate_with_resets


@dataclass
class FetchTwin:
    """The counters of docs/machine.md, 3.1, and the instructions that have come."""

    depth: int
    beats: int
    bits: int
    length: int
    following: int = 0
    reserved: int = 0
    queue: deque[int] = field(default_factory=deque)
    arriving: list[int] = field(default_factory=list)

    def wants(self, running: int) -> bool:
        return bool(running and self.following < self.length and self.reserved < self.depth)

    def step(self, selected: int, beat: int | None, take: int, port_bits: int) -> None:
        if take:
            self.queue.popleft()
        if beat is not None:
            self.arriving.append(beat)
            if len(self.arriving) == self.beats:
                whole = sum(part << port_bits * index for index, part in enumerate(self.arriving))
                self.queue.append(whole % (1 << self.bits))
                self.arriving = []
        self.following += selected
        self.reserved += selected - take


Rates = tuple[float, float, float]


async def fetch_program(ctx: Any, dut: Fetch, a: Accelerator, random: Random, rates: Rates) -> None:
    """Fetch one program beside a fresh twin, with a memory that answers in order and a sequencer that takes."""
    select_rate, beat_rate, take_rate = rates
    program, length = random.randrange(0, 1 << 32, 32), random.choice([0, 1, a.fetch_depth, a.fetch_depth + 3])
    twin, owed, taken = FetchTwin(a.fetch_depth, a.instruction_beats, fetched_bits(a), length), 0, 0
    for cycle in range(2000):
        running = int(random.random() < 0.9)
        beat = random.getrandbits(a.port_bits) if owed and random.random() < beat_rate else None
        selected = int(twin.wants(running) and random.random() < select_rate)
        take = int(bool(twin.queue) and random.random() < take_rate)
        drive(ctx, dut, {"running": running, "program": program, "length": length, "request.selected": selected})
        drive(ctx, dut, {"beat_valid": beat is not None, "beat": beat or 0, "take": take})
        expected = {"request.valid": twin.wants(running), "valid": bool(twin.queue)}
        expected["exhausted"] = twin.following == length and twin.reserved == 0
        if twin.wants(running):
            address = (program + 32 * twin.following) % (1 << 32)
            expected |= {"request.address": address, "request.beats": a.instruction_beats}
        if twin.queue:
            expected["instruction"] = twin.queue[0]
        check(ctx, dut, expected, cycle)
        owed += selected * a.instruction_beats - (beat is not None)
        taken += take
        twin.step(selected, beat, take, a.port_bits)
        await ctx.tick()
        if taken == length and cycle > 20:
            break
    assert taken == length
    drive(ctx, dut, {"running": 0, "request.selected": 0, "beat_valid": 0, "take": 0})


@pytest.mark.parametrize("rates", [(1.0, 1.0, 1.0), (0.5, 0.6, 1.0), (1.0, 1.0, 0.1)])
@pytest.mark.parametrize(
    ("port_bits", "fetch_depth"), [(8, 1), (16, 2), (32, 4), (64, 3), (128, 16), (256, 1), (256, 4)]
)
def test_fetch_equals_its_twin(port_bits: int, fetch_depth: int, rates: Rates) -> None:
    a = Accelerator(port_bits=port_bits, fetch_depth=fetch_depth, vector_lanes=fetch_depth % 2)
    dut, random = Fetch(a), seeded("fetch", port_bits, fetch_depth, rates)

    async def part(ctx: Any) -> None:
        await fetch_program(ctx, dut, a, random, rates)

    simulate_with_resets(dut, 2, part)


def test_fetch_latencies() -> None:
    dut = Fetch(Accelerator(port_bits=256, fetch_depth=2))

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"running": 1, "program": 0x100, "length": 9, "request.selected": 1})
        for index in range(2):
            check(ctx, dut, {"request.valid": 1, "request.address": 0x100 + 32 * index, "request.beats": 1})
            await ctx.tick()
        check(ctx, dut, {"request.valid": 0, "exhausted": 0}, "no more than fetch_depth ahead")
        drive(ctx, dut, {"request.selected": 0, "beat_valid": 1, "beat": 77})
        check(ctx, dut, {"valid": 0}, "pushed in t")
        await ctx.tick()
        drive(ctx, dut, {"beat_valid": 0, "take": 1})
        check(ctx, dut, {"valid": 1, "instruction": 77, "request.valid": 0}, "head from t+1, taken in t+1")
        await ctx.tick()
        drive(ctx, dut, {"take": 0})
        check(ctx, dut, {"valid": 0, "request.valid": 1, "request.address": 0x140}, "room from the next cycle")
        drive(ctx, dut, {"running": 0})
        check(ctx, dut, {"request.valid": 0}, "a stopped run reads nothing")

    simulate(dut, process)


Request = tuple[int, int]
CLIENTS = ("fetch", "load")


@dataclass
class ArbiterTwin:
    """The AR register and the owner queue of docs/machine.md, 3.2."""

    depth: int
    address: Request | None = None
    owners: deque[str] = field(default_factory=deque)

    def selects(self, wanted: dict[str, Request | None], ready: int, hold: int) -> str | None:
        if (self.address is not None and not ready) or len(self.owners) >= self.depth or hold:
            return None
        return next((client for client in CLIENTS if wanted[client]), None)

    def outputs(self, selected: str | None, beat: int) -> dict[str, int]:
        expected = {f"{client}.selected": client == selected for client in CLIENTS}
        expected |= {f"{client}_beat": bool(beat) and self.owners[0] == client for client in CLIENTS}
        expected |= {"busy": bool(self.owners), "channels.ar_valid": self.address is not None}
        if self.address:
            expected |= {"channels.ar_address": self.address[0], "channels.ar_beats": self.address[1]}
        return {name: int(value) for name, value in expected.items()}


def some_request(random: Random, wanted: bool) -> Request | None:
    return (random.getrandbits(32), random.randint(1, 256)) if wanted else None


@pytest.mark.parametrize("ready_rate", [1.0, 0.3])
@pytest.mark.parametrize("beat_rate", [0.9, 0.3])
@pytest.mark.parametrize("depth", [1, 3, 64])
def test_arbiter_equals_its_twin(depth: int, beat_rate: float, ready_rate: float) -> None:
    dut = ReadArbiter(Accelerator(reads_in_flight=depth))
    reset, random = Signal(), seeded("arbiter", depth, beat_rate, ready_rate)

    async def process(ctx: Any) -> None:
        twin, wanted = ArbiterTwin(depth), dict.fromkeys(CLIENTS, None)
        for cycle in range(400):
            wanted = {client: wanted[client] or some_request(random, random.random() < 0.5) for client in CLIENTS}
            ready, hold = int(random.random() < ready_rate), int(random.random() < 0.1)
            beat = int(bool(twin.owners) and random.random() < beat_rate)
            last = int(random.random() < 0.5)
            for client in CLIENTS:
                address, beats = wanted[client] or (random.getrandbits(32), 1)
                request = {"valid": wanted[client] is not None, "address": address, "beats": beats}
                drive(ctx, dut, {f"{client}.{name}": value for name, value in request.items()})
            read = {"ar_ready": ready, "r_valid": beat, "r_last": last}
            drive(ctx, dut, {f"channels.{name}": value for name, value in read.items()} | {"hold": hold})
            selected = twin.selects(wanted, ready, hold)
            check(ctx, dut, twin.outputs(selected, beat), cycle)
            twin.address = None if ready else twin.address
            if beat and last:
                twin.owners.popleft()
            if selected:
                twin.address, wanted[selected] = wanted[selected], None
                twin.owners.append(selected)
            ctx.set(reset, clear := int(cycle % 200 == 199))
            await ctx.tick()
            twin = ArbiterTwin(depth) if clear else twin

    simulate(ResetInserter(reset)(dut), process)


def test_fetch_goes_first_and_a_request_stays_on_ar() -> None:
    dut = ReadArbiter(Accelerator(reads_in_flight=2))

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"fetch.valid": 1, "fetch.address": 0x20, "fetch.beats": 8})
        drive(ctx, dut, {"load.valid": 1, "load.address": 0x80, "load.beats": 3})
        check(ctx, dut, {"fetch.selected": 1, "load.selected": 0, "channels.ar_valid": 0, "busy": 0}, "selected in t")
        await ctx.tick()
        drive(ctx, dut, {"fetch.valid": 0})
        for _ in range(3):
            check(ctx, dut, {"channels.ar_valid": 1, "channels.ar_address": 0x20, "channels.ar_beats": 8, "busy": 1})
            check(ctx, dut, {"load.selected": 0}, "AR is taken")
            await ctx.tick()
        drive(ctx, dut, {"channels.ar_ready": 1})
        check(ctx, dut, {"load.selected": 1}, "free in the cycle of the handshake")
        await ctx.tick()
        drive(ctx, dut, {"load.valid": 0, "fetch.valid": 1})
        check(ctx, dut, {"channels.ar_address": 0x80, "channels.ar_beats": 3, "fetch.selected": 0}, "two are open")
        await ctx.tick()
        drive(ctx, dut, {"channels.r_valid": 1, "channels.r_last": 1})
        check(ctx, dut, {"fetch_beat": 1, "load_beat": 0, "fetch.selected": 0}, "a pop in the same cycle does not help")
        await ctx.tick()
        check(ctx, dut, {"fetch_beat": 0, "load_beat": 1, "fetch.selected": 1, "channels.ar_valid": 0})
        drive(ctx, dut, {"hold": 1})
        check(ctx, dut, {"fetch.selected": 0})

    simulate(dut, process)

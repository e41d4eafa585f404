"""The load unit against a twin, cycle by cycle, under idle memory and a slow arbiter."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.load import LoadUnit
from hw.isa import Buffer, Opcode
from tests.hw.gateware.clockwork import check, drive, fold, instruction, seeded, seen, simulate, simulate_with_resets
from tests.hw.gateware.transfers import bursts_of, places_of

ACCELERATORS = [
    Accelerator(rows=3, columns=4, word_bits=64, port_bits=16, burst_beats=4, transfers_in_flight=1),
    Accelerator(rows=2, columns=8, word_bits=8, port_bits=64, burst_beats=256, transfers_in_flight=2),
    Accelerator(rows=1, columns=1, word_bits=4, port_bits=8, burst_beats=1, transfers_in_flight=3),
    Accelerator(rows=3, columns=4, port_bits=128, transfers_in_flight=3, vector_lanes=8),
    Accelerator(rows=2, columns=4, port_bits=8, transfers_in_flight=2, vector_lanes=1, row_lanes=4),
    Accelerator(rows=3, columns=4, port_bits=64, transfers_in_flight=2, row_lanes=8),
    Accelerator(rows=1, columns=2, word_bits=8, port_bits=256, transfers_in_flight=2, vector_lanes=1, token_lines=2),
    Accelerator(rows=2, columns=2, word_bits=8, port_bits=8, burst_beats=3, vector_lanes=2, token_lines=65536),
    Accelerator(rows=2, columns=4, port_bits=32, transfers_in_flight=1, vector_lanes=16, token_lines=8),
]
Operands = dict[str, int]


def buffers_of(a: Accelerator) -> dict[Buffer, str]:
    """Return the names of the buffers that can be loaded."""
    there = [*list(Buffer)[: 5 if a.vector_lanes else 3], *([Buffer.TABLE] if a.row_lanes else [])]
    there += list(Buffer)[6:] if a.token_lines else []
    return {buffer: buffer.name.lower() for buffer in there}


def line_beats_of(a: Accelerator, buffer: int) -> int:
    own = {Buffer.THRESHOLD: a.threshold_line_beats}
    own |= dict.fromkeys((Buffer.SCALE, Buffer.LEVEL), a.parameter_line_beats)
    own |= {Buffer.TABLE: a.table_line_bits // a.port_bits}
    own |= {Buffer.TOKEN: a.token_line_bits // a.port_bits, Buffer.EMBEDDING: a.embedding_line_bits // a.port_bits}
    own |= {Buffer.WORD: a.word_line_bits // a.port_bits} if a.vector_lanes else {}
    return own.get(Buffer(buffer), a.line_beats)


class LoadTwin:
    """What the unit holds: bursts not yet selected, the beats' places of each transfer, a retirement to come.

    Of a gather, `later` is how many cycles the burst that is next is not yet offered, and `first` how many bursts are
    left where the first burst of a segment is next.
    """

    def __init__(self, a: Accelerator, ids: list[int]) -> None:
        self.a, self.ids = a, ids
        self.bursts: list[tuple[int, int]] = []
        self.first: set[int] = set()
        self.later = 0
        self.transfers: deque[deque[tuple[int, ...]]] = deque()
        self.retire = 0

    def accepts(self, selected: int) -> bool:
        ends = not self.bursts or (selected and len(self.bursts) == 1)
        return bool(ends) and len(self.transfers) < self.a.transfers_in_flight

    def offers(self) -> bool:
        return bool(self.bursts) and not self.later

    def places(self, load: Operands) -> deque[tuple[int, ...]]:
        a, buffer = self.a, load["buffer"]
        banks = {Buffer.ACTIVATION: a.rows, Buffer.WEIGHT: a.columns}.get(Buffer(buffer), 1)
        line_beats = line_beats_of(a, buffer)
        beats = load["segments"] * load["segment_beats"]
        walk = {"line": load["line"], "row_beats": load["row_beats"], "beats": beats}
        return deque((buffer, *place) for place in places_of(banks=banks, line_beats=line_beats, **walk))

    def outputs(self, selected: int, beat_valid: int, beat: int) -> dict[str, int]:
        state = {
            "issue.can_accept": int(self.accepts(selected)),
            "request.valid": int(self.offers()),
            "pending": int(bool(self.transfers)),
            "retire": self.retire,
            "words.valid": beat_valid,
            "words.end": 0,
        }
        if self.offers():
            state |= {"request.address": self.bursts[0][0], "request.beats": self.bursts[0][1]}
        names = buffers_of(self.a)
        state |= {f"{name}.enable": 0 for name in names.values()}
        if beat_valid:
            buffer, bank, line, lane, last = self.transfers[0][0]
            state |= {"words.end": last, "words.fold": fold(beat)}
            place = {"enable": 1, "bank": bank, "line": line, "lane": lane, "data": beat}
            state |= {f"{names[Buffer(buffer)]}.{name}": value for name, value in place.items()}
        return state

    def step(self, issued: Operands | None, selected: int, beat_valid: int) -> None:
        self.retire = 0
        self.bursts = self.bursts[selected:]
        self.later = 2 if selected and len(self.bursts) in self.first else max(self.later - 1, 0)
        if beat_valid:
            self.retire = self.transfers[0].popleft()[-1]
            if self.retire:
                self.transfers.popleft()
        if issued:
            self.transfers.append(self.places(issued))
            split = {name: issued[name] for name in ("address", "segments", "segment_beats", "stride")}
            self.bursts, self.first, self.later = bursts_of(self.a, **split), set(), 0
            if issued["gather"]:
                self.bursts, self.first = gathered(self.a, issued, self.ids)
                self.later = 2


def gathered(a: Accelerator, load: Operands, ids: list[int]) -> tuple[list[tuple[int, int]], set[int]]:
    """Return the bursts of a gather, and how many are left where each segment begins."""
    of_segments = []
    for index in range(load["segments"]):
        address = load["address"] + ids[(load["token"] + index) % len(ids)] * 2 ** load["stride"]
        of_segments.append(bursts_of(a, address=address, segments=1, segment_beats=load["segment_beats"], stride=0))
    left = [sum(len(bursts) for bursts in of_segments[index:]) for index in range(len(of_segments))]
    return [burst for bursts in of_segments for burst in bursts], set(left)


def random_load(a: Accelerator, random: Random) -> Operands:
    buffer = random.choice(list(buffers_of(a)))
    line_beats = line_beats_of(a, buffer)
    row_beats, rows = line_beats * random.randint(1, 2), random.randint(1, 5)
    total = row_beats * rows
    segments = random.choice([n for n in range(1, total + 1) if total % n == 0])
    address = random.choice([0, 4096 - 2 * a.beat_bytes, random.randrange(0, 1 << 16, a.beat_bytes)])
    stride = random.randrange(0, 1 << 14, a.beat_bytes)
    counts = {"row_beats": row_beats, "segments": segments, "segment_beats": total // segments}
    load = counts | {"buffer": int(buffer), "line": random.randrange(8), "address": address, "stride": stride}
    least = (total // segments * a.beat_bytes - 1).bit_length()
    if a.token_lines and least <= 12 and random.random() < 0.6:
        load["stride"] = random.randint(least, 12)
        load["address"] = random.choice([0, random.getrandbits(32), (1 << 32) - 1]) >> 12 << 12
        load["address"] += random.randrange(4096) >> load["stride"] << load["stride"]
        last = 65536 * (a.token_line_bits // 16) - segments
        return load | {"gather": 1, "token": min(random.choice([0, 65535, random.randrange(65536)]), last)}
    return load | {"gather": 0, "token": 0}


def line_of_ids(a: Accelerator, ids: list[int], line: int) -> int:
    in_a_line = a.token_line_bits // 16
    return sum(ids[(line * in_a_line + j) % len(ids)] << 16 * j for j in range(in_a_line))


async def compare(ctx: Any, dut: LoadUnit, a: Accelerator, random: Random, cycles: int, rates: dict[str, float]) -> int:
    """Run the unit beside a fresh twin; a memory answers what was selected, in order. Return how many have retired."""
    ids = [random.choice([0, 65535, random.getrandbits(16)]) for _ in range(1000)]
    twin, owed, retired = LoadTwin(a, ids), 0, 0
    load = random_load(a, random)
    for cycle in range(cycles):
        selected = int(twin.offers() and random.random() < rates["select"])
        beat_valid, beat = int(owed > 0 and random.random() < rates["beat"]), random.getrandbits(a.port_bits)
        issued = int(twin.accepts(selected) and random.random() < rates["issue"])
        drive(ctx, dut, {"issue.head": instruction(Opcode.LOAD, **load), "issue.issued": issued})
        drive(ctx, dut, {"request.selected": selected, "beat_valid": beat_valid, "beat": beat})
        check(ctx, dut, twin.outputs(selected, beat_valid, beat), cycle)
        retired += twin.retire
        owed += selected * (twin.bursts[0][1] if twin.bursts else 0) - beat_valid
        twin.step(load if issued else None, selected, beat_valid)
        load = random_load(a, random) if issued else load
        answer = {"ids.data": line_of_ids(a, ids, seen(ctx, dut, "ids.line"))} if a.token_lines else {}
        read = a.token_lines and seen(ctx, dut, "ids.enable")
        await ctx.tick()
        drive(ctx, dut, answer if read else {})
    drive(ctx, dut, {"issue.issued": 0, "request.selected": 0, "beat_valid": 0})
    return retired


@pytest.mark.parametrize("issue", [1.0, 0.1])
@pytest.mark.parametrize("beat", [1.0, 0.5])
@pytest.mark.parametrize("select", [1.0, 0.3])
@pytest.mark.parametrize("index", range(len(ACCELERATORS)))
def test_unit_equals_its_twin(index: int, select: float, beat: float, issue: float) -> None:
    a, random = ACCELERATORS[index], seeded("load", index, select, beat, issue)
    dut = LoadUnit(a)

    async def process(ctx: Any) -> None:
        rates = {"select": select, "beat": beat, "issue": issue}
        assert await compare(ctx, dut, a, random, 300, rates) > 0

    simulate(dut, process)


@pytest.mark.parametrize("index", range(len(ACCELERATORS)))
def test_a_reset_in_flight_leaves_nothing_behind(index: int) -> None:
    a, random = ACCELERATORS[index], seeded("load reset", index)
    dut = LoadUnit(a)

    async def part(ctx: Any) -> None:
        rates = {"select": 0.6, "beat": 0.6, "issue": 0.9}
        await compare(ctx, dut, a, random, random.randrange(8, 60), rates)

    simulate_with_resets(dut, 12, part)


LOAD = {"buffer": 1, "address": 0x40, "line": 0, "row_beats": 1, "segments": 1, "segment_beats": 3, "stride": 0}


def test_latencies() -> None:
    dut = LoadUnit(Accelerator())

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.LOAD, **LOAD), "issue.issued": 1})
        check(ctx, dut, {"issue.can_accept": 1, "request.valid": 0, "pending": 0}, "issued in t")
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0, "request.selected": 1})
        first = {"request.valid": 1, "request.address": 0x40, "request.beats": 3}
        check(ctx, dut, first | {"pending": 1, "issue.can_accept": 1}, "offered from t+1")
        await ctx.tick()
        drive(ctx, dut, {"request.selected": 0, "beat_valid": 1, "beat": 0xABCD})
        for beat in range(3):
            write = {"weight.enable": 1, "weight.bank": beat, "weight.data": 0xABCD, "activation.enable": 0}
            check(ctx, dut, write | {"retire": 0, "words.end": int(beat == 2)}, "written as it arrives")
            await ctx.tick()
        drive(ctx, dut, {"beat_valid": 0})
        check(ctx, dut, {"retire": 1, "pending": 0, "weight.enable": 0}, "retired one cycle after the last beat")
        await ctx.tick()
        check(ctx, dut, {"retire": 0})

    simulate(dut, process)


def test_segments_of_a_gather_are_offered_two_cycles_later() -> None:
    """Three segments of two bursts: issued in 0, each burst selected as it is offered, but the second one in 5."""
    a = Accelerator(port_bits=32, burst_beats=2, vector_lanes=1, token_lines=2)
    dut, ids = LoadUnit(a), [7, 65535, 3, 9, 1]
    load = {"buffer": Buffer.WORD, "address": 0x30000, "line": 0, "row_beats": 1, "segments": 3, "segment_beats": 3}
    selected = {3: 0x30070, 5: 0x30078, 8: 0x12FFF0, 9: 0x12FFF8, 12: 0x30030, 13: 0x30038}
    offered: dict[int, int] = {}

    async def process(ctx: Any) -> None:
        for cycle in range(20):
            gather = load | {"stride": 4, "gather": 1, "token": 0}
            drive(ctx, dut, {"issue.head": instruction(Opcode.LOAD, **gather), "issue.issued": int(cycle == 0)})
            drive(ctx, dut, {"request.selected": int(cycle in selected)})
            if seen(ctx, dut, "request.valid"):
                offered[cycle] = seen(ctx, dut, "request.address")
            check(ctx, dut, {"issue.can_accept": int(cycle == 0 or cycle >= 13)}, cycle)
            answer = {"ids.data": line_of_ids(a, ids, seen(ctx, dut, "ids.line"))}
            read = seen(ctx, dut, "ids.enable")
            await ctx.tick()
            drive(ctx, dut, answer if read else {})

    simulate(dut, process)
    assert offered == selected | {4: 0x30078}


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_transfers_in_flight_bounds_what_is_accepted(depth: int) -> None:
    dut = LoadUnit(Accelerator(transfers_in_flight=depth))
    single = LOAD | {"segment_beats": 1}

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.LOAD, **single), "issue.issued": 1})
        for index in range(depth):
            drive(ctx, dut, {"request.selected": int(index > 0)})
            check(ctx, dut, {"issue.can_accept": 1}, index)
            await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0, "request.selected": 1})
        check(ctx, dut, {"issue.can_accept": 0}, "full")
        await ctx.tick()
        drive(ctx, dut, {"request.selected": 0, "beat_valid": 1})
        check(ctx, dut, {"issue.can_accept": 0}, "a pop in the same cycle does not help")
        await ctx.tick()
        drive(ctx, dut, {"beat_valid": 0})
        check(ctx, dut, {"issue.can_accept": 1}, "room again")

    simulate(dut, process)


def test_a_line_of_more_beats_than_any_other_buffer_has() -> None:
    a = Accelerator(columns=2, word_bits=8, port_bits=8, vector_lanes=128)
    assert a.parameter_line_beats == 1024
    dut = LoadUnit(a)
    load = LOAD | {"buffer": Buffer.LEVEL, "line": 7, "row_beats": 1024, "segments": 2, "segment_beats": 1024}

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.LOAD, **load), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0, "beat_valid": 1})
        for line in (7, 8):
            for lane in range(1024):
                check(ctx, dut, {"level.enable": 1, "level.line": line, "level.lane": lane, "level.bank": 0})
                await ctx.tick()
        drive(ctx, dut, {"beat_valid": 0})
        check(ctx, dut, {"retire": 1})

    simulate(dut, process)

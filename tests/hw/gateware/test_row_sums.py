"""The sums of rows against integers: rows with gaps and without, of one slice and of many, and the largest ones."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal, Value

from hw.gateware.row_sums import LATENCY, RowSums
from tests.hw.gateware.clockwork import seeded, simulate
from tests.hw.gateware.rows import HIGHEST, LOWEST, rows

TAG_BITS = 7
Slice = dict[str, Any]


def slices_of(row: list[int], lanes: int, random: Random) -> list[Slice]:
    """Cut a row in slices; lanes that do not count hold anything, and some slices have none that counts."""
    result, rest = [], list(row)
    while rest or not result:
        full = random.random() < 0.7
        mask = (1 << lanes) - 1 if full else random.getrandbits(lanes)
        values = [rest.pop(0) if mask >> lane & 1 and rest else None for lane in range(lanes)]
        mask = sum(1 << lane for lane, value in enumerate(values) if value is not None)
        values = [random.randint(LOWEST, HIGHEST) if value is None else value for value in values]
        result.append({"valid": 1, "last": 0, "values": values, "mask": mask})
    result[-1]["last"] = 1
    return result


def idle(lanes: int, random: Random) -> Slice:
    values = [random.randint(LOWEST, HIGHEST) for _ in range(lanes)]
    return {"valid": 0, "last": random.getrandbits(1), "values": values, "mask": random.getrandbits(lanes)}


def give(ctx: Any, dut: RowSums, given: Slice) -> None:
    for name in ("valid", "last", "mask", "tag"):
        ctx.set(getattr(dut, name), given.get(name, 0))
    packed = b"".join((value % (1 << 16)).to_bytes(2, "little") for value in given["values"])
    ctx.set(Value.cast(dut.values), int.from_bytes(packed, "little"))


def run(some: list[list[int]], lanes: int, random: Random, gaps: float) -> None:
    """Give rows, slice by slice, and look LATENCY cycles after each one at what is done."""
    dut = RowSums(lanes, TAG_BITS)
    given: list[Slice] = []
    for row in some:
        for cut in slices_of(row, lanes, random):
            while random.random() < gaps:
                given.append(idle(lanes, random))
            given.append(cut)
    for cut in given:
        cut["tag"] = random.getrandbits(TAG_BITS)
    waiting = iter(some)

    async def process(ctx: Any) -> None:
        for cycle in range(len(given) + LATENCY):
            give(ctx, dut, given[cycle] if cycle < len(given) else idle(lanes, random))
            came = given[cycle - LATENCY] if cycle >= LATENCY else {"valid": 0}
            if came["valid"] and came["last"]:
                row = next(waiting)
                found = [ctx.get(getattr(dut, name)) for name in ("done", "done_tag", "total", "squares")]
                assert found == [1, came["tag"], sum(row), sum(x * x for x in row)], cycle
            else:
                assert ctx.get(dut.done) == 0
            await ctx.tick()

    simulate(dut, process)
    assert next(waiting, None) is None


@pytest.mark.parametrize("gaps", [0, 0.4])
@pytest.mark.parametrize("lanes", [1, 2, 3, 8, 64])
def test_rows_of_every_length(lanes: int, gaps: float) -> None:
    random = seeded("row sums", lanes, gaps)
    lengths = [1, 1, 1, lanes, lanes, lanes + 1, 1, 0, *(random.randint(1, 5 * lanes) for _ in range(40))]
    some = [[random.choice([LOWEST, HIGHEST, -1, random.randint(LOWEST, HIGHEST)]) for _ in range(n)] for n in lengths]
    run(some, lanes, random, gaps)


@pytest.mark.parametrize("lanes", [16, 37])
def test_the_largest_rows(lanes: int) -> None:
    random = seeded("largest rows", lanes)
    run(rows(random), lanes, random, 0.1)


def test_a_whole_row_at_once() -> None:
    random = seeded("whole row")
    run([[LOWEST] * 256, [HIGHEST] * 256, [0] * 256, [LOWEST] * 255 + [HIGHEST]], 256, random, 0)


def test_a_reset_ends_the_row_and_drops_what_is_inside() -> None:
    dut, reset = RowSums(1, TAG_BITS), Signal()

    async def process(ctx: Any) -> None:
        give(ctx, dut, {"valid": 1, "last": 0, "values": [5], "mask": 1})
        await ctx.tick().repeat(LATENCY + 1)
        give(ctx, dut, {"valid": 1, "last": 1, "values": [5], "mask": 1})
        await ctx.tick().repeat(LATENCY - 1)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert ctx.get(dut.done) == 0
        give(ctx, dut, {"valid": 1, "last": 1, "values": [-3], "mask": 1})
        for _ in range(LATENCY):
            assert ctx.get(dut.done) == 0
            await ctx.tick()
        assert [ctx.get(dut.done), ctx.get(dut.total), ctx.get(dut.squares)] == [1, -3, 9]

    simulate(ResetInserter(reset)(dut), process)


def test_reset_while_a_row_is_open_begins_a_row() -> None:
    dut, reset = RowSums(1, TAG_BITS), Signal()

    async def process(ctx: Any) -> None:
        give(ctx, dut, {"valid": 1, "last": 0, "values": [5], "mask": 1})
        await ctx.tick().repeat(LATENCY + 1)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        give(ctx, dut, {"valid": 1, "last": 1, "values": [-3], "mask": 1})
        await ctx.tick().repeat(LATENCY)
        assert [ctx.get(dut.done), ctx.get(dut.total), ctx.get(dut.squares)] == [1, -3, 9]

    simulate(ResetInserter(reset)(dut), process)

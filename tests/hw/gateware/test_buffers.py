"""The buffers against tables: beats and groups written, lines and beats read."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.bank import Bank, bank_sizes
from hw.gateware.buffers import ActivationBuffer, FixedBuffer, KeyBuffer, LoadBuffer, OutputBuffer, SumsBuffer
from tests.hw.gateware.cells import merged, put_banks_inside, some_line
from tests.hw.gateware.clockwork import check, drive, seeded, simulate


def real_banks(monkeypatch: pytest.MonkeyPatch, a: Accelerator) -> None:
    """Let a buffer hold its banks itself, those that are generated for it."""

    put_banks_inside(monkeypatch, lambda buffer: Bank(**bank_sizes(a)[buffer]._asdict()))


def some_bank(random: Random, banks: int) -> int:
    return random.choice([0, banks - 1, random.randrange(banks)])


@pytest.mark.parametrize(("banks", "lines", "line_bits", "port_bits"), [(1, 2, 8, 8), (3, 5, 64, 16), (5, 4, 32, 32)])
def test_load_buffer_equals_its_twin(
    banks: int, lines: int, line_bits: int, port_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_banks_inside(monkeypatch, lambda _: Bank(lines=lines, line_bits=line_bits, lane_bits=port_bits))
    dut = LoadBuffer("activation", banks=banks, lines=lines, line_bits=line_bits, port_bits=port_bits)
    random = seeded("load buffer", banks, lines)

    async def process(ctx: Any) -> None:
        table, shown = [[0] * lines for _ in range(banks)], 0
        for cycle in range(400):
            enable, bank, line = int(random.random() < 0.7), some_bank(random, banks), some_line(lines, random)
            lane, beat = random.randrange(line_bits // port_bits), random.getrandbits(port_bits)
            read, read_line = int(random.random() < 0.6), some_line(lines, random)
            write = {"enable": enable, "bank": bank, "line": line, "lane": lane, "data": beat}
            drive(ctx, dut, {f"write.{name}": value for name, value in write.items()})
            drive(ctx, dut, {"read.enable": read, "read.line": read_line})
            check(ctx, dut, {"read.data": shown}, cycle)
            if read:
                shown = sum(table[b][read_line] << line_bits * b for b in range(banks))
            if enable:
                table[bank][line] = merged(table[bank][line], beat << port_bits * lane, 1 << lane, port_bits)
            await ctx.tick()

    simulate(dut, process)


def written(line: int, offset: int, bits: int) -> int:
    """Return a line after bits at an offset: what is below stays, what is above is cleared."""
    return line & (1 << offset) - 1 | bits << offset


def some_group(
    a: Accelerator, random: Random, banks: int, lines: int, positions: int
) -> tuple[dict[str, int], list[int]]:
    """Return a write of a group of rows, and the bits of each of them."""
    groups = [random.getrandbits(a.columns) for _ in range(a.drain_rows)]
    data = sum(bits << a.columns * index for index, bits in enumerate(groups))
    place = {"banks": random.choice([0, random.getrandbits(banks)]), "line": some_line(lines, random)}
    return place | {"position": random.randrange(positions), "data": data}, groups


@pytest.mark.parametrize(
    "a",
    [
        Accelerator(rows=3, columns=4, word_bits=16, port_bits=8, drain_rows=2, output_lines=3),
        Accelerator(rows=2, columns=8, word_bits=8, port_bits=8, drain_rows=1, output_lines=2),
        Accelerator(rows=4, columns=1, word_bits=4, port_bits=16, drain_rows=4, output_lines=5),
        Accelerator(rows=3, columns=4, port_bits=64, drain_rows=2, output_lines=3, vector_lanes=2, classes=2),
        Accelerator(rows=1, columns=2, word_bits=8, port_bits=8, output_lines=3, vector_lanes=2, classes=2),
    ],
)
def test_output_buffer_equals_its_twin(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    real_banks(monkeypatch, a)
    dut, random = OutputBuffer(a), seeded("output buffer", a)

    async def process(ctx: Any) -> None:
        table, shown = [[0] * a.output_lines for _ in range(a.rows)], 0
        for cycle in range(500):
            write, groups = some_group(a, random, a.rows, a.output_lines, a.output_line_groups)
            read, bank = int(random.random() < 0.6), some_bank(random, a.rows)
            lane, read_line = random.randrange(a.output_line_beats), some_line(a.output_lines, random)
            drive(ctx, dut, {f"write.{name}": value for name, value in write.items()})
            drive(ctx, dut, {"read_enable": read, "read_bank": bank, "read_line": read_line, "read_lane": lane})
            logit = (
                {"enable": int(random.random() < 0.3), "line": some_line(a.output_lines, random)} if a.classes else {}
            )
            logit |= {"data": random.getrandbits(32)} if a.classes else {}
            drive(ctx, dut, {f"logits.{name}": value for name, value in logit.items()})
            check(ctx, dut, {"beat": shown}, cycle)
            if read:
                shown = table[bank][read_line] >> a.port_bits * lane & (1 << a.port_bits) - 1
            if logit.get("enable"):
                table[0][logit["line"]] = logit["data"]
            for row in range(a.rows):
                if write["banks"] >> row & 1 and not logit.get("enable"):
                    old, offset = table[row][write["line"]], write["position"] * a.columns
                    table[row][write["line"]] = written(old, offset, groups[row % a.drain_rows])
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize(
    "a",
    [
        Accelerator(rows=3, columns=4, word_bits=16, port_bits=8, drain_rows=2, activation_lines=3),
        Accelerator(rows=2, columns=16, word_bits=8, port_bits=8, activation_lines=2),
        Accelerator(rows=4, columns=1, word_bits=4, port_bits=16, drain_rows=4, activation_lines=5),
        Accelerator(rows=2, columns=8, word_bits=8, port_bits=8, drain_rows=2, activation_lines=4),
        Accelerator(rows=3, columns=8, port_bits=32, drain_rows=2, activation_lines=4, vector_lanes=2),
        Accelerator(rows=1, columns=2, word_bits=8, port_bits=8, activation_lines=3, vector_lanes=16),
        Accelerator(rows=2, columns=4, word_bits=4, port_bits=16, activation_lines=3, vector_lanes=1),
        Accelerator(rows=3, columns=4, port_bits=16, drain_rows=2, activation_lines=3, vector_lanes=2, row_lanes=8),
        Accelerator(rows=2, columns=4, port_bits=8, activation_lines=3, row_lanes=1),
        Accelerator(rows=1, columns=2, word_bits=8, port_bits=8, activation_lines=3, vector_lanes=1, row_lanes=16),
    ],
)
def test_activation_buffer_equals_its_twin(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    real_banks(monkeypatch, a)
    dut, random = ActivationBuffer(a), seeded("activation buffer", a)

    async def process(ctx: Any) -> None:
        table, shown = [[0] * a.activation_lines for _ in range(a.rows)], 0
        for cycle in range(600):
            enable, lane = int(random.random() < 0.4), random.randrange(a.line_beats)
            bank, line = some_bank(random, a.rows), some_line(a.activation_lines, random)
            beat = random.getrandbits(a.port_bits)
            load = {"enable": enable, "bank": bank, "line": line, "lane": lane, "data": beat}
            write, groups = some_group(a, random, a.rows, a.activation_lines, a.line_groups)
            read, read_line = int(random.random() < 0.6), some_line(a.activation_lines, random)
            drive(ctx, dut, {f"write.{name}": value for name, value in load.items()})
            drive(ctx, dut, {f"groups.{name}": value for name, value in write.items()})
            drive(ctx, dut, {"read.enable": read, "read.line": read_line})
            slices = some_slices(a, random)
            for port, (_, piece) in slices.items():
                drive(ctx, dut, {f"{port}.{name}": value for name, value in piece.items()})
            check(ctx, dut, {"read.data": shown}, cycle)
            if read:
                shown = sum(table[b][read_line] << a.line_bits * b for b in range(a.rows))
            earlier = enable or write["banks"]
            for width, piece in slices.values():
                for row in range(a.rows):
                    if piece["banks"] >> row & 1 and not earlier:
                        old, offset = table[row][piece["line"]], piece["position"] * width
                        table[row][piece["line"]] = written(old, offset, piece["data"])
                earlier = earlier or piece["banks"]
            if enable:
                old = table[bank][line]
                table[bank][line] = merged(old, beat << a.port_bits * lane, 1 << lane, a.port_bits)
            for row in range(a.rows):
                if write["banks"] >> row & 1 and not enable:
                    old, offset = table[row][write["line"]], write["position"] * a.columns
                    table[row][write["line"]] = written(old, offset, groups[row % a.drain_rows])
            await ctx.tick()

    simulate(dut, process)


def some_slices(a: Accelerator, random: Random) -> dict[str, tuple[int, dict[str, int]]]:
    """Return a write of a slice of bits for each unit that has slices, and their widths; the first one wins."""
    result = {}
    for port, width in (("row_slices", a.row_lanes), ("slices", a.vector_lanes)):
        if width:
            place = {"banks": random.choice([0, 1 << random.randrange(a.rows), random.getrandbits(a.rows)])}
            position = random.randrange(a.line_bits // width)
            place |= {"line": some_line(a.activation_lines, random), "position": position}
            result[port] = (width, place | {"data": random.getrandbits(width)})
    return result


@pytest.mark.parametrize(
    "a",
    [
        Accelerator(rows=2, columns=8, word_bits=16, port_bits=8, drain_rows=2, key_lines=3),
        Accelerator(rows=4, columns=4, word_bits=8, port_bits=16, key_lines=2),
        Accelerator(rows=8, columns=2, word_bits=16, port_bits=8, drain_rows=2, key_lines=5),
        Accelerator(rows=16, columns=1, word_bits=1, port_bits=8, key_lines=4),
        Accelerator(rows=1, columns=16, word_bits=4, port_bits=8, key_lines=4),
    ],
)
def test_key_buffer_equals_its_twin(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    real_banks(monkeypatch, a)
    dut, random = KeyBuffer(a), seeded("key buffer", a)

    async def process(ctx: Any) -> None:
        table, shown = [[0] * a.key_lines for _ in range(a.columns)], 0
        for cycle in range(600):
            transposed = random.getrandbits(1)
            positions = a.line_row_groups if transposed else a.line_groups
            write, groups = some_group(a, random, a.columns, a.key_lines, positions)
            tile = [random.getrandbits(a.rows) for _ in range(a.columns)]
            read, read_line = int(random.random() < 0.6), some_line(a.key_lines, random)
            drive(ctx, dut, {f"write.groups.{name}": value for name, value in write.items()})
            drive(ctx, dut, {"write.tile": sum(bits << a.rows * c for c, bits in enumerate(tile))})
            drive(ctx, dut, {"write.transposed": transposed, "read.enable": read, "read.line": read_line})
            check(ctx, dut, {"read.data": shown}, cycle)
            if read:
                shown = sum(table[b][read_line] << a.line_bits * b for b in range(a.columns))
            for bank in range(a.columns):
                if write["banks"] >> bank & 1:
                    bits = tile[bank] if transposed else groups[bank % a.drain_rows]
                    offset = write["position"] * (a.rows if transposed else a.columns)
                    table[bank][write["line"]] = written(table[bank][write["line"]], offset, bits)
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize(
    "a",
    [
        Accelerator(rows=4, columns=2, drain_rows=3, sum_bits=9, word_bits=8, vector_lanes=8, sum_lines=3),
        Accelerator(rows=2, columns=4, drain_rows=1, sum_bits=15, vector_lanes=1, sum_lines=5),
    ],
)
def test_sums_buffer_equals_its_twin(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    real_banks(monkeypatch, a)
    dut, random = SumsBuffer(a), seeded("sums buffer", a)
    width, line_bits = a.columns * a.sum_bits, a.sum_line_sums * a.sum_bits

    async def process(ctx: Any) -> None:
        table, shown = [[0] * a.sum_lines for _ in range(a.drain_rows)], 0
        for cycle in range(400):
            groups = [random.getrandbits(width) for _ in range(a.drain_rows)]
            banks, position = random.getrandbits(a.drain_rows), random.randrange(a.sum_line_groups)
            line, read_line = some_line(a.sum_lines, random), some_line(a.sum_lines, random)
            data = sum(group << width * index for index, group in enumerate(groups))
            write, read = {"banks": banks, "line": line, "position": position, "data": data}, random.getrandbits(1)
            drive(ctx, dut, {f"write.{name}": value for name, value in write.items()})
            drive(ctx, dut, {"read.enable": read, "read.line": read_line})
            check(ctx, dut, {"read.data": shown}, cycle)
            if read:
                shown = sum(table[b][read_line] << line_bits * b for b in range(a.drain_rows))
            for bank in range(a.drain_rows):
                if banks >> bank & 1:
                    new = groups[bank] << width * position
                    table[bank][line] = merged(table[bank][line], new, 1 << position, width)
            await ctx.tick()

    simulate(dut, process)


@pytest.mark.parametrize("lanes", [1, 4])
def test_fixed_buffer_equals_its_twin(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a = Accelerator(vector_lanes=lanes, fixed_lines=5)
    real_banks(monkeypatch, a)
    dut, random = FixedBuffer(a), seeded("fixed buffer", lanes)

    async def process(ctx: Any) -> None:
        table, shown = [0] * a.fixed_lines, {"source": 0, "residual": 0}
        for cycle in range(400):
            enable, line, data = random.getrandbits(1), some_line(5, random), random.getrandbits(16 * lanes)
            drive(ctx, dut, {"write.enable": enable, "write.line": line, "write.data": data})
            for port, held in shown.items():
                read, read_line = random.getrandbits(1), some_line(5, random)
                drive(ctx, dut, {f"{port}.enable": read, f"{port}.line": read_line})
                check(ctx, dut, {f"{port}.data": held}, cycle)
                shown[port] = table[read_line] if read else held
            table[line] = data if enable else table[line]
            await ctx.tick()

    simulate(dut, process)

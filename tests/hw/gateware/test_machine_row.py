"""The row unit in the machine: a program from the memory port to the trace and the counters."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction, Opcode, Source, SumsDestination, Unit, make
from tests.hw.gateware.clockwork import fold, packed, simulate
from tests.hw.gateware.machines import COUNTERS, bits_to_activation, image_of, machine, read, run, write
from tests.hw.gateware.softmaxes import codes_of, entry_of, limit_of

A = Accelerator(rows=2, columns=2, word_bits=4, sum_bits=8, port_bits=64, row_lanes=2, code_bits=2).replace(
    activation_lines=16, weight_lines=4, threshold_lines=2, output_lines=2, score_lines=8, table_lines=8
)
LOADED, VECTORS, ROWS, DRAINED = (1 << unit for unit in (Unit.LOAD, Unit.VECTOR, Unit.ROW, Unit.DRAIN))


def load(buffer: Buffer, address: int, rows: int, line: int, **masks: int) -> Instruction:
    transfer = {"row_beats": 1, "segments": 1, "segment_beats": rows, "stride": 0}
    return make(Opcode.LOAD, buffer=buffer, address=address, line=line, **transfer, **masks)


QUERIES = [0b1010, 0b0011]
KEYS = [0b1010, 0b1011, 0b0101, 0b0111]
VALUES = [0b1101, 0b0110]
TABLE = [65535, 30000, 9000, 2500, 700]
LEVELS = [1 << 14, 1 << 18, 1 << 19]
SOFTMAX = {"score_line": 0, "keys": 4, "rows": 2, "slot": 1, "planes": 2, "code_line": 3, "code_plane_stride": 5}
SOFTMAX |= {"table_line": 2, "last_entry": 4, "multiplier": 1, "shift": 1, "level_line": 5}


def checksum(words: list[int]) -> int:
    return zlib.crc32(b"".join(fold(word).to_bytes(4, "little") for word in words))


def data_of_attention() -> bytes:
    """Return what is loaded: queries, keys and values a row to a beat, entries and levels packed."""
    table, levels = packed(TABLE, 16), packed(LEVELS, 32)
    beats = [*QUERIES, *KEYS, *VALUES, *(table >> 64 * i for i in range(3)), *(levels >> 64 * i for i in range(2))]
    return b"".join((beat % (1 << 64)).to_bytes(8, "little") for beat in beats)


def attention() -> list[Instruction]:
    """Return a program: scores, their codes, and the codes times the values."""
    matmul = {"first": 1, "handover": 1, "words": 1, "pad": 0, "rows": 2, "weight_stride": 1, "activation_stride": 0}
    sums = {"destination": SumsDestination.SCORE, "rows": 2, "output_group": 0, "output_stride": 2}
    context = {"unsigned": 1, "plain": 1, "activation_planes": 2, "activation_plane_stride": 5}
    return [
        load(Buffer.ACTIVATION, 0, 2, 0),
        load(Buffer.WEIGHT, 16, 6, 0, signal=1 << Unit.ARRAY),
        load(Buffer.TABLE, 64, 5, 2, signal=ROWS),
        make(Opcode.MATMUL, unsigned=0, activation_line=0, weight_line=0, column_groups=2, **matmul, wait=LOADED),
        make(Opcode.SUMS, output_line=0, slot=1, column_groups=2, **sums, signal=ROWS),
        make(Opcode.SOFTMAX, **(SOFTMAX | {"level_line": 5}), wait=LOADED | DRAINED, signal=1 << Unit.ARRAY),
        make(Opcode.MATMUL, activation_line=3, weight_line=2, column_groups=1, **matmul, **context, wait=ROWS),
        make(Opcode.SUMS, output_line=4, slot=0, column_groups=1, **sums),
        make(Opcode.HALT),
    ]


def test_a_program_from_queries_and_keys_to_context(monkeypatch: pytest.MonkeyPatch) -> None:
    program = attention()
    image, dut = image_of(data_of_attention(), program), machine(A, monkeypatch)
    scores = [[4 - 2 * (query ^ key).bit_count() for key in KEYS] for query in QUERIES]
    codes = [codes_of(row, SOFTMAX, TABLE, LEVELS) for row in scores]
    assert len({code for row in codes for code in row}) > 2
    totals = [sum(entry_of(max(row) - score, SOFTMAX, TABLE) for score in row) for row in scores]
    words = [limit_of(level, total) for total in totals for level in LEVELS]
    for row in codes:
        words += [packed([code >> u & 1 for code in row[q : q + 2]], 1) for q in (0, 2) for u in (1, 0)]
    context = [[sum(code * (v >> k & 1) for k, code in enumerate(row)) for v in VALUES] for row in codes]
    counts_of_context = packed([count for row in context for count in row], A.count_bits)

    async def process(ctx: Any) -> None:
        for _ in range(2):
            records = await run(ctx, dut, image, len(program))
            assert [len(records[unit]) for unit in Unit] == [3, 2, 2, 0, 0, 1, 1]
            (issue, retire, found), drained = records[Unit.ROW][0], records[Unit.DRAIN][0]
            assert drained[2] == checksum(
                [packed([d % 256 for d in row[n : n + 2]], 8) for n in (0, 2) for row in scores]
            )
            assert issue == drained[1] + 1, "the token is there one cycle after the pulse"
            # Enters in issue + 1; six steps, of which the last leaves in issue + 12; eight more from + 8 + 3 on.
            assert retire - issue == 12 + 11 + 7 + 6 + 1
            assert found == checksum(words)
            assert records[Unit.ARRAY][1][0] == retire + 1
            assert records[Unit.ARRAY][1][2] == checksum([counts_of_context]), "codes are where they belong"
            counts = [[await read(ctx, dut, COUNTERS + 20 * u + 4 * s) for s in range(5)] for u in Unit]
            built = [unit for unit in Unit if unit is not Unit.VECTOR]
            assert {sum(counts[unit]) for unit in built} == {await read(ctx, dut, 0x14)}
            assert counts[Unit.VECTOR] == [0] * 5
            busy, wait, token, issued, _ = counts[Unit.ROW]
            # It waits while the last of six steps goes through, and 8 + 3 - 1 cycles more.
            assert (busy, wait, issued) == (6 + 8, 6 + 10, 1)
            assert token > 8
            assert await read(ctx, dut, 0x18) == len(program)

    simulate(dut, process)


def test_codes_are_written_before_those_of_the_vector_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """180 sets of codes, one per cycle, and the eight steps of a second pass, none of which waits for them."""
    a = A.replace(vector_lanes=2, sum_lines=64, level_lines=64, fixed_lines=2, scale_lines=2)
    dut = machine(a, monkeypatch)
    vector = {"source": Source.SUMS, "source_line": 0, "channels": 60, "rows": 2, "sets": 3}
    program = [
        make(Opcode.VECTOR, **vector),
        make(Opcode.SOFTMAX, **SOFTMAX),
        make(Opcode.HALT),
    ]

    async def process(ctx: Any) -> None:
        records = await run(ctx, dut, image_of(b"", program), len(program))
        (first,), (second,) = records[Unit.VECTOR], records[Unit.ROW]
        assert first[1] - first[0] == 1 + 6 + 180 + 8
        assert second[1] - second[0] == 6 + 6 + (8 + 3) + 7 + 6 + 1

    simulate(dut, process)


def test_codes_are_written_when_drain_does_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many groups of bits, one per cycle, before the same eight steps."""
    dut = machine(A, monkeypatch)
    program = [*bits_to_activation(90), make(Opcode.SOFTMAX, **SOFTMAX), make(Opcode.HALT)]

    async def process(ctx: Any) -> None:
        records = await run(ctx, dut, image_of(b"", program), len(program))
        (first,), (second,) = records[Unit.DRAIN], records[Unit.ROW]
        assert first[1] - second[0] > 90, "the codes would have been ready before"
        assert second[1] == first[1] + 8

    simulate(dut, process)


def test_instructions_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """One key each: issued as the last step enters, sixteen cycles behind; the pulse is seven more away."""
    dut = machine(A, monkeypatch)
    one = SOFTMAX | {"keys": 1, "rows": 1, "planes": 1}
    program = [*(make(Opcode.SOFTMAX, **one) for _ in range(5)), make(Opcode.HALT)]

    async def process(ctx: Any) -> None:
        records = (await run(ctx, dut, image_of(b"", program), len(program)))[Unit.ROW]
        first = records[0][0]
        assert [record[0] - first for record in records] == [0, 16, 32, 48, 64]
        assert {record[1] - record[0] for record in records} == {23}

    simulate(dut, process)


def test_steps_are_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOFTMAX of 2 * 2 * 20 steps outlasts a watchdog of 30 cycles; the same held back by a token does not."""
    dut = machine(A, monkeypatch)

    async def process(ctx: Any) -> None:
        await write(ctx, dut, 0x1C, 30)
        await ctx.tick()
        for wait, error in ((0, 0), (DRAINED, 5)):
            program = [make(Opcode.SOFTMAX, **(SOFTMAX | {"keys": 40, "planes": 1}), wait=wait), make(Opcode.HALT)]
            await run(ctx, dut, image_of(b"", program), len(program))
            assert await read(ctx, dut, 0x08) >> 8 == error

    simulate(dut, process)


def test_without_lanes_the_unit_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counts are 0, nothing is traced of it, and its instruction is illegal."""
    dut = machine(A.replace(row_lanes=0), monkeypatch)

    async def process(ctx: Any) -> None:
        for instructions, error in (([], 0), ([make(Opcode.SOFTMAX, **SOFTMAX)], 1)):
            program = [*instructions, make(Opcode.HALT)]
            records = await run(ctx, dut, image_of(b"", program), len(program))
            assert not records[Unit.ROW]
            assert await read(ctx, dut, 0x08) >> 8 == error
            assert [await read(ctx, dut, COUNTERS + 20 * Unit.ROW + 4 * s) for s in range(5)] == [0] * 5
            assert await read(ctx, dut, COUNTERS + 20 * Unit.SEQUENCER) == int(error == 0)

    simulate(dut, process)

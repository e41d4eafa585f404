"""The sequencer alone: errors, FENCE and HALT, and the counters that a run leaves."""

from __future__ import annotations

from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.sequencer import ErrorCode, Sequencer
from hw.isa import ALL_UNITS, FIELDS, UNIT_OF, Buffer, Destination, Field, Opcode, SumsDestination, make
from tests.hw.gateware.clockwork import simulate

STORE = {"address": 0, "line": 0, "row_beats": 1, "segments": 1, "segment_beats": 1, "stride": 0}


def number(opcode: Opcode, **operands: int) -> int:
    return int.from_bytes(make(opcode, **operands).encode(), "little")


async def start(ctx: Any, dut: Sequencer) -> None:
    ctx.set(dut.space, ALL_UNITS)
    ctx.set(dut.quiet, 1)
    ctx.set(dut.start, 1)
    assert ctx.get(dut.clear)
    await ctx.tick()
    ctx.set(dut.start, 0)
    assert ctx.get(dut.running)
    assert ctx.get(dut.cycle) == 1


async def offer(ctx: Any, dut: Sequencer, instruction: int) -> None:
    ctx.set(dut.valid, 1)
    ctx.set(dut.instruction, instruction % (1 << len(dut.instruction)))


@pytest.mark.parametrize(
    ("instruction", "legal"),
    [
        (number(Opcode.STORE, **STORE), True),
        (0, False),
        (9, False),
        (255, False),
        (number(Opcode.STORE, **STORE) & ~(0xFFFF << 80), False),
        (number(Opcode.STORE, **STORE) & ~(0xFFFF << 96), False),
        (number(Opcode.STORE, **STORE) & ~(0xFFFF << 112), False),
    ],
)
def test_unknown_opcodes_and_zero_counts_stop_the_run(instruction: int, legal: bool) -> None:
    takes_or_stops(Sequencer(Accelerator()), instruction, legal)


def takes_or_stops(dut: Sequencer, instruction: int, legal: bool) -> None:
    """Offer an instruction, and see it taken or the run ended by it."""

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        await offer(ctx, dut, instruction)
        assert ctx.get(dut.take) == legal
        await ctx.tick()
        assert ctx.get(dut.hold) == (not legal)
        await ctx.tick()
        assert ctx.get(dut.done) == (not legal)
        assert ctx.get(dut.error) == (ErrorCode.NONE if legal else ErrorCode.ILLEGAL_INSTRUCTION)

    simulate(dut, process)


MATMUL = dict.fromkeys(("unsigned", "first", "handover", "rows", "column_groups", "words"), 1)
MATMUL |= dict.fromkeys(("activation_line", "weight_line", "pad", "activation_stride", "weight_stride"), 0)
BINARIZE = {"rows": 1, "column_groups": 1}
BINARIZE |= dict.fromkeys(("threshold_line", "output_line", "output_group", "output_stride"), 0)
SUMS = {"rows": 1, "column_groups": 1, "output_line": 0, "output_group": 0, "output_stride": 0}
VECTOR = {"source": 0, "source_line": 0, "channels": 1, "rows": 1}
SOFTMAX = {"rows": 1, "keys": 1}
SOFTMAX |= dict.fromkeys(
    ("score_line", "code_line", "table_line", "last_entry", "multiplier", "shift", "level_line"), 0
)
MEAN = {"source_line": 0, "fixed_line": 0, "multiplier": 0, "shift": 0, "channels": 1, "rows": 1}
TABLE = {"source_line": 0, "fixed_line": 0, "table_line": 0, "shift": 0, "channels": 1, "rows": 1}
CLASSIFY = dict.fromkeys(("source_line", "scale_line", "output_line", "shift", "vote_shift", "vote", "multiplier"), 0)
CLASSIFY |= {"classes": 1, "channels": 1}
LOAD = STORE | {"buffer": 0}
COUNTED = ((Opcode.MATMUL, MATMUL), (Opcode.BINARIZE, BINARIZE), (Opcode.SUMS, SUMS), (Opcode.VECTOR, VECTOR))
COUNTED += ((Opcode.SOFTMAX, SOFTMAX), (Opcode.MEAN, MEAN), (Opcode.CLASSIFY, CLASSIFY), (Opcode.TABLE, TABLE))
COUNTS = [(code, operands, field) for code, operands in COUNTED for field in FIELDS[code] if field.count]


@pytest.mark.parametrize(("code", "operands", "field"), COUNTS, ids=lambda item: getattr(item, "name", ""))
def test_each_count_of_0_stops_the_run(code: Opcode, operands: dict[str, int], field: Field) -> None:
    a = Accelerator(code_bits=8, key_lines=4, vector_lanes=2, row_lanes=2, classes=2)
    whole = number(code, **operands)
    takes_or_stops(Sequencer(a), whole, True)
    takes_or_stops(Sequencer(a), whole & ~((1 << field.width) - 1 << field.offset), False)


@pytest.mark.parametrize("key_lines", [0, 2])
def test_keys_need_a_key_buffer(key_lines: int) -> None:
    a = Accelerator(key_lines=key_lines)
    for keys in (0, 1):
        takes_or_stops(Sequencer(a), number(Opcode.MATMUL, **MATMUL, keys=keys), not keys or key_lines > 0)
    for destination in Destination:
        legal = destination is not Destination.KEY or key_lines > 0
        takes_or_stops(Sequencer(a), number(Opcode.BINARIZE, **BINARIZE, destination=destination), legal)


@pytest.mark.parametrize("vector_lanes", [0, 1])
def test_the_vector_unit_and_its_buffers_need_lanes(vector_lanes: int) -> None:
    a = Accelerator(vector_lanes=vector_lanes)
    for code, operands in ((Opcode.SUMS, SUMS), (Opcode.VECTOR, VECTOR)):
        takes_or_stops(Sequencer(a), number(code, **operands), vector_lanes > 0)
    for buffer in Buffer:
        legal = buffer <= Buffer.THRESHOLD or (vector_lanes > 0 and buffer <= Buffer.LEVEL)
        takes_or_stops(Sequencer(a), number(Opcode.LOAD, **(LOAD | {"buffer": buffer})), legal)


@pytest.mark.parametrize("row_lanes", [0, 1])
@pytest.mark.parametrize("vector_lanes", [0, 1])
def test_scores_and_their_codes_need_row_lanes(vector_lanes: int, row_lanes: int) -> None:
    a = Accelerator(vector_lanes=vector_lanes, row_lanes=row_lanes)
    there = {SumsDestination.SUMS: vector_lanes, SumsDestination.SCORE: row_lanes}
    for destination, lanes in there.items():
        takes_or_stops(Sequencer(a), number(Opcode.SUMS, **(SUMS | {"destination": destination})), lanes > 0)
    takes_or_stops(Sequencer(a), number(Opcode.SOFTMAX, **SOFTMAX), row_lanes > 0)


PLANES = [
    (Opcode.SOFTMAX, SOFTMAX, "planes"),
    (Opcode.MATMUL, MATMUL, "activation_planes"),
    (Opcode.MATMUL, MATMUL, "weight_planes"),
    (Opcode.VECTOR, VECTOR, "planes"),
]


@pytest.mark.parametrize(
    ("code", "operands", "operand"), PLANES, ids=lambda item: item if isinstance(item, str) else ""
)
@pytest.mark.parametrize("code_bits", [1, 2, 4, 8])
def test_planes_beyond_the_bits_of_codes_stop_the_run(
    code_bits: int, code: Opcode, operands: dict[str, int], operand: str
) -> None:
    a = Accelerator(code_bits=code_bits, vector_lanes=1, row_lanes=1)
    for planes in {1, code_bits, code_bits + 1, 2 * code_bits - 1, 15}:
        takes_or_stops(Sequencer(a), number(code, **(operands | {operand: planes})), planes <= code_bits)


def test_each_opcode_goes_to_the_queue_of_its_unit() -> None:
    dut = Sequencer(Accelerator(code_bits=2, key_lines=4, vector_lanes=2, row_lanes=2, classes=2))
    examples = (*COUNTED, (Opcode.STORE, STORE), (Opcode.LOAD, LOAD))

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        for code, operands in examples:
            await offer(ctx, dut, number(code, **operands))
            assert ctx.get(dut.push) == 1 << UNIT_OF[code]
            ctx.set(dut.space, ALL_UNITS & ~(1 << UNIT_OF[code]))
            assert (ctx.get(dut.push), ctx.get(dut.take), ctx.get(dut.queue_full)) == (0, 0, 1)
            ctx.set(dut.space, ALL_UNITS)
            await ctx.tick()
        ctx.set(dut.valid, 0)
        for retiring, left in ((ALL_UNITS, 4), (0b10100, 2), (0b10000, 1), (0b10000, 0)):
            ctx.set(dut.retire, retiring)
            await ctx.tick()
            ctx.set(dut.retire, 0)
            await offer(ctx, dut, number(Opcode.FENCE))
            assert ctx.get(dut.take) == (left == 0), "ten went in, of which all six units may retire one in a cycle"
            ctx.set(dut.valid, 0)

    simulate(dut, process)


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        ("read_error", ErrorCode.READ_ERROR),
        ("write_error", ErrorCode.WRITE_ERROR),
        ("exhausted", ErrorCode.NO_HALT),
    ],
)
def test_an_error_waits_for_quiet_and_a_new_start_clears_it(cause: str, code: ErrorCode) -> None:
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        ctx.set(dut.quiet, 0)
        ctx.set(getattr(dut, cause), 1)
        await ctx.tick()
        ctx.set(getattr(dut, cause), 0)
        await ctx.tick().repeat(5)
        assert (ctx.get(dut.hold), ctx.get(dut.running), ctx.get(dut.done)) == (1, 1, 0)
        ctx.set(dut.quiet, 1)
        await ctx.tick()
        assert (ctx.get(dut.hold), ctx.get(dut.running), ctx.get(dut.done)) == (1, 0, 1)
        assert ctx.get(dut.error) == code
        await start(ctx, dut)
        assert ctx.get(dut.error) == ErrorCode.NONE

    simulate(dut, process)


def test_the_first_error_stands_and_what_retires_after_it_counts() -> None:
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        ctx.set(dut.quiet, 0)
        ctx.set(dut.write_error, 1)
        await ctx.tick()
        ctx.set(dut.write_error, 0)
        ctx.set(dut.read_error, 1)
        ctx.set(dut.retire, 0b1001)
        await ctx.tick()
        assert (ctx.get(dut.running), ctx.get(dut.error)) == (1, ErrorCode.WRITE_ERROR)
        assert ctx.get(dut.retired) == 2

    simulate(dut, process)


@pytest.mark.parametrize("cause", ["read_error", "write_error", "exhausted"])
def test_nothing_fails_before_a_start(cause: str) -> None:
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        ctx.set(getattr(dut, cause), 1)
        await ctx.tick()
        assert (ctx.get(dut.hold), ctx.get(dut.done), ctx.get(dut.error)) == (0, 0, ErrorCode.NONE)

    simulate(dut, process)


def test_a_start_keeps_nothing_of_the_run_before() -> None:
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        await offer(ctx, dut, number(Opcode.STORE, **STORE))
        await ctx.tick().repeat(2)
        ctx.set(dut.retire, 0b1000)
        await offer(ctx, dut, number(Opcode.HALT))
        await ctx.tick()
        ctx.set(dut.retire, 0)
        ctx.set(dut.read_error, 1)
        assert (ctx.get(dut.waiting), ctx.get(dut.retired), ctx.get(dut.issue_cycle)) == (1, 1, 3)
        await ctx.tick()
        ctx.set(dut.read_error, 0)
        ctx.set(dut.valid, 0)
        await ctx.tick()
        assert ctx.get(dut.done)
        await start(ctx, dut)
        assert (ctx.get(dut.done), ctx.get(dut.retired)) == (0, 0)
        await offer(ctx, dut, number(Opcode.HALT))
        assert (ctx.get(dut.retire_here), ctx.get(dut.issue_cycle)) == (1, 1)

    simulate(dut, process)


@pytest.mark.parametrize("patience", [1, 2, 7])
def test_the_watchdog_ends_a_run_without_progress(patience: int) -> None:
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        ctx.set(dut.watchdog, patience)
        ctx.set(dut.progress, 1)
        await start(ctx, dut)
        ctx.set(dut.quiet, 0)
        for _ in range(3):
            ctx.set(dut.progress, 0)
            for _ in range(patience - 1):
                await ctx.tick()
            ctx.set(dut.progress, 1)
            await ctx.tick()
            assert (ctx.get(dut.running), ctx.get(dut.done)) == (1, 0), "one cycle of progress begins the count anew"
        ctx.set(dut.progress, 0)
        await ctx.tick().repeat(patience)
        assert (ctx.get(dut.hold), ctx.get(dut.running), ctx.get(dut.done)) == (1, 0, 1)
        assert ctx.get(dut.error) == ErrorCode.WATCHDOG
        ctx.set(dut.retire, 0b0001)
        await ctx.tick()
        ctx.set(dut.retire, 0)
        assert ctx.get(dut.retired) == 0, "what the memory still answers is no part of the run"
        ctx.set(dut.start, 1)
        assert not ctx.get(dut.clear), "a start waits until the memory has answered"
        await ctx.tick()
        ctx.set(dut.progress, 1)
        await start(ctx, dut)
        assert ctx.get(dut.error) == ErrorCode.NONE

    simulate(dut, process)


@pytest.mark.parametrize(
    ("patience", "cause", "at", "code"),
    [
        (5, "read_error", 0, ErrorCode.READ_ERROR),
        (4, "exhausted", 3, ErrorCode.NO_HALT),  # in the cycle of the watchdog
    ],
)
def test_the_watchdog_ends_the_wait_for_quiet_and_leaves_the_error_alone(
    patience: int, cause: str, at: int, code: ErrorCode
) -> None:
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        ctx.set(dut.watchdog, patience)
        await start(ctx, dut)
        ctx.set(dut.quiet, 0)
        for cycle in range(patience):
            assert (ctx.get(dut.running), ctx.get(dut.done)) == (1, 0)
            ctx.set(getattr(dut, cause), cycle == at)
            await ctx.tick()
        assert (ctx.get(dut.running), ctx.get(dut.done), ctx.get(dut.error)) == (0, 1, code)

    simulate(dut, process)


def test_a_watchdog_of_0_waits_for_ever() -> None:
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        await ctx.tick().repeat(300)
        assert (ctx.get(dut.running), ctx.get(dut.error)) == (1, ErrorCode.NONE)

    simulate(dut, process)


@pytest.mark.parametrize("count", [1, 128])
def test_halt_waits_for_what_is_in_flight_and_total_is_its_cycle_plus_one(count: int) -> None:
    """Queues of 16 instructions, and transfers behind them, hold more than a hundred."""
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        await offer(ctx, dut, number(Opcode.STORE, **STORE))
        await ctx.tick().repeat(count)
        await offer(ctx, dut, number(Opcode.HALT))
        for _ in range(6):
            assert (ctx.get(dut.take), ctx.get(dut.waiting)) == (0, 1)
            await ctx.tick()
        ctx.set(dut.retire, 0b1000)
        for _ in range(count):
            assert not ctx.get(dut.take)
            await ctx.tick()
        ctx.set(dut.retire, 0)
        assert (ctx.get(dut.retire_here), ctx.get(dut.issue_cycle)) == (1, 1 + count)
        halt_cycle = ctx.get(dut.cycle)
        await ctx.tick().repeat(2)
        assert (ctx.get(dut.running), ctx.get(dut.done)) == (0, 1)
        await ctx.tick().repeat(3)
        assert (ctx.get(dut.cycle), ctx.get(dut.retired)) == (halt_cycle + 1, 1 + count)

    simulate(dut, process)


def test_start_is_ignored_while_running() -> None:
    dut = Sequencer(Accelerator())

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        ctx.set(dut.start, 1)
        assert not ctx.get(dut.clear)
        await ctx.tick()
        assert ctx.get(dut.cycle) == 2

    simulate(dut, process)

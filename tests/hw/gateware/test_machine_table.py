"""TABLE, multiply and maximum in the machine: from a table in memory to the trace and the counters."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from hw.isa import Buffer, Instruction, Opcode, Source, Unit, make
from tests.hw.gateware.clockwork import fold, packed, seeded, simulate
from tests.hw.gateware.curves import any_curve, piece_of, tabled
from tests.hw.gateware.machines import COUNTERS, PROGRAM, machine, read, run
from tests.hw.gateware.rows import round_shift, saturated
from tests.hw.gateware.test_machine_vector import A

#: Two slices of two channels; a line of scales has two entries, a table 128 lines.
TABLED = A.replace(fixed_lines=16, scale_lines=132)
SHIFT, CHANNELS = 7, 3
NUMBERS = [-20000, 16383, 77]

#: Where addends and pieces stand in memory, and the table in the buffer.
AT_ADDENDS, AT_PIECES, TABLE_LINE = 0x00, 0x400, 3


def memory(program: list[Instruction], curve: list[int]) -> bytes:
    entries = [number % (1 << 32) << 16 for number in NUMBERS]
    pieces = [piece_of(curve, number, SHIFT).entry() for number in range(256)]
    image = bytearray(AT_PIECES + 8 * 256)
    for address, words in ((AT_ADDENDS, entries), (AT_PIECES, pieces)):
        image[address : address + 8 * len(words)] = b"".join(word.to_bytes(8, "little") for word in words)
    code = b"".join(instruction.encode() for instruction in program)
    image[PROGRAM : PROGRAM + len(code)] = code
    return bytes(image)


def program() -> list[Instruction]:
    """Make the numbers of sums that are 0, and of them their table, in place, a product, and the larger of both."""
    load, own = {"buffer": Buffer.SCALE, "segments": 1, "stride": 0, "row_beats": 2}, 1 << Unit.VECTOR
    here = {"channels": CHANNELS, "rows": 1}
    fixed = {**here, "source": Source.FIXED, "keep": 1}
    return [
        make(Opcode.LOAD, **load, address=AT_ADDENDS, line=0, segment_beats=4),
        make(Opcode.LOAD, **load, address=AT_PIECES, line=TABLE_LINE, segment_beats=256, signal=own),
        make(Opcode.VECTOR, **here, source=Source.SUMS, source_line=0, scale=1, keep=1, fixed_line=0,
             wait=1 << Unit.LOAD),
        make(Opcode.TABLE, **here, source_line=0, fixed_line=2, table_line=TABLE_LINE, shift=SHIFT, wait=own),
        make(Opcode.TABLE, **here, source_line=0, fixed_line=0, table_line=TABLE_LINE, shift=SHIFT),
        make(Opcode.VECTOR, **fixed, source_line=2, scale=1, multiply=1, add_line=0, shift=9, fixed_line=4, wait=own),
        make(Opcode.VECTOR, **fixed, source_line=4, add=1, maximum=1, add_line=0, fixed_line=6, wait=own),
        make(Opcode.HALT),
    ]  # fmt: skip


def crc(numbers: list[int]) -> int:
    """Return the checksum of the slices of a row."""
    padded = numbers + [0] * (-len(numbers) % 2)
    words = [fold(packed([*padded[first : first + 2]], 16)) for first in range(0, len(padded), 2)]
    return zlib.crc32(b"".join(word.to_bytes(4, "little") for word in words))


@pytest.mark.parametrize("pace", [1, 3])
def test_a_program_with_a_table(pace: int, monkeypatch: pytest.MonkeyPatch) -> None:
    curve, dut, code = any_curve(seeded("machine table")), machine(TABLED, monkeypatch), program()
    results = [tabled(curve, number, SHIFT) for number in NUMBERS]
    products = [saturated(round_shift(y * y, 9), 16) for y in results]

    async def process(ctx: Any) -> None:
        for _ in range(2):
            records = await run(ctx, dut, memory(code, curve), len(code), pace)
            assert await read(ctx, dut, 0x08) == 2
            numbers, table, in_place, product, larger = records[Unit.VECTOR]
            assert numbers[2] == crc(NUMBERS)
            assert table[2] == in_place[2] == crc(results)
            assert product[2] == crc(products)
            assert larger[2] == crc([max(pair) for pair in zip(products, results, strict=True)])
            assert [retire - issue for issue, retire, _ in (numbers, table, product, larger)] == [9, 10, 9, 9]
            assert (in_place[0], in_place[1]) == (table[0] + 3, table[1] + 3), "as the last of three steps enters"
            assert product[0] == in_place[1] + 1
            busy, wait, _, issue, _ = [await read(ctx, dut, COUNTERS + 20 * Unit.VECTOR + 4 * s) for s in range(5)]
            assert (busy, wait, issue) == (2 + 3 + 3 + 2 + 2, 0, 4), "the second TABLE is issued as a step enters"

    simulate(dut, process)


def test_a_table_without_lanes_is_illegal(monkeypatch: pytest.MonkeyPatch) -> None:
    dut, code = machine(A.replace(vector_lanes=0), monkeypatch), [program()[3], make(Opcode.HALT)]

    async def process(ctx: Any) -> None:
        records = await run(ctx, dut, memory(code, [0] * 257), len(code))
        assert not records[Unit.VECTOR]
        assert await read(ctx, dut, 0x08) == 2 | 1 << 8

    simulate(dut, process)

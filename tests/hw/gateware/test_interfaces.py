"""What a queue holds of an instruction."""

from __future__ import annotations

from typing import Any

from hw.arch import Accelerator
from hw.gateware.interfaces import INSTRUCTION_BITS, fetched_bits, queued_bits, units_of
from hw.gateware.issue import IssueQueue
from hw.isa import TOKEN_UNITS, Unit
from tests.hw.gateware.clockwork import check, drive, simulate


def test_a_unit_is_given_what_it_uses() -> None:
    small, coded = Accelerator(), Accelerator(code_bits=2)
    assert {unit.name: queued_bits(unit, small) for unit in TOKEN_UNITS} == {
        "LOAD": 160,
        "ARRAY": 160,
        "DRAIN": 160,
        "STORE": 160,
        "VECTOR": 256,
        "ROW": 208,
    }
    assert queued_bits(Unit.ARRAY, coded) == 200
    assert queued_bits(Unit.LOAD, Accelerator(vector_lanes=1, token_lines=2)) == 176


def test_what_no_legal_instruction_uses_is_not_fetched() -> None:
    assert (fetched_bits(Accelerator()), fetched_bits(Accelerator(vector_lanes=1)), INSTRUCTION_BITS) == (200, 256, 256)


def test_vector_and_row_unit_are_there_if_they_have_lanes() -> None:
    units = (Unit.LOAD, Unit.ARRAY, Unit.DRAIN, Unit.STORE)
    assert units_of(Accelerator()) == units
    assert units_of(Accelerator(vector_lanes=1)) == (*units, Unit.VECTOR)
    assert units_of(Accelerator(row_lanes=1)) == (*units, Unit.ROW)
    assert units_of(Accelerator(vector_lanes=1, row_lanes=1)) == (*units, Unit.VECTOR, Unit.ROW)


def test_a_narrow_queue_shows_the_other_bits_as_0() -> None:
    dut, whole = IssueQueue(depth=2, in_flight=2, bits=160), (1 << INSTRUCTION_BITS) - 1

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"push": 1, "instruction": whole})
        await ctx.tick()
        check(ctx, dut, {"unit.head": (1 << 160) - 1})

    simulate(dut, process)

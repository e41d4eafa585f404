"""The checker: proves that a program obeys docs/machine.md and docs/machine-network.md before anything runs it.

It reads the finished program only and shares no code with what makes programs. A program that passes has: operands in
range, every transfer inside its region, a BINARIZE or SUMS behind each MATMUL that hands over, no read of what is not
there yet, every conflicting pair of instructions in a proved order, statistics, maxima and votes where they are needed,
balanced tokens that cannot overflow or wait for ever, and no result lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw.isa import ALL_UNITS, FIELDS, INSTRUCTION_BYTES, OWN_WAITS, InstructionError, Opcode, Unit, decode
from hw.program import Program
from mapping.errors import CheckError
from mapping.footprint import footprint
from mapping.footprints.base import Sizes, Where
from mapping.footprints.products import row_tiles
from mapping.handover import Pairing, spares
from mapping.holding import Holding
from mapping.order import Order
from mapping.storage import Storage, overlapping

_RANGES = {
    opcode: tuple((int(field.count), (1 << field.width) - 1) for field in fields) for opcode, fields in FIELDS.items()
}


def check(program: Program, vocabulary: int | None = None) -> None:
    """Raise CheckError, naming the instruction and the rule, unless the program is proved legal.

    Ids are data, so that where a gather reads cannot be proved but for the word of id 0; with the number of words in a
    `vocabulary` it is proved for all of them.
    """
    _check_regions(program)
    places = [Where(index, instruction) for index, instruction in enumerate(program.instructions)]
    for where in places:
        _check_fields(where)
    _check_end(places)
    sizes, spare = Sizes(program.accelerator), spares(places)
    touched = [footprint(sizes, where, spare.get(where.index, 0)) for where in places]
    drains = Pairing(program.accelerator).follow(places)
    order = Order(program.instructions, drains, program.accelerator.queue_depth)
    _check_drains(sizes, places, drains, order)
    storage, holding = Storage(sizes, program.regions, order, vocabulary), Holding(program.accelerator)
    for where, touching in zip(places, touched, strict=True):
        holding.touch(where)
        storage.touch(where, touching)
        if where.instruction.opcode is Opcode.EXIT and holding.voted:
            storage.finish(where)
    storage.finish(places[-1])


def _check_regions(program: Program) -> None:
    """Check that regions are apart and that one of them, for the program alone, holds the instructions."""
    for before, after in overlapping(program.regions):
        raise CheckError(
            f"program: region {after.name} must start behind {before.name}, which ends at {before.end:#x}, "
            f"not at {after.address:#x}"
        )
    size = len(program.instructions) * INSTRUCTION_BYTES
    holding = [region for region in program.regions if region.access == "program"]
    if len(holding) != 1 or holding[0].address != program.address or holding[0].size != size:
        raise CheckError(
            f"program: one region for the program must hold its {size} bytes at {program.address:#x}, "
            f"not {[(region.name, region.address, region.size) for region in holding]}"
        )
    for region in program.regions:
        if region.address % program.accelerator.beat_bytes:
            raise CheckError(
                f"program: region {region.name} must start at a beat of {program.accelerator.beat_bytes} bytes, "
                f"not at {region.address:#x}"
            )


def _check_fields(where: Where) -> None:
    """Check that the instruction survives encoding: every operand in its field, no count of 0, no mask too wide."""
    instruction = where.instruction
    others = 0 if instruction.unit is Unit.SEQUENCER else ALL_UNITS & ~(1 << instruction.unit)
    waits = others | 1 << instruction.unit if instruction.unit in OWN_WAITS else others
    if not (instruction.wait & ~waits or instruction.signal & ~others):
        ranges = zip(instruction.operands, _RANGES[instruction.opcode], strict=True)
        if all(low <= value <= high for value, (low, high) in ranges):
            return
    try:
        legal = decode(where.instruction.encode()) == where.instruction
    except (InstructionError, OverflowError) as error:
        raise where.error(str(error)) from None
    where.require(legal, "operands and masks", "within their fields", "wider")


def _check_end(places: Sequence[Where]) -> None:
    for where in places:
        halts, last = where.instruction.opcode is Opcode.HALT, where.index == len(places) - 1
        where.require(halts or not last, "last instruction", "HALT", where.instruction.opcode.name)
        where.require(last or not halts, "HALT", f"the last instruction ({len(places) - 1})", where.index)


def _check_drains(sizes: Sizes, places: Sequence[Where], drains: dict[int, int], order: Order) -> None:
    """Check that no BINARIZE or SUMS can be kept from a MATMUL that needs it to finish: that would wait for ever."""
    for drain, matmul in drains.items():
        if row_tiles(sizes, places[matmul]) * places[matmul]["column_groups"] == 1:
            continue
        for place in places[matmul + 1 : drain + 1]:
            if order.issued[place.index][Unit.ARRAY] >= matmul:
                name = places[drain].instruction.opcode.name
                raise place.error(f"must not wait for MATMUL {matmul}, which ends after {name} {drain} begins")

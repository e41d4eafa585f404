"""The checker: proves that a program obeys docs/machine.md before anything runs it.

It reads the finished program only and shares no code with what makes programs. A program that passes has: operands in
range, every transfer inside its region, a BINARIZE behind each MATMUL that hands over, no read of what is not there
yet, every conflicting pair of instructions in a proved order, balanced tokens that cannot overflow or wait for ever,
and no result lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw.isa import InstructionError, Opcode, Unit, decode
from hw.program import Program
from mapping.errors import CheckError
from mapping.footprint import Where, footprint, row_tiles
from mapping.order import Order
from mapping.storage import Storage, overlapping


def check(program: Program) -> None:
    """Raise CheckError, naming the instruction and the rule, unless the program is proved legal."""
    _check_regions(program)
    places = [Where(index, instruction) for index, instruction in enumerate(program.instructions)]
    for where in places:
        _check_fields(where)
    _check_end(places)
    touched = [footprint(program.accelerator, where) for where in places]
    drains = _Pairing(program).follow(places)
    order = Order(program.instructions, drains, program.accelerator.queue_depth)
    _check_drains(program, places, drains, order)
    storage = Storage(program.accelerator, program.regions, order)
    for where, touching in zip(places, touched, strict=True):
        storage.touch(where, touching)
    storage.finish(places[-1])


def _check_regions(program: Program) -> None:
    """Check that regions are apart and that one of them, for the program alone, holds the instructions."""
    for before, after in overlapping(program.regions):
        raise CheckError(
            f"program: region {after.name} must start behind {before.name}, which ends at {before.end:#x}, "
            f"not at {after.address:#x}"
        )
    size = sum(len(instruction.encode()) for instruction in program.instructions)
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
    """Check that the instruction survives encoding: every operand in its field, no count of 0, no token to itself."""
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


class _Pairing:
    """Follows the array's sums: MATMULs that continue each other, and the BINARIZE that takes each hand-over."""

    def __init__(self, program: Program) -> None:
        self._accelerator = program.accelerator
        self._open: list[Where] = []
        self._handed: Where | None = None

    def follow(self, places: Sequence[Where]) -> dict[int, int]:
        """Return the MATMUL of each BINARIZE."""
        drains = {}
        for where in places:
            opcode = where.instruction.opcode
            if where.instruction.unit in (Unit.ARRAY, Unit.DRAIN, Unit.SEQUENCER):
                self._check_handed(where)
            if opcode is Opcode.MATMUL:
                self._matmul(where)
            elif opcode is Opcode.BINARIZE and self._handed is not None:
                drains[where.index] = self._handed.index
                self._handed = None
            elif opcode is Opcode.HALT and self._open:
                raise where.error(f"sums of MATMUL {self._open[-1].index} must be handed over, not left in the array")
        return drains

    def _check_handed(self, where: Where) -> None:
        """Check that a BINARIZE, and nothing else, follows a hand-over, with the same tiles."""
        handed, opcode = self._handed, where.instruction.opcode
        if handed is None:
            where.require(opcode is not Opcode.BINARIZE, "BINARIZE", "behind a MATMUL with handover", "alone")
            return
        if opcode is not Opcode.BINARIZE:
            raise handed.error(f"its BINARIZE must follow the handover, not {opcode.name} (instruction {where.index})")
        for name in ("rows", "column_groups"):
            where.require(where[name] == handed[name], name, f"{handed[name]} as in MATMUL {handed.index}", where[name])

    def _matmul(self, where: Where) -> None:
        if where["first"]:
            where.require(not self._open, "first", "0 while sums stay in the array", 1)
        else:
            where.require(bool(self._open), "first", "1 where no sums stay in the array", 0)
            for name in ("rows", "unsigned"):
                before = self._open[-1][name]
                where.require(where[name] == before, name, f"{before} as in the MATMUL it continues", where[name])
        self._open.append(where)
        inputs = sum(part["words"] for part in self._open) * self._accelerator.word_bits
        where.require(
            inputs <= self._accelerator.max_inputs, "inputs of a sum", f"at most {self._accelerator.max_inputs}", inputs
        )
        if where["handover"]:
            self._open, self._handed = [], where


def _check_drains(program: Program, places: Sequence[Where], drains: dict[int, int], order: Order) -> None:
    """Check that no BINARIZE can be kept from a MATMUL that needs it to finish: that would wait for ever."""
    for binarize, matmul in drains.items():
        if row_tiles(program.accelerator, places[matmul]) * places[matmul]["column_groups"] == 1:
            continue
        for place in places[matmul + 1 : binarize + 1]:
            if order.issued[place.index][Unit.ARRAY] >= matmul:
                raise place.error(f"must not wait for MATMUL {matmul}, which ends after BINARIZE {binarize} begins")

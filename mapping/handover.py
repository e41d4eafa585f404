"""Which BINARIZE or SUMS takes the sums of which MATMUL in a finished program.

Part of the checker: nothing here comes from the code that makes programs.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw.arch import Accelerator
from hw.isa import Opcode, Unit
from mapping.footprints.base import Where
from mapping.footprints.products import largest_product

DRAINS = (Opcode.BINARIZE, Opcode.SUMS)


def spares(places: Sequence[Where]) -> dict[int, int]:
    """Return, for each MATMUL, the columns that the next BINARIZE or SUMS leaves out."""
    result, spare = {}, 0
    for where in reversed(places):
        opcode = where.instruction.opcode
        if opcode in DRAINS:
            spare = where["spare"]
        elif opcode is Opcode.MATMUL:
            result[where.index] = spare
    return result


class Pairing:
    """Follows the array's sums: MATMULs that continue each other, and what takes each hand-over."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._open: list[Where] = []
        self._handed: Where | None = None

    def follow(self, places: Sequence[Where]) -> dict[int, int]:
        """Return the MATMUL of each BINARIZE and SUMS."""
        drains = {}
        for where in places:
            opcode = where.instruction.opcode
            if where.instruction.unit in (Unit.ARRAY, Unit.DRAIN, Unit.SEQUENCER):
                self._check_handed(where)
            if opcode is Opcode.MATMUL:
                self._matmul(where)
            elif opcode in DRAINS and self._handed is not None:
                drains[where.index] = self._handed.index
                self._handed = None
            elif opcode is Opcode.HALT and self._open:
                raise where.error(f"sums of MATMUL {self._open[-1].index} must be handed over, not left in the array")
        return drains

    def _check_handed(self, where: Where) -> None:
        """Check that a BINARIZE or SUMS, and nothing else, follows a hand-over, with the same tiles."""
        handed, opcode = self._handed, where.instruction.opcode
        if handed is None:
            where.require(opcode not in DRAINS, opcode.name, "behind a MATMUL with handover", "alone")
            return
        if opcode not in DRAINS:
            raise handed.error(
                f"its BINARIZE or SUMS must follow the handover, not {opcode.name} (instruction {where.index})"
            )
        for name in ("rows", "column_groups"):
            where.require(where[name] == handed[name], name, f"{handed[name]} as in MATMUL {handed.index}", where[name])

    def _matmul(self, where: Where) -> None:
        if where["first"]:
            where.require(not self._open, "first", "0 while sums stay in the array", 1)
        else:
            where.require(bool(self._open), "first", "1 where no sums stay in the array", 0)
            for name in ("rows", "unsigned", "plain"):
                before = self._open[-1][name]
                where.require(where[name] == before, name, f"{before} as in the MATMUL it continues", where[name])
        self._open.append(where)
        inputs = sum([part["words"] for part in self._open]) * self._accelerator.word_bits
        factor, most = largest_product(where), self._accelerator.max_inputs
        what = "inputs of a sum" if factor == 1 else f"inputs of a sum, times {factor} for the planes,"
        where.require(inputs * factor <= most, what, f"at most {most}", inputs * factor)
        if where["handover"]:
            self._open, self._handed = [], where

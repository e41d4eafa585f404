"""What each instruction of a finished program touches, by the documents of the machine alone.

Part of the checker: nothing here comes from the code that makes programs.
"""

from __future__ import annotations

from hw.isa import Opcode
from mapping.footprints import products, rows, transfers
from mapping.footprints.base import Footprint, Sizes, Where

_NOTHING = Footprint()


def footprint(sizes: Sizes, where: Where, spare: int = 0) -> Footprint:
    """Return what an instruction touches; raise CheckError if an operand breaks a rule or leaves a buffer.

    `spare` is that of the BINARIZE or SUMS behind a MATMUL.
    """
    match where.instruction.opcode:
        case Opcode.LOAD:
            return transfers.load(sizes, where)
        case Opcode.MATMUL:
            return products.matmul(sizes, where, spare)
        case Opcode.BINARIZE:
            return products.binarize(sizes, where)
        case Opcode.STORE:
            return transfers.store(sizes, where)
        case Opcode.SUMS:
            return products.sums(sizes, where)
        case Opcode.VECTOR:
            return rows.vector(sizes, where)
        case Opcode.SOFTMAX:
            return rows.softmax(sizes, where)
        case Opcode.MEAN:
            return rows.mean(sizes, where)
        case Opcode.TABLE:
            return rows.table(sizes, where)
        case Opcode.CLASSIFY:
            return rows.classify(sizes, where)
        case Opcode.EXIT:
            where.require(sizes.accelerator.classes, "classes", "at least 1 for EXIT", 0)
    return _NOTHING

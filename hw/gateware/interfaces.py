"""Signatures that join the parts of the machine."""

from __future__ import annotations

from amaranth.lib import data
from amaranth.lib.wiring import In, Out, Signature

from hw.arch import Accelerator
from hw.isa import FIELDS, OPCODE, SIGNAL, TOKEN_UNITS, UNIT_OF, WAIT, Field, Opcode, Unit

ADDRESS_BITS = 32
TOKEN_UNIT_COUNT = len(TOKEN_UNITS)

#: Bits of the total of a class.
TOTAL_BITS = 64

#: Bits of an instruction that any opcode uses.
INSTRUCTION_BITS = max(f.offset + f.width for fields in FIELDS.values() for f in (OPCODE, WAIT, SIGNAL, *fields))


def instruction_layout(opcode: Opcode) -> data.FlexibleLayout:
    """Return the view of an instruction's operands, from the table in `hw.isa`."""
    fields: tuple[Field, ...] = (OPCODE, WAIT, SIGNAL, *FIELDS[opcode])
    return data.FlexibleLayout(INSTRUCTION_BITS, {f.name: data.Field(f.width, f.offset) for f in fields})


def units_of(accelerator: Accelerator) -> tuple[Unit, ...]:
    """Return the units that an accelerator has, the sequencer left out."""
    lanes = {Unit.VECTOR: accelerator.vector_lanes, Unit.ROW: accelerator.row_lanes}
    return tuple(unit for unit in TOKEN_UNITS if lanes.get(unit, 1))


def fetched_bits(accelerator: Accelerator) -> int:
    """Return how many bits of an instruction the sequencer looks at: those of the opcodes that can be legal."""
    units = (*units_of(accelerator), Unit.SEQUENCER)
    fields = [field for opcode, unit in UNIT_OF.items() if unit in units for field in (SIGNAL, *FIELDS[opcode])]
    return max(field.offset + field.width for field in fields)


def queued_bits(unit: Unit, accelerator: Accelerator) -> int:
    """Return how many bits of an instruction its unit uses.

    Codes of one bit have no use for the operands of planes, and without a token buffer nothing is gathered.
    """
    fields = [field for opcode, its_unit in UNIT_OF.items() if its_unit is unit for field in FIELDS[opcode]]
    used = [field for field in fields if accelerator.code_bits > 1 or "_plane" not in field.name]
    used = [field for field in used if accelerator.token_lines or field.name != "token"]
    return max(field.offset + field.width for field in used)


class BurstRequest(Signature):
    """A burst that its source offers until it is selected: address and beats stay while `valid`."""

    def __init__(self) -> None:
        super().__init__(
            {
                "valid": Out(1),
                "address": Out(ADDRESS_BITS),
                "beats": Out(9),
                "selected": In(1),
            }
        )


class BeatWrite(Signature):
    """One beat into lane `lane` of line `line` in bank `bank` of a buffer, in each cycle with `enable`."""

    def __init__(self, port_bits: int) -> None:
        super().__init__(
            {
                "enable": Out(1),
                "bank": Out(7),
                "line": Out(16),
                "lane": Out(10),
                "data": Out(port_bits),
            }
        )


class LineRead(Signature):
    """Read line `line` of every bank in a cycle with `enable`; the data stay until the next such cycle."""

    def __init__(self, banks: int, line_bits: int) -> None:
        super().__init__(
            {
                "enable": Out(1),
                "line": Out(16),
                "data": In(data.ArrayLayout(line_bits, banks)),
            }
        )


class GroupWrite(Signature):
    """A group of drained rows into the chosen banks, at group position `position` of line `line`.

    Bank b gets row b modulo `drain_rows` of the group; a row has `sum_bits` bits for each column, or one.
    """

    def __init__(self, accelerator: Accelerator, banks: int, sum_bits: int = 1) -> None:
        row_bits = accelerator.columns * sum_bits
        super().__init__(
            {
                "banks": Out(banks),
                "line": Out(16),
                "position": Out(16),
                "data": Out(data.ArrayLayout(row_bits, accelerator.drain_rows)),
            }
        )


class SliceWrite(Signature):
    """A slice of bits, one for each lane, into the chosen banks, at slice position `position` of line `line`.

    The lanes are those of the vector unit where no other number is given.
    """

    def __init__(self, accelerator: Accelerator, lanes: int = 0) -> None:
        super().__init__(
            {
                "banks": Out(accelerator.rows),
                "line": Out(16),
                "position": Out(16),
                "data": Out(lanes or accelerator.vector_lanes),
            }
        )


class LineWrite(Signature):
    """A whole line of a buffer of one bank, in each cycle with `enable`."""

    def __init__(self, line_bits: int) -> None:
        super().__init__({"enable": Out(1), "line": Out(16), "data": Out(line_bits)})


class KeyWrite(Signature):
    """A group of drained rows into the key buffer or, `transposed`, a whole tile: bank b gets the tile's column b."""

    def __init__(self, accelerator: Accelerator) -> None:
        super().__init__(
            {
                "groups": Out(GroupWrite(accelerator, accelerator.columns)),
                "transposed": Out(1),
                "tile": Out(data.ArrayLayout(accelerator.rows, accelerator.columns)),
            }
        )


class Outcome(data.StructLayout):
    """The class that leads, and whether that is `decided`."""

    def __init__(self) -> None:
        super().__init__({"leader": 16, "decided": 1})


class Standing(Signature):
    """What the registers show of the vote: behind the last CLASSIFY of the run, 0 before it."""

    def __init__(self) -> None:
        super().__init__({"outcome": Out(Outcome()), "members": Out(32), "total": Out(TOTAL_BITS)})


class Issue(Signature):
    """A unit and its queue: the unit sees the head, says whether it can accept, and is told when it is issued."""

    def __init__(self) -> None:
        super().__init__(
            {
                "head": Out(INSTRUCTION_BITS),
                "issued": Out(1),
                "can_accept": In(1),
            }
        )


class Words(Signature):
    """The words that an instruction writes, for the checksum of the retirement trace."""

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "fold": Out(32), "end": Out(1)})


class Drain(Signature):
    """The drain register as the drain unit sees it: `full`, and the rows that are next to be taken."""

    def __init__(self, accelerator: Accelerator) -> None:
        row = data.StructLayout(
            {
                "sums": data.ArrayLayout(accelerator.count_bits, accelerator.columns),
                "correction": accelerator.sum_bits,
            }
        )
        super().__init__(
            {
                "full": Out(1),
                "rows": Out(data.ArrayLayout(row, accelerator.drain_rows)),
                "take": In(1),
                "release": In(1),
            }
        )

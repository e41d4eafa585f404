"""The instructions: fields, encoding, decoding, text. One table serves gateware, simulator, mapper and docs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from hw.messages import shown

INSTRUCTION_BYTES = 32


class InstructionError(ValueError):
    """An instruction that cannot be encoded or decoded; the message says which field and why."""


class Unit(IntEnum):
    """The units that own instructions, in the order of the bits of a token mask."""

    LOAD = 0
    ARRAY = 1
    DRAIN = 2
    STORE = 3
    VECTOR = 4
    ROW = 5
    SEQUENCER = 6


TOKEN_UNITS = (Unit.LOAD, Unit.ARRAY, Unit.DRAIN, Unit.STORE, Unit.VECTOR, Unit.ROW)

ALL_UNITS = (1 << len(TOKEN_UNITS)) - 1
"""The mask that names every unit."""

OWN_WAITS = (Unit.LOAD, Unit.VECTOR)
"""The units whose instructions may wait for all earlier ones of their own unit."""

UNIT_NAMES = tuple(unit.name.lower() for unit in Unit)

#: What a unit does in a cycle: docs/machine.md, 3.11.
STATE_NAMES = ("busy", "wait", "token", "issue", "empty")


class Opcode(IntEnum):
    LOAD = 1
    MATMUL = 2
    BINARIZE = 3
    STORE = 4
    FENCE = 5
    HALT = 6
    SUMS = 7
    VECTOR = 8
    SOFTMAX = 9
    MEAN = 10
    CLASSIFY = 11
    EXIT = 12


UNIT_OF = {
    Opcode.LOAD: Unit.LOAD,
    Opcode.MATMUL: Unit.ARRAY,
    Opcode.BINARIZE: Unit.DRAIN,
    Opcode.STORE: Unit.STORE,
    Opcode.FENCE: Unit.SEQUENCER,
    Opcode.HALT: Unit.SEQUENCER,
    Opcode.SUMS: Unit.DRAIN,
    Opcode.VECTOR: Unit.VECTOR,
    Opcode.SOFTMAX: Unit.ROW,
    Opcode.MEAN: Unit.VECTOR,
    Opcode.CLASSIFY: Unit.VECTOR,
    Opcode.EXIT: Unit.SEQUENCER,
}


class Buffer(IntEnum):
    """The destination of a LOAD."""

    ACTIVATION = 0
    WEIGHT = 1
    THRESHOLD = 2
    SCALE = 3
    LEVEL = 4
    TABLE = 5
    TOKEN = 6
    WORD = 7
    EMBEDDING = 8


class Source(IntEnum):
    """What a VECTOR reads."""

    SUMS = 0
    FIXED = 1
    EMBEDDING = 2


class SumsDestination(IntEnum):
    """Where a SUMS writes."""

    SUMS = 0
    SCORE = 1


class Vote(IntEnum):
    """How the logits of a CLASSIFY count."""

    SOFT = 0
    HARD = 1
    MEAN = 2


class Destination(IntEnum):
    """Where a BINARIZE writes."""

    OUTPUT = 0
    ACTIVATION = 1
    KEY = 2


@dataclass(frozen=True)
class Field:
    """Bits offset .. offset+width-1 of the 256-bit instruction.

    A count must not be 0. An operand with a default may be left out where an instruction is made.
    """

    name: str
    offset: int
    width: int
    count: bool = False
    default: int | None = None


def _half(word: int, high: int, name: str, count: bool = False, default: int | None = None) -> Field:
    return Field(name, 32 * word + 16 * high, 16, count, default)


def _flag(bit: int, name: str) -> Field:
    return Field(name, bit, 1, default=0)


OPCODE = Field("opcode", 0, 8)
WAIT = Field("wait", 8, 8)
SIGNAL = Field("signal", 16, 8)

_TRANSFER = (
    Field("address", 32, 32),
    _half(2, 0, "line"),
    _half(2, 1, "row_beats", True),
    _half(3, 0, "segments", True),
    _half(3, 1, "segment_beats", True),
    Field("stride", 128, 32),
)

FIELDS: dict[Opcode, tuple[Field, ...]] = {
    Opcode.LOAD: (Field("buffer", 24, 4), _flag(28, "gather"), *_TRANSFER, _half(5, 0, "token", default=0)),
    Opcode.STORE: _TRANSFER,
    Opcode.MATMUL: (
        Field("unsigned", 24, 1),
        Field("first", 25, 1),
        Field("handover", 26, 1),
        _flag(27, "keys"),
        _flag(28, "plain"),
        _flag(29, "activation_negative"),
        _flag(30, "weight_negative"),
        _half(1, 0, "activation_line"),
        _half(1, 1, "weight_line"),
        _half(2, 0, "words", True),
        _half(2, 1, "pad"),
        _half(3, 0, "rows", True),
        _half(3, 1, "column_groups", True),
        _half(4, 0, "activation_stride"),
        _half(4, 1, "weight_stride"),
        _half(5, 0, "activation_plane_stride", default=0),
        _half(5, 1, "weight_plane_stride", default=0),
        Field("activation_planes", 192, 4, True, default=1),
        Field("weight_planes", 196, 4, True, default=1),
    ),
    Opcode.BINARIZE: (
        Field("destination", 24, 2, default=Destination.OUTPUT),
        _flag(26, "transpose"),
        _flag(27, "shared"),
        _half(1, 0, "threshold_line"),
        _half(1, 1, "output_line"),
        _half(2, 0, "output_group"),
        _half(2, 1, "output_stride"),
        _half(3, 0, "rows", True),
        _half(3, 1, "column_groups", True),
        _half(4, 0, "output_bank", default=0),
        _half(4, 1, "spare", default=0),
    ),
    Opcode.FENCE: (),
    Opcode.HALT: (),
    Opcode.SUMS: (
        Field("destination", 24, 1, default=SumsDestination.SUMS),
        Field("slot", 28, 4, default=0),
        _half(1, 1, "output_line"),
        _half(2, 0, "output_group"),
        _half(2, 1, "output_stride"),
        _half(3, 0, "rows", True),
        _half(3, 1, "column_groups", True),
        _half(4, 1, "spare", default=0),
    ),
    Opcode.VECTOR: (
        Field("source", 214, 2),
        _flag(25, "normalise"),
        _flag(26, "scale"),
        _flag(27, "add"),
        _flag(28, "keep"),
        _flag(29, "statistics"),
        Field("sets", 30, 2, default=0),
        _half(1, 0, "source_line"),
        _half(1, 1, "fixed_line", default=0),
        _half(2, 0, "add_line", default=0),
        _half(2, 1, "scale_line", default=0),
        Field("channels", 96, 13, True),
        Field("rows", 112, 7, True),
        Field("shift", 120, 5, default=0),
        _half(4, 0, "level_line", default=0),
        _half(4, 1, "code_line", default=0),
        _half(5, 0, "code_line_1", default=0),
        _half(5, 1, "code_line_2", default=0),
        _half(6, 0, "code_group", default=0),
        Field("planes", 208, 4, True, default=1),
        _flag(212, "code_signed"),
        _flag(213, "typed"),
        Field("epsilon", 224, 32, default=0),
    ),
    Opcode.SOFTMAX: (
        _half(1, 0, "score_line"),
        _half(1, 1, "code_line"),
        _half(2, 0, "code_group", default=0),
        _half(2, 1, "code_plane_stride", default=0),
        Field("keys", 96, 11, True),
        Field("rows", 112, 7, True),
        Field("slot", 120, 4, default=0),
        _half(4, 0, "table_line"),
        _half(4, 1, "last_entry"),
        _half(5, 0, "multiplier"),
        Field("shift", 176, 5),
        Field("planes", 184, 4, True, default=1),
        _half(6, 0, "level_line"),
    ),
    Opcode.MEAN: (
        _half(1, 0, "source_line"),
        _half(1, 1, "fixed_line"),
        _half(2, 0, "multiplier"),
        Field("channels", 96, 13, True),
        Field("shift", 120, 5),
        Field("rows", 128, 11, True),
    ),
    Opcode.CLASSIFY: (
        _half(1, 0, "source_line"),
        _half(1, 1, "scale_line"),
        _half(2, 0, "output_line"),
        Field("classes", 80, 11, True),
        Field("shift", 91, 5),
        Field("channels", 96, 13, True),
        Field("vote_shift", 112, 5),
        Field("vote", 117, 2),
        _flag(119, "first"),
        _half(4, 0, "multiplier"),
        Field("bound", 160, 31, default=0),
        Field("swing", 192, 38, default=0),
    ),
    Opcode.EXIT: (),
}


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction: opcode, tokens to take before issue, tokens to give at retirement, operands."""

    opcode: Opcode
    operands: tuple[int, ...] = ()
    wait: int = 0
    signal: int = 0

    @property
    def unit(self) -> Unit:
        """The unit that executes it."""
        return UNIT_OF[self.opcode]

    def __getattr__(self, name: str) -> int:
        for field, value in zip(FIELDS[object.__getattribute__(self, "opcode")], self.operands, strict=True):
            if field.name == name:
                return value
        raise AttributeError(f"{self.opcode.name} has no operand {name!r}")

    def encode(self) -> bytes:
        """Return the 32 bytes of this instruction."""
        value = int(self.opcode) << OPCODE.offset | self.wait << WAIT.offset | self.signal << SIGNAL.offset
        for field, operand in zip(FIELDS[self.opcode], self.operands, strict=True):
            value |= operand << field.offset
        return value.to_bytes(INSTRUCTION_BYTES, "little")

    def __str__(self) -> str:
        parts = [f"{f.name}={v}" for f, v in zip(FIELDS[self.opcode], self.operands, strict=True)]
        for label, mask in (("wait", self.wait), ("signal", self.signal)):
            if mask:
                parts.append(f"{label}=" + "+".join(u.name.lower() for u in TOKEN_UNITS if mask >> u & 1))
        return " ".join([self.opcode.name.lower(), *parts])


def make(opcode: Opcode, *, wait: int = 0, signal: int = 0, **operands: int) -> Instruction:
    """Build an instruction from named operands, each checked against its field."""
    fields = FIELDS[opcode]
    names = {field.name for field in fields}
    operands = {field.name: field.default for field in fields if field.default is not None} | operands
    if set(operands) != names:
        raise InstructionError(f"{opcode.name} must have the operands {sorted(names)}, not {sorted(operands)}")
    for field in fields:
        _check_operand(opcode, field, operands[field.name])
    for field, mask in ((WAIT, wait), (SIGNAL, signal)):
        _check_mask(opcode, field, mask)
    return Instruction(opcode, tuple(operands[field.name] for field in fields), wait, signal)


def decode(data: bytes) -> Instruction:
    """Decode 32 bytes; unknown opcodes, zero counts, masks that are not legal and stray bits are refused."""
    if len(data) != INSTRUCTION_BYTES:
        raise InstructionError(f"an instruction must be {INSTRUCTION_BYTES} bytes, not {len(data)}")
    value = int.from_bytes(data, "little")
    try:
        opcode = Opcode(_get(value, OPCODE))
    except ValueError:
        raise InstructionError(
            f"opcode must be one of {', '.join(f'{o.value} ({o.name})' for o in Opcode)}, not {_get(value, OPCODE)}"
        ) from None
    operands: dict[str, Any] = {field.name: _get(value, field) for field in FIELDS[opcode]}
    instruction = make(opcode, wait=_get(value, WAIT), signal=_get(value, SIGNAL), **operands)
    if instruction.encode() != data:
        raise InstructionError(f"{opcode.name} must have its unused bits at 0, not {data.hex()}")
    return instruction


def _get(value: int, field: Field) -> int:
    return value >> field.offset & ((1 << field.width) - 1)


def _check_operand(opcode: Opcode, field: Field, value: Any) -> None:
    low, high = int(field.count), (1 << field.width) - 1
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        expected = f"{opcode.name}.{field.name} must be an integer from {low} to {high}"
        raise InstructionError(f"{expected}, not {shown(value)}")


def _check_mask(opcode: Opcode, field: Field, mask: Any) -> None:
    unit = UNIT_OF[opcode]
    legal = 0 if unit is Unit.SEQUENCER else ALL_UNITS & ~(1 << unit)
    if unit in OWN_WAITS and field is WAIT:
        legal |= 1 << unit
    if isinstance(mask, bool) or not isinstance(mask, int) or mask & ~legal:
        names = "+".join(u.name.lower() for u in TOKEN_UNITS if legal >> u & 1) or "no unit"
        raise InstructionError(f"{opcode.name}.{field.name} must name only {names}, not the mask {shown(mask)}")

"""The instructions: fields, encoding, decoding, text. One table serves gateware, simulator, mapper and docs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from hw.messages import shown
from hw.operands import OPCODE, OPERANDS, SIGNAL, WAIT, Field

__all__ = [
    "ALL_UNITS",
    "FIELDS",
    "INSTRUCTION_BYTES",
    "OPCODE",
    "OWN_WAITS",
    "SIGNAL",
    "STATE_NAMES",
    "TOKEN_UNITS",
    "UNIT_NAMES",
    "UNIT_OF",
    "WAIT",
    "Buffer",
    "Destination",
    "Field",
    "Instruction",
    "InstructionError",
    "Opcode",
    "Source",
    "SumsDestination",
    "Unit",
    "Vote",
    "decode",
    "make",
]

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
    TABLE = 13


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
    Opcode.TABLE: Unit.VECTOR,
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


FIELDS: dict[Opcode, tuple[Field, ...]] = {opcode: OPERANDS[opcode.name] for opcode in Opcode}
"""The operands of each opcode."""


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

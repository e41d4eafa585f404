"""The operands of each instruction: one table of names and bits, from which `hw.isa` makes its fields by opcode."""

from __future__ import annotations

from dataclasses import dataclass


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

OPERANDS: dict[str, tuple[Field, ...]] = {
    "LOAD": (Field("buffer", 24, 4), _flag(28, "gather"), *_TRANSFER, _half(5, 0, "token", default=0)),
    "STORE": _TRANSFER,
    "MATMUL": (
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
    "BINARIZE": (
        Field("destination", 24, 2, default=0),
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
    "FENCE": (),
    "HALT": (),
    "SUMS": (
        Field("destination", 24, 1, default=0),
        Field("slot", 28, 4, default=0),
        _half(1, 1, "output_line"),
        _half(2, 0, "output_group"),
        _half(2, 1, "output_stride"),
        _half(3, 0, "rows", True),
        _half(3, 1, "column_groups", True),
        _half(4, 1, "spare", default=0),
    ),
    "VECTOR": (
        Field("source", 214, 2),
        _flag(24, "maximum"),
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
        _flag(216, "multiply"),
        Field("epsilon", 224, 32, default=0),
    ),
    "SOFTMAX": (
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
    "MEAN": (
        _half(1, 0, "source_line"),
        _half(1, 1, "fixed_line"),
        _half(2, 0, "multiplier"),
        Field("channels", 96, 13, True),
        Field("shift", 120, 5),
        Field("rows", 128, 11, True),
    ),
    "CLASSIFY": (
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
    "EXIT": (),
    "TABLE": (
        _half(1, 0, "source_line"),
        _half(1, 1, "fixed_line"),
        _half(2, 0, "table_line"),
        Field("channels", 96, 13, True),
        Field("rows", 112, 7, True),
        Field("shift", 120, 5),
    ),
}
"""By the name of the opcode; a default of 0 is the first of what an operand can name."""

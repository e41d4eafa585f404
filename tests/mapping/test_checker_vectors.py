"""The checker refuses each operand of VECTOR's and ROW's instructions that breaks a rule."""

from __future__ import annotations

import pytest

from hw.isa import Source
from mapping.checker import check
from sim.machine import execute
from tests.mapping.everything import Edit, broken, changing, everything, fenced, program
from tests.sim.programs import vector

VECTORS = [
    (changing("add", source=3), "source must be sums (0), fixed (1) or embedding (2), not 3"),
    (changing("add", rows=5), "rows must be at most the array's 4, not 5"),
    (changing("add", channels=4097), "channels must be at most 4096, not 4097"),
    (changing("embed", epsilon=1 << 31), "epsilon must be at most 2147483647, not 2147483648"),
    (changing("quantize", normalise=1), "normalise must be 0 where source is not fixed (1), not 1"),
    (changing("embed", scale=1), "scale must be 0 where source is embedding (2), not 1"),
    (changing("embed", add=1), "add must be 0 where source is embedding (2), not 1"),
    (changing("embed", maximum=1), "maximum must be 0 where source is embedding (2), not 1"),
    (changing("embed", multiply=1), "multiply must be 0 where source is embedding (2), not 1"),
    (changing("add", typed=1), "typed must be 0 where source is not embedding (2), not 1"),
    (changing("normalise", scale=0), "keep must be 0 where normalise is 1 without scale, not 1"),
    (changing("normalise", scale=0, keep=0, statistics=1), "statistics must be 0 where normalise is 1 without scale"),
    (changing("quantize", scale=0, planes=1, add=1), "add must be 0 where source is sums (0) without scale, not 1"),
    (changing("quantize", planes=5), "planes must be at most code_bits, 4, not 5"),
    (changing("quantize", scale=0), "scale must be 1 where planes is more than 1, not 0"),
    (changing("quantize", sets=2), "sets must be 1 where planes is more than 1, not 2"),
    (changing("quantize", keep=1), "keep must be 0 where planes is more than 1, not 1"),
    (changing("quantize", statistics=1), "statistics must be 0 where planes is more than 1, not 1"),
    (changing("quantize", code_line_1=0), "code_line_1 must be at least the 1 lines of a plane, not 0"),
    (changing("quantize", code_line_1=12), "last activation line must be at most 31, not 32"),
    (changing("normalise", code_line_1=8), "code_line_1 must be at least 1 lines away from code_line 8, not 8"),
    (changing("normalise", code_line_2=9), "code_line_2 must be at least 1 lines away from code_line_1 9, not 9"),
    (changing("normalise", code_line_2=32), "last activation line must be at most 31, not 32"),
    (changing("normalise", fixed_line=4), "source_line must be fixed_line 4 or at least 8 lines away from it, not 0"),
    (changing("add", add_line=12), "add_line must be fixed_line 8 or at least 8 lines away from it, not 12"),
    (changing("add", add_line=28), "last fixed line must be at most 31, not 35"),
    (changing("add", fixed_line=28), "last fixed line must be at most 31, not 35"),
    (changing("add", scale_line=47), "last scale line must be at most 47, not 48"),
    (changing("normalise", level_line=3), "last level line must be at most 3, not 4"),
    (changing("quantize", source_line=5), "last sums line must be at most 7, not 8"),
    (changing("embed", source_line=9), "last word line must be at most 15, not 16"),
    (changing("embed", add_line=25), "last embedding line must be at most 31, not 32"),
    (changing("embed", scale_line=25), "last embedding line must be at most 31, not 32"),
    (changing("maximum", add=0), "maximum must be 0 where add is 0, not 1"),
    (changing("quantize", maximum=1), "maximum must be 0 where add is 0, not 1"),
    (changing("multiply", scale=0), "multiply must be 0 where scale is 0, not 1"),
    (changing("multiply", add=1), "add must be 0 where multiply is 1, not 1"),
    (changing("multiply", add_line=27), "add_line must be fixed_line 26 or at least 2 lines away from it, not 27"),
    (changing("maximum", add_line=27), "add_line must be fixed_line 28 or at least 2 lines away from it, not 27"),
    (changing("multiply", add_line=31), "last fixed line must be at most 31, not 32"),
    (changing("function", rows=65), "rows must be at most 64, not 65"),
    (changing("function", channels=4097), "channels must be at most 4096, not 4097"),
    (changing("function", shift=9), "shift must be at most 8, not 9"),
    (
        changing("function", source_line=25),
        "source_line must be fixed_line 24 or at least 2 lines away from it, not 25",
    ),
    (
        changing("function", source_line=23),
        "source_line must be fixed_line 24 or at least 2 lines away from it, not 23",
    ),
    (changing("function", table_line=17), "last scale line must be at most 47, not 48"),
    (changing("function", source_line=31), "last fixed line must be at most 31, not 32"),
    (changing("function", fixed_line=31), "last fixed line must be at most 31, not 32"),
    (changing("mean", rows=1025), "rows must be at most 1024, not 1025"),
    (changing("mean", shift=25), "shift must be at most 24, not 25"),
    (changing("mean", multiplier=1 << 15), "multiplier must be at most 32767, not 32768"),
    (changing("mean", fixed_line=15), "fixed_line must be apart from the lines 8-15 that are read, not 15"),
    (changing("mean", channels=4097), "channels must be at most 4096, not 4097"),
    (changing("mean", source_line=25, fixed_line=0), "last fixed line must be at most 31, not 32"),
    (changing("classify", classes=5), "classes must be at most the accelerator's 4, not 5"),
    (changing("classify", channels=4097), "channels must be at most 4096, not 4097"),
    (changing("classify", vote=3), "vote must be soft (0), hard (1) or mean (2), not 3"),
    (changing("classify", bound=0), "bound must be at least 1 where vote is soft (0), not 0"),
    (changing("classify", vote=2), "classes must be 1 where vote is mean (2), not 3"),
    (changing("classify", output_line=2), "last output line must be at most 3, not 4"),
    (changing("classify", scale_line=44), "last scale line must be at most 47, not 48"),
    (changing("classify", source_line=31), "last fixed line must be at most 31, not 32"),
    (changing("softmax", rows=5), "rows must be at most the array's 4, not 5"),
    (changing("softmax", keys=1025), "keys must be at most 1024, not 1025"),
    (changing("softmax", planes=3), "planes must be 1, 2 or 4, not 3"),
    (changing("softmax", planes=8), "planes must be 1, 2 or 4, not 8"),
    (changing("softmax", slot=2), "slot must be at most 1, not 2"),
    (changing("softmax", code_plane_stride=0), "code_plane_stride must be at least the 1 lines of a plane, not 0"),
    (changing("softmax", code_plane_stride=16), "last activation line must be at most 31, not 32"),
    (changing("softmax", last_entry=32), "last table line must be at most 15, not 16"),
    (changing("softmax", level_line=14), "last table line must be at most 15, not 16"),
    (changing("softmax", score_line=13), "last score line must be at most 15, not 16"),
]


@pytest.mark.parametrize(("edit", "message"), VECTORS, ids=lambda value: value[:60] if isinstance(value, str) else None)
def test_rules(edit: Edit, message: str) -> None:
    assert message in broken(edit)


@pytest.mark.parametrize(
    "edit",
    [
        changing("multiply", scale_line=65535),
        changing("multiply", add_line=26, source_line=24, fixed_line=26),
        changing("function", source_line=24),
        changing("function", source_line=26),
        changing("function", rows=2, source_line=8),
        changing("function", channels=1, shift=8),
    ],
)
def test_what_is_legal(edit: Edit) -> None:
    steps = everything() | {"filled": vector(source=Source.FIXED, source_line=24, fixed_line=26, keep=1, channels=16)}
    order = list(steps)
    order.insert(order.index("multiply"), order.pop())
    steps = {name: steps[name] for name in order}
    edit(steps)
    made = program(fenced(steps))
    check(made)
    execute(made)

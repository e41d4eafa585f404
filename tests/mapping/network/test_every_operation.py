"""Operations beside those of a BERT with one bit everywhere: each graph gives what the reference gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Opcode
from mapping.errors import MappingError
from mapping.whole.image import Image
from mapping.whole.mapper import map_network
from mapping.whole.parameters import Parameters
from model import operations as ops
from model.network import Network
from model.synthetic_network import random_network
from tests.mapping.network.odd import WIDTH, Graph, attending, ending
from tests.mapping.network.points import Point, assert_says_what_the_reference_says, resized
from tests.sim.programs import HALT

ROOMY = resized(fixed_lines=1024, key_lines=512, activation_lines=512, sum_bits=16, scale_lines=512)
FEW_ROWS = ROOMY.replace(rows=2, drain_rows=1, vector_lanes=4, fixed_lines=2048)
WIDE_WORDS = ROOMY.replace(columns=8, word_bits=64, port_bits=64, vector_lanes=16)
SETS = {"s": "signed", "u": "unsigned"}


def operands(query: tuple[int, str], key: tuple[int, str], value: tuple[int, str], bits: int = 1) -> Network:
    """Return a network with attention of codes of some bits and sets, and attention codes of some bits."""

    def build(g: Graph) -> tuple[str, str, str]:
        shapes = zip(("query", "key", "value"), (query, key, value), strict=True)
        made = [g.operand(name, count, SETS[s]) for name, (count, s) in shapes]
        return made[0], made[1], made[2]

    return attending(build, bits=bits)


def wider(op: str) -> Callable[[Graph], str]:
    """Return what combines x with a value of more channels, both ways round."""

    def build(g: Graph) -> str:
        extra = {"Multiply": (8, 9)}.get(op, ())
        wide = g.requantise("wide", g.matmul("sums", g.codes("codes", "x", "signed", 1), WIDTH + 6))
        one = g.append(getattr(ops, op)("one", (wide, "x"), *extra))
        return g.normalise("end", g.append(getattr(ops, op)("other", (one, wide), *extra)))

    return build


def combined(g: Graph) -> str:
    """Read a product of values in four ways, and a value of itself."""
    part = g.product("part", "x")
    product = g.append(ops.Multiply("product", ("x", part), 8, 10))
    larger = g.make("Maximum", "larger", product, g.normalise("normal", product))
    square = g.append(ops.Multiply("square", (larger, larger), 8, 31))
    return g.make("Maximum", "all", square, g.make("Add", "sum", part, larger))


def tables(g: Graph) -> str:
    """One table over the lines of its value, one beside a value that others read, one behind the other."""
    first = g.table("first", g.product("part", "x"))
    second = g.table("second", first)
    return g.make("Add", "sum", g.make("Maximum", "larger", second, first), g.product("end", second))


def steep_table(shift: int) -> Callable[[Graph], str]:
    """Return a table whose neighbours lie 65,535 apart, rising and falling."""

    def build(g: Graph) -> str:
        entries = np.where(np.arange(257) % 2, 32767, -32768).astype(np.int16)
        return g.append(ops.Table("table", (g.product("part", "x"),), 8, shift, entries))

    return build


def concatenated(bits: int, set: str, times: int) -> Callable[[Graph], str]:
    """Return a product that reads its codes several times."""

    def build(g: Graph) -> str:
        codes = g.codes("codes", "x", set, bits)
        return g.requantise("fixed", g.matmul("sums", g.make("Concatenate", "more", *(codes,) * times), WIDTH))

    return build


def concatenated_products(g: Graph) -> str:
    """Codes of a product and codes of the value itself, read once alone and once together."""
    one, other = g.codes("one", g.matmul("inner", g.codes("in", "x", "signed", 1), WIDTH), "signed", 1), "in"
    both = g.requantise("fixed", g.matmul("sums", g.make("Concatenate", "both", one, other), WIDTH))
    return g.make("Add", "sum", both, g.requantise("alone", g.matmul("alone.sums", one, WIDTH)))


def operands_of_fixed_values(g: Graph) -> tuple[str, str, str]:
    return tuple(g.codes(name, "x", "signed", 2) for name in ("query", "key", "value"))  # type: ignore[return-value]


def queries_of_a_context(g: Graph) -> tuple[str, str, str]:
    query, key, value = (g.operand(name) for name in ("query", "key", "value"))
    return g.codes("again", g.attention("first", query, key, value), "signed", 1), key, value


def codes_of_a_context(g: Graph) -> str:
    context = g.attention("context", *(g.operand(name, 2) for name in ("query", "key", "value")), bits=2)
    return g.requantise("fixed", g.matmul("sums", g.codes("codes", context, "signed", 4), WIDTH))


GRAPHS: dict[str, Callable[[], Network]] = {
    "two bits": lambda: operands((2, "s"), (2, "s"), (2, "s")),
    "four bits": lambda: operands((4, "s"), (4, "s"), (4, "u"), bits=4),
    "unsigned four bits": lambda: operands((4, "u"), (2, "u"), (4, "s"), bits=2),
    "more bits on the left": lambda: operands((2, "s"), (1, "s"), (1, "s")),
    "more bits on the right": lambda: operands((1, "u"), (2, "s"), (4, "u")),
    "signed queries, unsigned keys": lambda: operands((2, "s"), (1, "u"), (1, "u")),
    "operands of fixed values": lambda: attending(operands_of_fixed_values),
    "queries of a context": lambda: attending(queries_of_a_context),
    "codes of a context": lambda: ending(codes_of_a_context),
    "add, other channels": lambda: ending(wider("Add")),
    "maximum, other channels": lambda: ending(wider("Maximum")),
    "multiply, other channels": lambda: ending(wider("Multiply")),
    "combined": lambda: ending(combined),
    "tables": lambda: ending(tables),
    "steep table": lambda: ending(steep_table(8)),
    "steps": lambda: ending(steep_table(0)),
    "twice": lambda: ending(concatenated(1, "signed", 2)),
    "three times": lambda: ending(concatenated(1, "unsigned", 3)),
    "twice with planes": lambda: ending(concatenated(4, "signed", 2)),
    "concatenated products": lambda: ending(concatenated_products),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name: str) -> None:
    made = GRAPHS[name]()
    for accelerator, count in ((ROOMY, 16), (FEW_ROWS, 7), (WIDE_WORDS, 9)):
        assert_says_what_the_reference_says(Point(made, accelerator, count, 3))


@pytest.mark.parametrize("addend", [-(1 << 30), (1 << 30) - 1])
def test_addends_that_just_fit_when_they_are_doubled(addend: int) -> None:
    def build(g: Graph) -> str:
        context = g.attention("context", *(g.operand(name, 2) for name in ("query", "key", "value")), bits=2)
        addends = np.where(np.arange(WIDTH) % 2, addend, 1 << 20).astype(np.int32)
        multipliers = np.full(WIDTH, 20_000, np.int16)
        codes = g.append(ops.Quantize("codes", (context,), "signed", 2, 20, multipliers, addends))
        return g.requantise("fixed", g.matmul("sums", codes, WIDTH))

    assert_says_what_the_reference_says(Point(ending(build), ROOMY, 9, 5))


@pytest.mark.parametrize("heads", [8, 24])
def test_codes_of_a_context_with_narrow_heads_are_copied(heads: int) -> None:
    """A head of one or three channels takes a column group of its own: a copy of them reads many lines at once."""

    def build(g: Graph) -> str:
        query, key, value = (g.operand(name) for name in ("query", "key", "value"))
        scores = g.append(ops.Scores("scores", (query, key), heads))
        context = g.make("Context", "context", g.row_threshold("attention", scores, 1, exact=True), value)
        codes = g.codes("codes", context, "signed", 1)
        return g.requantise("fixed", g.matmul("sums", g.make("Concatenate", "twice", codes, codes), WIDTH))

    made = ending(build)
    assert_says_what_the_reference_says(Point(made, ROOMY, 9, 6))
    assert_says_what_the_reference_says(Point(made, ROOMY.replace(threshold_lines=6), 5, 6))
    with pytest.raises(MappingError, match=r"^twice \(concatenate\): array\.sum_bits must be at least 1[0-9], not 8$"):
        map_network(ROOMY.replace(columns=16, sum_bits=8), made, (0,) * 5)


@pytest.mark.parametrize("bound", [False, True])
def test_thresholds_at_the_ends_of_doubled_sums(bound: bool) -> None:
    """Sums that fill sum_bits, and thresholds above all or below all of them."""

    def build(g: Graph) -> str:
        context = g.attention("context", g.operand("query"), g.operand("key"), g.operand("value", 2, "unsigned"))
        value = g.values[context]
        ends = np.where(np.arange(WIDTH) % 2, value.low, value.high + 1 if bound else value.high).astype(np.int32)
        codes = g.append(ops.Binarize("codes", (context,), "signed", ends, (np.arange(WIDTH) % 4 > 1).astype(np.uint8)))
        return g.requantise("fixed", g.matmul("sums", codes, WIDTH))

    made = ending(build)
    for bits in range(8, 16):
        try:
            point = Point(made, ROOMY.replace(sum_bits=bits), 16, 7)
            point.mapped()
        except MappingError:
            continue
        assert_says_what_the_reference_says(point)
        return
    raise AssertionError


ROOM: dict[str, Any] = dict(
    activation_lines=2048, weight_lines=2048, key_lines=2048, threshold_lines=512, sum_lines=512, fixed_lines=4096
)
ROOM |= dict(scale_lines=2048, level_lines=256, table_lines=256, word_lines=512, embedding_lines=2048)
EVERYTHING = resized(**ROOM, code_bits=8, sum_bits=24, score_lines=256, classes=8)


@pytest.mark.parametrize("seed", range(500, 508))
@pytest.mark.parametrize("feed_forward", ["table", "multiply", "maximum", "add"])
def test_made_up_networks_of_every_kind(seed: int, feed_forward: str) -> None:
    bits = (1, 2, 4, 8)[seed % 4]
    sketch = {"feed_forward": feed_forward, "bits": bits, "attention_bits": (1, 2, 4)[seed % 3], "limit": 16}
    made = random_network(seed, **sketch, layers=1, pooler=bool(seed % 2), ternary=seed % 5 == 0, width=24, heads=2)
    assert_says_what_the_reference_says(Point(made, EVERYTHING, 1 + seed % 9, seed))


@pytest.mark.parametrize("lanes", [1, 8, 32])
@pytest.mark.parametrize("shift", [0, 3, 8])
def test_pieces(lanes: int, shift: int) -> None:
    """An entry has half of the rise, the beginning times 2^shift, and the bit that the half lost."""
    accelerator, image = resized(vector_lanes=lanes, scale_lines=512), Image()
    ends = np.array([-32768, 32767, -32768, 5, 4, 4, 0, -1], np.int64)
    table = ends[np.arange(257) % 8].astype(np.int16)
    parcel = Parameters(accelerator, image).pieces("p", table, shift)
    program = image.program(accelerator, [HALT])
    assert parcel.lines == -(-256 // lanes)
    size = accelerator.parameter_line_bits // 8
    for j in range(256):
        at = parcel.transfers[0].address + j // lanes * size + j % lanes * 8
        entry = int.from_bytes(program.image[at : at + 8], "little")
        half, begin, odd = entry & 0xFFFF, entry >> 16 & 0xFFFFFFFF, entry >> 48
        half, begin = half - (half >> 15 << 16), begin - (begin >> 31 << 32)
        assert (begin, 2 * half + odd) == (int(table[j]) << shift, int(table[j + 1]) - int(table[j]))


def test_a_table_stands_over_the_lines_of_a_value_that_nothing_else_reads() -> None:
    mapped = map_network(ROOMY, ending(tables), (0,) * 4)
    places = [i for i in mapped.program.instructions if i.opcode is Opcode.TABLE]
    assert [i.source_line == i.fixed_line for i in places] == [True, False]


def test_planes_of_keys_are_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds of attention codes of one product of queries and keys: the operands stand there once."""

    def build(g: Graph) -> str:
        query, key, value = (g.operand(name, 2) for name in ("query", "key", "value"))
        scores, total = g.append(ops.Scores("scores", (query, key), 2)), "x"
        for bits in (1, 2):
            codes = g.row_threshold(f"attention{bits}", scores, bits, exact=False)
            context = g.make("Context", f"context{bits}", codes, value)
            total = g.make("Add", f"sum{bits}", total, g.product(f"output{bits}", context))
        return total

    made = ending(build)
    assert_says_what_the_reference_says(Point(made, ROOMY, 9, 4))
    instructions = map_network(ROOMY, made, (0,) * 4).program.instructions
    turned = [i for i in instructions if i.opcode is Opcode.BINARIZE and i.transpose]
    assert len(turned) == 2 * 2, "two heads of two planes of values, for one row tile"


def test_accelerators_of_every_width() -> None:
    for rows, columns, word_bits in ((1, 1, 4), (8, 16, 32), (4, 8, 8)):
        shape: dict[str, Any] = {"rows": rows, "columns": columns, "word_bits": word_bits, "drain_rows": 1}
        accelerator: Accelerator = resized(**ROOM, **shape, code_bits=4, sum_bits=16)
        assert_says_what_the_reference_says(Point(GRAPHS["four bits"](), accelerator, 5, 1))
        assert_says_what_the_reference_says(Point(GRAPHS["twice with planes"](), accelerator, 5, 2))

"""Networks that do not fit an accelerator, or that no unit can do: one line says which operation, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mapping.errors import MappingError
from mapping.whole.mapper import map_network
from model import operations as ops
from model.network import Network
from model.synthetic import random_layer
from tests.mapping.network.odd import WIDTH, Graph, attending, ending
from tests.mapping.network.points import SMALL, mixed, network, resized

Refused = Callable[..., str]

#: what differs from `SKETCH`, what differs from `SMALL`, the message
CLASSES = "text.classes must be at least 3"


def full(lines: int, have: int) -> str:
    """Return what is said of a buffer that is full."""
    free = f" must leave {lines} more lines free together"
    return f"{free}, not be filled with its {have}: give it more lines, or the text fewer words"


TO_RUN = " to run this network"
SIZES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {},
        {"vector_lanes": 0, "token_lines": 0, "classes": 0},
        f"small: vector.vector_lanes, text.token_lines must not be 0 and {CLASSES}, not 0{TO_RUN}",
    ),
    ({}, {"classes": 2}, f"small: text.classes must be at least 3, not 2{TO_RUN}"),
    ({}, {"classes": 0}, f"small: text.classes must be at least 3, not 0{TO_RUN}"),
    (
        {},
        {"token_lines": 0},
        f"small: text.token_lines must not be 0{TO_RUN}",
    ),
    (
        {},
        {"key_lines": 0},
        f"small: buffers.key_lines must not be 0{TO_RUN}",
    ),
    (
        {},
        {"row_lanes": 0},
        f"small: attention.row_lanes must not be 0{TO_RUN}",
    ),
    ({}, {"sum_bits": 6}, "member0.0.query (matmul): array.sum_bits must be at least 7, not 6"),
    (
        {"width": 16, "heads": 1, "limit": 16},
        {"sum_bits": 6, "columns": 32, "word_bits": 16},
        "member0.0.context (context): array.sum_bits must be at least 7, not 6",
    ),
    ({}, {"key_lines": 5}, "member0.0.key.out: buffers.key_lines must be at least 6, not 5"),
    (
        {"attention_bits": 2},
        {"code_bits": 1},
        "member0.0.attention (row_threshold): array.code_bits must be at least 2, not 1",
    ),
    (
        {"attention_bits": 8},
        {"code_bits": 8},
        "member0.0.attention (row_threshold): attention codes must be of at most 4 bits here, not 8",
    ),
    (
        {"width": 256},
        {"weight_lines": 7, "fixed_lines": 1024, "embedding_lines": 512},
        "member0.0.query (matmul): buffers.weight_lines must be at least 8, not 7",
    ),
    ({}, {"fixed_lines": 35}, "member0.embed: vector.fixed_lines must be at least 36, not 35"),
    ({}, {"sum_lines": 7}, "member0.0.output.fixed.sums: vector.sum_lines must be at least 8, not 7"),
    ({}, {"score_lines": 5}, "member0.0.scores[0, 0]: attention.score_lines must be at least 6, not 5"),
    ({}, {"output_lines": 2}, "member0.logits: buffers.output_lines must be at least 3, not 2"),
    ({}, {"scale_lines": 3}, "member0.start.scale: vector.scale_lines must be at least 4, not 3"),
    ({}, {"word_lines": 7}, "member0.embed.words[0]: text.word_lines must be at least 8, not 7"),
    ({}, {"token_lines": 2}, "tokens: text.token_lines must be at least 5, not 2"),
    (
        {},
        {"embedding_lines": 16},
        "member0.embed.positions[0] and what is needed with it: text.embedding_lines must be at least 24, not 16",
    ),
    (
        {},
        {"activation_lines": 6},
        "member0.start[1]: buffers.activation_lines" + full(1, 6),
    ),
    (
        {"shared": True},
        {"fixed_lines": 40},
        "member0.0.output.normal[0]: vector.fixed_lines" + full(36, 40),
    ),
]


@pytest.mark.parametrize(("sketch", "changes", "message"), SIZES, ids=[str(case[1])[:50] for case in SIZES])
def test_sizes(sketch: dict[str, Any], changes: dict[str, Any], message: str, refused: Refused) -> None:
    assert refused(MappingError, map_network, resized(**changes), network(1, **sketch), (0,) * 9) == message


def test_the_buffer_that_is_full_is_named(refused: Refused) -> None:
    message = refused(MappingError, map_network, resized(activation_lines=2), network(1), (0,) * 9)
    assert "buffers.activation_lines" in message


@pytest.mark.parametrize("bits", [2, 4])
def test_planes(bits: int, refused: Refused) -> None:
    message = refused(MappingError, map_network, resized(code_bits=1), mixed(20, bits, 1), (0,) * 9)
    assert message == f"m0.in (quantize): array.code_bits must be at least {bits}, not 1"


def contextual(make: Callable[[Graph, str], str]) -> Network:
    """Return a network that makes something of a context."""
    return ending(lambda g: make(g, g.attention("context", *(g.operand(n) for n in ("query", "key", "value")))))


def operands(bits: tuple[int, int, int], sets: str = "sss") -> Network:
    """Return a network with attention of codes of some bits and sets: signed or unsigned."""
    names = {"s": "signed", "u": "unsigned"}

    def build(g: Graph) -> tuple[str, str, str]:
        query, key, value = (
            g.operand(n, b, names[s]) for n, b, s in zip(("query", "key", "value"), bits, sets, strict=True)
        )
        return query, key, value

    return attending(build)


def the_same_twice(g: Graph) -> tuple[str, str, str]:
    query = g.operand("query")
    return query, query, g.operand("value")


def other_channels(g: Graph) -> str:
    narrow = g.codes("narrow", g.matmul("m", g.codes("c", "x", "signed", 1), WIDTH - 6), "signed", 1)
    return g.requantise("fixed", g.matmul("sums", g.make("Concatenate", "both", narrow, "c"), WIDTH))


def large_addends(g: Graph) -> str:
    context = g.attention(
        "context", *(g.operand(n, s) for n, s in zip(("query", "key", "value"), (1, 1, 2), strict=True))
    )
    addend = np.full(WIDTH, 1 << 30, np.int32)
    made = ops.Quantize("codes", (context,), "signed", 2, 31, np.ones(WIDTH, np.int16), addend)
    return g.requantise("fixed", g.matmul("sums", g.append(made), WIDTH))


def large_shift(g: Graph) -> str:
    scores = g.append(ops.Scores("scores", (g.operand("query", 2), g.operand("key", 2)), 2))
    table = np.full(4, 65535, np.uint16)
    codes = g.append(ops.RowThreshold("attention", (scores,), 1, 1, 31, table, np.ones(1, np.int32)))
    return g.product("output", g.make("Context", "context", codes, g.operand("value")))


MEETS = "context.scores (scores): signed bits must meet signed bits here, not"
GRAPHS: dict[str, tuple[Callable[[], Network], str]] = {
    "unsigned keys": (lambda: operands((1, 1, 1), "sus"), f"{MEETS} unsigned 1-bit codes [n, 24]"),
    "wide keys": (lambda: operands((1, 2, 1)), f"{MEETS} signed 2-bit codes [n, 24]"),
    "planes": (
        lambda: operands((8, 8, 1)),
        "query (quantize): array.code_bits must be at least 8, not 4",
    ),
    "fixed context": (
        lambda: contextual(lambda g, c: g.requantise("fixed", c)),
        "fixed (requantise): context must become codes at once here",
    ),
    "large addends": (
        lambda: ending(large_addends),
        "codes (quantize): twice the sums must not need a shift above 31 or an addend of more than 32 bits here",
    ),
    "large shift": (
        lambda: ending(large_shift),
        "attention (row_threshold): twice the scores must not need a shift above 31 here",
    ),
    "other channels": (
        lambda: ending(other_channels),
        "both (concatenate): all sources must have the same channels here, not [18, 24]",
    ),
    "queries as keys": (
        lambda: attending(the_same_twice),
        "context.scores (scores): queries and keys must be different values",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name: str, refused: Refused) -> None:
    build, message = GRAPHS[name]
    assert refused(MappingError, map_network, SMALL, build(), (0,) * 9) == message


class TestSentences:
    @pytest.mark.parametrize("count", [0, 25])
    def test_tokens(self, count: int, refused: Refused) -> None:
        message = refused(MappingError, map_network, SMALL, network(1), (0,) * count)
        assert message == f"tokens must be 1 to 24, not {count}"

    @pytest.mark.parametrize("kind", [-1, 2])
    def test_types(self, kind: int, refused: Refused) -> None:
        message = refused(MappingError, map_network, SMALL, network(1), (0, 1, kind))
        assert message == f"types[2] must be from 0 to 1, not {kind}"

    @pytest.mark.parametrize("count", [0, 3, 5])
    def test_ids_of_another_count(self, count: int, refused: Refused) -> None:
        mapped = map_network(SMALL, network(1), (0,) * 4)
        message = refused(MappingError, mapped.with_ids, [1] * count)
        assert message == f"ids must be 4, as the program is made for, not {count}"

    def test_a_network_that_reads_codes(self, refused: Refused) -> None:
        chain = Network.chain([random_layer(8, 8, "signed", 1)])
        message = refused(MappingError, map_network, SMALL, chain, (0,))
        assert message == "network: must read tokens and have members, not read signed 1-bit codes [n, 8]"

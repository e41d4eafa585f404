"""Graphs that no made-up network has: each gives what the reference gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from model import operations as ops
from model.network import Network
from tests.mapping.network.odd import WIDTH, Graph, attending, ending
from tests.mapping.network.points import Point, assert_says_what_the_reference_says, resized

ROOMY = resized(fixed_lines=1024, key_lines=256)
FEW_ROWS = resized(rows=2, drain_rows=1, vector_lanes=4, fixed_lines=1024, key_lines=256)


def member_sharing() -> Network:
    graph = Graph(2)
    logits = graph.classify("logits", graph.make("Mean", "mean", graph.make("Add", "sum", "x", "x")), 3)
    return graph.network(logits, logits)


def an_embedding_and_its_norm() -> Network:
    graph = Graph(3)
    rows = [graph.make("First", f"row.{name}", name) for name in ("embed", "x")]
    return graph.network(*(graph.classify(f"logits.{row}", row, 3) for row in rows))


def five_codes_of_one_value(g: Graph) -> str:
    total = "x"
    for index in range(5):
        total = g.make("Add", f"sum{index}", total, g.product(f"part{index}", "x"))
    return total


def sums_read_twice(g: Graph) -> str:
    sums = g.matmul("sums", g.codes("codes", "x", "signed", 1), WIDTH)
    fixed, bits = g.requantise("fixed", sums), g.codes("bits", sums, "unsigned", 1)
    return g.make("Add", "both", fixed, g.requantise("back", g.matmul("second", bits, WIDTH)))


def added_both_ways(g: Graph) -> str:
    part = g.product("part", "x")
    return g.make("Add", "all", g.make("Add", "one", "x", part), g.make("Add", "other", part, "x"))


def normalised_again_and_again(g: Graph) -> str:
    second = g.normalise("third", g.normalise("second", "x"))
    return g.make("Add", "sum", second, "x")


def one_query_for_three_numbers_of_heads(g: Graph) -> str:
    query, key, value = (g.operand(name) for name in ("query", "key", "value"))
    total = "x"
    for heads in (1, 2, 3):
        scores = g.append(ops.Scores(f"scores{heads}", (query, key), heads))
        codes = g.row_threshold(f"attention{heads}", scores, 1, exact=True)
        context = g.make("Context", f"context{heads}", codes, value)
        total = g.make("Add", f"sum{heads}", total, g.product(f"output{heads}", context))
    return total


def scores_read_twice(g: Graph) -> str:
    query, key, value = (g.operand(name) for name in ("query", "key", "value"))
    scores, total = g.append(ops.Scores("scores", (query, key), 2)), "x"
    for bits in (1, 2):
        codes = g.row_threshold(f"attention{bits}", scores, bits, exact=True)
        context = g.make("Context", f"context{bits}", codes, value)
        total = g.make("Add", f"sum{bits}", total, g.product(f"output{bits}", context))
    return total


def first_of_context() -> Network:
    graph = Graph(4)
    context = graph.attention("context", *(graph.operand(name) for name in ("query", "key", "value")))
    row = graph.make("First", "row", graph.codes("codes", context, "signed", 1))
    return graph.network(graph.classify("logits", graph.requantise("fixed", graph.matmul("sums", row, 20)), 3))


def first_of_planes() -> Network:
    graph = Graph(5)
    row = graph.make("First", "row", graph.codes("two", "x", "signed", 2))
    four = graph.codes("four", graph.matmul("sums", row, WIDTH), "unsigned", 4)
    return graph.network(graph.classify("logits", graph.requantise("fixed", graph.matmul("more", four, 20)), 3))


def behind_the_mean() -> Network:
    graph = Graph(6)
    row = graph.make("First", "row", graph.make("Mean", "mean", "x"))
    total = graph.make("Add", "sum", graph.product("part", row), row)
    return graph.network(graph.classify("logits", graph.normalise("end", total), 3))


def a_value_for_two_members() -> Network:
    graph = Graph(7)
    total = graph.make("Add", "sum", "x", "x")
    one = graph.classify("one", graph.make("Mean", "mean", graph.normalise("end", total)), 3)
    return graph.network(one, graph.classify("two", graph.make("First", "row", total), 3))


def unsigned_values(g: Graph) -> tuple[str, str, str]:
    return g.operand("query"), g.operand("key"), g.operand("value", set="unsigned")


def unsigned_queries(g: Graph) -> tuple[str, str, str]:
    return g.operand("query", set="unsigned"), g.operand("key"), g.operand("value")


def unsigned_operands(g: Graph) -> tuple[str, str, str]:
    return g.operand("query", set="unsigned"), g.operand("key", set="unsigned"), g.operand("value")


GRAPHS: dict[str, Callable[[], Network]] = {
    "logits for two members": member_sharing,
    "an embedding and its norm": an_embedding_and_its_norm,
    "five codes of one value": lambda: ending(five_codes_of_one_value),
    "sums read twice": lambda: ending(sums_read_twice),
    "added both ways": lambda: ending(added_both_ways),
    "normalised again": lambda: ending(normalised_again_and_again),
    "three numbers of heads": lambda: ending(one_query_for_three_numbers_of_heads),
    "scores read twice": lambda: ending(scores_read_twice),
    "first of a context": first_of_context,
    "first of planes": first_of_planes,
    "behind the mean": behind_the_mean,
    "a value for two members": a_value_for_two_members,
    "unsigned values": lambda: attending(unsigned_values, bits=2),
    "unsigned queries": lambda: attending(unsigned_queries),
    "unsigned queries and keys": lambda: attending(unsigned_operands),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name: str) -> None:
    made = GRAPHS[name]()
    for accelerator, count in ((ROOMY, 16), (FEW_ROWS, 7)):
        assert_says_what_the_reference_says(Point(made, accelerator, count, 3))


def two_rows_normalised() -> Network:
    graph, outputs = Graph(8), []
    for index in range(2):
        row = graph.normalise(f"normal{index}", graph.make("First", f"row{index}", "x"))
        outputs.append(graph.classify(f"logits{index}", row, 3))
    return graph.network(*outputs)


def two_rows_added_to() -> Network:
    graph, outputs = Graph(9), []
    for index in range(2):
        row = graph.make("First", f"row{index}", "x")
        total = graph.make("Add", f"sum{index}", row, graph.product(f"part{index}", row))
        outputs.append(graph.classify(f"logits{index}", total, 3))
    return graph.network(*outputs)


def row_and_mean() -> Network:
    graph = Graph(10)
    row = graph.normalise("normal", graph.make("First", "row", "x"))
    total = graph.make("Add", "sum", row, graph.make("Mean", "mean", "x"))
    return graph.network(graph.classify("logits", total, 3))


@pytest.mark.parametrize("build", [two_rows_normalised, two_rows_added_to, row_and_mean])
def test_a_first_row_stays_as_it_is_while_its_source_is_read(build: Callable[[], Network]) -> None:
    for accelerator, count in ((ROOMY, 16), (FEW_ROWS, 7)):
        assert_says_what_the_reference_says(Point(build(), accelerator, count, 3))

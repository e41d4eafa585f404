"""Networks put together by hand: graphs that made-up networks do not have."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from model import operations as ops
from model.network import Network
from model.synthetic_builder import Builder, Draw
from model.values import tokens
from model.vote import Member

WIDTH, LIMIT, WORDS, TYPES = 24, 16, 40, 2


class Graph(Builder):
    """A builder with an embedding, normalised: the value `x`."""

    def __init__(self, seed: int) -> None:
        source, lengths = random.Random(seed), (1, 5, LIMIT, 9)
        ids = [np.array([source.randrange(WORDS) for _ in range(n)]) for n in lengths]
        types = [np.sort(np.array([source.randrange(TYPES) for _ in range(n)])) for n in lengths]
        super().__init__(Draw(str(seed)), tokens(LIMIT), ids, types)
        self.normalise("x", self.embed("embed", WORDS, LIMIT, TYPES, WIDTH))

    def make(self, op: str, name: str, *sources: str) -> str:
        """Append an operation without attributes."""
        return self.append(getattr(ops, op)(name, sources))

    def product(self, name: str, source: str, bits: int = 1) -> str:
        """Append codes, a product with them, and a fixed value of its sums."""
        return self.requantise(
            name, self.matmul(f"{name}.sums", self.codes(f"{name}.codes", source, "signed", bits), WIDTH)
        )

    def operand(self, name: str, bits: int = 1, set: str = "signed") -> str:
        """Append codes of a product that reads x: an operand of attention."""
        sums = self.matmul(f"{name}.sums", self.codes(f"{name}.codes", "x", "signed", 1), WIDTH)
        return self.codes(name, sums, set, bits)

    def attention(self, name: str, query: str, key: str, value: str, bits: int = 1) -> str:
        """Append scores, attention codes and the context."""
        scores = self.append(ops.Scores(f"{name}.scores", (query, key), 2))
        codes = self.row_threshold(f"{name}.attention", scores, bits, exact=False)
        return self.make("Context", name, codes, value)

    def network(self, *outputs: str) -> Network:
        """Return the network with a member for each output, whose members all run."""
        members = tuple(Member(f"member{n}", output, 1 + n) for n, output in enumerate(outputs))
        return Network(tuple(self.operations), tokens(LIMIT), members, "hard")


def ending(build: Callable[[Graph], str], seed: int = 1) -> Network:
    """Return a network whose one member classifies the mean of the value that a function appends."""
    graph = Graph(seed)
    return graph.network(graph.classify("logits", graph.make("Mean", "mean", build(graph)), 3))


def attending(build: Callable[[Graph], tuple[str, str, str]], seed: int = 1, bits: int = 1) -> Network:
    """Return a network with attention of queries, keys and values that a function appends."""

    def attend(graph: Graph) -> str:
        context = graph.attention("context", *build(graph), bits)
        return graph.make("Add", "sum", graph.product("output", context), "x")

    return ending(attend, seed)

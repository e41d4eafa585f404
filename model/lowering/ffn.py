"""Feed-forward blocks: expressions of two linear layers, activations and combinations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model.expression import ACTIVATIONS, COMBINATIONS, LINEARS, Node
from model.lowering.builder import Builder
from model.lowering.codes import encode
from model.lowering.formats import LARGEST_FIXED
from model.lowering.plan import BlockPlan
from model.lowering.report import FormatEntry, TableEntry
from model.lowering.sources import Source, fixed_source, multiply, requantise
from model.lowering.tables import best_shift, entries
from model.member import FeedForwardBlock
from model.operations import Add, Maximum, Multiply, Table

_ALIKE = {"add": Add, "max": Maximum}


def lower_block(builder: Builder, name: str, block: FeedForwardBlock, plan: BlockPlan, x: str) -> str:
    """Add the expression of a block on the fixed value x, and return the fixed value that it gives."""
    return _Lowering(builder, name, block, plan, x).fixed(block.tree)


class _Lowering:
    """One block: which value each term of its expression has become."""

    def __init__(self, builder: Builder, name: str, block: FeedForwardBlock, plan: BlockPlan, x: str) -> None:
        self.builder, self.name, self.block, self.plan = builder, name, block, plan
        self.names = _names(name, block.tree)
        self.values = {Node("x"): x}
        self.sums: dict[Node, Source] = {}

    def fixed(self, node: Node) -> str:
        """Return the fixed value of a term."""
        if node not in self.values:
            self.values[node] = self._make(node)
        return self.values[node]

    def source(self, node: Node) -> Source:
        """Return the integers that a quantizer would read of a term, an activation being left to it."""
        if node.name in ACTIVATIONS:
            return replace(self.source(node.arguments[0]), function=node.name)
        return self._product(node) if node.name in LINEARS else fixed_source(self.builder, self.fixed(node))

    def _product(self, node: Node) -> Source:
        if node not in self.sums:
            quantizer: Any = self.block.get_submodule(f"{node.name}_in")
            linear: Any = self.block.get_submodule(node.name)
            name = f"{self.name}.{node.name}"
            codes = encode(self.builder, f"{name}.input", self.source(node.arguments[0]), quantizer)
            self.sums[node] = multiply(self.builder, name, codes, linear)
        return self.sums[node]

    def _make(self, node: Node) -> str:
        fraction, largest = self.plan.fraction(node), self.plan.largest(node)
        if node.name in LINEARS:
            return requantise(self.builder, self.names[node], self._product(node), fraction, largest)
        self.builder.note(FormatEntry(self.names[node], fraction, largest))
        if node.name in COMBINATIONS:
            return self._combine(node, fraction)
        return self._tabulate(node, fraction)

    def _combine(self, node: Node, fraction: int) -> str:
        pair = (self.fixed(node.arguments[0]), self.fixed(node.arguments[1]))
        if node.name != "mul":
            return self.builder.add(_ALIKE[node.name](self.names[node], pair))
        places = sum(self.builder.values[name].fraction for name in pair)
        return self.builder.add(Multiply(self.names[node], pair, fraction, places - fraction))

    def _tabulate(self, node: Node, fraction: int) -> str:
        (argument,) = node.arguments
        return tabulate(
            self.builder, self.names[node], node.name, self.fixed(argument), fraction, self.plan.limit(argument)
        )


def _names(name: str, tree: Node) -> dict[Node, str]:
    """Return the name of each term's value: that of its operation, numbered where several are alike."""
    found: dict[Node, str] = {}
    for node in dict.fromkeys(tree.walk()):
        stem = f"{node.name}.fixed" if node.name in LINEARS else node.name
        alike = sum(known.name == node.name for known in found)
        found[node] = f"{name}.{stem}{alike + 1 if alike else ''}"
    return found


def tabulate(builder: Builder, name: str, function: str, source: str, fraction: int, limit: float) -> str:
    """Add a function of a fixed value as a table, nearest to it from -limit to limit."""
    inner = builder.values[source].fraction
    largest = min(int(limit * 2.0**inner) + 1, LARGEST_FIXED)
    shift, error = best_shift(function, inner, fraction, largest)
    builder.note(TableEntry(name, function, shift, error))
    return builder.add(Table(name, (source,), fraction, shift, entries(function, inner, fraction, shift)))

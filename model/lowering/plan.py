"""The plan of a member: how many fraction bits each fixed value has, from what the calibration sentences reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.expression import Node
from model.lowering.formats import fraction_for

# Beyond these values of its argument a function is flat to 14 bits or so; a format need not reach further.
FLAT = {"tanh": 6.0, "sigmoid": 10.0}
# No result of these functions is larger.
_LARGEST_RESULT = {"tanh": 1.0, "sigmoid": 1.0}
FINEST = 15

Ranges = Mapping[str, float]


@dataclass(frozen=True)
class BlockPlan:
    """The formats of a feed-forward block; `fractions` and `limits` are by term of its expression."""

    fractions: Mapping[Node, int]
    ranges: Mapping[Node, float]
    limits: Mapping[Node, float]

    def fraction(self, node: Node) -> int:
        """Return the fraction bits of a term."""
        return self.fractions[node]

    def largest(self, node: Node) -> float:
        """Return the largest absolute value of a term on the calibration sentences."""
        return self.ranges[node]

    def limit(self, node: Node) -> float:
        """Return up to which absolute value the format of a term is made, headroom included."""
        return self.limits[node]

    @property
    def residual(self) -> int:
        """The fraction bits of the block's input, and of what is added to it."""
        return self.fractions[Node("x")]


def plan_block(name: str, tree: Node, ranges: Mapping[Node, float], total: float, headroom: float) -> BlockPlan:
    """Return the plan of a block whose terms reach `ranges`, and whose input and result together reach `total`.

    Terms that are added or compared, and the input with the result, have one fraction: that of the widest.
    """
    limits = {node: _limit(tree, node, headroom * largest) for node, largest in ranges.items()}
    limits[Node("x")] = max(limits[Node("x")], headroom * total)
    fractions = {}
    for group in _groups(tree):
        fraction = fraction_for(f"{name}.{group[0]}", max(limits[node] for node in group), FINEST)
        fractions.update(dict.fromkeys(group, fraction))
    return BlockPlan(fractions, ranges, limits)


def _limit(tree: Node, node: Node, limit: float) -> float:
    limit = min(limit, _LARGEST_RESULT.get(node.name, limit))
    readers = [other.name for other in tree.walk() if node in other.arguments]
    free = node.name != "x" and node != tree and readers and all(reader in FLAT for reader in readers)
    return min(limit, max(FLAT[reader] for reader in readers)) if free else limit


def _groups(tree: Node) -> list[list[Node]]:
    """Return the terms of a tree in groups of one fraction."""
    nodes = list(dict.fromkeys(tree.walk()))
    group = {node: index for index, node in enumerate(nodes)}
    links = [(node, argument) for node in nodes if node.name in ("add", "max") for argument in node.arguments]
    for one, other in [*links, (tree, Node("x"))]:
        old, new = group[one], group[other]
        group = {node: new if found == old else found for node, found in group.items()}
    return [[node for node in nodes if group[node] == found] for found in sorted(set(group.values()))]

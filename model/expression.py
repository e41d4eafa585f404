"""Feed-forward networks as expressions: EfficientBERT's space, with BERT's own as one of its points.

An expression is a text over the input `x` and two linear layers, `linear1` and `linear2`, with activations of one
argument and `add`, `mul` and `max` of two: `linear2(relu(linear1(x)))`. It is parsed once into a tree, which training
evaluates on tensors and export on integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from model.checks import NetworkError, nearest

ACTIVATIONS = ("relu", "gelu", "sigmoid", "tanh", "leaky_relu", "elu", "swish")
COMBINATIONS = ("add", "mul", "max")
LINEARS = ("linear1", "linear2")
BERT = "linear2(gelu(linear1(x)))"
BIT = "linear2(relu(linear1(x)))"
_LOWEST, _HIGHEST = 3, 7
_LONGEST = 500
_TOKENS = re.compile(r"\s*([a-z_0-9]+|[(),])")


@dataclass(frozen=True)
class Node:
    """One operation of an expression and what it works on; `x` has no arguments."""

    name: str
    arguments: tuple[Node, ...] = ()

    @property
    def height(self) -> int:
        """Operations on the longest way down to an x."""
        return 1 + max(argument.height for argument in self.arguments) if self.arguments else 0

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, arguments first."""
        for argument in self.arguments:
            yield from argument.walk()
        yield self

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})" if self.arguments else self.name


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward network of a layer: `stack` blocks LN(x + f(x)), f the expression, linear1 `width` wide."""

    expression: str = BIT
    stack: int = 1
    width: int = 0
    tree: Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.stack, bool) or not isinstance(self.stack, int) or not 1 <= self.stack <= 4:
            raise NetworkError(f"stack: must be an integer from 1 to 4, not {self.stack!r}")
        if isinstance(self.width, bool) or not isinstance(self.width, int) or not 1 <= self.width <= 65535:
            raise NetworkError(f"width: must be an integer from 1 to 65535, not {self.width!r}")
        object.__setattr__(self, "tree", parse(self.expression))


def parse(text: str) -> Node:
    """Return the tree of an expression that is in the space; a `NetworkError` says what is wrong with it."""
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST:
        raise NetworkError(f"expression: must be a text of 1 to {_LONGEST} characters, not {text!r:.80}")
    tokens = _tokenize(text)
    tree, rest = _node(tokens, 0, text)
    if rest != len(tokens):
        raise NetworkError(f"expression: must end after its first term, not go on with {tokens[rest]!r} in {text!r}")
    _check(tree, text)
    return tree


def widths(tree: Node, hidden: int, inner: int) -> dict[Node, int]:
    """Return the channels of every node; a combination of two has those of the narrower one."""
    found: dict[Node, int] = {}
    for node in tree.walk():
        if node.name in ("x", "linear2"):
            found[node] = hidden
        elif node.name == "linear1":
            found[node] = inner
        else:
            found[node] = min(found[argument] for argument in node.arguments)
    return found


def linear_inputs(tree: Node, hidden: int, inner: int) -> dict[str, int]:
    """Return how many channels each of the two linear layers reads."""
    found = widths(tree, hidden, inner)
    return {node.name: found[node.arguments[0]] for node in tree.walk() if node.name in LINEARS}


def _tokenize(text: str) -> list[str]:
    tokens, place = [], 0
    stripped = text.rstrip()
    while place < len(stripped):
        match = _TOKENS.match(stripped, place)
        if match is None:
            raise NetworkError(f"expression: must be of names, brackets and commas, not {stripped[place:]!r:.40}")
        tokens.append(match.group(1))
        place = match.end()
    return tokens


def _node(tokens: list[str], place: int, text: str) -> tuple[Node, int]:
    if place >= len(tokens):
        raise NetworkError(f"expression: must be complete, not stop early in {text!r}")
    name = tokens[place]
    if name == "x":
        return Node("x"), place + 1
    names = ("x", *LINEARS, *ACTIVATIONS, *COMBINATIONS)
    if name not in names[1:]:
        raise NetworkError(f"expression: must use {', '.join(names)}, not {name!r}{nearest(name, names)}")
    count = 2 if name in COMBINATIONS else 1
    arguments, place = [], _expect(tokens, place + 1, "(", text)
    for index in range(count):
        argument, place = _node(tokens, place, text)
        arguments.append(argument)
        place = _expect(tokens, place, "," if index + 1 < count else ")", text)
    return Node(name, tuple(arguments)), place


def _expect(tokens: list[str], place: int, wanted: str, text: str) -> int:
    found = tokens[place] if place < len(tokens) else "the end"
    if found != wanted:
        raise NetworkError(f"expression: must have {wanted!r} after {tokens[place - 1]!r}, not {found!r} in {text!r}")
    return place + 1


def _check(tree: Node, text: str) -> None:
    names = [node.name for node in tree.walk()]
    for linear in LINEARS:
        if names.count(linear) != 1:
            raise NetworkError(f"expression: must use {linear} once, not {names.count(linear)} times in {text!r}")
    if names.index("linear1") > names.index("linear2"):
        raise NetworkError(f"expression: must use linear1 before linear2, not after it in {text!r}")
    if not _LOWEST <= tree.height <= _HIGHEST:
        raise NetworkError(
            f"expression: must be {_LOWEST} to {_HIGHEST} operations high, not {tree.height} in {text!r}"
        )
    for node in tree.walk():
        for kind in (ACTIVATIONS, LINEARS):
            if node.name in kind and node.arguments[0].name in kind:
                raise NetworkError(
                    f"expression: must have no {node.name} directly on {node.arguments[0].name}, as in {str(node)!r}"
                )
        if node.name in COMBINATIONS and node.arguments[0] == node.arguments[1]:
            raise NetworkError(f"expression: must combine two different terms, not {str(node)!r}")
    _check_width(tree, text)


def _check_width(tree: Node, text: str) -> None:
    # Where linear1 is wider or narrower than x, only what ends in a linear2 or an x has the channels of the residual.
    for inner in (1, 3):
        if widths(tree, 2, inner)[tree] != 2:
            raise NetworkError(f"expression: must end with as many channels as x, not those of linear1, in {text!r}")

"""A whole network on one sentence: every value, the votes and the class; docs/arithmetic.md, sections 7 to 11."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.bits import unpack
from model.network import Network
from sim.reference import attention, operations, vote
from sim.reference.integers import Codes, Integers, WidthError, code_range
from sim.reference.layer import binarize

INPUT = "input"

# What each operation makes of its sources: tokens are (ids, types), codes are Codes, the others arrays.
RUN: dict[str, Callable[..., Any]] = {
    "embed": lambda o, tokens: operations.embed(tokens[0], tokens[1], _words(o), o.scales, o.positions, o.types),
    "normalise": lambda o, x: operations.normalise(x, o.gain, o.offset, o.epsilon, o.shift),
    "binarize": lambda o, x: Codes(binarize(x, o.thresholds, o.polarity), 1, o.set),
    "quantize": lambda o, x: operations.quantize(x, o.bits, o.set, o.shift, o.multiplier, o.addend),
    "concatenate": lambda _, *parts: operations.concatenate(list(parts)),
    "matmul": lambda o, codes: operations.matmul(codes, unpack(o.weights, o.inputs)),
    "scores": lambda o, queries, keys: attention.scores(queries, keys, o.heads),
    "context": lambda _, codes, values: attention.context(codes, values),
    "row_threshold": lambda o, d: attention.row_threshold(d, o.bits, o.multiplier, o.shift, o.table, o.levels),
    "head_threshold": lambda o, d: attention.head_threshold(d, o.thresholds),
    "requantise": lambda o, d: operations.requantise(d, o.shift, o.multiplier, o.addend),
    "add": lambda _, a, b: operations.add(a, b),
    "maximum": lambda _, a, b: operations.maximum(a, b),
    "multiply": lambda o, a, b: operations.multiply(a, b, o.shift),
    "table": lambda o, x: operations.table(x, o.shift, o.entries),
    "first": lambda _, x: operations.first(x),
    "mean": lambda _, x: operations.mean(x),
    "classify": lambda o, x: operations.classify(x, o.weights, o.bias, o.shift),
}


class InputError(ValueError):
    """A sentence, or rows of codes, that a network cannot read; one line: `field must be ..., not ...`."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network makes of one input.

    `values` holds what every operation gives, by its name: 1-bit codes as uint8, other codes and fixed values as int16,
    sums and logits as int32. `logits` and the rows of `contributions` [members, classes] are those of all members, also
    of those that need not run: `members_run` tells how many are enough for the `prediction`, which is a class or, with
    the vote "mean", the total. Without members there are no classes, and the prediction is None.
    """

    values: dict[str, NDArray[Any]]
    logits: dict[str, NDArray[np.int32]]
    contributions: Integers
    totals: Integers
    prediction: int | None
    members_run: int


def evaluate(network: Network, ids: ArrayLike, types: ArrayLike | None = None) -> Evaluation:
    """Return what a network makes of the word pieces of one sentence; all are of type 0 unless `types` says more."""
    if network.input.kind != "tokens":
        raise InputError(f"network must read tokens, not {network.input}; evaluate_codes is for others")
    words = _integers("ids", ids, 1)
    kinds = np.zeros_like(words) if types is None else _integers("types", types, 1)
    _check_count("ids", len(words), network.limit, "tokens")
    if len(kinds) != len(words):
        raise InputError(f"types must be {len(words)}, one for each token, not {len(kinds)}")
    for operation in network.operations:
        if operation.op == "embed":
            _check_range("ids", words, 0, operation.sizes["vocabulary"] - 1)
            _check_range("types", kinds, 0, operation.sizes["types"] - 1)
    return _evaluation(network, (words, kinds))


def evaluate_codes(network: Network, codes: ArrayLike) -> Evaluation:
    """Return what a network that reads codes makes of rows of them, [n, channels]."""
    value = network.input
    if value.kind != "codes":
        raise InputError(f"network must read codes, not {value}; evaluate is for others")
    numbers = _integers("codes", codes, 2)
    _check_count("codes", len(numbers), network.limit, "rows")
    if numbers.shape[1] != value.channels:
        raise InputError(f"codes must be rows of {value.channels}, not {numbers.shape[1]}")
    _check_range("codes", numbers, *code_range(value.bits, value.set))
    return _evaluation(network, Codes(numbers, value.bits, value.set))


def _evaluation(network: Network, source: Any) -> Evaluation:
    found = {INPUT: source}
    for operation in network.operations:
        try:
            found[operation.name] = RUN[operation.op](operation, *(found[name] for name in operation.sources))
        except WidthError as error:
            raise WidthError(f"{operation.name}: {error}") from None
    del found[INPUT]
    values = {name: value.numbers if isinstance(value, Codes) else value for name, value in found.items()}
    return _count(network, values)


def _count(network: Network, values: dict[str, NDArray[Any]]) -> Evaluation:
    logits = {member.name: values[member.output] for member in network.members}
    if network.vote is None:
        return Evaluation(values, logits, np.zeros((0, 0), np.int64), np.zeros(0, np.int64), None, 0)
    kind = network.vote
    contributions = np.stack(
        [vote.contribution(kind, logits[m.name], m.multiplier, m.shift, m.bound) for m in network.members]
    )
    totals = contributions.sum(axis=0)
    if kind == "mean":
        return Evaluation(values, logits, contributions, totals, int(totals[0]), len(network.members))
    swings = [vote.swing(kind, member.multiplier, member.bound) for member in network.members]
    run = vote.members_run(contributions, swings)
    return Evaluation(values, logits, contributions, totals, vote.leader(totals), run)


def _words(embed: Any) -> NDArray[np.uint8]:
    return unpack(embed.words, embed.sizes["channels"])


def _integers(name: str, numbers: ArrayLike, axes: int) -> Integers:
    array = np.asarray(numbers)
    if array.ndim != axes or (array.size and array.dtype.kind not in "iu"):
        raise InputError(
            f"{name} must be integers of {axes} dimension{'s' * (axes > 1)}, not {array.dtype} {list(array.shape)}"
        )
    return array.astype(np.int64)


def _check_count(name: str, count: int, limit: int, unit: str) -> None:
    if not 1 <= count <= limit:
        raise InputError(f"{name} must be 1 to {limit} {unit}, not {count}")


def _check_range(name: str, numbers: Integers, low: int, high: int) -> None:
    outside = np.argwhere((numbers < low) | (numbers > high))
    if len(outside):
        place = tuple(outside[0].tolist())
        raise InputError(f"{name}[{', '.join(map(str, place))}] must be from {low} to {high}, not {numbers[place]}")

"""Calibration: how large the values of a float member become on sentences of its task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.checks import NetworkError, refuse, require, require_integer, show
from model.expression import LINEARS, Node
from model.member import FUNCTIONS, Attention, FeedForwardBlock, Member, combine

_LARGEST_BATCH = 32


@dataclass(frozen=True)
class Calibration:
    """Sentences as token ids, with their token types (0 where not given), as the task has them.

    `headroom` is how much larger than on these sentences a value may become before its format saturates.
    """

    sentences: Sequence[Sequence[int]]
    types: Sequence[Sequence[int]] | None = None
    headroom: float = 1.5

    def __post_init__(self) -> None:
        require(len(self.sentences) > 0, "calibration.sentences", "one or more", self.sentences)
        legal = isinstance(self.headroom, (int, float)) and 1 <= self.headroom <= 64
        require(legal, "calibration.headroom", "a number from 1 to 64", self.headroom)
        for index, ids in enumerate(self.sentences):
            _require_integers(f"calibration.sentences[{index}]", ids)
        if self.types is not None:
            self._check_types(self.types)

    def _check_types(self, types: Sequence[Sequence[int]]) -> None:
        count = len(self.sentences)
        require(len(types) == count, "calibration.types", f"of {count} sentences", len(types))
        for index, (own, ids) in enumerate(zip(types, self.sentences, strict=True)):
            _require_integers(f"calibration.types[{index}]", own)
            require(len(own) == len(ids), f"calibration.types[{index}]", f"of {len(ids)} tokens", len(own))

    def check(self, rows: int, vocabulary: int, types: int) -> None:
        """Refuse sentences that a network cannot read."""
        for index, ids in enumerate(self.sentences):
            where = f"calibration.sentences[{index}]"
            require(len(ids) <= rows, where, f"of at most {rows} tokens", len(ids))
            require_integer(f"{where}: largest id", max(ids), 0, vocabulary - 1)
        for index, own in enumerate(self.types or ()):
            require_integer(f"calibration.types[{index}]: largest type", max(own), 0, types - 1)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ids and types [B, S] of sentences of equal lengths: nothing is padded."""
        lengths = sorted({len(ids) for ids in self.sentences})
        for length in lengths:
            chosen = [index for index, ids in enumerate(self.sentences) if len(ids) == length]
            for start in range(0, len(chosen), _LARGEST_BATCH):
                yield self._batch(chosen[start : start + _LARGEST_BATCH])

    def _batch(self, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        ids = torch.tensor([list(self.sentences[index]) for index in chosen])
        if self.types is None:
            return ids, torch.zeros_like(ids)
        return ids, torch.tensor([list(self.types[index]) for index in chosen])


@torch.no_grad()
def measure(name: str, member: Member, calibration: Calibration) -> dict[str, float]:
    """Return the largest absolute values of a member in evaluation mode, by the names of its modules.

    `<norm>` and `<norm>.sum` are the result and the input of a layer normalisation; a term of a feed-forward block is
    `<block>.<term>`.
    """
    ranges: dict[str, float] = {}
    hooks = [
        module.register_forward_hook(_watch(path, ranges))
        for path, module in member.named_modules()
        if isinstance(module, (nn.LayerNorm, Attention, FeedForwardBlock)) or path == "pooler"
    ]
    try:
        for ids, types in calibration.batches():
            member(ids, torch.ones_like(ids, dtype=torch.bool), types)
    finally:
        for hook in hooks:
            hook.remove()
    for path, largest in ranges.items():
        if not largest < float("inf"):
            refuse(f"{name}.{path}", "finite on the calibration sentences", show(largest))
    return ranges


def _watch(name: str, ranges: dict[str, float]) -> Callable[..., None]:
    def keep(key: str, values: Tensor) -> None:
        largest = values.abs().max().item()
        # A NaN is kept: it compares as neither.
        ranges[key] = largest if not largest <= ranges.get(key, -1.0) else ranges[key]

    def watch(module: Any, arguments: tuple[Tensor, ...], result: Any) -> None:
        if isinstance(module, FeedForwardBlock):
            for node, values in terms(module, arguments[0]).items():
                keep(f"{name}.{node}", values)
        else:
            keep(name, result[0] if isinstance(module, Attention) else result)
        if isinstance(module, nn.LayerNorm):
            keep(f"{name}.sum", arguments[0])

    return watch


def terms(block: FeedForwardBlock, x: Tensor) -> dict[Node, Tensor]:
    """Return the value of every term of a block's expression."""
    values = {Node("x"): x}
    for node in block.tree.walk():
        if node not in values:
            values[node] = _term(block, node, [values[argument] for argument in node.arguments])
    return values


def _term(block: FeedForwardBlock, node: Node, arguments: list[Tensor]) -> Tensor:
    if node.name in LINEARS:
        source: Any = block.get_submodule(f"{node.name}_in")
        product: Tensor = block.get_submodule(node.name)(source.units(arguments[0]), source.positive_alpha())
        return product
    if node.name in FUNCTIONS:
        return FUNCTIONS[node.name](*arguments)
    return combine(node.name, *arguments)


def _require_integers(where: str, values: Any) -> None:
    legal = isinstance(values, Sequence) and len(values) > 0 and all(type(value) is int for value in values)
    if not legal or min(values) < 0:
        raise NetworkError(f"{where}: must be one or more integers of at least 0, not {show(values)}")

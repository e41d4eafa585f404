"""The integer path in torch: whole networks on thousands of sentences, each as docs/arithmetic.md defines it.

It is written from that document alone, so that its equality with the reference of `sim` means something.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from model.fields import INPUT
from model.integer_kernels import kernel
from model.integer_layout import Batch
from model.integer_vote import count_votes
from model.network import Network
from model.operations import Embed
from model.values import Value

_BATCH_ROWS = 1024
_BATCH_SCORES = 1 << 21

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class IntegerResult:
    """What a network gives for each sentence; every array is int64.

    `logits` and `contributions` are [members, sentences, classes], `totals` [sentences, classes]. `predictions` are the
    classes or, with the vote "mean", the totals (-1 without members). `members_run` is how many members run until the
    exact early exit. With keep="all", `values` has, for each sentence, the array of each operation: codes as the
    document numbers them, a 1-bit code being 0 or 1.
    """

    logits: I64
    contributions: I64
    totals: I64
    predictions: I64
    members_run: I64
    values: list[dict[str, I64]] = field(default_factory=list)


class IntegerNetwork:
    """A network made ready to run on a device."""

    def __init__(self, network: Network, device: str = "cpu") -> None:
        self.network = network
        self.device = torch.device(device)
        values = network.values
        self._kernels = [
            kernel(at, [values[source] for source in at.sources], values[at.name], self.device)
            for at in network.operations
        ]
        self._last = {source: index for index, at in enumerate(network.operations) for source in at.sources}
        self._heads = max(value.heads for value in values.values())

    @torch.no_grad()
    def run(
        self,
        sentences: Sequence[ArrayLike],
        types: Sequence[ArrayLike] | None = None,
        keep: Literal["none", "all"] = "none",
    ) -> IntegerResult:
        """Return what the network gives for sentences of any lengths: arrays of ids [n], or of codes [n, channels].

        `types` has the token types [n] of each sentence; without it they are 0.
        """
        precision = torch.get_float32_matmul_precision()
        if precision != "highest":
            raise ValueError(f"float32 matmul precision must be 'highest', not {precision!r}: sums would not be exact")
        inputs = read_sentences(self.network, sentences, types)
        logits = np.zeros((len(self.network.members), len(inputs), self.network.classes), np.int64)
        kept: list[dict[str, I64]] = [{} for _ in inputs]
        for chosen in self._batches([len(arrays[0]) for arrays in inputs]):
            batch = Batch.of([len(inputs[index][0]) for index in chosen], self.device)
            held = self._compute(batch, [inputs[index] for index in chosen], keep == "all")
            for place, member in enumerate(self.network.members):
                logits[place, chosen] = held[member.output][0].cpu().numpy()
            if keep == "all":
                for name, (tensor,) in list(held.items())[1:]:
                    for index, array in zip(chosen, split(batch, self.network.values[name], tensor), strict=True):
                        kept[index][name] = array
        ballot = count_votes(self.network, logits)
        return IntegerResult(logits, **vars(ballot), values=kept if keep == "all" else [])

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        chosen: list[int] = []
        for index in sorted(range(len(lengths)), key=lengths.__getitem__):
            count, longest = len(chosen) + 1, lengths[index]
            if chosen and (count * longest > _BATCH_ROWS or self._heads * count * longest**2 > _BATCH_SCORES):
                yield chosen
                chosen = []
            chosen.append(index)
        if chosen:
            yield chosen

    def _compute(self, batch: Batch, inputs: Sequence[tuple[I64, ...]], keep: bool) -> dict[str, tuple[Tensor, ...]]:
        arrays = [np.concatenate(parts) for parts in zip(*inputs, strict=True)]
        held = {INPUT: tuple(torch.from_numpy(array).to(self.device) for array in arrays)}
        if self.network.input.kind == "codes":
            held[INPUT] = (units(self.network.input, held[INPUT][0]),)
        for index, (at, function) in enumerate(zip(self.network.operations, self._kernels, strict=True)):
            held[at.name] = (function(batch, *(part for source in at.sources for part in held[source])),)
            if not keep:
                for source in set(at.sources) - {INPUT}:
                    if self._last[source] == index:
                        del held[source]
        return held


def units(value: Value, codes: Tensor) -> Tensor:
    """Return codes as what they count for in a sum."""
    signs = value.set == "signed" and value.bits == 1
    return (2 * codes - 1 if signs else codes).float()


def split(batch: Batch, value: Value, tensor: Tensor) -> list[I64]:
    """Return the array of a value for each sentence, without padding, codes as they are numbered."""
    numbers = tensor > 0 if value.kind == "codes" and value.bits == 1 else tensor
    array = numbers.long().cpu().numpy()
    if value.kind == "logits":
        return list(array)
    lengths = batch.layout(value).lengths.tolist()
    if value.heads:
        return [grid[:, :length, :length] for grid, length in zip(array, lengths, strict=True)]
    return np.split(array, np.cumsum(lengths)[:-1])


def read_sentences(
    network: Network, sentences: Sequence[ArrayLike], types: Sequence[ArrayLike] | None = None
) -> list[tuple[I64, ...]]:
    """Return the ids and types of each sentence, or its codes, checked."""
    if network.input.kind == "codes":
        if types is not None:
            raise ValueError("types must be left out for a network that reads codes")
        return [(_array(f"sentences[{index}]", rows, network.input),) for index, rows in enumerate(sentences)]
    embeds = [at for at in network.operations if isinstance(at, Embed)]
    vocabulary, kinds = (min(at.sizes[axis] for at in embeds) for axis in ("vocabulary", "types"))
    if types is not None and len(types) != len(sentences):
        raise ValueError(f"types must be of {len(sentences)} sentences, not {len(types)}")
    found: list[tuple[I64, ...]] = []
    for index, rows in enumerate(sentences):
        ids = _array(f"sentences[{index}]", rows, network.input, vocabulary - 1)
        own = np.zeros_like(ids) if types is None else _array(f"types[{index}]", types[index], network.input, kinds - 1)
        if len(own) != len(ids):
            raise ValueError(f"types[{index}] must be of {len(ids)} tokens, not {len(own)}")
        found.append((ids, own))
    return found


def _array(where: str, rows: Any, value: Value, high: int | None = None) -> I64:
    array = np.asarray(rows)
    low, high = (value.low, value.high) if high is None else (0, high)
    shape = [f"1 to {value.rows}", *([str(value.channels)] if value.kind == "codes" else [])]
    fits = array.ndim == len(shape) and 1 <= len(array) <= value.rows and array.shape[1:] in ((), (value.channels,))
    if not fits or array.dtype.kind not in "iu":
        raise ValueError(f"{where} must be integers [{', '.join(shape)}], not {array.dtype} {list(array.shape)}")
    if array.min() < low or array.max() > high:
        wrong = array[(array < low) | (array > high)][0]
        raise ValueError(f"{where} must be of integers from {low} to {high}, not {wrong}")
    return array.astype(np.int64)

"""Where the rows of many sentences stand when they are computed together.

Rows stand one after the other, [rows, channels], so that nothing is padded but scores and attention codes, [sentences,
heads, longest, longest]; there, the keys that a sentence does not have count for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.values import Value


@dataclass(frozen=True)
class Layout:
    """Where the rows of the sentences of a batch stand: `place` of each row in [sentences, longest], `keys` in use."""

    lengths: Tensor
    longest: int
    place: Tensor
    keys: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Layout:
        """Return the layout of sentences of these lengths."""
        counts, longest = torch.tensor(lengths), max(lengths)
        keys = torch.arange(longest) < counts[:, None]
        return cls(counts, longest, keys.flatten().nonzero()[:, 0].to(device), keys.to(device))

    @property
    def row(self) -> Tensor:
        """The number of each row in its sentence."""
        return self.place % self.longest

    @property
    def sentence(self) -> Tensor:
        """The sentence of each row."""
        return self.place // self.longest

    @property
    def starts(self) -> Tensor:
        """The first row of each sentence."""
        return self.lengths.cumsum(0) - self.lengths

    def pad(self, rows: Tensor, heads: int) -> Tensor:
        """Return rows as [sentences, heads, longest, channels / heads], with zeros where a sentence has no row."""
        padded = rows.new_zeros(len(self.lengths) * self.longest, rows.shape[1]).index_copy_(0, self.place, rows)
        return padded.view(len(self.lengths), self.longest, heads, -1).transpose(1, 2)

    def unpad(self, padded: Tensor) -> Tensor:
        """Return the rows of [sentences, heads, longest, width], heads one after the other."""
        return padded.transpose(1, 2).flatten(0, 1).flatten(1).index_select(0, self.place)


@dataclass(frozen=True)
class Batch:
    """The layouts of a batch: of values with all rows, and of values with one row for each sentence."""

    every: Layout
    first: Layout

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Batch:
        """Return the layouts for sentences of these lengths."""
        return cls(Layout.of(lengths, device), Layout.of([1] * len(lengths), device))

    def layout(self, value: Value) -> Layout:
        """Return the layout of a value."""
        return self.first if value.rows == 1 else self.every

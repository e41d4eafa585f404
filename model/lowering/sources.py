"""Sources: integers of the network together with what training makes of them, up to the next quantizer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.binary import BinaryLinear
from model.bits import pack
from model.layers import SplitLinear
from model.lowering.builder import Builder
from model.lowering.folding import Domain
from model.lowering.formats import Floats, affine
from model.lowering.report import FormatEntry
from model.member import FUNCTIONS
from model.operations import Concatenate, Matmul, Requantise


@dataclass(frozen=True, eq=False)
class Source:
    """The value `name` of the network, [n, channels], and what training makes of its integers.

    Each of `scales` multiplies them in turn, then `bias` is added and `function` applied, every step rounded to
    float32. The integers are `step` apart.
    """

    name: str
    channels: int
    scales: tuple[Tensor, ...]
    bias: Tensor | None = None
    function: str | None = None
    step: int = 1

    def floats(self, x: Tensor) -> Tensor:
        """Return what integers [any, 1] are in training, [any, channels]."""
        for scale in self.scales:
            x = x * scale
        x = x if self.bias is None else x + self.bias
        x = x.expand(-1, self.channels)
        return x if self.function is None else FUNCTIONS[self.function](x.contiguous())

    @property
    def scale(self) -> Floats:
        """The product of the scales, one for each channel."""
        product = np.ones(self.channels)
        for scale in self.scales:
            product = product * scale.detach().double().numpy()
        return product

    @property
    def offset(self) -> Floats:
        """The bias, one for each channel."""
        if self.bias is None:
            return np.zeros(self.channels)
        return self.bias.detach().double().expand(self.channels).numpy()

    def domain(self, builder: Builder) -> Domain:
        """Return the integers that the value can be."""
        value = builder.values[self.name]
        return Domain(value.low, value.high, self.step)


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of the network, and the scale that training multiplies them by."""

    name: str
    alpha: Tensor


def fixed_source(builder: Builder, name: str) -> Source:
    """Return a fixed value as training sees it: integers over a power of two, which is exact."""
    value = builder.values[name]
    return Source(name, value.channels, (torch.tensor(2.0**-value.fraction),))


@torch.no_grad()
def multiply(builder: Builder, name: str, codes: Codes, linear: BinaryLinear) -> Source:
    """Add a binary linear layer and return its sums; a split one reads its codes twice."""
    value, source = builder.values[codes.name], codes.name
    if isinstance(linear, SplitLinear):
        source = builder.add(Concatenate(f"{name}.twice", (source, source)))
    weights = pack(linear.signs().numpy() > 0)
    builder.add(Matmul(name, (source,), linear.in_features, linear.out_features, weights))
    step = 2 if (value.set, value.bits) == ("signed", 1) else 1
    return Source(name, linear.out_features, (codes.alpha * linear.alpha_w(),), linear.bias, step=step)


def make_requantise(name: str, source: Source, fraction: int) -> Requantise:
    """Return the operation that makes a fixed value of sums; a function of the source is left out."""
    form = affine(source.scale * 2.0**fraction, source.offset * 2.0**fraction)
    return Requantise(name, (source.name,), fraction, form.shift, form.multiplier, form.addend)


def requantise(builder: Builder, name: str, source: Source, fraction: int, largest: float) -> str:
    """Add sums back to fixed point; `largest` is what the fraction was chosen for."""
    builder.note(FormatEntry(name, fraction, largest))
    return builder.add(make_requantise(name, source, fraction))

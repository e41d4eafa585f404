"""The parts of a member that are alike at every precision: linear layers, the word embedding, attention codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.binary import BinaryLinear, Elastic, ElasticBinarizer, products
from model.functions import SignedRows, mean
from model.products import ternary_signs
from model.quantizer import PassThrough, UniformQuantizer, quantizer
from model.shape import Shape

INITIAL_DEVIATION = 0.02
AnyQuantizer = ElasticBinarizer | UniformQuantizer | PassThrough


class _Positive(torch.autograd.Function):
    """1 where a score is above 0, else 0; the gradient passes where the score is from -1 to 1 (BiBERT)."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        ctx.save_for_backward(scores)
        return (scores > 0).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (scores,) = ctx.saved_tensors
        return torch.where(scores.abs() <= 1, gradient, 0.0)


_positive: Callable[..., Tensor] = _Positive.apply
_signed_rows: Callable[..., Tensor] = SignedRows.apply


class FloatLinear(nn.Linear):
    """y = (units * alpha) weight + bias at 32 bits; the parameters have the names that a binary layer's have."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, std=INITIAL_DEVIATION)
        nn.init.zeros_(self.bias)

    def forward(self, units: Tensor, alpha: Tensor) -> Tensor:  # type: ignore[override]
        """Return y for the units of a quantizer and its alpha."""
        return nn.functional.linear(units * alpha, self.weight, self.bias)


class TernaryLinear(BinaryLinear):
    """Weights of three levels, -a, 0 and a: 0 where |w| <= 0.7 * mean|w|, a the mean of |w| over the rest.

    As in a binary layer, D is the sum of units x signs, here -1, 0 or +1, and y = D * (alpha * a) + bias; the latent
    weights get the gradient of a * sign unchanged.
    """

    ternary = True

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)


class SplitLinear(BinaryLinear):
    """Ternary weights as two binary ones that add up: a binary layer that reads its input twice (BinaryBERT)."""

    copies = 2

    def __init__(self, inputs: int, outputs: int, weight_scale: Any = "tensor") -> None:
        super().__init__(self.copies * inputs, outputs, weight_scale=weight_scale)


def ternary(weight: Tensor) -> Tensor:
    """Return the three-level values of latent weights."""
    signs, scale = ternary_signs(weight)
    return signs * scale[0]


def make_linear(inputs: int, outputs: int, shape: Shape) -> nn.Module:
    """Return a linear layer with weights of the shape's precision."""
    if shape.precision.weights == 1:
        kind = SplitLinear if shape.split else BinaryLinear
        return kind(inputs, outputs, weight_scale=shape.weight_scale)
    return (TernaryLinear if shape.precision.weights == 2 else FloatLinear)(inputs, outputs)


def make_quantizer(shape: Shape, kind: str, *, unsigned: bool = False, channels: int | None = None) -> AnyQuantizer:
    """Return the quantizer of one kind of product; a shape without two sets has signed ones only."""
    signed = not (unsigned and shape.two_sets)
    made = quantizer("signed" if signed else "unsigned", getattr(shape.precision, kind), channels=channels)
    if isinstance(made, ElasticBinarizer) and unsigned and signed:
        made.centre_first_batch = True
    if not shape.elastic:
        made.requires_grad_(False)
    return made


def project(x: Tensor, pairs: Sequence[tuple[Any, Any]], *, relu: bool = False) -> tuple[Tensor, ...]:
    """Return linear(quantizer.units(x), alpha) for each pair of a quantizer and a linear layer; of relu(x) if asked."""
    if all(isinstance(source, Elastic) and isinstance(linear, BinaryLinear) for source, linear in pairs):
        return products(x, pairs, relu=relu)
    x = x.relu() if relu else x
    return tuple(linear(source.units(x), source.positive_alpha()) for source, linear in pairs)


class WordEmbedding(nn.Module):
    """Word vectors: sign(w - mean of the whole table) * mean|w of the row| at one bit, or the table itself."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.binary = shape.precision.embedding == 1
        self.weight = nn.Parameter(torch.empty(shape.vocabulary, shape.hidden).normal_(std=INITIAL_DEVIATION))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors of ids [B, S] as [B, S, H]."""
        rows = nn.functional.embedding(ids, self.weight)
        if not self.binary:
            return rows
        return _signed_rows(rows, self.mean())

    def mean(self) -> Tensor:
        """Return what the signs are taken against."""
        return mean(self.weight)


class AttentionCodes(nn.Module):
    """From scores to attention codes: what the context product reads.

    `softmax`: probabilities, then the quantizer (BiT). `boolean`: 1 where the score is above 0 (BiBERT). `threshold`: 1
    where it reaches a learned level of its head (COBRA). Masked keys give 0.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kind = shape.attention
        if shape.attention == "softmax":
            self.quantizer = make_quantizer(shape, "attention", unsigned=True)
        elif shape.attention == "threshold":
            self.quantizer = ElasticBinarizer("unsigned")
            self.quantizer.beta = nn.Parameter(torch.zeros(shape.heads, 1, 1))
        else:
            self.alpha = nn.Parameter(torch.tensor(0.1))
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return units [B, A, S, S] and their alpha for scores [B, A, S, S] and the mask [B, S] of real tokens."""
        keys = mask[:, None, None, :]
        if self.kind == "boolean":
            return _positive(scores) * keys, self.alpha
        if self.kind == "softmax":
            scores = self.dropout(torch.where(keys, scores, -torch.inf).softmax(-1))
        units = self.quantizer.units(scores)
        return torch.where(keys, units, 0.0), self.quantizer.positive_alpha()

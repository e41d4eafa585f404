"""The parts of a member that are alike at every precision: linear layers, the word embedding, attention codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from model.binary import BinaryLinear, ElasticBinarizer
from model.quantizer import PassThrough, UniformQuantizer, quantizer
from model.shape import Shape

INITIAL_DEVIATION = 0.02
TERNARY_LEVEL = 0.7
AnyQuantizer = ElasticBinarizer | UniformQuantizer | PassThrough


class _Straight(torch.autograd.Function):
    """Forward the second argument, pass the gradient to the first."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


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


class FloatLinear(nn.Linear):
    """y = (units * alpha) weight + bias at 32 bits; the parameters have the names that a binary layer's have."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, std=INITIAL_DEVIATION)
        nn.init.zeros_(self.bias)

    def forward(self, units: Tensor, alpha: Tensor) -> Tensor:  # type: ignore[override]
        """Return y for the units of a quantizer and its alpha."""
        y: Tensor = super().forward(units * alpha)
        return y


class TernaryLinear(FloatLinear):
    """Weights of three levels, -a, 0 and a: 0 where |w| <= 0.7 * mean|w|, a the mean of |w| over the rest."""

    def forward(self, units: Tensor, alpha: Tensor) -> Tensor:
        """Return y for the units of a quantizer and its alpha."""
        weight = _Straight.apply(self.weight, ternary(self.weight.detach()))
        return nn.functional.linear(units * alpha, weight, self.bias)


class SplitLinear(BinaryLinear):
    """Ternary weights as two binary ones that add up: a binary layer that reads its input twice (BinaryBERT)."""

    def __init__(self, inputs: int, outputs: int, weight_scale: Any = "tensor") -> None:
        super().__init__(2 * inputs, outputs, weight_scale=weight_scale)

    def forward(self, units: Tensor, alpha: Tensor) -> Tensor:
        """Return y for the units of a quantizer and its alpha."""
        return super().forward(torch.cat((units, units), -1), alpha)


def ternary(weight: Tensor) -> Tensor:
    """Return the three-level values of latent weights."""
    size = weight.abs()
    large = size > TERNARY_LEVEL * size.mean()
    level = size[large].mean() if large.any() else size.new_zeros(())
    return torch.where(large, weight.sign() * level, 0.0)


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
        latent = rows.detach()
        signs = torch.where(latent - self.mean() >= 0, 1.0, -1.0)
        values: Tensor = _Straight.apply(rows, signs * latent.abs().mean(-1, keepdim=True))
        return values

    @torch.no_grad()
    def mean(self) -> Tensor:
        """Return what the signs are taken against."""
        return self.weight.mean(dtype=torch.float64).to(self.weight.dtype)


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
            return _Positive.apply(scores) * keys, self.alpha
        if self.kind == "softmax":
            scores = self.dropout(torch.where(keys, scores, -torch.inf).softmax(-1))
        units = self.quantizer.units(scores)
        return torch.where(keys, units, 0.0), self.quantizer.positive_alpha()

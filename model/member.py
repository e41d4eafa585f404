"""A member: a BERT encoder with a classifier whose every product may run on 1-bit, few-bit or 32-bit operands.

At 32 bits it is plain BERT (post-LN). At one bit every matrix product is between bits, as docs/arithmetic.md defines;
what is not a matrix product stays in float for training and becomes fixed point at export.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.encoder import masked_mean
from model.expression import FeedForward, Node, linear_inputs
from model.layers import AttentionCodes, WordEmbedding, make_linear, make_quantizer, project
from model.shape import Shape

EPSILON = 1e-12


@dataclass
class MemberOutput:
    """What a member computes for a batch: B sentences of S tokens, H channels, A heads, C classes."""

    logits: Tensor  # [B, C]
    hidden: tuple[Tensor, ...]  # layers + 1 of [B, S, H]: the embedding, then each layer
    scores: tuple[Tensor, ...]  # layers of [B, A, S, S], scaled, before the mask
    projections: tuple[tuple[Tensor, Tensor, Tensor], ...]  # layers of Q, K, V [B, S, H] before their quantizers
    pooled: Tensor  # [B, H]: the row that the head reads, before the pooler


class Embedding(nn.Module):
    """Word + position + token type, normalised."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.words = WordEmbedding(shape)
        self.positions = nn.Parameter(torch.empty(shape.positions, shape.hidden).normal_(std=0.02))
        self.types = nn.Parameter(torch.empty(shape.types, shape.hidden).normal_(std=0.02))
        self.norm = nn.LayerNorm(shape.hidden, eps=EPSILON)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, ids: Tensor, types: Tensor | None) -> Tensor:
        """Return [B, S, H] for ids and types [B, S]."""
        if ids.shape[1] > len(self.positions):
            raise ValueError(f"ids must have at most {len(self.positions)} tokens in a row, not {ids.shape[1]}")
        vectors = self.words(ids) + self.positions[: ids.shape[1]]
        vectors = vectors + (self.types[0] if types is None else nn.functional.embedding(types, self.types))
        y: Tensor = self.dropout(self.norm(vectors))
        return y


class Attention(nn.Module):
    """Multi-head self-attention with a quantizer before every product; Q, K and V each have their own."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        width = shape.hidden
        for name, kind in (("query", "query_key"), ("key", "query_key"), ("value", "value")):
            self.add_module(f"{name}_in", make_quantizer(shape, "projection", channels=width))
            self.add_module(name, make_linear(width, width, shape))
            self.add_module(f"{name}_out", make_quantizer(shape, kind, channels=width))
        self.codes = AttentionCodes(shape)
        self.context = make_quantizer(shape, "projection", channels=width)
        self.output = make_linear(width, width, shape)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Return output [B, S, H], scores [B, A, S, S] and the projections for x [B, S, H]."""
        names = ("query", "key", "value")
        projections = project(x, [(self.get_submodule(f"{name}_in"), self.get_submodule(name)) for name in names])
        quantizers: list[Any] = [self.get_submodule(f"{name}_out") for name in names]
        # Products are of units, so that their sums are the integers that export folds; scales come after.
        query, key, value = (
            self._split(quantizer.units(projection))  # [B, A, S, H / A]
            for quantizer, projection in zip(quantizers, projections, strict=True)
        )
        of_query, of_key, of_value = (quantizer.positive_alpha() for quantizer in quantizers)
        scores = query @ key.transpose(-1, -2) * (of_query * of_key * (1 / math.sqrt(query.shape[-1])))
        units, alpha = self.codes(scores, mask)
        context = (units @ value).transpose(1, 2).flatten(2) * (of_value * alpha)  # [B, S, H]
        (y,) = project(context, [(self.context, self.output)])
        return y, scores, (projections[0], projections[1], projections[2])

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # [B, S, H] -> [B, A, S, H / A]


class FeedForwardBlock(nn.Module):
    """f(x) of one expression: each linear layer behind a quantizer of its own."""

    def __init__(self, shape: Shape, ffn: FeedForward) -> None:
        super().__init__()
        self.tree = ffn.tree
        inputs = linear_inputs(ffn.tree, shape.hidden, ffn.width)
        outputs = {"linear1": ffn.width, "linear2": shape.hidden}
        for node in ffn.tree.walk():
            if node.name in outputs:
                kind, unsigned = _quantizer_kind(node)
                source = make_quantizer(shape, kind, unsigned=unsigned, channels=inputs[node.name])
                self.add_module(f"{node.name}_in", source)
                self.add_module(node.name, make_linear(inputs[node.name], outputs[node.name], shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x) [B, S, H]."""
        return self._value(self.tree, x)

    def _value(self, node: Node, x: Tensor) -> Tensor:
        if node.name == "x":
            return x
        if node.name in ("linear1", "linear2"):
            (inner,) = node.arguments
            relu = inner.name == "relu"
            value = self._value(inner.arguments[0] if relu else inner, x)
            pair = self.get_submodule(f"{node.name}_in"), self.get_submodule(node.name)
            (y,) = project(value, [pair], relu=relu)
            return y
        values = [self._value(argument, x) for argument in node.arguments]
        return FUNCTIONS[node.name](*values) if len(values) == 1 else combine(node.name, *values)


class Layer(nn.Module):
    """Attention and a stack of feed-forward blocks, each added to its input and normalised."""

    def __init__(self, shape: Shape, ffn: FeedForward) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.attention_norm = nn.LayerNorm(shape.hidden, eps=EPSILON)
        self.ffn = nn.ModuleList(FeedForwardBlock(shape, ffn) for _ in range(ffn.stack))
        self.ffn_norms = nn.ModuleList(nn.LayerNorm(shape.hidden, eps=EPSILON) for _ in range(ffn.stack))
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Return the new x, the scores and the projections."""
        y, scores, projections = self.attention(x, mask)
        x = self.attention_norm(x + self.dropout(y))
        for block, norm in zip(self.ffn, self.ffn_norms, strict=True):
            x = norm(x + self.dropout(block(x)))
        return x, scores, projections


class Member(nn.Module):
    """One classifier of an ensemble."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = Embedding(shape)
        self.layers = nn.ModuleList(Layer(shape, ffn) for ffn in shape.ffn)
        if shape.pooler:
            self.pooler_in = make_quantizer(shape, "pooler", channels=shape.hidden)
            self.pooler = make_linear(shape.hidden, shape.hidden, shape)
        self.dropout = nn.Dropout(shape.dropout)
        self.classifier = nn.Linear(shape.hidden, shape.classes)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)
        # From the pooled row to a teacher's, for the time of training; nothing here reads it.
        self.projection: nn.Module | None = None

    def forward(
        self, ids: Tensor, mask: Tensor, types: Tensor | None = None, *, noise: float = 0.0, generator: Any = None
    ) -> MemberOutput:
        """Return the output for ids [B, S], the mask [B, S] of real tokens and token types [B, S].

        `noise` is the deviation of Gaussian noise on the embedding's output, drawn from `generator`.
        """
        x = self.embedding(ids, types)
        if noise:
            x = x + noise * torch.randn(x.shape, generator=generator).to(x)
        hidden, scores, projections = [x], [], []
        for layer in self.layers:
            x, layer_scores, layer_projections = layer(x, mask)
            hidden.append(x)
            scores.append(layer_scores)
            projections.append(layer_projections)
        pooled = x[:, 0] if self.shape.pooling == "first" else masked_mean(x, mask)  # [B, H]
        logits = self.classifier(self.dropout(self._pool(pooled)))
        return MemberOutput(logits, tuple(hidden), tuple(scores), tuple(projections), pooled)

    def _pool(self, row: Tensor) -> Tensor:
        """Return what the classifier reads [B, H] of the pooled row."""
        if not self.shape.pooler:
            return row
        (y,) = project(row, [(self.pooler_in, self.pooler)])
        return torch.tanh(y)


def _quantizer_kind(node: Node) -> tuple[str, bool]:
    """Return which precision a linear layer's input has, and whether the input is never negative."""
    source = node.arguments[0].name
    if node.name == "linear1" and source == "x":
        return "ffn_input", False
    return "ffn_inner", source in ("relu", "sigmoid")


def combine(name: str, a: Tensor, b: Tensor) -> Tensor:
    """Return a combination of two values over the channels of the narrower one."""
    width = min(a.shape[-1], b.shape[-1])
    a, b = a[..., :width], b[..., :width]
    if name == "add":
        return a + b
    return a * b if name == "mul" else torch.maximum(a, b)


FUNCTIONS = {
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": nn.functional.leaky_relu,
    "elu": nn.functional.elu,
    "swish": nn.functional.silu,
}

"""The full-precision teacher: BERT's encoder, and a classifier on top of it.

Letters in comments: B sentences, S pieces of each, H hidden, A heads, C classes. A sentence begins at position 0 and
its mask is True where it has a piece; what it gives there does not depend on how far its batch is padded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.checks import MAX_SIZE, NetworkError, require_keys, show

MAXIMA = {
    "vocabulary": 1 << 20,
    "hidden": 4096,
    "layers": 48,
    "heads": 128,
    "intermediate": 16384,
    "positions": 8192,
    "types": 16,
}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
}
POOLINGS = ("first", "mean")
MAX_SEED = (1 << 63) - 1
_INITIAL_WEIGHT = 0.02


@dataclass(frozen=True)
class EncoderConfig:
    """The structure of an encoder. The sizes are integers from 1 to `MAXIMA`; `hidden` is a multiple of `heads`.

    `activation` is between the two linears of a layer: the exact gelu, its tanh form, or relu. `epsilon` is what the
    norms add to a variance; `dropout` is one rate for hidden states and attention alike.
    """

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int = 512
    types: int = 2
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    epsilon: float = 1e-12
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, maximum in MAXIMA.items():
            _check_integer(name, getattr(self, name), 1, maximum)
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            raise TypeError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {show(self.activation)}")
        if not _is_number(self.epsilon) or not 0 < self.epsilon <= 0.1:
            raise TypeError(f"epsilon must be a number above 0 and at most 0.1, not {show(self.epsilon)}")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise TypeError(f"dropout must be a number from 0 to below 1, not {show(self.dropout)}")
        if self.hidden % self.heads:
            raise ValueError(f"hidden must be a multiple of heads, {self.heads}, not {self.hidden}")

    def to_dict(self) -> dict[str, Any]:
        """Return every field, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Any) -> EncoderConfig:
        """Return the config of a dictionary with every field and no other; whatever is wrong is a NetworkError."""
        values = require_keys("encoder", value, [field.name for field in fields(cls)])
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise NetworkError(f"encoder: {error}") from None


@dataclass(eq=False)
class EncoderOutput:
    """What an encoder gives: of padded positions it means nothing, though it is finite.

    `hidden` is the embedding output and then each layer's [B, S, H]. `scores` is each layer's [B, A, S, S] before the
    mask and the softmax, scaled, of queries by keys; empty unless asked for. `pooled` [B, H] is the tanh pooler's.
    """

    hidden: tuple[Tensor, ...]
    scores: tuple[Tensor, ...]
    pooled: Tensor


@dataclass(eq=False)
class ClassifierOutput:
    """The logits [B, C], the hidden states and scores of the encoder below, and the row [B, H] that the head reads."""

    logits: Tensor
    hidden: tuple[Tensor, ...]
    scores: tuple[Tensor, ...]
    pooled: Tensor


class Linear(nn.Linear):
    """A linear without first values: torch's would draw numbers that no seed of ours decides."""

    def reset_parameters(self) -> None:
        """Leave the values to `_initialise`."""


class Embedding(nn.Embedding):
    """An embedding without first values, as above."""

    def reset_parameters(self) -> None:
        """Leave the values to `_initialise`."""


class Embeddings(nn.Module):
    """Piece + type + position -> norm -> dropout."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.vocabulary = Embedding(config.vocabulary, config.hidden)
        self.positions = Embedding(config.positions, config.hidden)
        self.types = Embedding(config.types, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, config.epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, types: Tensor | None) -> Tensor:
        """Return [B, S, H] of ids and types [B, S]; without types all are 0."""
        kinds = self.types.weight[0] if types is None else self.types(types)  # [H] or [B, S, H]
        total = self.vocabulary(ids) + kinds + self.positions.weight[: ids.shape[1]]
        return self.dropout(self.norm(total))


class Attention(nn.Module):
    """Each position looks at all that are not padding; one softmax for each head."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = Linear(config.hidden, config.hidden)
        self.key = Linear(config.hidden, config.hidden)
        self.value = Linear(config.hidden, config.hidden)
        self.output = Linear(config.hidden, config.hidden)
        self.dropout = config.dropout

    def forward(self, x: Tensor, mask: Tensor, with_scores: bool) -> tuple[Tensor, Tensor | None]:
        """Return [B, S, H] of x [B, S, H] and a mask [B, 1, 1, S], and the scores where they are wanted."""
        query, key, value = (self._split(part(x)) for part in (self.query, self.key, self.value))
        rate = self.dropout if self.training else 0.0
        if with_scores:
            context, scores = _attend(query, key, value, mask, rate)
        else:
            context, scores = functional.scaled_dot_product_attention(query, key, value, mask, rate), None
        joined = context.transpose(1, 2).flatten(2)  # [B, A, S, H/A] -> [B, S, A, H/A] -> [B, S, H]
        return self.output(joined), scores

    def _split(self, x: Tensor) -> Tensor:
        # [B, S, H] -> [B, S, A, H/A] -> [B, A, S, H/A]
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention, then two linears with the activation between; each of the two is added to its input and normed."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(config.hidden, config.epsilon)
        self.up = Linear(config.hidden, config.intermediate)
        self.down = Linear(config.intermediate, config.hidden)
        self.output_norm = nn.LayerNorm(config.hidden, config.epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.activation = config.activation

    def forward(self, x: Tensor, mask: Tensor, with_scores: bool) -> tuple[Tensor, Tensor | None]:
        """Return [B, S, H] of x [B, S, H], and the scores where they are wanted."""
        context, scores = self.attention(x, mask, with_scores)
        x = self.attention_norm(x + self.dropout(context))
        between = ACTIVATIONS[self.activation](self.up(x))  # [B, S, intermediate]
        return self.output_norm(x + self.dropout(self.down(between))), scores


class Encoder(nn.Module):
    """BERT's encoder with its pooler.

    Weights are drawn from normal(0, 0.02) of `generator`, or of torch's own; biases are 0, norms 1 and 0. Nothing else
    draws numbers. Dropout draws torch's own, in training mode only.

    Under autocast everything but the scores keeps the dtype of the parameters.
    """

    def __init__(self, config: EncoderConfig, *, generator: torch.Generator | None = None) -> None:
        if not isinstance(config, EncoderConfig):
            raise TypeError(f"config must be an EncoderConfig, not a {type(config).__name__}")
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.pooler = Linear(config.hidden, config.hidden)
        _initialise(self, generator)

    def forward(
        self,
        ids: Tensor,
        mask: Tensor,
        types: Tensor | None = None,
        *,
        scores: bool = False,
        embedding_noise: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> EncoderOutput:
        """Return the hidden states of ids [B, S] (int64) under a mask [B, S] (bool), and the scores if asked for.

        `types` [B, S] tells the first sentence of a pair (0) from the second (1); without it all are 0.
        `embedding_noise` is the standard deviation of normal noise, drawn from `generator`, that is added to the
        embedding output, in evaluation mode too. Values of ids, mask and types are checked on a CPU only: reading them
        elsewhere would wait for the device.
        """
        _check_batch(self.config, ids, mask, types)
        x = _add_noise(self.embeddings(ids, types), embedding_noise, generator)
        keys = mask[:, None, None, :]  # [B, S] -> [B, 1, 1, S]
        hidden, kept = [x], []
        for layer in self.layers:
            x, of_layer = layer(x, keys, scores)
            hidden.append(x)
            kept.append(of_layer)
        pooled = self.pooler(x[:, 0]).tanh().to(x.dtype)  # [B, S, H] -> [B, H]
        return EncoderOutput(tuple(hidden), tuple(kept) if scores else (), pooled)


class Classifier(nn.Module):
    """Encoder -> pooling -> dropout -> linear head.

    Pooling "first" takes BERT's pooler, "mean" the mean of the last hidden state over the pieces of a sentence.
    `seed` decides the head first, then the encoder: the head is the same whether or not a ready `encoder` is given.
    """

    def __init__(
        self,
        config: EncoderConfig,
        classes: int,
        pooling: Literal["first", "mean"],
        seed: int,
        *,
        encoder: Encoder | None = None,
    ) -> None:
        _check_integer("classes", classes, 1, MAX_SIZE)
        if pooling not in POOLINGS:
            raise TypeError(f"pooling must be one of {', '.join(POOLINGS)}, not {show(pooling)}")
        _check_integer("seed", seed, 0, MAX_SEED)
        if encoder is not None and encoder.config != config:
            raise ValueError(f"encoder must have the config given with it, not {encoder.config}")
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.head = Linear(config.hidden, classes)
        _initialise(self, generator)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(config, generator=generator) if encoder is None else encoder
        self.pooling = pooling

    def forward(
        self,
        ids: Tensor,
        mask: Tensor,
        types: Tensor | None = None,
        *,
        scores: bool = False,
        embedding_noise: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> ClassifierOutput:
        """Return the logits; the arguments are the encoder's."""
        output = self.encoder(ids, mask, types, scores=scores, embedding_noise=embedding_noise, generator=generator)
        last = output.hidden[-1]
        pooled = output.pooled if self.pooling == "first" else masked_mean(last, mask)
        logits = self.head(self.dropout(pooled)).to(last.dtype)
        return ClassifierOutput(logits, output.hidden, output.scores, pooled)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [B, H] of x [B, S, H] over the positions where mask [B, S] is True."""
    weights = mask[:, :, None].to(x.dtype)  # [B, S] -> [B, S, 1]
    return (x * weights).sum(1) / weights.sum(1)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Return the context and the scores: torch's attention step by step, the softmax in float32 or wider."""
    scores = query @ key.transpose(2, 3) * query.shape[3] ** -0.5  # [B, A, S, H/A] -> [B, A, S, S]
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    shares = wide.masked_fill(~mask, -torch.inf).softmax(3)
    return functional.dropout(shares, rate).to(value.dtype) @ value, scores


def _add_noise(x: Tensor, size: float, generator: torch.Generator | None) -> Tensor:
    if not _is_number(size) or not 0 <= size < float("inf"):
        raise TypeError(f"embedding_noise must be a finite number of at least 0, not {show(size)}")
    if size == 0:
        return x
    device = x.device if generator is None else generator.device
    return x + size * torch.randn(x.shape, generator=generator, device=device).to(x)


@torch.no_grad()
def _initialise(module: nn.Module, generator: torch.Generator | None) -> None:
    for part in module.modules():
        if isinstance(part, (Linear, Embedding)) and not part.weight.is_meta:
            device = part.weight.device if generator is None else generator.device
            drawn = torch.empty(part.weight.shape, device=device).normal_(std=_INITIAL_WEIGHT, generator=generator)
            part.weight.copy_(drawn)
        if isinstance(part, Linear):
            part.bias.zero_()


def _check_batch(config: EncoderConfig, ids: Tensor, mask: Tensor, types: Tensor | None) -> None:
    if ids.dtype != torch.int64 or ids.ndim != 2 or not ids.numel():
        raise TypeError(f"ids must be int64 of two axes that are not empty, not {_kind(ids)}")
    if ids.shape[1] > config.positions:
        raise ValueError(f"ids must have at most {config.positions} positions, not {ids.shape[1]}; truncate the text")
    if mask.dtype != torch.bool or mask.shape != ids.shape:
        raise TypeError(f"mask must be bool {list(ids.shape)} as ids, not {_kind(mask)}")
    if types is not None and (types.dtype != torch.int64 or types.shape != ids.shape):
        raise TypeError(f"types must be int64 {list(ids.shape)} as ids, not {_kind(types)}")
    if ids.device.type != "cpu":
        return
    if not mask[:, 0].all():
        raise ValueError("mask must be True at position 0 of each sentence, not False; pad at the end")
    for name, values, count in (("ids", ids, config.vocabulary), ("types", types, config.types)):
        if values is not None and not 0 <= (value := _farthest(values)) < count:
            raise ValueError(f"{name} must be from 0 to {count - 1}, not {value}; is it this model's tokenizer?")


def _farthest(values: Tensor) -> int:
    low, high = values.aminmax()
    return int(low if low < 0 else high)


def _kind(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_integer(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise TypeError(f"{name} must be an integer from {low} to {high}, not {show(value)}")

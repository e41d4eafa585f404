"""Binary layers for training: the elastic binarizer, the binary linear layer, and the block of both.

Every float operation that decides a bit stands here in one fixed order (docs/arithmetic.md), so that `model.fold` can
repeat it exactly. Sums of bits are computed in float32, where integers below 2^24 are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from model.checks import MAX_SIZE, SETS

MINIMUM_ALPHA = 1e-5
SCALES = ("tensor", "channel")
_INITIAL_WEIGHT = 0.02


class _Units(torch.autograd.Function):
    """The bits of an elastic binarizer as units u (+1, -1 or 1, 0) with x_b = alpha * u.

    Gradients are those of x_b divided by alpha, so that alpha * u has the straight-through gradients of the paper.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, beta: Tensor, signed: bool) -> Tensor:
        z = x - beta
        ctx.save_for_backward(z, alpha)
        ctx.signed, ctx.beta_shape = signed, beta.shape
        if signed:
            return torch.where(z >= 0, 1.0, -1.0).to(z.dtype)
        return (z >= alpha / 2).to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor, None]:
        z, alpha = ctx.saved_tensors
        window = z.abs() <= alpha if ctx.signed else (z >= 0) & (z < alpha)
        through = torch.where(window, gradient / alpha, 0.0)
        to_alpha = None if ctx.signed else -(through * z).sum() / alpha
        return through, to_alpha, -through.sum_to_size(ctx.beta_shape), None


class _Product(torch.autograd.Function):
    """y = D * (alpha * weight_scale), D the sum of units x weight signs; the weights get the identity gradient."""

    @staticmethod
    def forward(ctx: Any, units: Tensor, alpha: Tensor, weight: Tensor, signs: Tensor, weight_scale: Tensor) -> Tensor:
        sums = nn.functional.linear(units, signs)
        ctx.save_for_backward(units, alpha, signs, weight_scale, sums)
        return sums * (alpha * weight_scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        units, alpha, signs, weight_scale, sums = ctx.saved_tensors
        scaled = gradient * weight_scale
        rows, columns = gradient.reshape(-1, signs.shape[0]), units.reshape(-1, signs.shape[1])
        return alpha * (scaled @ signs), (scaled * sums).sum(), alpha * (rows.T @ columns), None, None


class _Floor(torch.autograd.Function):
    """max(alpha, MINIMUM_ALPHA) with the gradient of alpha, so that an alpha below the floor can come back."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor) -> Tensor:
        return alpha.clamp(min=MINIMUM_ALPHA)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


_units: Callable[..., Tensor] = _Units.apply
_product: Callable[..., Tensor] = _Product.apply
floor_alpha: Callable[..., Tensor] = _Floor.apply


class ElasticBinarizer(nn.Module):
    """x -> alpha * u with a learned scale alpha > 0 and a learned shift beta.

    Signed set: u = +1 if x - beta >= 0, else -1. Unsigned set: u = 1 if x - beta >= alpha / 2, else 0. Ties fire.
    `channels` gives beta one value per channel (the last axis of x), else it is one number. Unless `alpha` is given,
    the first batch in training mode sets it (`initialise`).
    """

    def __init__(
        self, set: Literal["signed", "unsigned"] = "signed", *, channels: int | None = None, alpha: float | None = None
    ) -> None:
        if set not in SETS:
            raise TypeError(f"set must be one of {', '.join(SETS)}, not {set!r}")
        if channels is not None:
            _check_size("channels", channels)
        number = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
        if alpha is not None and not (number and MINIMUM_ALPHA <= alpha < float("inf")):
            raise TypeError(f"alpha must be a finite number of at least {MINIMUM_ALPHA}, not {alpha!r}")
        super().__init__()
        self.set = set
        self.channels = channels
        self.alpha = nn.Parameter(torch.tensor(1.0 if alpha is None else float(alpha)))
        self.beta = nn.Parameter(torch.zeros(() if channels is None else (channels,)))
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(alpha is not None))
        self.centre_first_batch = False
        self._ready = False

    def forward(self, x: Tensor) -> Tensor:
        """Return alpha * u."""
        return self.units(x) * self.positive_alpha()

    def units(self, x: Tensor) -> Tensor:
        """Return u: +1, -1 (signed) or 1, 0 (unsigned)."""
        if self.channels is not None and x.shape[-1:] != (self.channels,):
            raise ValueError(f"x must have {self.channels} channels in its last axis, not the shape {list(x.shape)}")
        self._make_ready(x)
        return _units(x, self.positive_alpha(), self.beta, self.set == "signed")

    def positive_alpha(self) -> Tensor:
        """Return alpha, at least MINIMUM_ALPHA."""
        return floor_alpha(self.alpha)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set alpha from data: the mean of |x - beta| (signed); the mean of the x - beta >= 0.5 (unsigned).

        `centre_first_batch` sets the shift to the mean first, for a signed binarizer of values that are never negative.
        Where no value reaches 0.5, as after a softmax over many keys, the unsigned alpha is 4 times the mean of
        |x - beta|, so that what is above twice the mean fires. Where all values are 0, alpha is 1.
        """
        if self.centre_first_batch:
            self.beta.copy_(x.mean())
        z = x - self.beta
        large = z[z >= 0.5]
        alpha = z.abs().mean()
        if self.set == "unsigned":
            alpha = large.mean() if large.numel() else 4 * alpha
        if not torch.isfinite(alpha):
            raise ValueError(f"x must be finite and not empty to set alpha from it, not have a mean of {alpha.item()}")
        self.alpha.copy_(torch.where(alpha == 0, 1.0, alpha.clamp(min=MINIMUM_ALPHA)))
        self.initialised.fill_(True)

    def extra_repr(self) -> str:
        """Return the parameters for print()."""
        return f"set={self.set!r}, channels={self.channels}"

    def _make_ready(self, x: Tensor) -> None:
        # `initialised` may live on a GPU: it is read only until it is true, since each read waits for the device.
        if self._ready:
            return
        if not self.initialised:
            if not self.training:
                raise ValueError("alpha must be set before evaluation: run one batch in training mode, or give alpha")
            self.initialise(x)
        self._ready = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._ready = False


class BinaryLinear(nn.Module):
    """y = D * (alpha * alpha_w) + bias on units of an elastic binarizer; D is the integer sum of units x weight signs.

    Signs are +1 where weight - mean(weight) >= 0, else -1; the mean is over the whole tensor. alpha_w is mean|weight|
    over the tensor, or over each output channel's weights. The means are constants to the gradient, taken in float64
    and rounded to the dtype of the weights.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        weight_scale: Literal["tensor", "channel"] = "tensor",
    ) -> None:
        _check_size("in_features", in_features)
        _check_size("out_features", out_features)
        if not isinstance(bias, bool):
            raise TypeError(f"bias must be True or False, not {bias!r}")
        if weight_scale not in SCALES:
            raise TypeError(f"weight_scale must be one of {', '.join(SCALES)}, not {weight_scale!r}")
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight_scale = weight_scale
        self.weight = nn.Parameter(torch.empty(out_features, in_features).normal_(std=_INITIAL_WEIGHT))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, units: Tensor, alpha: Tensor) -> Tensor:
        """Return y for units [..., in_features] and their binarizer's alpha."""
        with torch.autocast(units.device.type, enabled=False):
            y = _product(units, alpha, self.weight, self.signs(), self.alpha_w())
            return y if self.bias is None else y + self.bias

    @torch.no_grad()
    def signs(self) -> Tensor:
        """Return the binary weights: +1 or -1."""
        centred = self.weight - self.weight.mean(dtype=torch.float64).to(self.weight.dtype)
        return torch.where(centred >= 0, 1.0, -1.0).to(self.weight.dtype)

    @torch.no_grad()
    def alpha_w(self) -> Tensor:
        """Return the scale of the weights: a number, or one value per output channel."""
        size = self.weight.abs()
        mean = size.mean(dtype=torch.float64) if self.weight_scale == "tensor" else size.mean(1, dtype=torch.float64)
        return mean.to(self.weight.dtype)

    def extra_repr(self) -> str:
        """Return the parameters for print()."""
        size = f"{self.in_features}, {self.out_features}"
        return f"{size}, bias={self.bias is not None}, weight_scale={self.weight_scale!r}"


class BinaryBlock(nn.Module):
    """Input binarizer -> binary linear -> ReLU if asked -> output binarizer: what folds to one threshold per channel.

    Two blocks follow one another by sharing a binarizer: the output of the first is the input of the second.
    """

    def __init__(
        self, source: ElasticBinarizer, linear: BinaryLinear, target: ElasticBinarizer, *, relu: bool = False
    ) -> None:
        for part, value, kind in (
            ("source", source, ElasticBinarizer),
            ("linear", linear, BinaryLinear),
            ("target", target, ElasticBinarizer),
            ("relu", relu, bool),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"{part} must be of type {kind.__name__}, not {type(value).__name__}")
        if source.channels not in (None, linear.in_features):
            raise ValueError(f"source must have {linear.in_features} channels or one shift, not {source.channels}")
        if target.channels not in (None, linear.out_features):
            raise ValueError(f"target must have {linear.out_features} channels or one shift, not {target.channels}")
        super().__init__()
        self.source = source
        self.linear = linear
        self.target = target
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Return the output binarizer's alpha * u."""
        y: Tensor = self.target(self.values(x))
        return y

    def units(self, x: Tensor) -> Tensor:
        """Return the output binarizer's u."""
        return self.target.units(self.values(x))

    def values(self, x: Tensor) -> Tensor:
        """Return what the output binarizer sees."""
        y: Tensor = self.linear(self.source.units(x), self.source.positive_alpha())
        return y.relu() if self.relu else y


def _check_size(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIZE:
        raise TypeError(f"{name} must be an integer from 1 to {MAX_SIZE}, not {value!r}")

"""Binary layers for training: the elastic binarizer, the binary linear layer, and the block of both.

Every float operation that decides a bit is done in one fixed order (docs/arithmetic.md), so that `model.fold` can
repeat it exactly: in `model.functions` and `model.products`. Sums of bits are computed in float32, where integers below
2^24 are exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from model.checks import MAX_SIZE, SETS
from model.functions import MINIMUM_ALPHA, Binarize, compiles, floor_alpha, layout_of
from model.products import Behind, Product, Products, Weights, weight_signs

SCALES = ("tensor", "channel")
_INITIAL_WEIGHT = 0.02
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


_binarize: Callable[..., Tensor] = Binarize.apply
_product: Callable[..., Tensor] = Product.apply
_products: Callable[..., tuple[Tensor, ...]] = Products.apply


class Elastic(nn.Module):
    """A learned scale alpha > 0 and a learned shift beta, one number or one value per channel (the last axis of x).

    Unless alpha is given, the first batch in training mode sets it (`initialise`).
    """

    bits: int
    fused = False  # whether `products` may take the place of `units`; a subclass says so for itself
    _fix = "run one batch in training mode"

    def __init__(self, set: Literal["signed", "unsigned"], channels: int | None, alpha: float | None = None) -> None:
        super().__init__()
        self.set = set
        self.channels = channels
        self.alpha = nn.Parameter(torch.tensor(1.0 if alpha is None else float(alpha)))
        self.beta = nn.Parameter(torch.zeros(() if channels is None else (channels,)))
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(alpha is not None))
        self.ready = False

    def units(self, x: Tensor) -> Tensor:
        """Return what a product reads of x."""
        raise NotImplementedError

    def initialise(self, x: Tensor) -> None:
        """Set alpha from data."""
        raise NotImplementedError

    def positive_alpha(self) -> Tensor:
        """Return alpha, at least MINIMUM_ALPHA."""
        return floor_alpha(self.alpha)

    def prepare(self, x: Tensor) -> None:
        """Check x, and set alpha from it if this is the first batch in training mode."""
        if self.channels is not None and x.shape[-1:] != (self.channels,):
            raise ValueError(f"x must have {self.channels} channels in its last axis, not the shape {list(x.shape)}")
        # `initialised` may live on a GPU: it is read only until it is true, since each read waits for the device.
        if self.ready:
            return
        if not self.initialised:
            if not self.training:
                raise ValueError(f"alpha must be set before evaluation: {self._fix}")
            self.initialise(x)
        self.ready = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.ready = False


class ElasticBinarizer(Elastic):
    """x -> alpha * u with a learned scale alpha > 0 and a learned shift beta.

    Signed set: u = +1 if x - beta >= 0, else -1. Unsigned set: u = 1 if x - beta >= alpha / 2, else 0. Ties fire.
    `channels` gives beta one value per channel (the last axis of x), else it is one number. Unless `alpha` is given,
    the first batch in training mode sets it (`initialise`).
    """

    bits = 1
    fused = True
    _fix = "run one batch in training mode, or give alpha"

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
        super().__init__(set, channels, alpha)
        self.centre_first_batch = False

    def forward(self, x: Tensor) -> Tensor:
        """Return alpha * u."""
        return self._binarize(x, units=False)

    def units(self, x: Tensor) -> Tensor:
        """Return u: +1, -1 (signed) or 1, 0 (unsigned)."""
        return self._binarize(x, units=True)

    def _binarize(self, x: Tensor, *, units: bool) -> Tensor:
        self.prepare(x)
        return _binarize(x, self.positive_alpha(), self.beta, self.set == "signed", units)

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


class BinaryLinear(nn.Module):
    """y = D * (alpha * alpha_w) + bias on units of an elastic binarizer; D is the integer sum of units x weight signs.

    Signs are +1 where weight - mean(weight) >= 0, else -1; the mean is over the whole tensor. alpha_w is mean|weight|
    over the tensor, or over each output channel's weights. The means are constants to the gradient, taken in float64
    and rounded to the dtype of the weights.
    """

    copies = 1
    ternary = False

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
        self.kind = Weights(weight_scale == "channel", self.copies, self.ternary)
        self.weight = nn.Parameter(torch.empty(out_features, in_features).normal_(std=_INITIAL_WEIGHT))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, units: Tensor, alpha: Tensor) -> Tensor:
        """Return y for units [..., in_features] and their binarizer's alpha."""
        with torch.autocast(units.device.type, enabled=False):
            return _product(units, alpha, self.weight, self.bias, self.kind)

    def signs(self) -> Tensor:
        """Return the weights that meet the units: +1 or -1."""
        return weight_signs(self.weight, self.kind)[0]

    def alpha_w(self) -> Tensor:
        """Return the scale of the weights: a number, or one value per output channel."""
        scale = weight_signs(self.weight, self.kind)[1]
        return scale if self.kind.by_row else scale[0]

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
        (y,) = products(x, [(self.source, self.linear)])
        return y.relu() if self.relu else y


def products(x: Tensor, pairs: Sequence[tuple[Elastic, BinaryLinear]], *, relu: bool = False) -> tuple[Tensor, ...]:
    """Return linear(source.units(x), alpha of the source) for each pair of a source and a linear layer.

    With `relu`, max(x, 0) takes the place of x. In float32 on a CPU all is one step, which costs less than its parts.
    """
    for source, _ in pairs:
        source.prepare(x if source.ready or not relu else x.relu())
    fours = [(source.positive_alpha(), source.beta, linear.weight, linear.bias) for source, linear in pairs]
    if not all(_fits(x, *four) for four in fours) or any(_is_watched(*pair) for pair in pairs):
        x = x.relu() if relu else x
        return tuple(linear(source.units(x), source.positive_alpha()) for source, linear in pairs)
    layers = tuple(Behind(source.set == "signed", source.bits, linear.kind) for source, linear in pairs)
    return _products(x, relu, layers, *itertools.chain.from_iterable(fours))


def _fits(x: Tensor, alpha: Tensor, beta: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    given = (x, alpha, beta, weight) if bias is None else (x, alpha, beta, weight, bias)
    return compiles(*given) and layout_of(x.shape, beta.shape) is not None and not torch.is_autocast_enabled("cpu")


def _is_watched(source: Elastic, linear: BinaryLinear) -> bool:
    """Return whether someone must see them called: a layer has hooks, or one of them a method of its own."""
    own = "units" in vars(source) or not vars(type(source)).get("fused", False)
    own = own or getattr(linear.forward, "__func__", None) is not BinaryLinear.forward
    return own or any(vars(linear)[hooks] for hooks in _HOOKS)


def _check_size(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIZE:
        raise TypeError(f"{name} must be an integer from 1 to {MAX_SIZE}, not {value!r}")

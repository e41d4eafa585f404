"""Ternary weight splitting (BinaryBERT): a ternary member becomes a binary one whose layers read their input twice.

BinaryBERT splits each latent weight w in two, w = w1 + w2, so that ternary(w) = binary(w1) + binary(w2), where
binary(v) is sign(v) * mean|v| of a half: +a/2 twice for a weight of +a, and +a/2 with -a/2 for a weight of 0 (`split`).

Our split layer is one binary layer over [w1, w2]: one scale for both halves, and signs against the mean of all
latents, which is half the mean of w. That changes no sign where the mean of w is small, and the scale is a/2 as it is.
Elsewhere, and where each channel has its own scale, `split_weight` moves the latents, not their signs, until both hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from model.checks import show
from model.layers import TernaryLinear, ternary
from model.member import Member
from model.products import weight_bits

_SCALES = ("tensor", "channel")
# A half must keep the sign of a weight that is not 0, however lopsided the weights are that become 0.
_LEAST_SHARE = 0.25


@torch.no_grad()
def split(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return BinaryBERT's two halves of latent weights, in float64: they sum to the weights.

    A weight that is not 0 is shared, c to 1 - c; one that becomes 0 is moved away from 0 by d in both directions. d
    makes the mean size of both halves together a/2, and c makes them equal. c is kept from 1/4 to 3/4: beyond, where
    the weights that become 0 are nearly all of one sign, the halves differ in scale, and only their mean is a/2.
    """
    values = ternary(weight.detach()).double()
    latent = weight.detach().double()
    zero = values == 0
    level, zeros = values.abs().max(), zero.sum().clamp(min=1)
    shift = (level * latent.numel() - latent.abs().sum()) / (2 * zeros)
    outer = torch.where(latent > 0, latent + shift, shift)
    first_of_zeros = outer[zero].abs().sum()
    second_of_zeros = (latent - outer)[zero].abs().sum()
    others = latent[~zero].abs().sum().clamp(min=torch.finfo(torch.float64).tiny)
    share = (0.5 + (second_of_zeros - first_of_zeros) / (2 * others)).clamp(_LEAST_SHARE, 1 - _LEAST_SHARE)
    first = torch.where(zero, outer, share * latent)
    return first, latent - first


@torch.no_grad()
def split_weight(weight: Tensor, weight_scale: Literal["tensor", "channel"] = "tensor") -> Tensor:
    """Return the latent weights [N, 2K] of the split layer that stands for a ternary one with latent weights [N, K].

    It is the first of these whose signs and scale give the ternary weights: BinaryBERT's halves as they are (one scale
    only); with latents above and below 0 scaled to equal sums, so that their mean is 0; those halfway, and all the way,
    to +a/2 and -a/2. Only weights that are all -a cannot be split: a sign is +1 where all latents are equal.
    """
    if weight_scale not in _SCALES:
        raise TypeError(f"weight_scale must be one of {', '.join(_SCALES)}, not {show(weight_scale)}")
    if weight.ndim != 2:
        raise ValueError(f"weight must be [outputs, inputs], not {list(weight.shape)}")
    latent = torch.cat(split(weight), 1)
    level = ternary(weight.detach()).double().abs().max()
    for found in _candidates(latent, level, weight_scale == "channel"):
        made = found.to(weight.dtype)
        signs, scale = weight_bits(made, by_row=weight_scale == "channel")
        if torch.equal(signs > 0, latent >= 0) and (scale == level / 2).all():
            return made
    raise ValueError("weight must have a 0 or a +a once it is ternary, not -a alone: against their mean all are +1")


def split_member(member: Member) -> Member:
    """Return the binary member that computes what a ternary one does, to the bit.

    Quantizers, embedding, norms, biases and classifier are copied; both halves of a layer share its quantizer. Nothing
    is drawn from torch's random state.
    """
    shape = member.shape
    if shape.precision.weights != 2:
        raise ValueError(f"member must have ternary weights of 2 bits, not of {shape.precision.weights}")
    state = {name: tensor.clone() for name, tensor in member.state_dict().items()}
    for name, module in member.named_modules():
        if isinstance(module, TernaryLinear):
            state[f"{name}.weight"] = _named(name, module.weight, shape.weight_scale)
    with torch.random.fork_rng(devices=[]):
        made = Member(shape.replace(split=True, precision=dataclasses.replace(shape.precision, weights=1)))
    made.to(member.classifier.weight)
    made.load_state_dict(state)
    return made.train(member.training)


def _named(name: str, weight: Tensor, weight_scale: Any) -> Tensor:
    try:
        return split_weight(weight, weight_scale)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _candidates(latent: Tensor, level: Tensor, each_channel: bool) -> Iterator[Tensor]:
    """Yield latents with the same signs and a mean size of level / 2, of each channel if asked for."""
    if not each_channel:
        yield latent
    balanced = _balanced(latent if each_channel else latent.reshape(1, -1), level).reshape(latent.shape)
    for pull in (0.0, 0.5, 1.0):
        yield balanced + pull * (latent.sign() * level / 2 - balanced)


def _balanced(rows: Tensor, level: Tensor) -> Tensor:
    """Return each row with latents above and below 0 of equal sums and a mean size of level / 2; no sign changes."""
    half = level / 2 * rows.shape[1] / 2
    above, below = rows.clamp(min=0).sum(1, keepdim=True), -rows.clamp(max=0).sum(1, keepdim=True)
    balanced = torch.where(rows > 0, rows * (half / above), rows * (half / below))
    # A row of one sign cannot be balanced: all its latents become level / 2, or all -level / 2, or stay 0.
    return torch.where((above == 0) | (below == 0), rows.sign() * level / 2, balanced)

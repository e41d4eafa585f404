"""What an export refuses: members whose form of training has no integer form, each by name and with the fix."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from model.binary import ElasticBinarizer
from model.checks import NetworkError, require, require_choice, require_name
from model.member import Member
from model.quantizer import UniformQuantizer
from model.shape import Shape
from model.voting import VOTES, Vote

_CHAIN = ": train one more step of the chain"
_CODE_BITS = (1, 2, 4, 8)


def check_member(name: str, member: Member) -> None:
    """Refuse a member that cannot be exported."""
    if not isinstance(member, Member):
        raise TypeError(f"{name} must be a Member, not {type(member).__name__}")
    _check_precision(name, member.shape)
    if member.shape.attention == "softmax" and not member.shape.two_sets:
        raise NetworkError(
            f"{name}: two_sets must be true where the attention is a softmax, not false: signed attention codes are "
            "for comparisons in training only"
        )
    for key, module in member.named_modules():
        if isinstance(module, (ElasticBinarizer, UniformQuantizer)) and not module.initialised:
            raise NetworkError(
                f"{name}: {key}.alpha must be set before export, not left to the first batch: run one batch in "
                "training mode"
            )
    for key, parameter in member.named_parameters():
        if parameter.dtype != torch.float32:
            raise NetworkError(f"{name}: {key} must be float32, not {str(parameter.dtype).removeprefix('torch.')}")
        if not torch.isfinite(parameter).all():
            raise NetworkError(f"{name}: {key} must be finite, not NaN or infinite: go back to an earlier checkpoint")


def _check_precision(name: str, shape: Shape) -> None:
    precision = shape.precision
    if precision.weights != 1:
        raise NetworkError(f"{name}: export needs 1-bit matrix weights, not {precision.weights}{_CHAIN}")
    if precision.embedding != 1:
        raise NetworkError(f"{name}: export needs a 1-bit word embedding, not {precision.embedding}{_CHAIN}")
    for item in dataclasses.fields(precision):
        bits = getattr(precision, item.name)
        if bits not in _CODE_BITS and shape.quantizes(item.name):
            raise NetworkError(f"{name}: export needs 1, 2, 4 or 8 bits of {item.name}, not {bits}{_CHAIN}")


def check_names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Return the names of members: member0, member1, ... unless given."""
    if names is None:
        return tuple(f"member{index}" for index in range(count))
    require(len(names) == count, "names", f"one for each of {count} members", len(names))
    for index, name in enumerate(names):
        require_name(f"names[{index}]", name, 100)
        require(names.index(name) == index, "names", "different", name)
    return tuple(names)


def check_weights(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    """Return the weights of members: all alike unless given."""
    if weights is None:
        return (1.0,) * count
    legal = len(weights) == count and all(_is_weight(weight) for weight in weights) and weights[0] > 0
    expected = f"{count} finite numbers of at least 0, the first above 0"
    require(legal, "member_weights", expected, list(weights), "; leave out members that were not accepted")
    return tuple(float(weight) for weight in weights)


def _is_weight(weight: Any) -> bool:
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    return number and 0 <= weight < float("inf")


def check_vote(vote: Vote | None, classes: int) -> Vote:
    """Return how members vote: softly, or by their mean if they have one logit, unless given."""
    chosen: Vote = vote or ("mean" if classes == 1 else "soft")
    require_choice("vote", chosen, VOTES)
    expected = "mean for members of one logit" if classes == 1 else "soft or hard for members of several classes"
    require((chosen == "mean") == (classes == 1), "vote", expected, chosen)
    return chosen

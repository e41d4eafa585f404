"""The head: the pooled row, perhaps a pooler and its tanh, and the classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from model.lowering.builder import Builder
from model.lowering.codes import encode
from model.lowering.ffn import tabulate
from model.lowering.formats import LARGEST_ADDEND, Floats, fraction_for, round_half_up, to_int32
from model.lowering.plan import FINEST, FLAT, Ranges
from model.lowering.report import LogitsEntry
from model.lowering.sources import fixed_source, multiply, requantise
from model.member import Member
from model.operations import Classify, First, Mean
from model.values import FIXED_LOW

LARGEST_WEIGHT = 127
FINEST_LOGIT = 16
FINEST_WEIGHT = 14
_COARSEST_WEIGHT = -14
# tanh is at most 1, which 14 fraction bits hold.
_TANH = 14
_POOLINGS = {"first": First, "mean": Mean}


def lower_head(builder: Builder, name: str, member: Member, x: str, ranges: Ranges, headroom: float) -> LogitsEntry:
    """Add what follows the last layer's fixed value x; the entry names the logits."""
    pooling = member.shape.pooling
    row = builder.add(_POOLINGS[pooling](f"{name}.{pooling}", (x,)))
    if not member.shape.pooler:
        return _classify(builder, f"{name}.logits", member.classifier, row, -FIXED_LOW)
    pooled = _lower_pooler(builder, name, member, row, ranges, headroom)
    return _classify(builder, f"{name}.logits", member.classifier, pooled, 1 << _TANH)


def _lower_pooler(builder: Builder, name: str, member: Member, row: str, ranges: Ranges, headroom: float) -> str:
    """Add the pooler and its tanh, and return the value that they give."""
    pooler: Any = member.pooler
    quantizer: Any = member.pooler_in
    codes = encode(builder, f"{name}.pooler.input", fixed_source(builder, row), quantizer)
    sums = multiply(builder, f"{name}.pooler", codes, pooler)
    largest = ranges["pooler"]
    limit = min(headroom * largest, FLAT["tanh"])
    fixed = requantise(builder, f"{name}.pooler.fixed", sums, fraction_for(f"{name}.pooler", limit, FINEST), largest)
    return tabulate(builder, f"{name}.pooler.tanh", "tanh", fixed, _TANH, limit)


@torch.no_grad()
def _classify(builder: Builder, name: str, classifier: nn.Linear, row: str, reach: int) -> LogitsEntry:
    """Add a classifier of 8-bit weights on a row of numbers from -reach to reach.

    Weights and biases of several classes lose their mean over the classes, which no softmax sees and no vote counts.
    """
    weight, bias = classifier.weight.double().numpy(), classifier.bias.double().numpy()
    if len(bias) > 1:
        weight, bias = weight - weight.mean(0), bias - bias.mean()
    fraction = builder.values[row].fraction
    places = _weight_fraction(weight, bias, fraction)
    weights = round_half_up(weight * 2.0**places).astype(np.int8)
    addends = to_int32(bias * 2.0 ** (places + fraction))
    shift = max(0, places + fraction - FINEST_LOGIT)
    largest = int((np.abs(weights.astype(np.int64)).sum(1) * reach + np.abs(addends.astype(np.int64))).max())
    while largest >> shift >= LARGEST_ADDEND:
        shift += 1
    builder.add(Classify(name, (row,), shift, weights, addends))
    entry = LogitsEntry(name, places + fraction - shift, places)
    builder.note(entry)
    return entry


def _weight_fraction(weight: Floats, bias: Floats, fraction: int) -> int:
    places = FINEST_WEIGHT
    while places > _COARSEST_WEIGHT and not _fits(weight * 2.0**places, bias * 2.0 ** (places + fraction)):
        places -= 1
    return places


def _fits(weight: Floats, bias: Floats) -> bool:
    return bool(np.abs(weight).max() < LARGEST_WEIGHT + 0.5 and np.abs(bias).max() < LARGEST_ADDEND)

"""The head: pooler, tanh and classifier."""

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
from model.operations import Classify, First

LARGEST_WEIGHT = 127
FINEST_LOGIT = 16
FINEST_WEIGHT = 14
# tanh is at most 1, which 14 fraction bits hold.
_POOLED = 14


def lower_head(builder: Builder, name: str, member: Member, x: str, ranges: Ranges, headroom: float) -> LogitsEntry:
    """Add what follows the last layer's fixed value x; the entry names the logits."""
    pooler: Any = member.pooler
    quantizer: Any = member.pooler_in
    builder.add(First(f"{name}.first", (x,)))
    codes = encode(builder, f"{name}.pooler.input", fixed_source(builder, f"{name}.first"), quantizer)
    sums = multiply(builder, f"{name}.pooler", codes, pooler)
    largest = ranges["pooler"]
    limit = min(headroom * largest, FLAT["tanh"])
    fixed = requantise(builder, f"{name}.pooler.fixed", sums, fraction_for(f"{name}.pooler", limit, FINEST), largest)
    pooled = tabulate(builder, f"{name}.pooler.tanh", "tanh", fixed, _POOLED, limit)
    return _classify(builder, f"{name}.logits", member.classifier, pooled)


@torch.no_grad()
def _classify(builder: Builder, name: str, classifier: nn.Linear, pooled: str) -> LogitsEntry:
    """Add a classifier of 8-bit weights.

    Weights and biases of several classes lose their mean over the classes, which no softmax sees and no vote counts.
    """
    weight, bias = classifier.weight.double().numpy(), classifier.bias.double().numpy()
    if len(bias) > 1:
        weight, bias = weight - weight.mean(0), bias - bias.mean()
    places = _weight_fraction(weight, bias)
    weights = round_half_up(weight * 2.0**places).astype(np.int8)
    addends = to_int32(bias * 2.0 ** (places + _POOLED))
    shift = max(0, places + _POOLED - FINEST_LOGIT)
    largest = int((np.abs(weights.astype(np.int64)).sum(1) * 2**_POOLED + np.abs(addends.astype(np.int64))).max())
    while largest >> shift >= LARGEST_ADDEND:
        shift += 1
    builder.add(Classify(name, (pooled,), shift, weights, addends))
    entry = LogitsEntry(name, places + _POOLED - shift, places)
    builder.note(entry)
    return entry


def _weight_fraction(weight: Floats, bias: Floats) -> int:
    places = FINEST_WEIGHT
    while places > -_POOLED and not _fits(weight * 2.0**places, bias * 2.0 ** (places + _POOLED)):
        places -= 1
    return places


def _fits(weight: Floats, bias: Floats) -> bool:
    return bool(np.abs(weight).max() < LARGEST_WEIGHT + 0.5 and np.abs(bias).max() < LARGEST_ADDEND)

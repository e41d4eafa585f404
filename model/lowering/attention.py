"""Attention: projections, scores, attention codes and context."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.layers import AttentionCodes
from model.lowering.builder import Builder
from model.lowering.codes import encode
from model.lowering.folding import Form, fold, prove
from model.lowering.report import CodesEntry, ExponentialsEntry
from model.lowering.sources import Codes, Source, fixed_source, multiply
from model.lowering.tables import attention_levels, exponential_table, score_step
from model.member import Attention
from model.operations import Context, HeadThreshold, RowThreshold, Scores


@torch.no_grad()
def lower_attention(builder: Builder, name: str, attention: Attention, x: str) -> Source:
    """Add the attention of a layer that reads the fixed value x; return the sums of its output."""
    query, key, value = (_project(builder, f"{name}.{part}", attention, part, x) for part in ("query", "key", "value"))
    channels = builder.values[value.name].channels
    builder.add(Scores(f"{name}.scores", (query.name, key.name), attention.heads))
    if attention.codes.kind == "softmax":
        codes = _row_codes(builder, name, attention.codes.quantizer, (query, key), channels // attention.heads)
    else:
        codes = _head_codes(builder, name, attention, (query, key), channels // attention.heads)
    builder.add(Context(f"{name}.context", (codes.name, value.name)))
    sums = Source(f"{name}.context", channels, (value.alpha * codes.alpha,))
    quantizer: Any = attention.context
    coded = encode(builder, f"{name}.output.input", sums, quantizer)
    output: Any = attention.output
    return multiply(builder, f"{name}.output", coded, output)


def _project(builder: Builder, name: str, attention: Attention, part: str, x: str) -> Codes:
    source, target, linear = (attention.get_submodule(f"{part}{end}") for end in ("_in", "_out", ""))
    quantizers: Any = (source, target)
    product: Any = linear
    coded = encode(builder, f"{name}.input", fixed_source(builder, x), quantizers[0])
    sums = multiply(builder, name, coded, product)
    return encode(builder, f"{name}.codes", sums, quantizers[1])


def _row_codes(builder: Builder, name: str, quantizer: Any, pair: tuple[Codes, Codes], width: int) -> Codes:
    scores = builder.values[f"{name}.scores"]
    even = all(builder.values[codes.name].bits == 1 for codes in pair)
    # The product of two float32 is exact in float64.
    step = score_step(pair[0].alpha.item() * pair[1].alpha.item(), width)
    found = exponential_table(step, 2 * scores.bound, even)
    alpha = quantizer.positive_alpha().detach()
    bits = getattr(quantizer, "bits", 1)
    levels = attention_levels(alpha.item(), quantizer.beta.item(), bits)
    operands = (bits, found.multiplier, found.shift, found.table, levels)
    codes = builder.add(RowThreshold(f"{name}.codes", (f"{name}.scores",), *operands))
    builder.note(ExponentialsEntry(codes, len(found.table), float(found.step)))
    return Codes(codes, alpha)


def _head_codes(builder: Builder, name: str, attention: Attention, pair: tuple[Codes, Codes], width: int) -> Codes:
    """Add one threshold for each head, proved on every score that can be."""
    step = 2 if all(builder.values[codes.name].bits == 1 for codes in pair) else 1
    scale = pair[0].alpha * pair[1].alpha * (1 / math.sqrt(width))
    source = Source(f"{name}.scores", attention.heads, (scale,), step=step)
    domain, form = source.domain(builder), _head_form(source, attention.codes)
    folded = fold(f"{name}.codes", domain, form, attention.heads)
    if attention.codes.kind == "boolean":
        # A score above 0 is a sum of 1 or more, also where no sum is odd.
        folded = replace(folded, thresholds=np.ones_like(folded.thresholds))
    prove(f"{name}.codes", domain, form, folded)
    codes = builder.add(HeadThreshold(f"{name}.codes", (f"{name}.scores",), folded.thresholds))
    builder.note(CodesEntry(codes, "thresholds", attention.heads, folded.constant, 0, attention.heads * len(domain)))
    return Codes(codes, _head_alpha(attention.codes).detach())


def _head_form(source: Source, codes: AttentionCodes) -> Form:
    """Return the units of scores [any, 1], one for each head, as training makes them of one score."""
    keys = torch.ones(1, 1, dtype=torch.bool)
    return lambda x: codes(source.floats(x)[:, :, None, None], keys)[0].flatten(1)


def _head_alpha(codes: AttentionCodes) -> Tensor:
    alpha: Tensor = codes.alpha if codes.kind == "boolean" else codes.quantizer.positive_alpha()
    return alpha

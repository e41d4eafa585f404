"""The embedding and layer normalisation in fixed point."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from model.bits import pack
from model.fields import INPUT
from model.lowering.builder import Builder
from model.lowering.formats import LARGEST_ADDEND, LARGEST_FIXED, fraction_for, to_int16, to_int32
from model.lowering.report import FormatEntry
from model.member import Embedding
from model.operations import Embed, Normalise

# Fraction bits of the value that a normalisation has before its gain.
_NORMALISED = 12
_FINEST_GAIN = 30


@torch.no_grad()
def lower_embedding(builder: Builder, name: str, embedding: Embedding, fraction: int) -> str:
    """Add an embedding whose normalised rows have so many fraction bits; its sums cannot saturate."""
    weight, positions, types = embedding.words.weight, embedding.positions, embedding.types
    scales = weight.abs().mean(-1)
    shared = positions.abs().amax(0) + types.abs().amax(0)
    largest = (scales.max() + shared.max()).item()
    # A little more, so that the rounding of the three terms does not saturate either.
    inner = fraction_for(f"{name}.sum", largest * (1 + 2.0**-12))
    builder.note(FormatEntry(f"{name}.sum", inner, largest))
    words = pack((weight - embedding.words.mean() >= 0).numpy())
    parts = [to_int16(part.double().numpy() * 2.0**inner) for part in (scales, positions, types)]
    builder.add(Embed(f"{name}.sum", (INPUT,), inner, words, *parts))
    return normalise(builder, f"{name}.norm", f"{name}.sum", embedding.norm, fraction)


@torch.no_grad()
def normalise(builder: Builder, name: str, source: str, norm: nn.LayerNorm, fraction: int) -> str:
    """Add a layer normalisation that gives so many fraction bits, its gain with as many as 16 bits hold."""
    value = builder.values[source]
    epsilon = math.floor(norm.eps * value.channels**2 * 4.0**value.fraction + 0.5)
    gain, offset = (parameter.double().numpy() for parameter in (norm.weight, norm.bias))
    places = min(_FINEST_GAIN, 31 - _NORMALISED + fraction)
    coarsest = max(0, fraction - _NORMALISED + 1)
    while places > coarsest and not _fits(gain, offset, places):
        places -= 1
    parts = to_int16(gain * 2.0**places), to_int32(offset * 2.0 ** (places + _NORMALISED))
    return builder.add(Normalise(name, (source,), fraction, epsilon, places + _NORMALISED - fraction, *parts))


def _fits(gain: np.ndarray, offset: np.ndarray, places: int) -> bool:
    within = np.abs(gain).max() * 2.0**places <= LARGEST_FIXED
    return bool(within and np.abs(offset).max() * 2.0 ** (places + _NORMALISED) <= LARGEST_ADDEND)


def same_embedding(a: Embedding, b: Embedding) -> bool:
    """Return whether two embeddings are one: the same object, or equal in every parameter."""
    if a is b:
        return True
    mine, other = a.state_dict(), b.state_dict()
    return all(_equal(mine[key], other[key]) for key in mine)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)

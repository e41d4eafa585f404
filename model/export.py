"""The export: trained torch blocks become a network of integers, every fold proved on the way."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.binary import BinaryBlock
from model.bits import pack
from model.checks import NetworkError
from model.fold import FloatForm, fold, prove
from model.network import BinaryLayer, Network


def export_network(blocks: Mapping[str, BinaryBlock], provenance: Mapping[str, str] | None = None) -> Network:
    """Return the network of a chain of blocks, each of which reads the binarizer that the one before it writes."""
    named = list(blocks.items())
    for (before, first), (after, second) in pairwise(named):
        if second.source is not first.target:
            raise NetworkError(f"{after}.source: must be the target of {before}, not another binarizer")
    layers = [export_layer(name, block) for name, block in named]
    return Network.chain(layers, named[-1][1].target.set if named else "signed", provenance)


def export_layer(name: str, block: BinaryBlock) -> BinaryLayer:
    """Return the integer layer of one block, compared with its float form on every reachable sum."""
    form = float_form(block)
    folded = fold(form)
    prove(form, folded)
    weights = pack(_array(block.linear.signs()) > 0)
    return BinaryLayer(name, form.inputs, form.outputs, form.input_set, weights, folded.thresholds, folded.polarity)


@torch.no_grad()
def float_form(block: BinaryBlock) -> FloatForm:
    """Return the float operations of a block between its sums and its bits."""
    for part in (block.source, block.target):
        if not part.initialised:
            raise NetworkError("alpha: must be set before export, not left to the first batch")
    linear, target = block.linear, block.target
    scale = block.source.positive_alpha() * linear.alpha_w()
    return FloatForm(
        inputs=linear.in_features,
        input_set=block.source.set,
        scale=_vector("scale", scale, linear.out_features),
        bias=_vector("bias", scale.new_zeros(()) if linear.bias is None else linear.bias, linear.out_features),
        relu=block.relu,
        shift=_vector("shift", target.beta, linear.out_features),
        output_set=target.set,
        alpha=np.float32(_array(target.positive_alpha())),
    )


def _vector(part: str, value: Tensor, count: int) -> NDArray[np.float32]:
    if value.dtype != torch.float32:
        raise NetworkError(f"{part}: must be float32, not {str(value.dtype).removeprefix('torch.')}")
    return np.ascontiguousarray(_array(value.expand(count)))


def _array(value: Tensor) -> NDArray[Any]:
    return value.detach().cpu().numpy()

"""The autograd function of quantizers of 2, 4 and 8 bits; as in `model.functions`, compiled on a CPU in float32."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model import kernels, quantizer_kernels
from model.blocks import blocks_of, run_blocks
from model.functions import Layout, compiles, layout_of, solid


class Range(NamedTuple):
    """The smallest and the largest code."""

    low: int
    high: int


def code_range(signed: bool, bits: int) -> Range:
    """Return the codes of a set and of so many bits, 2 or more."""
    return Range(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else Range(0, (1 << bits) - 1)


class Codes(torch.autograd.Function):
    """The codes of a uniform quantizer; gradients are those of alpha * code divided by alpha (learned step size)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, beta: Tensor, codes: Range) -> Tensor:
        ctx.save_for_backward(x, alpha, beta)
        ctx.codes = codes
        layout = layout_of(x.shape, beta.shape) if compiles(x, alpha, beta) else None
        if layout is None:
            return ((x - beta).div_(alpha) + 0.5).floor_().clamp_(*codes)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        quantize(layout, solid(x), alpha, beta, out, codes=codes)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, alpha, beta = ctx.saved_tensors
        layout = layout_of(x.shape, beta.shape) if compiles(x, alpha, beta, gradient) else None
        if layout is None:
            return *_backward(x, alpha, beta, gradient, ctx.codes), None
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        found = quantize_backward(layout, solid(x), alpha, beta, solid(gradient), out, codes=ctx.codes)
        return out, *found, None


def _backward(x: Tensor, alpha: Tensor, beta: Tensor, gradient: Tensor, codes: Range) -> tuple[Tensor, Tensor, Tensor]:
    t = (x - beta).div_(alpha)
    inside = (t >= codes.low - 0.5) & (t < codes.high + 0.5)
    through = (gradient / alpha).masked_fill_(~inside, 0.0)
    return through, -(through * t.masked_fill_(~inside, 0.0)).sum(), -through.sum_to_size(beta.shape)


def quantize(
    layout: Layout, x: Tensor, alpha: Tensor, beta: Tensor, out: Tensor, *, codes: Range, relu: bool = False
) -> None:
    """Write the codes of x, or of max(x, 0), to `out`; compiled."""
    beta = solid(beta)
    addresses = x.data_ptr(), alpha.data_ptr(), beta.data_ptr(), out.data_ptr()
    run_blocks(quantizer_kernels.quantize, *layout, *codes, relu, *addresses)


def quantize_backward(
    layout: Layout,
    x: Tensor,
    alpha: Tensor,
    beta: Tensor,
    gradient: Tensor,
    out: Tensor,
    *,
    codes: Range,
    relu: bool = False,
    add: bool = False,
) -> tuple[Tensor, Tensor]:
    """Write the gradient of x to `out` or add it there, and return those of alpha and beta; compiled."""
    beta = solid(beta)
    to_alpha, to_beta = torch.empty_like(alpha), torch.empty_like(beta)
    rows, columns, places, _, wide = layout
    blocks = blocks_of(rows, columns)
    sums = torch.empty(blocks * (places + 1) * columns, dtype=torch.float64)
    addresses = x.data_ptr(), alpha.data_ptr(), beta.data_ptr(), gradient.data_ptr(), out.data_ptr()
    run_blocks(quantizer_kernels.quantize_backward, *layout, *codes, relu, *addresses, add, sums.data_ptr())
    kernels.add_blocks(sums.data_ptr(), blocks, places, columns, wide, to_beta.data_ptr(), to_alpha.data_ptr())
    return to_alpha, to_beta

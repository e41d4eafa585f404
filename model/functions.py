"""Autograd functions of one-bit quantizers: on a CPU in float32 one compiled pass each, elsewhere torch's operations.

Both ways decide every bit, and whether a gradient passes, by the same float32 operations; only sums over many numbers
may round differently.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import gcd, prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model import kernels
from model.blocks import blocks_of, run_blocks

MINIMUM_ALPHA = 1e-5
_LONG_ROW = 512
_SOLID = torch.contiguous_format


def compiles(*tensors: Tensor) -> bool:
    """Return whether compiled passes apply: to float32 numbers on a CPU, at least one in each tensor."""
    return all(tensor.dtype is torch.float32 and tensor.is_cpu and tensor.numel() for tensor in tensors)


def solid(tensor: Tensor) -> Tensor:
    """Return a tensor with its numbers one after the other: itself, if they are."""
    return tensor if tensor.is_contiguous() else tensor.contiguous()


class Layout(NamedTuple):
    """A tensor as rows and columns, so that row r has row r // repeat of the `places` rows of shifts, over and over.

    The shifts are one for each column if they are `wide`, else one for a whole row.
    """

    rows: int
    columns: int
    places: int
    repeat: int
    wide: bool


@lru_cache(1024)
def layout_of(shape: tuple[int, ...], beta: tuple[int, ...]) -> Layout | None:
    """Return the layout of x for one shift, one per channel (last axis) or one per head (third last); else None."""
    numbers, last = prod(shape), shape[-1] if shape else 1
    if len(beta) == 1 and beta == shape[-1:]:
        return Layout(numbers // last, last, 1, numbers // last, True)
    if len(beta) > len(shape) or any(size != 1 for size in (*beta[:-3], *beta[-2:])):
        return None
    heads = beta[-3] if len(beta) > 2 else 1
    if heads > 1 and heads != shape[-3]:
        return None
    inner = shape[-2] * last if heads > 1 else numbers
    columns = max(gcd(inner, _LONG_ROW), last)
    return Layout(numbers // columns, columns, heads, inner // columns, False)


class Binarize(torch.autograd.Function):
    """The values alpha * u of an elastic binarizer, or its units u (+1, -1 or 1, 0).

    The gradients of values are those of docs/arithmetic.md, section 6. Those of units are the same divided by alpha, so
    that alpha * u has the gradients of the values; what goes to a signed set's alpha by u itself is then 0.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, beta: Tensor, signed: bool, units: bool) -> Tensor:
        ctx.save_for_backward(x, alpha, beta)
        ctx.signed, ctx.units = signed, units
        layout = layout_of(x.shape, beta.shape) if compiles(x, alpha, beta) else None
        if layout is None:
            return _binarize(x - beta, alpha, signed, units)
        out = torch.empty_like(x, memory_format=_SOLID)
        binarize(layout, solid(x), alpha, beta, out, signed=signed, units=units)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor, None, None]:
        x, alpha, beta = ctx.saved_tensors
        signed, units = ctx.signed, ctx.units
        layout = layout_of(x.shape, beta.shape) if compiles(x, alpha, beta, gradient) else None
        if layout is None:
            return *_binarize_backward(x - beta, alpha, beta, gradient, signed, units), None, None
        out = torch.empty_like(x, memory_format=_SOLID)
        found = binarize_backward(layout, solid(x), alpha, beta, solid(gradient), out, signed=signed, units=units)
        return out, *found, None, None


def _binarize(z: Tensor, alpha: Tensor, signed: bool, units: bool) -> Tensor:
    fires = z >= 0 if signed else z >= alpha / 2
    u = torch.where(fires, 1.0, -1.0).to(z.dtype) if signed else fires.to(z.dtype)
    return u if units else u * alpha


def _binarize_backward(
    z: Tensor, alpha: Tensor, beta: Tensor, gradient: Tensor, signed: bool, units: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    window = z.abs() <= alpha if signed else (z >= 0) & (z < alpha)
    through = torch.where(window, gradient * (1 / alpha) if units else gradient, 0.0)
    to_alpha = None if signed else -(through * torch.where(window, z, 0.0)).sum() / alpha
    if not units:
        straight = (gradient * _binarize(z, alpha, signed, True)).sum()
        to_alpha = straight if to_alpha is None else to_alpha + straight
    return through, to_alpha, -through.sum_to_size(beta.shape)


def binarize(
    layout: Layout,
    x: Tensor,
    alpha: Tensor,
    beta: Tensor,
    out: Tensor,
    *,
    signed: bool,
    units: bool,
    relu: bool = False,
) -> None:
    """Write the units or values of x, or of max(x, 0), to `out`; compiled."""
    beta = solid(beta)
    addresses = x.data_ptr(), alpha.data_ptr(), beta.data_ptr(), out.data_ptr()
    run_blocks(kernels.binarize, *layout, signed, units, relu, *addresses)


def binarize_backward(
    layout: Layout,
    x: Tensor,
    alpha: Tensor,
    beta: Tensor,
    gradient: Tensor,
    out: Tensor,
    *,
    signed: bool,
    units: bool,
    relu: bool = False,
    add: bool = False,
) -> tuple[Tensor | None, Tensor]:
    """Write the gradient of x to `out` or add it there, and return those of alpha and beta; compiled."""
    beta = solid(beta)
    to_alpha, to_beta = torch.empty_like(alpha), torch.empty_like(beta)
    rows, columns, places, _, wide = layout
    blocks = blocks_of(rows, columns)
    sums = torch.empty(blocks * (places + 1) * columns, dtype=torch.float64)
    silent = signed and units
    addresses = x.data_ptr(), alpha.data_ptr(), beta.data_ptr(), gradient.data_ptr(), out.data_ptr()
    totals = sums.data_ptr(), not silent
    run_blocks(kernels.binarize_backward, *layout, signed, units, relu, *addresses, add, *totals)
    kernels.add_blocks(sums.data_ptr(), blocks, places, columns, wide, to_beta.data_ptr(), to_alpha.data_ptr())
    return None if silent else to_alpha, to_beta


class SignedRows(torch.autograd.Function):
    """sign(row - centre) * mean|row| of each row, the last axis; the rows get the gradient unchanged."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, centre: Tensor) -> Tensor:
        if compiles(rows, centre):
            rows = solid(rows)
            out, columns = torch.empty_like(rows), rows.shape[-1]
            addresses = rows.data_ptr(), centre.data_ptr(), out.data_ptr()
            kernels.binary_words(rows.numel() // columns, columns, *addresses)
            return out
        size = rows.abs().mean(-1, keepdim=True, dtype=torch.float64).to(rows.dtype)
        return torch.where(rows - centre >= 0, size, -size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


@torch.no_grad()
def mean(matrix: Tensor) -> Tensor:
    """Return the mean of a matrix, taken in float64 and rounded to its dtype."""
    if not compiles(matrix):
        return matrix.mean(dtype=torch.float64).to(matrix.dtype)
    matrix, found = solid(matrix), matrix.new_empty(())
    rows, columns = matrix.shape
    blocks = blocks_of(rows, columns)
    sums = torch.empty(blocks * columns, dtype=torch.float64)
    run_blocks(kernels.sum_columns, rows, columns, matrix.data_ptr(), sums.data_ptr())
    kernels.mean_of_blocks(blocks, rows, columns, sums.data_ptr(), found.data_ptr())
    return found


class Floor(torch.autograd.Function):
    """max(alpha, MINIMUM_ALPHA) with the gradient of alpha, so that an alpha below the floor can come back."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor) -> Tensor:
        return alpha.clamp(min=MINIMUM_ALPHA)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


_floor: Callable[..., Tensor] = Floor.apply


def floor_alpha(alpha: Tensor) -> Tensor:
    """Return max(alpha, MINIMUM_ALPHA) with the gradient of alpha; on a CPU alpha itself where it is large enough."""
    if alpha.is_cpu and alpha.item() >= MINIMUM_ALPHA:
        return alpha
    return _floor(alpha)

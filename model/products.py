"""The autograd functions of linear layers of signs: on units of a binarizer, or on a tensor through its binarizers.

As in `model.functions`, a CPU runs compiled passes on float32 numbers and all else torch's own operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model import kernels
from model.blocks import run_blocks
from model.functions import Layout, binarize, binarize_backward, compiles, layout_of, solid
from model.uniform import code_range, quantize, quantize_backward

TERNARY_LEVEL = 0.7


class Weights(NamedTuple):
    """Which weights a layer of signs has: a scale by row or one for all, how often a row reads its units, and whether
    a sign may be 0.
    """

    by_row: bool = False
    copies: int = 1
    ternary: bool = False


class Product(torch.autograd.Function):
    """y = D * (alpha * weight_scale) + bias, D the sum of units x weight signs; the weights get the identity gradient.

    A row of weights reads the same units `copies` times, one after the other.
    """

    @staticmethod
    def forward(ctx: Any, units: Tensor, alpha: Tensor, weight: Tensor, bias: Tensor | None, kind: Weights) -> Tensor:
        y, signs, scale = _multiply(units, alpha, weight, bias, kind)
        ctx.save_for_backward(units, alpha, signs, scale)
        ctx.copies = kind.copies
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        units, alpha, signs, scale = ctx.saved_tensors
        rows = gradient.reshape(-1, signs.shape[0])
        to_weight, dense, to_alpha = _multiply_backward(rows, units, alpha, signs, scale, ctx.copies)
        to_units = torch.mm(rows, dense).view(units.shape) if ctx.needs_input_grad[0] else None
        return to_units, to_alpha, to_weight, rows.sum(0) if ctx.needs_input_grad[3] else None, None


class Behind(NamedTuple):
    """What a linear layer of signs behind a quantizer of its own is, but for its parameters."""

    signed: bool
    bits: int
    weights: Weights


class Products(torch.autograd.Function):
    """Linear layers of signs of one x, or of max(x, 0), each behind a quantizer of its own: compiled passes only.

    Each has four parameters: alpha, beta, weight and bias. It computes what `Binarize` or `Codes` and `Product` do, to
    the bit, and so are its gradients but for the order of sums; the gradients of x are added up where they arise.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, relu: bool, layers: tuple[Behind, ...], *parameters: Tensor | None
    ) -> tuple[Tensor, ...]:
        x, saved, outputs = solid(x), [], []
        for layer, (alpha, beta, weight, bias) in zip(layers, _fours(parameters), strict=True):
            units = torch.empty_like(x)
            _encode(layer, x, alpha, beta, units, relu)
            y, signs, scale = _multiply(units, alpha, weight, bias, layer.weights)
            saved += [alpha, beta, units, signs, scale]
            outputs.append(y)
        ctx.save_for_backward(x, *saved)
        ctx.relu, ctx.layers = relu, layers
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        to_x, found = None, []
        for index, (layer, gradient) in enumerate(zip(ctx.layers, gradients, strict=True)):
            alpha, beta, units, signs, scale = saved[5 * index : 5 * index + 5]
            rows = gradient.reshape(-1, len(signs))
            to_weight, dense, to_alpha = _multiply_backward(rows, units, alpha, signs, scale, layer.weights.copies)
            to_units = torch.mm(rows, dense)
            add = to_x is not None
            to_x = to_units if to_x is None else to_x
            more, to_beta = _encode_backward(layer, x, alpha, beta, to_units, to_x, ctx.relu, add)
            to_alpha = to_alpha if more is None else to_alpha + more
            found += [to_alpha, to_beta, to_weight, rows.sum(0) if ctx.needs_input_grad[4 * index + 6] else None]
        return None if to_x is None else to_x.view(x.shape), None, None, *found


def _encode(layer: Behind, x: Tensor, alpha: Tensor, beta: Tensor, units: Tensor, relu: bool) -> None:
    if layer.bits == 1:
        binarize(_layout(x, beta), x, alpha, beta, units, signed=layer.signed, units=True, relu=relu)
    else:
        codes = code_range(layer.signed, layer.bits)
        quantize(_layout(x, beta), x, alpha, beta, units, codes=codes, relu=relu)


def _encode_backward(
    layer: Behind, x: Tensor, alpha: Tensor, beta: Tensor, gradient: Tensor, out: Tensor, relu: bool, add: bool
) -> tuple[Tensor | None, Tensor]:
    layout = _layout(x, beta)
    if layer.bits == 1:
        how: Any = {"signed": layer.signed, "units": True, "relu": relu, "add": add}
        return binarize_backward(layout, x, alpha, beta, gradient, out, **how)
    codes = code_range(layer.signed, layer.bits)
    return quantize_backward(layout, x, alpha, beta, gradient, out, codes=codes, relu=relu, add=add)


def _layout(x: Tensor, beta: Tensor) -> Layout:
    layout = layout_of(x.shape, beta.shape)
    if layout is None:
        raise ValueError(f"beta must be one shift or one per channel of {list(x.shape)}, not {list(beta.shape)}")
    return layout


def _fours(parameters: tuple[Any, ...]) -> Any:
    return zip(*(iter(parameters),) * 4, strict=True)


def _multiply(
    units: Tensor, alpha: Tensor, weight: Tensor, bias: Tensor | None, kind: Weights
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, the signs and the scale of each row."""
    signs, scale = weight_signs(weight, kind)
    if kind.copies > 1:
        signs = signs.view(len(signs), kind.copies, -1).sum(1)
    y = torch.mm(units.reshape(-1, signs.shape[1]), signs.t())
    if compiles(y, alpha) and (bias is None or compiles(bias)):
        shift = None if bias is None else solid(bias)
        addresses = y.data_ptr(), alpha.data_ptr(), scale.data_ptr(), 0 if shift is None else shift.data_ptr()
        run_blocks(kernels.scale_and_shift, len(y), len(signs), *addresses)
    else:
        y.mul_(alpha * scale)
        if bias is not None:
            y.add_(bias)
    return y.view(*units.shape[:-1], len(signs)), signs, scale


def _multiply_backward(
    rows: Tensor, units: Tensor, alpha: Tensor, signs: Tensor, scale: Tensor, copies: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient of the weights, the factors from the rows to the gradient of units, that of alpha.

    The sum over the batch of gradient x D is that of the weights' signs x (gradient x units), a matrix much smaller.
    """
    to_weight = torch.mm(rows.t(), units.reshape(-1, signs.shape[1]))
    if compiles(to_weight, alpha):
        dense, to_alpha = torch.empty_like(signs), torch.empty_like(alpha)
        sources = to_weight.data_ptr(), signs.data_ptr(), scale.data_ptr(), alpha.data_ptr()
        kernels.finish_product(len(signs), signs.shape[1], *sources, dense.data_ptr(), to_alpha.data_ptr())
    else:
        dense = signs * scale[:, None]
        to_alpha = (to_weight * dense).sum()
        dense *= alpha
        to_weight *= alpha
    return to_weight.repeat(1, copies) if copies > 1 else to_weight, dense, to_alpha


def weight_signs(weight: Tensor, kind: Weights) -> tuple[Tensor, Tensor]:
    """Return the signs of weights, as long as the weights are, and each row's scale."""
    return ternary_signs(weight) if kind.ternary else weight_bits(weight, kind.by_row)


def ternary_signs(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return 0 where |weight| <= 0.7 * mean|weight| and else its sign, and the mean of |weight| where it is not 0."""
    size = weight.detach().abs()
    large = size > TERNARY_LEVEL * size.mean(dtype=torch.float64).to(size.dtype)
    level = size[large].mean(dtype=torch.float64).to(size.dtype) if large.any() else size.new_zeros(())
    return torch.where(large, weight.detach().sign(), 0.0), level.expand(len(weight)).contiguous()


def weight_bits(weight: Tensor, by_row: bool) -> tuple[Tensor, Tensor]:
    """Return the signs of weights less their mean, and each row's scale: mean|weight| of the row, or of all."""
    weight = weight.detach()
    if compiles(weight):
        weight = solid(weight)
        signs, scale = torch.empty_like(weight), torch.empty(len(weight))
        addresses = weight.data_ptr(), signs.data_ptr(), scale.data_ptr()
        kernels.binary_weights(len(weight), weight.shape[1], by_row, *addresses)
        return signs, scale
    centred = weight - weight.mean(dtype=torch.float64).to(weight.dtype)
    size = weight.abs().mean(1, dtype=torch.float64) if by_row else weight.abs().mean(dtype=torch.float64)
    signs = torch.where(centred >= 0, 1.0, -1.0).to(weight.dtype)
    return signs, size.to(weight.dtype).expand(len(weight)).contiguous()

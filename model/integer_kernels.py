"""What each operation computes, on many sentences at once: docs/arithmetic.md, sections 8 to 11, in torch integers.

How a value is held (`model.integer_layout` says where its rows stand):

| codes  | float32: what each code counts for in a sum                                                                |
| sums   | float32 where the bound is below 2^24, else float64: every number on the way to a sum is an exact integer  |
| fixed  | int32                                                                                                      |
| logits | int64                                                                                                      |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

from model import operations as ops
from model.bits import unpack
from model.integer_layout import Batch
from model.operation import Operation
from model.values import FIXED_HIGH, FIXED_LOW, MAX_ROWS, Value

FLOAT32_EXACT = 1 << 24
# By the number of rows, 1 to 1,024: the e and the r of their mean.
MEAN_EXPONENTS = [0, *((rows - 1).bit_length() for rows in range(1, MAX_ROWS + 1))]
MEAN_FACTORS = [0, *((2 ** (14 + MEAN_EXPONENTS[n]) + n // 2) // n for n in range(1, MAX_ROWS + 1))]
NEWTON_TABLE = [0] * 64 + [(math.isqrt((1 << 39) // (2 * j + 1)) + 1) >> 1 for j in range(64, 256)]


Kernel = Callable[..., Tensor]


@dataclass(frozen=True)
class Place:
    """An operation in its graph: what it reads and gives, and the device that computes it."""

    operation: Any
    sources: tuple[Value, ...]
    result: Value
    device: torch.device

    def put(self, array: NDArray[Any], dtype: torch.dtype) -> Tensor:
        """Return an array as a tensor on the device."""
        return torch.tensor(array, dtype=dtype, device=self.device)


def kernel(operation: Operation, sources: Sequence[Value], result: Value, device: torch.device) -> Kernel:
    """Return the function of a batch and the sources' tensors that computes an operation."""
    return _KERNELS[type(operation)](Place(operation, tuple(sources), result, device))


def float_dtype(value: Value) -> torch.dtype:
    """Return the float type in which sums of this bound, and their thresholds, are exact."""
    return torch.float32 if value.bound < FLOAT32_EXACT else torch.float64


def half(shift: int) -> int:
    """Return what a rounding shift adds: half of what it divides by."""
    return 1 << shift >> 1


def saturate(x: Tensor) -> Tensor:
    """Return x, which is overwritten, clamped to 16 bits and as fixed values are held."""
    return x.clamp_(FIXED_LOW, FIXED_HIGH).to(torch.int32)


def _embed(at: Place) -> Kernel:
    op = at.operation
    words, scales = at.put(op.words, torch.uint8), at.put(op.scales, torch.int32)
    positions, types = at.put(op.positions, torch.int32), at.put(op.types, torch.int32)
    channels, shifts = positions.shape[1], torch.arange(8, dtype=torch.uint8, device=at.device)

    def embed(batch: Batch, ids: Tensor, token_types: Tensor) -> Tensor:
        bits = ((words[ids][:, :, None] >> shifts) & 1).flatten(1)[:, :channels]
        signs = bits.to(torch.int32) * 2 - 1
        return saturate(signs * scales[ids][:, None] + positions[batch.every.row] + types[token_types])

    return embed


def _normalise(at: Place) -> Kernel:
    op, channels = at.operation, at.result.channels
    table = torch.tensor(NEWTON_TABLE, device=at.device)
    powers = torch.tensor([4**e for e in range(30)], device=at.device)
    gain, rounded = at.put(op.gain, torch.int64), at.put(op.offset, torch.int64) + half(op.shift)

    def normalise(_: Batch, rows: Tensor) -> Tensor:
        x = rows.long()
        total = x.sum(1, keepdim=True)
        spread = channels * (x * x).sum(1, keepdim=True) - total * total + op.epsilon
        exponent = torch.searchsorted(powers, spread.clamp(min=1), right=True) - 1
        excess = 2 * exponent - 14
        # Where V is 0, so are m, the guess, the root and g.
        m = (spread >> excess.clamp(min=0)) << (-excess).clamp(min=0)
        guess = table[m >> 8]
        q = m * (guess * guess >> 15) >> 14
        root = (guess * (3 * (1 << 15) - q) + (1 << 15)) >> 16
        shift = exponent + 3
        g = x.mul_(channels).sub_(total).mul_(root).add_(1 << shift - 1).bitwise_right_shift_(shift)
        y = g.clamp_(-1 << 17, (1 << 17) - 1).mul_(gain).add_(rounded).bitwise_right_shift_(op.shift)
        return saturate(y)

    return normalise


def _binarize(at: Place) -> Kernel:
    op, (source,) = at.operation, at.sources
    dtype = torch.int32 if source.kind == "fixed" else float_dtype(source)
    thresholds, polarity = at.put(op.thresholds, dtype), at.put(op.polarity, torch.float32)
    low, step = (-1.0, 2.0) if op.set == "signed" else (0.0, 1.0)
    missed, rise = low + step * polarity, step - 2 * step * polarity

    def binarize(_: Batch, x: Tensor) -> Tensor:
        reached = torch.ge(x, thresholds, out=torch.empty(x.shape, dtype=torch.float32, device=x.device))
        return reached.mul_(rise).add_(missed)

    return binarize


def _scaled(at: Place) -> Callable[[Tensor], Tensor]:
    op = at.operation
    multiplier, rounded = at.put(op.multiplier, torch.int64), at.put(op.addend, torch.int64) + half(op.shift)
    return lambda x: x.long().mul_(multiplier).add_(rounded).bitwise_right_shift_(op.shift)


def _quantize(at: Place) -> Kernel:
    scaled, low, high = _scaled(at), at.result.low, at.result.high
    return lambda _, x: scaled(x).clamp_(low, high).float()


def _requantise(at: Place) -> Kernel:
    scaled = _scaled(at)
    return lambda _, x: saturate(scaled(x))


def _matmul(at: Place) -> Kernel:
    op, dtype = at.operation, float_dtype(at.result)
    weights = at.put(unpack(op.weights, op.inputs), dtype) * 2 - 1
    return lambda _, codes: linear(codes.to(dtype), weights)


def _scores(at: Place) -> Kernel:
    heads, dtype, source = at.operation.heads, float_dtype(at.result), at.sources[0]

    def scores(batch: Batch, query: Tensor, key: Tensor) -> Tensor:
        layout = batch.layout(source)
        return layout.pad(query.to(dtype), heads) @ layout.pad(key.to(dtype), heads).transpose(2, 3)

    return scores


def _context(at: Place) -> Kernel:
    attention, source = at.sources
    dtype = float_dtype(at.result)

    def context(batch: Batch, codes: Tensor, value: Tensor) -> Tensor:
        layout = batch.layout(source)
        return layout.unpad(codes.to(dtype) @ layout.pad(value.to(dtype), attention.heads))

    return context


def _row_threshold(at: Place) -> Kernel:
    op, source = at.operation, at.sources[0]
    # One entry more, for the keys that are not there.
    table = torch.cat([at.put(op.table, torch.int64), torch.zeros(1, dtype=torch.int64, device=at.device)])
    levels, last = at.put(op.levels, torch.int64), len(op.table) - 1

    def row_threshold(batch: Batch, scores: Tensor) -> Tensor:
        absent = ~batch.layout(source).keys[:, None, None]
        d = scores.long()
        most = d.masked_fill(absent, -source.bound).amax(3, keepdim=True)
        distance = (most - d).mul_(op.multiplier).add_(half(op.shift))
        index = distance.bitwise_right_shift_(op.shift).clamp_(0, last).masked_fill_(absent, last + 1)
        e = table[index]
        # E * 2^20 >= level * Z, solved for E.
        least = -(-levels * e.sum(3, keepdim=True) >> 20)
        codes = torch.searchsorted(least, e, right=True) if len(levels) > 1 else (e >= least)
        return codes.float().masked_fill_(absent, 0)

    return row_threshold


def _head_threshold(at: Place) -> Kernel:
    source = at.sources[0]
    thresholds = at.put(at.operation.thresholds, float_dtype(source))[:, None, None]

    def head_threshold(batch: Batch, scores: Tensor) -> Tensor:
        return ((scores >= thresholds) & batch.layout(source).keys[:, None, None]).float()

    return head_threshold


def _first(at: Place) -> Kernel:
    source = at.sources[0]
    return lambda batch, x: x[batch.layout(source).starts.to(x.device)]


def _mean(at: Place) -> Kernel:
    source = at.sources[0]
    factors, exponents = (torch.tensor(table, device=at.device) for table in (MEAN_FACTORS, MEAN_EXPONENTS))

    def mean(batch: Batch, x: Tensor) -> Tensor:
        layout = batch.layout(source)
        lengths = layout.lengths.to(x.device)
        totals = x.new_zeros(len(lengths), x.shape[1], dtype=torch.int64).index_add_(0, layout.sentence, x.long())
        shift = 14 + exponents[lengths][:, None]
        return saturate(totals.mul_(factors[lengths][:, None]).add_(1 << shift - 1) >> shift)

    return mean


def _common(at: Place, function: Callable[[Tensor, Tensor], Tensor]) -> Kernel:
    channels = at.result.channels
    return lambda _, a, b: function(a[:, :channels], b[:, :channels])


def _multiply(at: Place) -> Kernel:
    shift = at.operation.shift
    return _common(at, lambda a, b: saturate((a.long() * b.long() + half(shift)) >> shift))


def _table(at: Place) -> Kernel:
    k, entries = at.operation.shift, at.put(at.operation.entries, torch.int64)
    x = torch.arange(FIXED_LOW, FIXED_HIGH + 1, device=at.device).clamp(-128 << k, (128 << k) - 1)
    j, r = (x >> k) + 128, x - (x >> k << k)
    results = (entries[j] + ((entries[j + 1] - entries[j]) * r + half(k) >> k)).to(torch.int32)
    return lambda _, x: results[(x - FIXED_LOW).long()]


def _classify(at: Place) -> Kernel:
    op, bound = at.operation, (1 << 31) - 1
    # At most 4,096 products of 15 and 7 bits: far below the 2^53 that float64 holds.
    weights, rounded = at.put(op.weights, torch.float64), at.put(op.bias, torch.int64) + half(op.shift)
    return lambda _, x: (linear(x.double(), weights).long() + rounded >> op.shift).clamp_(-bound - 1, bound)


_KERNELS: dict[type[Operation], Callable[[Place], Kernel]] = {
    ops.Embed: _embed,
    ops.Normalise: _normalise,
    ops.Binarize: _binarize,
    ops.Quantize: _quantize,
    ops.Concatenate: lambda _: lambda _, *codes: torch.cat(codes, 1),
    ops.Matmul: _matmul,
    ops.Scores: _scores,
    ops.Context: _context,
    ops.RowThreshold: _row_threshold,
    ops.HeadThreshold: _head_threshold,
    ops.Requantise: _requantise,
    ops.Add: lambda at: _common(at, lambda a, b: saturate(a + b)),
    ops.Maximum: lambda at: _common(at, torch.maximum),
    ops.Multiply: _multiply,
    ops.Table: _table,
    ops.First: _first,
    ops.Mean: _mean,
    ops.Classify: _classify,
}

"""Networks put together operation by operation, each computed on a few sentences so that the next one fits its values.

Thresholds stand at values that a sentence really has, so that bits are balanced and ties occur; scales bring sums back
to the width of the residual stream. The same for a seed on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model import operations as ops
from model.bits import pack
from model.fields import INPUT
from model.integer_kernels import kernel
from model.integer_layout import Batch
from model.operation import Operation
from model.synthetic import bits, words
from model.values import FIXED_HIGH, Value

I64 = NDArray[np.int64]
CPU = torch.device("cpu")
FRACTION = 8
_RARE = 16


class Draw:
    """Numbers that only a seed and their order decide."""

    def __init__(self, seed: str) -> None:
        self._seed, self._count = seed, 0

    def integers(self, low: int, high: int, *shape: int) -> I64:
        """Return integers from low to high, both included."""
        drawn = words(self._label(), int(np.prod(shape, dtype=np.int64))).astype(np.int64)
        return (low + drawn % (high - low + 1)).reshape(shape)

    def integer(self, low: int, high: int) -> int:
        """Return one integer from low to high, both included."""
        return int(self.integers(low, high, 1)[0])

    def choice(self, choices: Sequence[Any]) -> Any:
        """Return one of some things."""
        return choices[self.integer(0, len(choices) - 1)]

    def bits(self, rows: int, columns: int) -> NDArray[np.uint8]:
        """Return packed rows of bits."""
        return pack(bits(self._label(), rows, columns))

    def _label(self) -> str:
        self._count += 1
        return f"network {self._seed} {self._count}"


class Builder:
    """The operations so far, and what they give for a few sentences. Every method appends one and returns its name."""

    def __init__(self, draw: Draw, value: Value, ids: Sequence[I64], types: Sequence[I64]) -> None:
        self.draw = draw
        self.operations: list[Operation] = []
        self.values = {INPUT: value}
        self._held = {INPUT: tuple(torch.from_numpy(np.concatenate(parts)) for parts in (ids, types))}
        self._batch = Batch.of([len(sentence) for sentence in ids], CPU)

    def append(self, operation: Operation) -> str:
        """Append an operation."""
        sources = [self.values[source] for source in operation.sources]
        result = operation.result(sources)
        parts = (part for source in operation.sources for part in self._held[source])
        self._held[operation.name] = (kernel(operation, sources, result, CPU)(self._batch, *parts),)
        self.values[operation.name] = result
        self.operations.append(operation)
        return operation.name

    def columns(self, name: str) -> I64:
        """Return the numbers of a value: rows [rows, channels], or [scores, heads]."""
        value, (tensor,) = self.values[name], self._held[name]
        if value.heads:
            keys = self._batch.layout(value).keys
            tensor = tensor.movedim(1, 3)[keys[:, :, None] & keys[:, None, :]]
        return tensor.long().numpy()

    def embed(self, name: str, vocabulary: int, positions: int, types: int, width: int) -> str:
        """Append word, position and type vectors; one scale in 16 is 0, one so large that it saturates."""
        scales = self.draw.integers(40, 250, vocabulary)
        rare = self.draw.integers(0, _RARE - 1, vocabulary)
        scales[rare == 0], scales[rare == 1] = 0, FIXED_HIGH
        tables = [self.draw.integers(-90, 90, rows, width).astype(np.int16) for rows in (positions, types)]
        words_of = self.draw.bits(vocabulary, width)
        return self.append(ops.Embed(name, (INPUT,), FRACTION, words_of, scales.astype(np.int16), *tables))

    def normalise(self, name: str, source: str) -> str:
        """Append a normalisation with gains near 1, some of them negative."""
        width, shift = self.values[source].channels, self.draw.integer(12, 16)
        one = 1 << shift + FRACTION - 12
        gain = self.draw.integers(one // 2, min(2 * one, FIXED_HIGH), width) * self._signs(width)
        offset = self.draw.integers(-one << 10, one << 10, width)
        epsilon = self.draw.choice((0, 0, 1, width * width, (1 << 31) - 1))
        arrays = gain.astype(np.int16), offset.astype(np.int32)
        return self.append(ops.Normalise(name, (source,), FRACTION, epsilon, shift, *arrays))

    def codes(self, name: str, source: str, set: str, bits: int) -> str:
        """Append a binarize or, for more than one bit, a quantize."""
        if bits == 1:
            return self._binarize(name, source, set)
        width = self.values[source].channels
        reach = Value("codes", channels=width, set=set, bits=bits)
        arrays = self._affine(source, 10, (reach.low + reach.high + 1) // 2, (reach.high - reach.low) * 5 // 8 + 1)
        return self.append(ops.Quantize(name, (source,), set, bits, 10, *arrays))

    def requantise(self, name: str, source: str) -> str:
        """Append a requantise to about the width of the residual stream; one channel in 16 saturates."""
        shift = self.draw.integer(6, 14)
        multiplier, addend = self._affine(source, shift, 0, 3 << FRACTION)
        wide = self.draw.integers(0, _RARE - 1, len(multiplier)) == 0
        multiplier[wide] = FIXED_HIGH
        return self.append(ops.Requantise(name, (source,), FRACTION, shift, multiplier, addend))

    def matmul(self, name: str, source: str, outputs: int) -> str:
        """Append a product with random weights."""
        inputs = self.values[source].channels
        return self.append(ops.Matmul(name, (source,), inputs, outputs, self.draw.bits(outputs, inputs)))

    def row_threshold(self, name: str, source: str, bits: int, exact: bool) -> str:
        """Append a row threshold whose levels are shares that scores really have; `exact` is for signed 1-bit codes."""
        spread = int(np.ptp(self.columns(source))) + 1
        bound = self.values[source].bound
        multiplier, shift, entries = (1, 1, bound + 1) if exact else (max(1, min(65535, (100 << 8) // spread)), 8, 96)
        table = np.full(entries, 65535, np.int64)
        decay = 65536 - 65536 // max(2, self.draw.integer(2, 12))
        for index in range(1, entries):
            table[index] = table[index - 1] * decay >> 16
        shares = np.sort(self._shares(source, multiplier, shift, table))
        count = (1 << bits) - 1
        levels = shares[np.arange(1, count + 1) * len(shares) // (count + 1)]
        # Rows of equal scores have a share of 1 / n: a tie where n is a power of 2.
        levels[0] = self.draw.choice((levels[0], levels[0], min(1 << 20 >> self.draw.integer(1, 3), levels[-1])))
        arrays = table.astype(np.uint16), np.sort(levels).astype(np.int32)
        return self.append(ops.RowThreshold(name, (source,), bits, multiplier, shift, *arrays))

    def head_threshold(self, name: str, source: str) -> str:
        """Append a threshold for each head, at a score that the sentences have."""
        thresholds, _ = self._thresholds(source)
        return self.append(ops.HeadThreshold(name, (source,), thresholds))

    def table(self, name: str, source: str) -> str:
        """Append a bent line with noise on it, so that no two pieces are alike."""
        k = self.draw.integer(0, 5)
        x = (np.arange(257) - 128) << k
        noise = self.draw.integers(-8, 8, 257)
        entries = np.clip(np.where(x < 0, x // 8, x) + noise, -FIXED_HIGH - 1, FIXED_HIGH)
        return self.append(ops.Table(name, (source,), FRACTION, k, entries.astype(np.int16)))

    def classify(self, name: str, source: str, classes: int) -> str:
        """Append a classifier; of three or more classes, two are at times the same, so that they tie."""
        weights = self.draw.integers(-127, 127, classes, self.values[source].channels)
        bias = self.draw.integers(-1000, 1000, classes)
        if classes > 2 and self.draw.integer(0, 3) == 0:
            weights[-1], bias[-1] = weights[0], bias[0]
        arrays = weights.astype(np.int8), bias.astype(np.int32)
        return self.append(ops.Classify(name, (source,), self.draw.integer(0, 6), *arrays))

    def _binarize(self, name: str, source: str, set: str) -> str:
        thresholds, polarity = self._thresholds(source)
        value = self.values[source]
        rare = self.draw.integers(0, 4 * _RARE - 1, len(thresholds))
        thresholds[rare == 0], thresholds[rare == 1] = value.low, value.high + 1
        return self.append(ops.Binarize(name, (source,), set, thresholds, polarity))

    def _thresholds(self, source: str) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Return, for each column, a number that it has near its median, or one above that, and a polarity."""
        ordered = np.sort(self.columns(source), axis=0)
        rows, count = ordered.shape
        at = self.draw.integers(rows * 3 // 10, max(rows * 3 // 10, rows * 7 // 10 - 1), count)
        thresholds = ordered[at, np.arange(count)] + (self.draw.integers(0, 3, count) == 0)
        return thresholds.astype(np.int32), (self._signs(count) < 0).astype(np.uint8)

    def _shares(self, source: str, multiplier: int, shift: int, table: I64) -> I64:
        """Return the share of each score in its row, times 2^20, rounded down, without those that are 0."""
        keys, (tensor,) = self._batch.layout(self.values[source]).keys.numpy(), self._held[source]
        shares = []
        for present, grid in zip(keys, tensor.long().numpy(), strict=True):
            scores = grid[:, present][:, :, present]
            index = ((scores.max(2, keepdims=True) - scores) * multiplier + (1 << shift >> 1)) >> shift
            parts = table[np.minimum(index, len(table) - 1)]
            shares.append((parts << 20) // parts.sum(2, keepdims=True))
        return np.concatenate([own[own > 0] for own in shares])

    def _affine(self, source: str, shift: int, centre: int, reach: int) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
        """Return multipliers and addends that bring most of each column to centre - reach ... centre + reach."""
        columns = self.columns(source)
        middle = np.sort(columns, axis=0)[len(columns) // 2]
        spread = np.maximum(np.abs(columns - middle).max(0), 1)
        multiplier = np.clip((reach << shift) // spread, 1, FIXED_HIGH) * self._signs(len(middle))
        jitter = self.draw.integers(0, (1 << shift) - 1, len(middle))
        addend = np.clip((centre << shift) - middle * multiplier + jitter, -(1 << 31), (1 << 31) - 1)
        return multiplier.astype(np.int16), addend.astype(np.int32)

    def _signs(self, count: int) -> I64:
        return np.where(self.draw.integers(0, 3, count) == 0, -1, 1)

"""Made-up layers and activations that look like trained ones: the same for a seed on every machine, without torch."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.bits import pack
from model.checks import MAX_SIZE, SETS, require_choice, require_integer
from model.network import BinaryLayer

DENSITIES = ("half", "none", "one", "eighth", "half", "all but one", "all", "seven eighths")
_MAX_ROWS = 1 << 20
_RARE = 32


def random_layer(inputs: int, outputs: int, input_set: str, seed: int, name: str = "layer") -> BinaryLayer:
    """Return a layer with thresholds about as wide as its sums: mean 0, standard deviation sqrt(inputs).

    A quarter of the channels has polarity 1. One channel in 32 has the threshold -K that every sum reaches, one the
    threshold K + 1 that none does; a layer of 8 or more channels has at least one of each, and both polarities.
    """
    require_integer("inputs", inputs, 1, MAX_SIZE)
    require_integer("outputs", outputs, 1, MAX_SIZE)
    require_choice("input_set", input_set, SETS)
    require_integer("seed", seed, 0, (1 << 63) - 1)
    weights = pack(bits(f"weights {seed}", outputs, inputs))
    spread = math.isqrt(inputs) + 1
    steps = words(f"thresholds {seed}", 3 * outputs).reshape(3, outputs) % np.uint32(2 * spread + 1)
    thresholds = np.clip(steps.astype(np.int32).sum(0) - 3 * spread, -inputs, inputs + 1).astype(np.int32)
    polarity = (words(f"polarity {seed}", outputs) % 4 == 0).astype(np.uint8)
    _set_rare(thresholds, polarity, np.argsort(words(f"order {seed}", outputs), kind="stable"), inputs)
    return BinaryLayer(name, inputs, outputs, input_set, weights, thresholds, polarity)


def random_activations(rows: int, inputs: int, seed: int) -> NDArray[np.uint8]:
    """Return packed rows of bits; row r has the density DENSITIES[r mod 8], since even bits test popcounts poorly."""
    require_integer("rows", rows, 1, _MAX_ROWS)
    require_integer("inputs", inputs, 1, MAX_SIZE)
    require_integer("seed", seed, 0, (1 << 63) - 1)
    even, second, third = (bits(f"activations {plane} {seed}", rows, inputs) for plane in range(3))
    single = np.zeros((rows, inputs), np.uint8)
    single[np.arange(rows), words(f"single {seed}", rows) % np.uint32(inputs)] = 1
    planes = {
        "none": np.zeros_like(even),
        "one": single,
        "eighth": even & second & third,
        "half": even,
        "seven eighths": even | second | third,
        "all but one": 1 - single,
        "all": np.ones_like(even),
    }
    kinds = np.arange(rows) % len(DENSITIES)
    return pack(np.choose(kinds[:, None], [planes[density] for density in DENSITIES]))


def _set_rare(thresholds: NDArray[Any], polarity: NDArray[Any], order: NDArray[Any], inputs: int) -> None:
    if len(order) < 8:
        return
    count = -(-len(order) // _RARE)
    always, never, rest = np.split(order, [count, 2 * count])
    thresholds[always], thresholds[never] = -inputs, inputs + 1
    polarity[rest[0]], polarity[rest[1]] = 0, 1


def bits(label: str, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return 0s and 1s [rows, columns] that only the label decides."""
    raw = np.frombuffer(stream(label, -(-rows * columns // 8)), np.uint8)
    return np.unpackbits(raw, count=rows * columns, bitorder="little").reshape(rows, columns)


def words(label: str, count: int) -> NDArray[np.uint32]:
    """Return 32-bit numbers [count] that only the label decides."""
    return np.frombuffer(stream(label, 4 * count), np.dtype("<u4"))


def stream(label: str, size: int) -> bytes:
    """Return bytes that only the label decides."""
    # SHAKE rather than numpy's generators, whose streams may change from one version of numpy to the next.
    return hashlib.shake_256(label.encode()).digest(size)

"""The integer reference of one binary layer: the definition, not an implementation of the machine."""

from __future__ import annotations

import numpy as np


class LayerError(ValueError):
    """Operands that are not a binary layer; the message says which one, what was expected and what was got."""


def sums(activations: np.ndarray, weights: np.ndarray, unsigned: bool) -> np.ndarray:
    """Return D [M, N], int64: the dot products of the rows of activations [M, K] with the rows of weights [N, K].

    A weight bit 1, 0 means +1, -1. An activation bit 1, 0 means 1, 0 if unsigned, else +1, -1.
    """
    activation_bits = _bits("activations", activations)
    weight_bits = _bits("weights", weights)
    if not isinstance(unsigned, bool):
        raise LayerError(f"unsigned must be True or False, not {unsigned!r}")
    if activation_bits.shape[1] != weight_bits.shape[1]:
        raise LayerError(
            f"weights must have the {activation_bits.shape[1]} inputs of the activations, not {weight_bits.shape[1]}"
        )
    values = activation_bits if unsigned else 2 * activation_bits - 1
    products: np.ndarray = values @ (2 * weight_bits - 1).T
    return products


def binarize(sums: np.ndarray, thresholds: np.ndarray, polarity: np.ndarray) -> np.ndarray:
    """Return the bits [M, N], uint8: (D >= threshold) XOR polarity, with one threshold and polarity for each column."""
    for name, array, dimensions in (("sums", sums, 2), ("thresholds", thresholds, 1)):
        _shape(name, array, dimensions)
        if array.dtype.kind not in "iu":
            raise LayerError(f"{name} must be integers, not {array.dtype}")
    flips = _bits("polarity", polarity, 1)
    for name, array in (("thresholds", thresholds), ("polarity", polarity)):
        if len(array) != sums.shape[1]:
            raise LayerError(f"{name} must have the {sums.shape[1]} columns of the sums, not {len(array)}")
    bits: np.ndarray = (sums >= thresholds) ^ (flips == 1)
    return bits.astype(np.uint8)


def _bits(name: str, array: np.ndarray, dimensions: int = 2) -> np.ndarray:
    _shape(name, array, dimensions)
    if array.dtype not in (np.bool_, np.uint8):
        raise LayerError(f"{name} must be bool or uint8, not {array.dtype}")
    if array.size and array.max() > 1:
        raise LayerError(f"{name} must be bits, 0 or 1, not {array.max()}")
    return array.astype(np.int64)


def _shape(name: str, array: np.ndarray, dimensions: int) -> None:
    if not isinstance(array, np.ndarray):
        raise LayerError(f"{name} must be an array of {_dimensions(dimensions)}, not {type(array).__name__}")
    if array.ndim != dimensions:
        raise LayerError(f"{name} must be an array of {_dimensions(dimensions)}, not {_dimensions(array.ndim)}")


def _dimensions(count: int) -> str:
    return f"{count} dimension" + "s" * (count != 1)

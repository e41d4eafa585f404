"""Packing of bits: the first bit is the lowest bit of the first byte, and a row is padded with zeros to whole bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def row_bytes(count: int) -> int:
    """Return the bytes of a packed row of `count` bits."""
    return -(-count // 8)


def pack(bits: ArrayLike) -> NDArray[np.uint8]:
    """Pack the last axis of 0s and 1s: bit i becomes bit i mod 8 of byte i div 8."""
    array = np.asarray(bits)
    if array.ndim == 0:
        raise ValueError(f"bits must be an array of one or more axes, not the number {array}")
    other = (array != 0) & (array != 1)
    if other.any():
        raise ValueError(f"bits must be 0 or 1, not {array[other][0]}")
    return np.packbits(array.astype(np.uint8), axis=-1, bitorder="little")


def unpack(packed: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return the first `count` bits of the last axis as 0s and 1s."""
    available = 8 * packed.shape[-1]
    if not 0 <= count <= available:
        raise ValueError(f"count must be from 0 to {available}, not {count}")
    return np.unpackbits(packed, axis=-1, count=count, bitorder="little")


def padding_is_zero(packed: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    """Return, for each row of `row_bytes(count)` bytes, whether the bits after the first `count` are all 0."""
    used = 8 - (8 * packed.shape[-1] - count)
    zero: NDArray[np.bool_] = (packed[..., -1] >> used) == 0
    return zero

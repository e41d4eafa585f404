"""The checksums of the retirement trace: words of any width, folded to 32 bits, through zlib's CRC-32."""

from __future__ import annotations

import zlib

import numpy as np

_PIECE_BYTES = 4


def fold_bytes(words: np.ndarray) -> np.ndarray:
    """Return the folds of words given as little-endian bytes, uint8 [..., bytes] -> uint32 [...]."""
    padding = -words.shape[-1] % _PIECE_BYTES
    if padding:
        words = np.concatenate([words, np.zeros((*words.shape[:-1], padding), np.uint8)], axis=-1)
    pieces = np.ascontiguousarray(words).view("<u4")
    folds: np.ndarray = np.bitwise_xor.reduce(pieces, axis=-1)
    return folds


def fold_bits(words: np.ndarray) -> np.ndarray:
    """Return the folds of words given as bits, lowest first, uint8 [..., bits] -> uint32 [...]."""
    return fold_bytes(np.packbits(words, axis=-1, bitorder="little"))


def fold_fields(fields: np.ndarray, width: int) -> np.ndarray:
    """Return the folds of words given as unsigned fields of `width` (at most 32) bits, lowest first, [..., fields].

    A field that starts at bit s of its word falls on the bits s mod 32 upward of the fold, wrapping around at 32.
    """
    values = fields.astype(np.uint32)
    left = (np.arange(fields.shape[-1]) * width % 32).astype(np.uint32)
    right = (np.uint32(32) - left) % np.uint32(32)
    rotated = np.where(left > 0, values << left | values >> right, values)
    folds: np.ndarray = np.bitwise_xor.reduce(rotated, axis=-1)
    return folds


def checksum(folds: np.ndarray) -> int:
    """Return the checksum of words from their folds, in order; 0 for no words."""
    return zlib.crc32(folds.astype("<u4").tobytes())

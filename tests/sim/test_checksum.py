"""Folds and checksums against section 3.10 of docs/machine.md, evaluated with integers of any size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pytest

from sim.checksum import checksum, fold_bits, fold_bytes, fold_fields


def plain_fold(word: int) -> int:
    """Return the XOR of the 32-bit pieces of a word."""
    fold = 0
    while word:
        fold ^= word & 0xFFFFFFFF
        word >>= 32
    return fold


def plain_checksum(words: Sequence[int]) -> int:
    """Return the CRC-32 over the folds of words."""
    return zlib.crc32(b"".join(plain_fold(word).to_bytes(4, "little") for word in words))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 31, 32])
def test_fold_bytes(size: int) -> None:
    words = np.random.default_rng(size).integers(0, 256, (7, size), dtype=np.uint8)
    assert fold_bytes(words).tolist() == [plain_fold(int.from_bytes(w.tobytes(), "little")) for w in words]


@pytest.mark.parametrize("size", [1, 7, 8, 31, 32, 33, 100])
def test_fold_bits(size: int) -> None:
    words = np.random.default_rng(size).integers(0, 2, (5, size), dtype=np.uint8)
    assert fold_bits(words).tolist() == [plain_fold(sum(int(b) << n for n, b in enumerate(w))) for w in words]


@pytest.mark.parametrize("width", [1, 3, 14, 16, 30, 31, 32])
@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_fold_fields(width: int, count: int) -> None:
    fields = np.random.default_rng(width).integers(0, 1 << width, (6, count))
    expected = [plain_fold(sum(int(f) << width * n for n, f in enumerate(word))) for word in fields]
    assert fold_fields(fields, width).tolist() == expected


def test_fold_fields_of_all_ones() -> None:
    fields = np.full((1, 9), (1 << 30) - 1)
    assert fold_fields(fields, 30).tolist() == [plain_fold((1 << 270) - 1)]


def test_checksum() -> None:
    words = [0, 1, 0xFFFFFFFF, 0x12345678]
    assert checksum(np.array(words, np.uint32)) == plain_checksum(words)
    assert checksum(np.zeros(0, np.uint32)) == 0
    assert checksum(np.zeros(1, np.uint32)) == 0x2144DF1C

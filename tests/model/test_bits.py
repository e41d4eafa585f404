import re

import numpy as np
import pytest

from model.bits import pack, padding_is_zero, row_bytes, unpack


def test_first_bit_is_the_lowest_of_the_first_byte():
    assert pack([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]).tolist() == [1, 2]
    assert pack([[1], [0]]).tolist() == [[1], [0]]
    assert pack(np.array([True, True, False])).tolist() == [3]


@pytest.mark.parametrize(("count", "size"), [(1, 1), (7, 1), (8, 1), (9, 2), (64, 8), (65535, 8192)])
def test_round_trip(count, size):
    bits = np.random.default_rng(count).integers(0, 2, (3, count), np.uint8)
    packed = pack(bits)
    assert packed.shape == (3, size) == (3, row_bytes(count))
    assert np.array_equal(unpack(packed, count), bits)


@pytest.mark.parametrize("count", range(9, 17))
def test_padding(count):
    rows = np.array([[255, 1 << bit] for bit in range(8)], np.uint8)
    assert padding_is_zero(rows, count).tolist() == [8 + bit < count for bit in range(8)]


@pytest.mark.parametrize(
    ("bits", "message"),
    [(1, "bits must be an array of one or more axes, not the number 1"), ([0, 1, 2, 3], "bits must be 0 or 1, not 2")],
)
def test_pack_refuses(bits, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pack(bits)


@pytest.mark.parametrize("count", [-1, 17])
def test_unpack_refuses(count):
    with pytest.raises(ValueError, match=f"^count must be from 0 to 16, not {count}$"):
        unpack(np.zeros((1, 2), np.uint8), count)

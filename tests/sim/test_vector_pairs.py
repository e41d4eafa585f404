"""What VECTOR makes of two numbers of the fixed buffer, `maximum` and `multiply`, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Source
from sim.reference import binarize
from sim.reference.operations import maximum, multiply, normalise, quantize, requantise
from tests.sim.buffers import code_rows, fill_fixed, fill_levels, fill_scales, fill_sums, fixed_rows, machine, plane
from tests.sim.programs import vector
from tests.sim.test_checksum import plain_checksum
from tests.sim.test_vector import ACCELERATORS, I16, NARROW, cases

SUMS = Source.SUMS
EDGES = [-32768, -32767, -1, 0, 1, 32766, 32767]
PAIRS = np.array([(left, right) for left in EDGES for right in EDGES]).T


@cases
@pytest.mark.parametrize("shift", [0, 1, 15, 31])
def test_products_and_the_larger(a: Accelerator, channels: int, shift: int) -> None:
    random, m = np.random.default_rng(shift), machine(a)
    m.buffers["scale"][:] = 0xFF
    x, other = random.integers(*I16, (2, a.rows, channels))
    fill_fixed(m, x, 3)
    fill_fixed(m, other, 200)
    shape = {"channels": channels, "rows": a.rows, "source_line": 3, "add_line": 200, "fixed_line": 300, "keep": 1}
    m.execute(vector(multiply=1, scale=1, scale_line=9999, shift=shift, **shape))
    assert (fixed_rows(m, a.rows, channels, 300) == multiply(x, other, shift)).all()
    m.execute(vector(maximum=1, add=1, **shape))
    assert (fixed_rows(m, a.rows, channels, 300) == maximum(x, other)).all()


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("shift", [0, 1, 15, 31])
def test_extremes(a: Accelerator, shift: int) -> None:
    # -32768 * -32768 is the largest product of all, and half of the least shift is rounded up.
    m = machine(a)
    fill_fixed(m, PAIRS[:1])
    fill_fixed(m, PAIRS[1:], 200)
    shape = {"channels": PAIRS.shape[1], "add_line": 200, "fixed_line": 300, "keep": 1}
    m.execute(vector(multiply=1, scale=1, shift=shift, **shape))
    products = [(2 * left * right + (1 << shift)) // (2 << shift) for left, right in PAIRS.T.tolist()]
    expected = [min(max(product, -32768), 32767) for product in products]
    assert fixed_rows(m, 1, PAIRS.shape[1], 300).tolist() == [expected]
    m.execute(vector(maximum=1, add=1, **shape))
    assert fixed_rows(m, 1, PAIRS.shape[1], 300).tolist() == [[max(pair) for pair in PAIRS.T.tolist()]]


@pytest.mark.parametrize("a", ACCELERATORS)
def test_of_sums(a: Accelerator) -> None:
    # The widest sums; the larger is taken of what is scaled and clamped.
    random, m = np.random.default_rng(1), machine(a)
    d = random.choice([-(1 << 30), (1 << 30) - 1, 77, -5], (a.rows, 11))
    other = random.choice([-32768, 32767, 1], (a.rows, 11))
    multipliers, addends = random.integers(*I16, 11), random.integers(-(1 << 31), 1 << 31, 11)
    fill_sums(m, d)
    fill_fixed(m, other, 200)
    fill_scales(m, multipliers, addends)
    shape = {"source": SUMS, "scale": 1, "shift": 19, "channels": 11, "rows": a.rows, "add_line": 200, "keep": 1}
    m.execute(vector(multiply=1, **shape))
    rounded = (d * other + (1 << 18)) >> 19
    assert (fixed_rows(m, a.rows, 11) == np.clip(rounded, -32768, 32767)).all()
    m.execute(vector(maximum=1, add=1, fixed_line=100, **shape))
    assert (fixed_rows(m, a.rows, 11, 100) == maximum(requantise(d, 19, multipliers, addends), other)).all()


@pytest.mark.parametrize("a", ACCELERATORS)
def test_of_what_is_normalised(a: Accelerator) -> None:
    random, m = np.random.default_rng(2), machine(a)
    x, other = random.integers(-9999, 9999, (2, 1, 11))
    unit, zero = np.full(11, 4096), np.zeros(11, int)
    fill_fixed(m, x)
    fill_fixed(m, other, 200)
    fill_scales(m, unit, zero)
    m.execute(vector(statistics=1, channels=11))
    shape = {"normalise": 1, "scale": 1, "shift": 12, "keep": 1, "channels": 11, "add_line": 200, "fixed_line": 300}
    m.execute(vector(multiply=1, **shape))
    # With 12 bits of fraction and a gain of 1 in 12 bits, what comes of the norm is what is multiplied.
    normal = normalise(x.astype(np.int16), unit, zero, 0, 12)
    assert (fixed_rows(m, 1, 11, 300) == multiply(normal, other, 12)).all()
    m.execute(vector(maximum=1, add=1, **shape))
    assert (fixed_rows(m, 1, 11, 300) == maximum(normal, other)).all()


@pytest.mark.parametrize("a", ACCELERATORS)
def test_codes(a: Accelerator) -> None:
    random, m = np.random.default_rng(3), machine(a)
    x, other = random.integers(-99, 99, (2, a.rows, 7))
    thresholds, polarity = random.integers(-50, 50, (1, 7)), random.integers(0, 2, (1, 7), np.uint8)
    fill_fixed(m, x)
    fill_fixed(m, other, 200)
    fill_levels(m, thresholds, polarity)
    shape = {"channels": 7, "rows": a.rows, "add_line": 200, "sets": 1}
    m.execute(vector(maximum=1, add=1, **shape))
    assert (code_rows(m, a.rows, 7, 0) == binarize(maximum(x, other), thresholds[0], polarity[0])).all()
    m.execute(vector(multiply=1, scale=1, shift=6, **shape))
    assert (code_rows(m, a.rows, 7, 0) == binarize(multiply(x, other, 6), thresholds[0], polarity[0])).all()


@pytest.mark.parametrize("kind", ["signed", "unsigned"])
def test_codes_of_several_bits(kind: str) -> None:
    random, m = np.random.default_rng(4), machine(NARROW)
    x = random.integers(-99, 99, (1, 7))
    other = random.integers(-99, 99, 7)
    fill_fixed(m, x)
    fill_fixed(m, other[None], 200)
    codes = {"sets": 1, "planes": 3, "code_line_1": 8, "code_signed": int(kind == "signed")}
    m.execute(vector(multiply=1, scale=1, shift=10, channels=7, add_line=200, **codes))
    expected = quantize(x, 3, kind, 10, other, np.zeros(7, int))
    for u in range(3):
        assert (code_rows(m, 1, 7, 8 * u) == plane(expected.numbers, 3, u)).all()


@pytest.mark.parametrize("a", ACCELERATORS)
def test_statistics(a: Accelerator) -> None:
    m = machine(a)
    fill_fixed(m, np.array([[2, -3, 5]]))
    m.execute(vector(multiply=1, scale=1, statistics=1, channels=3))
    assert (m.vector.moments.totals[0], m.vector.moments.variances[0]) == (38, 3 * (16 + 81 + 625) - 38 * 38)
    fill_fixed(m, np.array([[9, -9, 0]]), 100)
    m.execute(vector(maximum=1, add=1, add_line=100, statistics=1, channels=3))
    assert (m.vector.moments.totals[0], m.vector.moments.variances[0]) == (11, 3 * (81 + 9 + 25) - 11 * 11)


@pytest.mark.parametrize("a", ACCELERATORS)
def test_in_place(a: Accelerator) -> None:
    m = machine(a)
    x = np.arange(18).reshape(2, 9) - 7
    fill_fixed(m, x, 3)
    shape = {"keep": 1, "channels": 9, "rows": 2, "source_line": 3, "add_line": 3, "fixed_line": 3}
    m.execute(vector(multiply=1, scale=1, **shape))
    assert (fixed_rows(m, 2, 9, 3) == x * x).all()
    m.execute(vector(maximum=1, add=1, **shape))
    assert (fixed_rows(m, 2, 9, 3) == x * x).all()


def test_checksum() -> None:
    m = machine(NARROW)
    fill_fixed(m, np.array([[3, -4, 5, 6, 7]]))
    assert m.execute(vector(multiply=1, scale=1, keep=1, channels=5, fixed_line=8)) == plain_checksum(
        [9 | 16 << 16 | 25 << 32 | 36 << 48, 49]
    )

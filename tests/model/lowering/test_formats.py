import numpy as np
import pytest

from model.checks import NetworkError
from model.lowering.formats import affine, fraction_for, round_half_up, to_int16, to_int32


@pytest.mark.parametrize(
    ("largest", "fraction"),
    [(0.0, 20), (1.0, 14), (32767 / 32768, 15), (0.99, 15), (8.0, 11), (7.9, 12), (32767.0, 0), (16384.0, 0)],
)
def test_fraction_is_the_finest_that_holds(largest, fraction):
    assert fraction_for("x", largest) == fraction
    assert fraction_for("x", largest, finest=3) == min(fraction, 3)


@pytest.mark.parametrize(("largest", "shown"), [(32767.5, "32767.5"), (1e9, "1e+09"), (float("nan"), "nan")])
def test_what_16_bits_cannot_hold_is_refused(largest, shown):
    with pytest.raises(NetworkError) as error:
        fraction_for("member0.layers.0.attention", largest)
    message = f"member0.layers.0.attention: must be from 0 to 32767 with its headroom, not {shown}"
    assert str(error.value) == message


def test_rounding_takes_the_higher_of_two():
    assert round_half_up(np.array([-1.5, -0.5, 0.5, 1.5, 2.4999])).tolist() == [-1, 0, 1, 2, 2]


def test_integers_are_clamped_on_both_sides():
    assert to_int16(np.array([-1e9, -32767.6, 32767.4, 1e9])).tolist() == [-32767, -32767, 32767, 32767]
    assert to_int32(np.array([-1e12, 5.5, 1e12])).tolist() == [-(2**31) + 1, 6, 2**31 - 1]


def test_affine_uses_all_bits_of_the_multiplier():
    form = affine(np.array([0.011, -0.0007]), np.array([3.0, -2.5]))
    assert form.shift == 21
    assert form.multiplier.tolist() == [round(0.011 * 2**21), round(-0.0007 * 2**21)]
    assert form.addend.tolist() == [3 << 21, -5 << 20]
    assert np.abs(form.multiplier).max() >= 2**14


@pytest.mark.parametrize("seed", range(20))
def test_affine_is_as_near_as_its_multiplier_allows(seed):
    random = np.random.default_rng(seed)
    scale = random.normal(size=6) * 10.0 ** random.uniform(-5, 2)
    bias = random.normal(size=6) * 10.0 ** random.uniform(-3, 4)
    form, sums = affine(scale, bias), np.arange(-500, 501)[:, None]
    wide = sums * form.multiplier.astype(np.int64) + form.addend
    found = (wide + (1 << form.shift >> 1)) >> form.shift
    allowed = 0.5 + (np.abs(sums) + 1) * 0.5 ** (form.shift + 1)
    assert (np.abs(found - (sums * scale + bias)) <= allowed + 1e-9).all()


def test_a_large_bias_limits_the_shift():
    assert affine(np.array([0.001]), np.array([2.0**20])).shift == 10


def test_what_does_not_fit_at_all_saturates():
    form = affine(np.array([1e6, -1e6]), np.array([0.0, 1e12]))
    assert (form.shift, form.multiplier.tolist(), form.addend.tolist()) == (0, [32767, -32767], [0, 2**31 - 1])


def test_nothing_but_zeros_has_the_largest_shift():
    form = affine(np.zeros(3), np.zeros(3))
    assert (form.shift, form.multiplier.tolist()) == (31, [0, 0, 0])

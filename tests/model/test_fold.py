import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model import fold as fold_module
from model.binary import BinaryBlock, BinaryLinear, ElasticBinarizer
from model.bits import unpack
from model.export import export_layer, float_form
from model.fold import FloatForm, Fold, FoldError, fold, prove, reachable

f32 = np.float32
SETS = ("signed", "unsigned")


def form(
    inputs=4, input_set="signed", scale=(1.0,), bias=(0.0,), relu=False, shift=(0.0,), output_set="signed", alpha=1
):
    vectors = (np.array(value, f32) for value in (scale, bias, shift))
    scale, bias, shift = np.broadcast_arrays(*vectors)
    return FloatForm(inputs, input_set, scale, bias, relu, shift, output_set, f32(alpha))


@np.errstate(over="ignore")
def one_by_one(form):
    """Return the bits by scalar float32 arithmetic, one sum at a time: the float form written a second time."""
    rows = []
    for scale, bias, shift in zip(form.scale, form.bias, form.shift, strict=True):
        row = []
        for total in reachable(form.inputs, form.input_set).tolist():
            y = f32(f32(f32(total) * scale) + bias)
            y = y if y > 0 or not form.relu else f32(0)
            z = f32(y - shift)
            row.append(bool(z >= 0) if form.output_set == "signed" else bool(z >= f32(form.alpha / f32(2))))
        rows.append(row)
    return np.array(rows)


def folded_bits(form):
    folded = fold(form)
    sums = reachable(form.inputs, form.input_set)
    return (sums >= folded.thresholds[:, None]) ^ (folded.polarity[:, None] == 1)


@pytest.mark.parametrize("inputs", [1, 2, 3, 64, 768, 3072])
@pytest.mark.parametrize("input_set", SETS)
def test_reachable_sums(inputs, input_set):
    sums = reachable(inputs, input_set)
    assert sums.dtype == np.int32
    assert (sums[0], sums[-1]) == (-inputs, inputs)
    assert set(np.diff(sums)) == {2 if input_set == "signed" else 1}


@pytest.mark.parametrize("inputs", [1, 2, 3])
@pytest.mark.parametrize("input_set", SETS)
def test_reachable_sums_are_those_of_all_products(inputs, input_set):
    values = (-1, 1) if input_set == "signed" else (0, 1)
    rows = itertools.product(itertools.product(values, repeat=inputs), itertools.product((-1, 1), repeat=inputs))
    assert (
        sorted({sum(a * w for a, w in zip(*row, strict=True)) for row in rows}) == reachable(inputs, input_set).tolist()
    )


@pytest.mark.parametrize(
    ("case", "threshold", "polarity"),
    [
        (form(scale=[1.0]), 0, 0),
        (form(scale=[1.0], shift=[2.0]), 2, 0),
        (form(scale=[1.0], bias=[-1.0], shift=[1.0]), 2, 0),
        (form(scale=[0.5], shift=[1.0001]), 4, 0),
        (form(scale=[-1.0]), 2, 1),
        (form(scale=[-1.0], shift=[2.0]), 0, 1),
        (form(input_set="unsigned", scale=[-1.0]), 1, 1),
        (form(input_set="unsigned", scale=[1.0], output_set="unsigned", alpha=2), 1, 0),
        (form(input_set="unsigned", scale=[1.0], output_set="unsigned", alpha=2.0001), 2, 0),
        (form(scale=[1.0], relu=True), -4, 0),
        (form(scale=[1.0], relu=True, shift=[0.5]), 2, 0),
        (form(scale=[1.0], relu=True, output_set="unsigned", shift=[-0.5], alpha=1), -4, 0),
        (form(scale=[1.0], bias=[100.0]), -4, 0),
        (form(scale=[1.0], bias=[-100.0]), 5, 0),
        (form(scale=[-1.0], bias=[100.0]), -4, 0),
        (form(scale=[-1.0], bias=[-100.0]), 5, 0),
        (form(scale=[0.0], bias=[0.0]), -4, 0),
        (form(scale=[-0.0], bias=[-1e-30]), 5, 0),
        (form(scale=[1.0], shift=[4.0]), 4, 0),
        (form(scale=[1.0], shift=[4.0001]), 5, 0),
        (form(scale=[1.0], shift=[-4.0]), -4, 0),
        (form(scale=[-1.0], shift=[4.0]), -2, 1),
        (form(scale=[-1.0], shift=[-3.0]), 4, 1),
        (form(scale=[3e38], bias=[-3e38]), 2, 0),
        (form(scale=[1e-45], shift=[2e-45]), 2, 0),
        (form(input_set="unsigned", scale=[1.0], bias=[2.0**24], shift=[2.0**24 + 4]), 3, 0),
    ],
)
def test_thresholds_by_hand(case, threshold, polarity):
    folded = fold(case)
    assert (folded.thresholds.tolist(), folded.polarity.tolist()) == ([threshold], [polarity])
    assert (folded.thresholds.dtype, folded.polarity.dtype) == (np.int32, np.uint8)
    assert np.array_equal(folded_bits(case), one_by_one(case))
    prove(case, folded)


@pytest.mark.parametrize(("inputs", "channels"), [(1, 200), (2, 200), (3, 200), (64, 60), (768, 8), (3072, 3)])
@pytest.mark.parametrize("input_set", SETS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("output_set", SETS)
def test_fold_equals_scalar_floats_on_every_reachable_sum(inputs, channels, input_set, relu, output_set):
    rng = np.random.default_rng(inputs)
    scale = rng.normal(size=channels).astype(f32) / f32(inputs) ** f32(0.5)
    bias, shift = (rng.normal(size=channels).astype(f32) for _ in range(2))
    case = FloatForm(inputs, input_set, scale, bias, relu, shift, output_set, f32(0.83))
    assert np.array_equal(folded_bits(case), one_by_one(case))
    prove(case, fold(case))


@pytest.mark.parametrize("inputs", [1, 2, 3, 64])
@pytest.mark.parametrize("input_set", SETS)
@pytest.mark.parametrize("output_set", SETS)
@pytest.mark.parametrize("sign", [1, -1])
def test_ties_exactly_at_every_sum_fire(inputs, input_set, output_set, sign):
    """One channel per sum, whose shift puts that sum on the level exactly, and one float to either side of it."""
    sums, scale, alpha = reachable(inputs, input_set), f32(sign * 0.375), f32(0.5)
    level = f32(0) if output_set == "signed" else f32(0.25)
    exact = (sums.astype(f32) * scale) - level
    for shift, fires in [(exact, True), (np.nextafter(exact, f32(-99)), True), (np.nextafter(exact, f32(99)), False)]:
        case = form(inputs, input_set, np.full(len(sums), scale), 0.0, False, shift, output_set, alpha)
        if output_set == "unsigned" and shift is not exact:
            continue  # a step of the shift is below the rounding of the subtraction
        bits = folded_bits(case)
        assert np.array_equal(bits.diagonal(), np.full(len(sums), fires))
        assert np.array_equal(bits, one_by_one(case))


floats = st.floats(-8, 8, width=32) | st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=150, deadline=None)
@given(
    inputs=st.integers(1, 40),
    sets=st.tuples(st.sampled_from(SETS), st.sampled_from(SETS)),
    relu=st.booleans(),
    channel=st.tuples(floats, floats, floats),
    alpha=st.floats(2.0**-17, 100, width=32),
)
def test_any_finite_form_folds(inputs, sets, relu, channel, alpha):
    scale, bias, shift = ([value] for value in channel)
    case = form(inputs, sets[0], scale, bias, relu, shift, sets[1], alpha)
    assert np.array_equal(folded_bits(case), one_by_one(case))
    prove(case, fold(case))


def test_prove_names_channel_and_sum():
    case = form(inputs=6, scale=[1.0, 1.0, -1.0])
    folded = fold(case)
    wrong = dataclasses.replace(folded, thresholds=np.array([0, 0, 4], np.int32))
    with pytest.raises(FoldError) as error:
        prove(case, wrong)
    assert str(error.value) == ("the fold of channel 2 must give bit 0 at the sum 2 as the float form does, not 1")


def test_prove_finds_each_single_error(monkeypatch):
    """Every reachable threshold but the right one, and the wrong polarity, are refused; chunks do not hide channels."""
    monkeypatch.setattr(fold_module, "_CHUNK", 20)
    case = form(inputs=5, scale=[0.7] * 9, shift=np.linspace(-2, 2, 9))
    folded = fold(case)
    prove(case, folded)
    for channel, threshold in itertools.product(range(9), (-5, -3, -1, 1, 3, 5, 6)):
        thresholds = folded.thresholds.copy()
        if thresholds[channel] != threshold:
            thresholds[channel] = threshold
            with pytest.raises(FoldError, match=f"^the fold of channel {channel} must give bit "):
                prove(case, Fold(thresholds, folded.polarity))
        polarity = folded.polarity.copy()
        polarity[channel] ^= 1
        with pytest.raises(FoldError, match=f"^the fold of channel {channel} must give bit "):
            prove(case, Fold(folded.thresholds, polarity))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": 0}, "inputs must be an integer from 1 to 65535, not 0"),
        ({"inputs": True}, "inputs must be an integer from 1 to 65535, not True"),
        ({"input_set": "binary"}, "input_set must be one of signed, unsigned, not 'binary'"),
        ({"output_set": None}, "output_set must be one of signed, unsigned, not None"),
        ({"relu": 1}, "relu must be True or False, not 1"),
        ({"alpha": f32(0)}, "alpha must be finite and above 0, not 0.0"),
        ({"alpha": f32(-1)}, "alpha must be finite and above 0, not -1.0"),
        ({"alpha": f32("nan")}, "alpha must be finite and above 0, not nan"),
        ({"alpha": f32("inf")}, "alpha must be finite and above 0, not inf"),
        ({"alpha": 1.0}, "alpha must be a float32, not a float"),
        ({"scale": np.array([1, np.nan], f32)}, "scale of channel 1 must be finite, not nan"),
        ({"bias": np.array([-np.inf, 1], f32)}, "bias of channel 0 must be finite, not -inf"),
        ({"shift": np.array([1, np.inf], f32)}, "shift of channel 1 must be finite, not inf"),
        ({"shift": np.zeros(3, f32)}, "shift must have 2 values as scale has, not 3"),
        ({"scale": np.zeros(2)}, "scale must be a float32 vector, not float64 [2]"),
        ({"bias": np.zeros((2, 1), f32)}, "bias must be a float32 vector, not float32 [2, 1]"),
        ({"scale": np.zeros(0, f32)}, "scale must be a float32 vector, not float32 [0]"),
        ({"bias": [0.0, 0.0]}, "bias must be a float32 vector, not a list"),
    ],
)
def test_form_refuses(change, message):
    with pytest.raises(FoldError) as error:
        dataclasses.replace(form(scale=[1.0, 2.0]), **change)
    assert str(error.value) == message


def block(inputs, outputs, input_set, output_set, relu, weight_scale, seed):
    """Return a block with parameters as training leaves them."""
    torch.manual_seed(seed)
    target = ElasticBinarizer(output_set, channels=outputs, alpha=0.6)
    source = ElasticBinarizer(input_set, channels=inputs, alpha=0.37)
    result = BinaryBlock(source, BinaryLinear(inputs, outputs, weight_scale=weight_scale), target, relu=relu)
    for parameter in (source.beta, target.beta, result.linear.bias):
        torch.nn.init.normal_(parameter, std=0.2)
    return result.eval()


def inputs_reaching_every_sum(block, channel):
    """Return real inputs [sums, K] whose sums with one channel's weights are all that these weights can reach."""
    up = block.linear.signs()[channel] > 0
    if block.source.set == "signed":
        on = torch.stack([torch.where(torch.arange(len(up)) < flips, ~up, up) for flips in range(len(up) + 1)])
    else:
        falling, rising = (torch.cumsum(side, 0) for side in (~up, up))
        negative = torch.stack([~up & (falling <= count) for count in range(int((~up).sum()), 0, -1)] or [up & ~up])
        positive = torch.stack([up & (rising <= count) for count in range(int(up.sum()) + 1)])
        on = torch.cat([negative, positive])
    size = torch.where(torch.rand(on.shape) < 0.5, 1.0, 0.51) * block.source.alpha
    return block.source.beta + torch.where(on, size, -size if block.source.set == "signed" else size - 0.2)


@pytest.mark.parametrize(("inputs", "outputs", "probed"), [(1, 6, 6), (2, 6, 6), (3, 6, 6), (64, 8, 4), (768, 4, 2)])
@pytest.mark.parametrize("input_set", SETS)
@pytest.mark.parametrize(
    ("output_set", "relu"), [("signed", False), ("signed", True), ("unsigned", True), ("unsigned", False)]
)
def test_torch_forward_equals_the_fold_on_every_sum(inputs, outputs, probed, input_set, output_set, relu):
    module = block(inputs, outputs, input_set, output_set, relu, "channel" if inputs == 64 else "tensor", inputs)
    layer = export_layer("layer", module)
    for channel in range(probed):
        x = inputs_reaching_every_sum(module, channel)
        units = module.source.units(x)
        sums = (units @ module.linear.signs().T).to(torch.int32).numpy()
        assert len(set(sums[:, channel].tolist())) == inputs + 1
        expected = (module.units(x) > 0).detach().numpy()
        assert np.array_equal((sums >= layer.thresholds) ^ (layer.polarity == 1), expected)


def test_wide_torch_forward_equals_the_fold():
    module = block(3072, 5, "unsigned", "signed", False, "tensor", 7)
    layer = export_layer("layer", module)
    x = torch.randn(400, 3072) + torch.linspace(-2, 2, 400)[:, None]
    units = (module.source.units(x) > 0).numpy().astype(np.int64)
    sums = units @ (2 * unpack(layer.weights, 3072).astype(np.int64) - 1).T
    expected = (module.units(x) > 0).detach().numpy()
    assert 0.1 < expected.mean() < 0.9
    assert np.array_equal((sums >= layer.thresholds) ^ (layer.polarity == 1), expected)


def test_rounding_between_bias_and_shift_is_kept():
    """2^24 + 3 rounds to 2^24 + 4 before the shift is taken off, so the sum 3 reaches a shift of 4 above the bias."""
    module = block(4, 1, "unsigned", "signed", False, "tensor", 0)
    with torch.no_grad():
        module.source.alpha.fill_(1.0)
        module.source.beta.zero_()
        module.linear.weight.copy_(torch.tensor([[1.0, 1.0, 1.0, -1.0]]))
        module.linear.bias.fill_(2.0**24)
        module.target.beta.fill_(2.0**24 + 4)
    x = torch.tril(torch.ones(4, 4))
    assert module.units(x).flatten().tolist() == [-1, -1, 1, -1]
    assert export_layer("layer", module).thresholds.tolist() == [3]


def test_float_form_holds_the_parameters_of_the_block():
    module = block(5, 3, "unsigned", "signed", True, "channel", 11)
    case = float_form(module)
    assert (case.inputs, case.outputs, case.input_set, case.output_set, case.relu) == (5, 3, "unsigned", "signed", True)
    assert case.scale.tolist() == (module.source.alpha * module.linear.alpha_w()).tolist()
    assert case.bias.tolist() == module.linear.bias.tolist()
    assert case.shift.tolist() == module.target.beta.tolist()
    assert case.alpha == f32(0.6)

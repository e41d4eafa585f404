import numpy as np
import pytest
import torch

from model.binary import ElasticBinarizer
from model.fold import FloatForm
from model.fold import fold as fold_form
from model.lowering.builder import Builder
from model.lowering.codes import encode
from model.lowering.report import CodesEntry
from model.lowering.sources import Source
from model.member import FUNCTIONS
from model.quantizer import UniformQuantizer
from model.values import Value
from sim.reference import operations as reference

CHANNELS = 6
MONOTONE = (None, "relu", "sigmoid", "tanh", "leaky_relu", "elu")


def make_binarizer(set, seed=0, alpha=0.3, spread=0.2):
    torch.manual_seed(seed)
    quantizer = ElasticBinarizer(set, channels=CHANNELS, alpha=alpha)
    torch.nn.init.normal_(quantizer.beta, std=spread)
    return quantizer.eval()


def make_quantizer(set, bits, seed=0, alpha=0.3, beta=None):
    torch.manual_seed(seed)
    quantizer = UniformQuantizer(set, bits, channels=CHANNELS)
    quantizer.alpha.data.fill_(alpha)
    quantizer.initialised.fill_(True)
    torch.nn.init.normal_(quantizer.beta, std=0.2)
    if beta is not None:
        quantizer.beta.data.fill_(beta)
    return quantizer.eval()


def make_sums(bound=60, function=None, scale=0.05, step=2, seed=3):
    """Return a builder that has sums, and the sums as training scales them, some by a negative number."""
    torch.manual_seed(seed)
    builder = Builder(4)
    builder.values["sums"] = Value("sums", channels=CHANNELS, rows=4, bound=bound)
    scales = scale * (torch.rand(CHANNELS) + 0.5) * torch.tensor([1, 1, 1, 1, 1, -1])
    return builder, Source("sums", CHANNELS, (scales,), 0.3 * torch.randn(CHANNELS), function, step)


def make_fixed(function=None, fraction=12):
    builder = Builder(4)
    builder.values["x"] = Value("fixed", channels=CHANNELS, rows=4, fraction=fraction)
    return builder, Source("x", CHANNELS, (torch.tensor(2.0**-fraction),), None, function)


def float_units(source, quantizer, numbers):
    """Return the units of training, every operation written out."""
    y = torch.tensor(numbers, dtype=torch.float32)[:, None] * source.scales[0]
    y = y if source.bias is None else y + source.bias
    y = y.expand(-1, CHANNELS).contiguous()
    return quantizer.units(FUNCTIONS[source.function](y) if source.function else y).detach().numpy()


def run(operations, numbers):
    """Return the codes that the reference gives, as what they count for."""
    values = np.repeat(numbers[:, None], CHANNELS, 1).astype(np.int32)
    for operation in operations:
        if operation.op == "requantise":
            values = reference.requantise(values, operation.shift, operation.multiplier, operation.addend)
        elif operation.op == "table":
            values = reference.table(values, operation.shift, operation.entries)
        elif operation.op == "quantize":
            parts = (operation.bits, operation.set, operation.shift, operation.multiplier, operation.addend)
            values = reference.quantize(values, *parts).values
        else:
            bits = (values >= operation.thresholds) ^ (operation.polarity == 1)
            values = 2 * bits - 1 if operation.set == "signed" else bits + 0
    return values


@pytest.mark.parametrize("function", MONOTONE)
@pytest.mark.parametrize("set", ["signed", "unsigned"])
@pytest.mark.parametrize("seed", range(4))
def test_what_rises_folds_to_one_threshold(function, set, seed):
    builder, source = make_sums(function=function, seed=seed)
    quantizer = make_binarizer(set, seed)
    codes = encode(builder, "bits", source, quantizer)
    (operation,), (entry,) = builder.operations, builder.noted(CodesEntry)
    numbers = np.arange(-60, 61, 2)
    assert np.array_equal(run([operation], numbers), float_units(source, quantizer, numbers))
    assert (codes.name, codes.alpha, operation.set) == ("bits", quantizer.positive_alpha(), set)
    assert (entry.form, entry.channels, entry.different, entry.compared) == ("thresholds", 6, 0, 6 * 61)


def test_the_fold_of_a_relu_is_that_of_a_block():
    builder, source = make_sums(function="relu")
    quantizer = make_binarizer("unsigned")
    encode(builder, "bits", source, quantizer)
    scale, bias = source.scales[0].numpy(), source.bias.numpy()
    shift, alpha = quantizer.beta.detach().numpy(), np.float32(quantizer.alpha.item())
    folded = fold_form(FloatForm(60, "signed", scale, bias, True, shift, "unsigned", alpha))
    assert np.array_equal(builder.operations[0].thresholds, folded.thresholds)
    assert np.array_equal(builder.operations[0].polarity, folded.polarity)


def test_constant_channels_are_counted():
    builder, source = make_sums(scale=1e-4)
    encode(builder, "bits", source, make_binarizer("signed", spread=0.0))
    assert builder.noted(CodesEntry)[0].constant == 6
    assert set(np.abs(builder.operations[0].thresholds)) <= {60, 61}


@pytest.mark.parametrize("function", ["gelu", "swish"])
def test_a_dip_goes_through_a_table(function):
    builder, source = make_sums(300, function, 0.03, step=1)
    quantizer = make_binarizer("signed")
    quantizer.beta.data.fill_(-0.05)
    encode(builder, "bits", source, quantizer)
    assert [operation.op for operation in builder.operations] == ["requantise", "table", "binarize"]
    assert [operation.name for operation in builder.operations] == ["bits.fixed", "bits.values", "bits"]
    (entry,) = builder.noted(CodesEntry)
    numbers = np.arange(-300, 301)
    different = (run(builder.operations, numbers) != float_units(source, quantizer, numbers)).sum()
    assert (entry.form, entry.different, entry.compared) == ("table", different, 6 * 601)
    assert different <= 6


@pytest.mark.parametrize("function", ["gelu", "swish"])
def test_above_its_dip_a_function_folds(function):
    builder, source = make_sums(300, function, 0.03, step=1)
    encode(builder, "bits", source, make_binarizer("unsigned", spread=0.01))
    assert [operation.op for operation in builder.operations] == ["binarize"]


@pytest.mark.parametrize("function", [None, "tanh", "elu"])
@pytest.mark.parametrize("fraction", [8, 12, 15])
def test_every_fixed_number_gives_the_bit_of_training(function, fraction):
    builder, source = make_fixed(function, fraction)
    quantizer = make_binarizer("signed")
    encode(builder, "bits", source, quantizer)
    numbers = np.arange(-32768, 32768)
    assert np.array_equal(run(builder.operations, numbers), float_units(source, quantizer, numbers))
    assert builder.noted(CodesEntry)[0].compared == 65536 * 6
    if function is None:
        exact = [np.ceil(beta * 2.0**fraction) for beta in quantizer.beta.tolist()]
        assert builder.operations[0].thresholds.tolist() == exact


def test_a_dip_of_a_fixed_value_goes_through_a_table():
    builder, source = make_fixed("gelu")
    quantizer = make_binarizer("signed")
    quantizer.beta.data.fill_(-0.1)
    encode(builder, "bits", source, quantizer)
    assert [operation.op for operation in builder.operations] == ["table", "binarize"]
    (entry,) = builder.noted(CodesEntry)
    assert entry.different <= entry.compared / 1000


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("set", ["signed", "unsigned"])
def test_more_bits_are_one_affine_map(bits, set):
    builder, source = make_sums()
    quantizer = make_quantizer(set, bits, alpha=6 / 2**bits)
    encode(builder, "codes", source, quantizer)
    (operation,), (entry,) = builder.operations, builder.noted(CodesEntry)
    numbers = np.arange(-60, 61, 2)
    found, exact = run([operation], numbers), float_units(source, quantizer, numbers)
    assert np.abs(found - exact).max() <= 1
    assert (entry.form, entry.different) == ("affine", (found != exact).sum())
    assert entry.different <= 2
    assert len(np.unique(found)) > 2 ** (bits - 2)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_fixed_numbers_have_codes_of_more_bits(bits):
    builder, source = make_fixed()
    encode(builder, "codes", source, make_quantizer("signed", bits))
    (entry,) = builder.noted(CodesEntry)
    assert (entry.form, entry.compared) == ("affine", 6 * 7282)
    assert entry.different / entry.compared < 0.001


def test_a_relu_that_the_lowest_code_covers_vanishes():
    builder, source = make_sums(function="relu")
    encode(builder, "codes", source, make_quantizer("unsigned", 4, beta=0.1))
    assert [operation.op for operation in builder.operations] == ["quantize"]
    assert builder.noted(CodesEntry)[0].different <= 2


@pytest.mark.parametrize(
    ("function", "set", "beta"),
    [("relu", "unsigned", -0.8), ("relu", "signed", 0.1), ("gelu", "signed", 0.0), ("tanh", "signed", 0.0)],
)
def test_other_functions_of_more_bits_go_through_a_table(function, set, beta):
    builder, source = make_sums(function=function)
    quantizer = make_quantizer(set, 4, alpha=0.15, beta=beta)
    encode(builder, "codes", source, quantizer)
    assert [operation.op for operation in builder.operations] == ["requantise", "table", "quantize"]
    numbers = np.arange(-60, 61, 2)
    different = run(builder.operations, numbers) - float_units(source, quantizer, numbers)
    assert builder.noted(CodesEntry)[0].different == np.count_nonzero(different) <= 4
    assert np.abs(different).max() <= 1


def test_long_domains_are_compared_in_part():
    builder, source = make_sums(bound=100_000, step=1, scale=1e-4)
    encode(builder, "codes", source, make_quantizer("signed", 8))
    assert builder.noted(CodesEntry)[0].compared == 6 * len(range(-100_000, 100_001, 25))

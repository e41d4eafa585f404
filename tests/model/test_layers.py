"""The parts of a member: linear layers of each precision, word vectors, and what attention's scores become."""

import pytest
import torch
from torch.nn.functional import linear
from torch.testing import assert_close

from model.binary import BinaryLinear, ElasticBinarizer
from model.layers import (
    AttentionCodes,
    FloatLinear,
    SplitLinear,
    TernaryLinear,
    WordEmbedding,
    make_linear,
    make_quantizer,
    project,
    ternary,
)
from model.quantizer import PassThrough, UniformQuantizer
from model.shape import Precision, Shape


def shape(**changes):
    return Shape(**{"vocabulary": 9, "classes": 2, "hidden": 8, "heads": 2, "dropout": 0.0, **changes})


def filled(layer, weight):
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight))
    return layer


def test_float_layer_is_a_linear_layer_of_alpha_times_units():
    layer, units, alpha = FloatLinear(5, 3), torch.randn(2, 4, 5), torch.tensor(0.3, requires_grad=True)
    assert torch.equal(layer(units, alpha), linear(units * alpha, layer.weight, layer.bias))
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {"weight": (3, 5), "bias": (3,)}
    assert layer.bias.tolist() == [0, 0, 0]
    layer(units, alpha).sum().backward()
    assert_close(alpha.grad, (units @ layer.weight.T).sum())


def test_ternary_weights_have_three_levels():
    """Mean size 1, so the level is 0.7: at the level a weight is 0; the others become their mean size."""
    weight = torch.tensor([[0.5, -0.5, 2.0], [-1.5, 0.75, -0.75]])
    assert ternary(weight).tolist() == [[0, 0, 1.25], [-1.25, 1.25, -1.25]]
    tied = torch.tensor([0.7, -1.3])
    assert tied.abs().mean() == 1
    assert ternary(tied).tolist() == [0, tied[1].item()]


def test_ternary_weights_of_zero_stay_zero():
    assert ternary(torch.zeros(2, 3)).tolist() == [[0] * 3] * 2


def test_ternary_layer_passes_the_gradient_to_its_latent_weights():
    layer = filled(TernaryLinear(3, 2), [[0.5, -0.5, 2.0], [-1.5, 0.75, -0.75]])
    units, alpha, direction = torch.randn(4, 3), torch.tensor(2.0), torch.randn(4, 2)
    y = layer(units, alpha)
    assert_close(y, linear(units * 2, ternary(layer.weight.detach()), layer.bias))
    (y * direction).sum().backward()
    assert_close(layer.weight.grad, direction.T @ (units * 2))


def test_ternary_layer_scales_the_integer_sums_of_units_and_signs():
    torch.manual_seed(2)
    layer, units, alpha = TernaryLinear(31, 5), torch.randint(-8, 8, (7, 31)).float(), torch.tensor(0.3)
    with torch.no_grad():
        layer.bias.normal_()
    values = ternary(layer.weight.detach())
    level = values.max()
    sums = units.long() @ values.sign().long().T
    assert layer.signs().unique().tolist() == [-1, 0, 1]
    assert torch.equal(layer.signs() * layer.alpha_w(), values)
    assert torch.equal(layer(units, alpha), sums.float() * (alpha * level) + layer.bias)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(units, alpha), sums.float() * (alpha * level) + layer.bias)


@pytest.mark.parametrize("weight_scale", ["tensor", "channel"])
def test_split_layer_reads_its_units_twice(weight_scale):
    torch.manual_seed(0)
    layer, whole = SplitLinear(6, 4, weight_scale), BinaryLinear(12, 4, weight_scale=weight_scale)
    whole.load_state_dict(layer.state_dict())
    assert layer.weight.shape == (4, 12)
    assert layer.in_features == 12
    leaves = [torch.sign(torch.randn(5, 6)).requires_grad_(), torch.tensor(0.4, requires_grad=True)]
    others = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    mine = layer(*leaves)
    theirs = whole(torch.cat((others[0], others[0]), -1), others[1])
    assert torch.equal(mine, theirs)
    direction = torch.randn(5, 4)
    mine.backward(direction)
    theirs.backward(direction)
    for own, other in zip([*leaves, layer.weight, layer.bias], [*others, whole.weight, whole.bias], strict=True):
        assert_close(own.grad, other.grad)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, BinaryLinear),
        ({"split": True}, SplitLinear),
        ({"precision": Precision.uniform(2, 1, 1)}, TernaryLinear),
        ({"precision": Precision.uniform(32, 32, 32)}, FloatLinear),
    ],
)
def test_precision_of_the_weights_chooses_the_layer(changes, kind):
    made = make_linear(8, 6, shape(**changes))
    assert type(made) is kind
    assert made(torch.ones(3, 8), torch.tensor(1.0)).shape == (3, 6)


def test_scale_of_the_shape_reaches_the_layer():
    assert make_linear(8, 6, shape(weight_scale="channel")).alpha_w().shape == (6,)


@pytest.mark.parametrize(
    ("changes", "unsigned", "set", "centred"),
    [
        ({}, True, "unsigned", False),
        ({}, False, "signed", False),
        ({"two_sets": False}, True, "signed", True),
        ({"two_sets": False}, False, "signed", False),
    ],
)
def test_sets_of_quantizers(changes, unsigned, set, centred):
    made = make_quantizer(shape(**changes), "ffn_inner", unsigned=unsigned, channels=8)
    assert isinstance(made, ElasticBinarizer)
    assert (made.set, made.centre_first_batch) == (set, centred)


def test_quantizers_of_each_kind_have_its_bits():
    given = shape(precision=Precision(value=4, pooler=32))
    assert make_quantizer(given, "value").bits == 4
    assert isinstance(make_quantizer(given, "pooler"), PassThrough)
    assert isinstance(make_quantizer(given, "query_key"), ElasticBinarizer)


def test_quantizers_that_are_not_elastic_do_not_learn():
    made = make_quantizer(shape(elastic=False), "value", channels=8)
    assert not [p for p in made.parameters() if p.requires_grad]
    made.units(torch.randn(4, 8))
    assert made.initialised


@pytest.mark.parametrize("relu", [False, True])
def test_project_equals_each_layer_behind_its_quantizer(relu):
    torch.manual_seed(1)
    pairs = [
        (ElasticBinarizer("unsigned", channels=8), BinaryLinear(8, 5)),
        (UniformQuantizer("signed", 2, channels=8), BinaryLinear(8, 6)),
        (PassThrough("signed"), FloatLinear(8, 7)),
    ]
    x = torch.randn(2, 3, 8)
    seen = x.relu() if relu else x
    for some in ([pairs[0]], pairs):
        for y, (source, layer) in zip(project(x, some, relu=relu), some, strict=True):
            assert torch.equal(y, layer(source.units(seen), source.positive_alpha()))


def test_project_sets_alpha_from_what_the_binarizer_sees():
    source = ElasticBinarizer("signed", channels=2)
    project(torch.tensor([[-4.0, 2.0], [-6.0, 6.0]]), [(source, BinaryLinear(2, 1))], relu=True)
    assert source.alpha.item() == 2


def test_project_refuses_what_its_binarizer_refuses(refused):
    pairs = [(ElasticBinarizer("signed", channels=3, alpha=1.0), BinaryLinear(3, 2))]
    message = refused(ValueError, project, torch.zeros(2, 4), pairs)
    assert message == "x must have 3 channels in its last axis, not the shape [2, 4]"


def test_words_of_one_bit_are_signs_times_the_mean_size_of_the_row():
    words = WordEmbedding(shape(vocabulary=3, hidden=4, heads=2))
    filled(words, [[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 0.0, 4.0], [-4.0, 8.0, 2.0, 2.0]])
    assert words.mean().item() == 2
    ids = torch.tensor([[2, 0], [1, 2]])
    signs = torch.tensor([[-1, 1, 1, 1], [-1, 1, 1, 1], [-1, -1, -1, 1], [-1, 1, 1, 1]]).view(2, 2, 4)
    assert torch.equal(words(ids), signs * torch.tensor([[4.0, 3.0], [1.0, 4.0]])[..., None])


@pytest.mark.parametrize("bits", [1, 32])
def test_words_get_the_gradient_unchanged(bits):
    words = WordEmbedding(shape(precision=Precision(embedding=bits)))
    ids, direction = torch.tensor([[1, 2, 1]]), torch.randn(1, 3, 8)
    y = words(ids)
    (y * direction).sum().backward()
    expected = torch.zeros(9, 8).index_add(0, ids[0], direction[0])
    assert_close(words.weight.grad, expected)
    assert bits == 1 or torch.equal(y, words.weight[ids])


MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])


def codes(kind, **changes):
    module = AttentionCodes(shape(attention=kind, **changes))
    if kind != "boolean":
        with torch.no_grad():
            module.quantizer.alpha.fill_(0.5)
            module.quantizer.beta.fill_(0.125)
        module.quantizer.initialised.fill_(True)
    return module


@pytest.mark.parametrize("kind", ["softmax", "boolean", "threshold"])
def test_masked_keys_are_zero_and_get_no_gradient(kind):
    scores = (3 * torch.randn(2, 2, 4, 4)).requires_grad_()
    units, alpha = codes(kind)(scores, MASK)
    assert alpha.shape == ()
    assert units.masked_select(~MASK[:, None, None]).eq(0).all()
    assert set(units.unique().tolist()) <= {0.0, 1.0}
    units.sum().backward()
    assert scores.grad.masked_select(~MASK[:, None, None]).eq(0).all()


def test_a_shift_that_fires_at_zero_does_not_fire_behind_the_mask():
    module = codes("softmax")
    with torch.no_grad():
        module.quantizer.beta.fill_(-1.0)
    units, _ = module(torch.zeros(2, 2, 4, 4), MASK)
    assert torch.equal(units, MASK[:, None, None].float().expand(2, 2, 4, 4))


def test_softmax_codes_are_those_of_the_probabilities():
    """0.375 = beta + alpha / 2 is reached by a half of two keys, and by no third of three."""
    module = codes("softmax")
    mask = torch.tensor([[True, True, False], [True, True, True]])
    units, alpha = module(torch.zeros(2, 1, 1, 3), mask)
    assert units.tolist() == [[[[1, 1, 0]]], [[[0, 0, 0]]]]
    assert alpha is module.quantizer.alpha


def test_softmax_codes_of_more_bits_are_probabilities_in_steps():
    module = AttentionCodes(shape(precision=Precision(attention=2)))
    with torch.no_grad():
        module.quantizer.alpha.fill_(0.25)
    module.quantizer.initialised.fill_(True)
    units, _ = module(torch.zeros(1, 1, 1, 2), torch.tensor([[True, True]]))
    assert units.tolist() == [[[[2, 2]]]]


def test_boolean_codes_fire_above_zero_only():
    scores = torch.tensor([-2.0, -1.0, -0.0, 0.0, 1e-30, 1.0, 1.5]).view(1, 1, 1, 7).requires_grad_()
    units, alpha = codes("boolean")(scores, torch.ones(1, 7, dtype=torch.bool))
    assert units.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert isinstance(alpha, torch.nn.Parameter)
    units.sum().backward()
    assert scores.grad.flatten().tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_threshold_codes_have_a_level_for_each_head():
    module = codes("threshold")
    assert module.quantizer.beta.shape == (2, 1, 1)
    with torch.no_grad():
        module.quantizer.beta.copy_(torch.tensor([0.0, 2.0]).view(2, 1, 1))
    scores = torch.tensor([0.2, 0.25, 2.2, 2.25]).expand(1, 2, 1, 4)
    units, _ = module(scores, torch.ones(1, 4, dtype=torch.bool))
    assert units[0, :, 0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]
    units.sum().backward()
    # x - beta from 0 to below alpha, that is from 0 to 0.5 and from 2 to 2.5.
    assert_close(module.quantizer.beta.grad.flatten(), torch.tensor([-4.0, -4.0]))
    assert_close(module.quantizer.alpha.grad, torch.tensor(-((0.2 + 0.25) * 2) / 0.25))


def test_dropout_of_probabilities_is_for_training_only():
    module = codes("softmax", dropout=0.5)
    with torch.no_grad():
        module.quantizer.beta.fill_(0.0)
    scores, mask = torch.zeros(1, 1, 100, 2), torch.tensor([[True, True]])
    torch.manual_seed(0)
    assert 20 < module(scores, mask)[0].sum() < 180
    assert module.eval()(scores, mask)[0].sum() == 200

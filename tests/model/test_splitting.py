"""Splits by hand, BinaryBERT's identities, and members that compute the same before and after."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from model.layers import SplitLinear, TernaryLinear, ternary
from model.member import Member
from model.shape import FeedForward, Precision, Shape
from model.splitting import split, split_member, split_weight


def random_weight(seed, rows=5, columns=9, mean=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator) * 0.05 + mean


def split_layer(weight, scale="tensor"):
    rows, columns = weight.shape
    layer = SplitLinear(columns, rows, weight_scale=scale)
    with torch.no_grad():
        layer.weight.copy_(split_weight(weight, scale))
    return layer


def halves_of_signs(layer):
    first, second = layer.signs().chunk(2, 1)
    return first, second


def test_split_by_hand():
    """0.7 * mean|w| is 0.7: 2 and -1.5 stay, a = 1.75, and 0.25, -0.25 become 0 with d = (7 - 4) / 4."""
    weight = torch.tensor([[2.0, -1.5], [0.25, -0.25]])
    assert ternary(weight).tolist() == [[1.75, -1.75], [0, 0]]
    first, second = split(weight)
    assert first.dtype == torch.float64
    assert first.tolist() == [[1, -0.75], [1, 0.75]]
    assert second.tolist() == [[1, -0.75], [-0.75, -1]]


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 20))
def test_split_is_that_of_binarybert(seed, rows, columns):
    weight = random_weight(seed, rows, columns)
    first, second = split(weight)
    assert_close(first + second, weight.double(), atol=1e-15, rtol=0)
    values = ternary(weight).double()
    level = values.abs().max()
    signs = torch.where(values > 0, 1.0, -1.0)
    kept = values != 0
    assert (first.sign()[kept] == signs[kept]).all() and (second.sign()[kept] == signs[kept]).all()
    assert (first[~kept] > 0).all() and (second[~kept] < 0).all()
    assert_close((first.abs().mean() + second.abs().mean()) / 2, level / 2, rtol=1e-6, atol=0)
    lopsided = weight[~kept].double().sum().abs() / weight[kept].double().abs().sum()
    if lopsided < 0.5:
        for half in (first, second):
            assert_close(half.abs().mean(), level / 2, rtol=1e-6, atol=0)
        binary = sum(half.sign() * half.abs().mean() for half in (first, second))
        assert_close(binary, values, atol=1e-8, rtol=1e-6)


def test_a_lopsided_weight_keeps_its_signs():
    """Where nearly all that becomes 0 is of one sign, no share makes the halves equal; the signs still hold."""
    weight = torch.tensor([[0.6] * 9 + [1.0]])
    first, second = split(weight)
    assert ternary(weight).count_nonzero() == 10  # 0.6 is above 0.7 * 0.64
    weight = torch.tensor([[0.6] * 30 + [10.0, -9.0]])
    first, second = split(weight)
    assert ternary(weight).count_nonzero() == 2
    assert_close(first[0, -2:], torch.tensor([2.5, -2.25], dtype=torch.float64))
    assert (second[0, :-2] < 0).all()
    layer = split_layer(weight)
    assert layer.alpha_w() == 9.5 / 2
    assert sum(halves_of_signs(layer)).tolist() == [[0.0] * 30 + [2, -2]]


@pytest.mark.parametrize("scale", ["tensor", "channel"])
@settings(max_examples=200)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 10),
    columns=st.integers(4, 40),
    mean=st.sampled_from([-0.1, -0.03, 0.0, 0.01, 0.2]),
)
def test_the_layer_of_a_split_weight_is_the_ternary_one(scale, seed, rows, columns, mean):
    """Signs against the mean of both halves and their scale give the ternary weights, also where the mean is not 0."""
    weight = random_weight(seed, rows, columns, mean)
    values = ternary(weight)
    level = values.abs().max()
    if (values < 0).all():
        return  # refused
    layer = split_layer(weight, scale)
    assert (layer.alpha_w() == level / 2).all()
    assert torch.equal(sum(halves_of_signs(layer)) / 2 * level, values)


@pytest.mark.parametrize(("mean", "same"), [(0.0, True), (0.2, False)])
def test_small_means_leave_the_halves_of_binarybert(mean, same):
    weight = random_weight(1, 20, 20, mean)
    assert torch.equal(split_weight(weight), torch.cat(split(weight), 1).float()) is same


@pytest.mark.parametrize("scale", ["tensor", "channel"])
def test_weights_of_one_level(scale):
    ones = torch.full((2, 3), 0.5)
    layer = split_layer(ones, scale)
    assert layer.signs().tolist() == [[1] * 6] * 2
    assert layer.alpha_w().eq(0.25).all()
    zeros = split_layer(torch.zeros(2, 3), scale)
    assert zeros.alpha_w().eq(0).all()
    mixed = torch.tensor([[0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])
    layer = split_layer(mixed, scale)
    assert (sum(halves_of_signs(layer)) * layer.alpha_w().reshape(-1, 1)).tolist() == mixed.tolist()


def test_negative_weights_alone_are_refused(refused):
    message = refused(ValueError, split_weight, torch.full((2, 3), -0.5))
    assert message == "weight must have a 0 or a +a once it is ternary, not -a alone: against their mean all are +1"


def test_split_weight_refuses(refused):
    assert refused(ValueError, split_weight, torch.zeros(3)) == "weight must be [outputs, inputs], not [3]"
    message = refused(TypeError, split_weight, torch.zeros(3, 1), "row")
    assert message == "weight_scale must be one of tensor, channel, not 'row'"


# --- members ---------------------------------------------------------------------------------------------------------

IDS = torch.randint(1, 30, (4, 6), generator=torch.Generator().manual_seed(1))
MASK = torch.arange(6) < torch.tensor([6, 2, 4, 5])[:, None]


def ternary_member(seed, activations=8, **changes):
    """Return a member whose every parameter is its own, with quantizers set by one batch."""
    precision = Precision.uniform(2, 1, activations)
    sizes = dict(vocabulary=30, classes=3, layers=2, hidden=16, heads=2, positions=6, dropout=0.0)
    shape = Shape(**sizes, ffn=(FeedForward(width=24),), precision=precision).replace(**changes)
    torch.manual_seed(seed)
    member = Member(shape)
    with torch.no_grad():
        for name, parameter in member.named_parameters():
            if not name.endswith(("alpha", "weight")):
                parameter.add_(torch.randn(parameter.shape) * 0.1)
        member.train()(IDS, MASK)
    return member.eval()


@torch.no_grad()
def logits(member):
    return member(IDS, MASK).logits


@pytest.mark.parametrize("activations", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("scale", ["tensor", "channel"])
def test_a_split_member_computes_the_same(activations, scale):
    member = ternary_member(activations, activations, weight_scale=scale)
    made = split_member(member)
    with torch.no_grad():
        before, after = member(IDS, MASK), made(IDS, MASK)
    assert torch.equal(after.logits, before.logits)
    for part in ("hidden", "scores"):
        for own, other in zip(getattr(after, part), getattr(before, part), strict=True):
            assert torch.equal(own, other)


@pytest.mark.parametrize("attention", ["boolean", "threshold"])
def test_other_attentions_are_split_too(attention):
    member = ternary_member(3, 4, attention=attention, elastic=False)
    made = split_member(member)
    assert torch.equal(logits(made), logits(member))
    frozen = {name for name, parameter in member.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, parameter in made.named_parameters() if not parameter.requires_grad}


def test_what_a_split_member_is():
    member = ternary_member(4)
    random = torch.get_rng_state()
    made = split_member(member)
    assert torch.equal(torch.get_rng_state(), random)
    assert made.shape == member.shape.replace(split=True, precision=Precision.uniform(1, 1, 8))
    assert not made.training
    assert split_member(member.train()).training
    layers = [name for name, module in member.named_modules() if isinstance(module, TernaryLinear)]
    assert len(layers) == 2 * 6 + 1
    before, after = member.state_dict(), made.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if name.removesuffix(".weight") in layers:
            assert isinstance(made.get_submodule(name.removesuffix(".weight")), SplitLinear)
            assert after[name].shape == (tensor.shape[0], 2 * tensor.shape[1])
        else:
            assert torch.equal(after[name], tensor), name
            assert after[name].data_ptr() != tensor.data_ptr()


def test_a_split_member_can_be_trained():
    made = split_member(ternary_member(5)).train()
    made(IDS, MASK).logits.square().sum().backward()
    weight = made.layers[0].attention.query.weight
    assert weight.grad.isfinite().all() and weight.grad.any()


@pytest.mark.parametrize("activations", [1, 4])
def test_a_step_of_training_begins_alike(activations):
    """The forward pass in training mode is the same too, and so is the gradient of everything but the weights."""
    member = ternary_member(7, activations).train()
    made = split_member(member)
    one, other = (module(IDS, MASK).logits for module in (member, made))
    assert torch.equal(one, other)
    one.square().sum().backward()
    other.square().sum().backward()
    for (name, own), theirs in zip(member.named_parameters(), made.parameters(), strict=True):
        expected = torch.cat((own.grad, own.grad), 1) if own.shape != theirs.shape else own.grad
        assert_close(theirs.grad, expected, rtol=1e-4, atol=1e-5, msg=name)


def test_other_members_are_refused(refused):
    member = Member(Shape(vocabulary=5, classes=2, hidden=8, layers=1))
    assert refused(ValueError, split_member, member) == "member must have ternary weights of 2 bits, not of 1"


def test_the_layer_that_cannot_be_split_is_named(refused):
    member = ternary_member(6)
    with torch.no_grad():
        member.pooler.weight.fill_(-1.0)
    assert refused(ValueError, split_member, member).startswith("pooler: weight must have a 0 or a +a")

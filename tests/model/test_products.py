"""Binary linear layers in one step with their binarizers, against their parts in torch's own operations."""

import pytest
import torch
from torch.testing import assert_close

from model import binary, products
from model.binary import BinaryLinear, ElasticBinarizer
from model.layers import SplitLinear, TernaryLinear
from model.quantizer import quantizer
from tests.model.passes import by_torch, close_sum

NAN = float("nan")


def pairs(count, *, bits=1, split=False, ternary=False, set="signed", weight_scale="tensor", bias=True):
    """Return quantizers and linear layers of 40 inputs, each its own."""
    torch.manual_seed(3)
    made = []
    for outputs in (24, 16, 24)[:count]:
        source = quantizer(set, bits, channels=40)
        source.alpha.data.fill_(0.6)
        source.initialised.fill_(True)
        if split:
            linear = SplitLinear(40, outputs, weight_scale)
        elif ternary:
            linear = TernaryLinear(40, outputs)
        else:
            linear = BinaryLinear(40, outputs, bias=bias, weight_scale=weight_scale)
        torch.nn.init.normal_(source.beta, std=0.2)
        if linear.bias is not None:
            torch.nn.init.normal_(linear.bias)
        made.append((source, linear))
    return made


def stepped(x, made, relu):
    """Return what the layers give, and the gradients of x and of all parameters, for a fixed direction."""
    x = x.clone().requires_grad_()
    outputs = binary.products(x, made, relu=relu)
    generator = torch.Generator().manual_seed(9)
    sum((y * torch.randn(y.shape, generator=generator)).sum() for y in outputs).backward()
    grads = [p.grad for pair in made for module in pair for p in module.parameters()]
    for source, linear in made:
        source.zero_grad()
        linear.zero_grad()
    return list(outputs), x.grad, grads


OPTIONS = {
    "one": {"count": 1},
    "three": {"count": 3},
    "unsigned": {"count": 2, "set": "unsigned"},
    "scale of a channel": {"count": 2, "weight_scale": "channel"},
    "no bias": {"count": 2, "bias": False},
    "two bits": {"count": 3, "bits": 2},
    "four unsigned bits": {"count": 2, "bits": 4, "set": "unsigned", "weight_scale": "channel"},
    "eight bits, ternary": {"count": 1, "bits": 8, "ternary": True},
    "ternary": {"count": 2, "ternary": True},
    "split": {"count": 2, "split": True, "weight_scale": "channel"},
}


@pytest.mark.parametrize("relu", [False, True], ids=["as it is", "relu"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_layers_in_one_step_equal_their_parts(options, relu):
    made = pairs(**options)
    x = torch.randn(6, 11, 40)
    outputs, to_x, grads = stepped(x, made, relu)
    parts = by_torch(stepped, x, made, relu)
    for mine, theirs in zip(outputs, parts[0], strict=True):
        assert torch.equal(mine, theirs)
    # The matrix products round alike; where there are several, their gradients of x add up in another order.
    exact = {"rtol": 0, "atol": 0} if options["count"] == 1 else {"rtol": 1e-5, "atol": 1e-6}
    assert_close(to_x, parts[1], **exact)
    for mine, theirs in zip(grads, parts[2], strict=True):
        assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_quantizers_of_several_bits_share_a_step():
    made = [*pairs(1), *pairs(1, bits=2), *pairs(1, bits=8, set="unsigned")]
    x = torch.randn(6, 11, 40)
    for mine, (source, linear) in zip(binary.products(x, made), made, strict=True):
        assert torch.equal(mine, by_torch(lambda s=source, n=linear: n(s.units(x), s.positive_alpha())))


def test_relu_has_no_gradient_below_zero_and_keeps_what_is_no_number():
    ((source, linear),) = pairs(1, set="unsigned")
    source.beta.data.fill_(-0.1)
    x = torch.tensor([-1.0, -0.0, 0.0, 0.05, NAN]).repeat(8)[None]
    found, expected = stepped(x, [(source, linear)], True), by_torch(stepped, x, [(source, linear)], True)
    assert torch.equal(found[0][0], expected[0][0])
    assert torch.equal(found[1], expected[1])
    assert found[1][0, 0::5].eq(0).all()
    assert found[1][0, 3::5].ne(0).all()


def test_the_gradient_of_alpha_is_that_of_the_sums():
    """sum of gradient x D x scale, which is computed from a matrix of the size of the weights."""
    ((source, linear),) = pairs(1, weight_scale="channel")
    x, direction = torch.randn(50, 40), torch.randn(50, 24)
    (binary.products(x, [(source, linear)])[0] * direction).sum().backward()
    terms = direction.double() * (source.units(x) @ linear.signs().T).double() * linear.alpha_w().double()
    close_sum(source.alpha.grad, terms.sum(), terms.abs().sum())


def test_autocast_does_not_change_a_bit_of_a_step():
    made = pairs(2)
    x = torch.randn(5, 40)
    with torch.autocast("cpu", torch.bfloat16):
        under = binary.products(x, made)
    for mine, theirs in zip(under, binary.products(x, made), strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 64), (130, 37)])
@pytest.mark.parametrize("by_row", [False, True], ids=["one scale", "by row"])
def test_weights_equal_those_of_torch(shape, by_row):
    torch.manual_seed(4)
    weight = 0.02 * torch.randn(shape)
    for mine, theirs in zip(
        products.weight_bits(weight, by_row), by_torch(products.weight_bits, weight, by_row), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_weights_at_their_mean_are_one():
    signs, scale = products.weight_bits(torch.full((3, 7), 0.1), by_row=False)
    assert signs.eq(1).all()
    assert scale.eq(0.1).all()


def test_hooks_of_a_layer_are_called():
    ((source, linear),) = pairs(1)
    x, seen = torch.randn(3, 40), []
    (plain,) = binary.products(x, [(source, linear)])
    with linear.register_forward_hook(lambda module, arguments, result: seen.append((arguments[0], result))):
        (hooked,) = binary.products(x, [(source, linear)])
    assert torch.equal(plain, hooked)
    assert torch.equal(seen[0][0], source.units(x))
    assert seen[0][1] is hooked


def test_methods_of_their_own_are_called(monkeypatch):
    class Twice(BinaryLinear):
        def forward(self, units, alpha):
            return 2 * super().forward(units, alpha)

    source, linear = ElasticBinarizer(alpha=1.0), Twice(4, 2)
    x, seen = torch.randn(3, 4), []
    (y,) = binary.products(x, [(source, linear)])
    assert torch.equal(y, linear(source.units(x), source.positive_alpha()))
    plain = source.units
    monkeypatch.setattr(source, "units", lambda x: seen.append(x) or plain(x))
    (again,) = binary.products(x, [(source, BinaryLinear(4, 2))])
    assert again.shape == (3, 2)
    assert seen[0] is x

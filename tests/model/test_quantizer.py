"""Quantizers of several bits, the one that passes all through, and the choice between them."""

import pytest
import torch
from torch.testing import assert_close

from model.binary import ElasticBinarizer
from model.functions import MINIMUM_ALPHA
from model.quantizer import PassThrough, UniformQuantizer, quantizer
from tests.model.passes import by_torch

ALPHA, BETA = 0.5, 0.25
RANGES = [
    ("signed", 2, -2, 1),
    ("signed", 4, -8, 7),
    ("signed", 8, -128, 127),
    ("unsigned", 2, 0, 3),
    ("unsigned", 4, 0, 15),
    ("unsigned", 8, 0, 255),
]


def uniform(set, bits, channels=None):
    """Return a quantizer that has been set, with numbers of which float32 makes no others."""
    module = UniformQuantizer(set, bits, channels=channels)
    with torch.no_grad():
        module.alpha.fill_(ALPHA)
        module.beta.fill_(BETA)
    module.initialised.fill_(True)
    return module


def at(*steps):
    """Return the x that stand so many steps above the shift."""
    return torch.tensor(steps) * ALPHA + BETA


def test_uniform_defaults():
    module = UniformQuantizer("signed", 4)
    assert (module.set, module.bits, module.channels) == ("signed", 4, None)
    assert (module.alpha.shape, module.beta.shape) == ((), ())
    assert not module.initialised
    assert repr(module) == "UniformQuantizer(set='signed', bits=4, channels=None)"
    assert UniformQuantizer("unsigned", 2, channels=3).beta.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ternary", 2), "set must be one of signed, unsigned, not 'ternary'"),
        (("signed", 1), "bits must be 2, 4 or 8, not 1; 1 bit is an ElasticBinarizer, 32 a PassThrough"),
        (("signed", 32), "bits must be 2, 4 or 8, not 32; 1 bit is an ElasticBinarizer, 32 a PassThrough"),
        (("signed", True), "bits must be 2, 4 or 8, not True; 1 bit is an ElasticBinarizer, 32 a PassThrough"),
    ],
)
def test_uniform_refuses(arguments, message, refused):
    assert refused(TypeError, UniformQuantizer, *arguments) == message


@pytest.mark.parametrize(("set", "bits", "low", "high"), RANGES)
def test_codes_reach_both_ends_and_no_further(set, bits, low, high):
    module = uniform(set, bits)
    x = at(low - 99.0, low - 0.51, low - 0.5, low, low + 1, high - 1, high, high + 0.49, high + 0.5, high + 99)
    assert module.units(x).tolist() == [low, low, low, low, low + 1, high - 1, high, high, high, high]
    assert module(x).tolist() == [code * ALPHA for code in module.units(x).tolist()]


def test_ties_go_up():
    module = uniform("signed", 4)
    below = torch.nextafter(at(0.5), torch.tensor(-9.0))
    assert module.units(at(0.5, -0.5, -1.5, 2.5)).tolist() == [1, 0, -1, 3]
    assert module.units(below).tolist() == [0]


def test_each_channel_has_its_shift():
    module = uniform("signed", 4, channels=2)
    with torch.no_grad():
        module.beta.copy_(torch.tensor([0.0, 1.0]))
    assert module.units(torch.ones(1, 2)).tolist() == [[2, 0]]


@pytest.mark.parametrize(("set", "bits", "low", "high"), RANGES)
def test_gradients_are_those_of_the_learned_step(set, bits, low, high):
    """x: 1 inside; beta: minus that; alpha: code - (x - beta) / alpha inside, the code outside."""
    steps = torch.tensor([low - 3.0, low - 0.5, low - 0.25, 0.125, high - 0.75, high + 0.25, high + 0.5, high + 7])
    factor = torch.linspace(-2, 3, len(steps))
    inside = ((steps >= low - 0.5) & (steps < high + 0.5)).float()
    for index, step in enumerate(steps):
        module = uniform(set, bits)
        x = (step * ALPHA + BETA).clone().requires_grad_()
        (module(x) * factor[index]).backward()
        code = (step + 0.5).floor().clamp(low, high)
        expected = torch.stack([inside[index], code - inside[index] * step, -inside[index]]) * factor[index]
        found = torch.stack([x.grad, module.alpha.grad, module.beta.grad])
        # The two terms of alpha's are as large as the codes.
        assert_close(found, expected, rtol=0, atol=1e-6 * (high - low))


def stepped(x, module, direction):
    """Return the codes, and the gradients of x, alpha and beta."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    units = module.units(x)
    units.backward(direction)
    return units.detach(), x.grad, module.alpha.grad, module.beta.grad


@pytest.mark.parametrize("channels", [None, 37], ids=["one shift", "a shift for each channel"])
@pytest.mark.parametrize(("set", "bits", "low", "high"), RANGES)
def test_the_compiled_pass_is_what_torch_computes(set, bits, low, high, channels):
    torch.manual_seed(bits)
    module = uniform(set, bits, channels)
    with torch.no_grad():
        module.alpha.fill_(0.3)
        if channels:
            module.beta.normal_()
    x = torch.randn(70, 9, 37) * high
    edges = (torch.tensor([low - 1, low - 0.5, low, low + 0.5, high, high + 0.5, high + 1]) * module.alpha).detach()
    x[0, 0, :7] = edges + (module.beta[:7] if channels else module.beta).detach()
    x[0, 1, :3] = torch.tensor([float("inf"), -float("inf"), -0.0])
    direction = torch.randn(x.shape)
    found, expected = stepped(x, module, direction), by_torch(stepped, x, module, direction)
    for mine, theirs in zip(found[:2], expected[:2], strict=True):
        assert torch.equal(mine, theirs)
    size = direction.abs().sum().item() * (high - low) / 0.3
    assert_close(found[2], expected[2], rtol=0, atol=1e-6 * size)
    assert_close(found[3], expected[3], rtol=1e-5, atol=1e-4)


def test_what_is_no_number_stays_so():
    module = uniform("signed", 2)
    x = torch.tensor([float("nan"), 0.3, float("nan"), 9.0]).repeat(5)
    direction = torch.ones(20)
    found, expected = stepped(x, module, direction), by_torch(stepped, x, module, direction)
    assert torch.equal(found[0].isnan(), x.isnan())
    for mine, theirs in zip(found, expected, strict=True):
        assert_close(mine, theirs, equal_nan=True)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads):
    torch.manual_seed(4)
    module, x, direction = uniform("signed", 4, 300), torch.randn(4000, 300), torch.randn(4000, 300)
    count = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = stepped(x, module, direction)
        torch.set_num_threads(threads)
        for mine, theirs in zip(stepped(x, module, direction), alone, strict=True):
            assert torch.equal(mine, theirs)
    finally:
        torch.set_num_threads(count)


def test_gradients_of_alpha_numerically():
    """With the rounding kept as it is, alpha * (clamp((x - beta) / alpha) + what rounding added)."""
    x = torch.tensor([-9.0, -1.3, -0.2, 0.4, 1.1, 9.0], dtype=torch.float64)

    def surrogate(alpha, added=None):
        clamped = ((x - BETA) / alpha).clamp(-2.5, 1.5)
        codes = (clamped + 0.5).floor().clamp(-2, 1)
        added = codes - clamped if added is None else added
        return (alpha * (clamped + added)).sum(), added

    added = surrogate(ALPHA)[1]
    numeric = (surrogate(ALPHA + 1e-6, added)[0] - surrogate(ALPHA - 1e-6, added)[0]) / 2e-6
    module = uniform("signed", 2)
    module(x.float()).sum().backward()
    assert_close(module.alpha.grad, numeric.float(), rtol=1e-4, atol=1e-5)


def test_alpha_starts_at_twice_the_mean_size_over_the_root_of_the_largest_code():
    module = UniformQuantizer("unsigned", 2)
    module(torch.tensor([1.0, -2.0, 3.0]))
    assert module.alpha.item() == torch.tensor(4 / 3**0.5).item()
    module(torch.tensor([100.0]))
    assert module.alpha.item() == torch.tensor(4 / 3**0.5).item()
    zeros = UniformQuantizer("signed", 2)
    zeros(torch.zeros(3))
    assert zeros.alpha.item() == 1


@pytest.mark.parametrize("x", [torch.tensor([1.0, float("inf")]), torch.zeros(0)], ids=["infinite", "empty"])
def test_alpha_needs_finite_data(x):
    with pytest.raises(ValueError, match=r"^x must be finite and not empty to set alpha from it, not have a mean of "):
        UniformQuantizer("signed", 2)(x)


def test_evaluation_needs_alpha(refused):
    module = UniformQuantizer("signed", 8).eval()
    message = refused(ValueError, module.units, torch.zeros(3))
    assert message == "alpha must be set before evaluation: run one batch in training mode"


def test_state_keeps_whether_alpha_is_set():
    trained, fresh = UniformQuantizer("signed", 2), UniformQuantizer("signed", 2)
    trained(torch.tensor([3.0]))
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.eval()(torch.tensor([1.0])), trained(torch.tensor([1.0])))


def test_alpha_below_the_floor_still_learns():
    module = uniform("signed", 2)
    with torch.no_grad():
        module.alpha.fill_(-1.0)
    module(at(9.0)).backward()
    assert module.positive_alpha().item() == torch.tensor(MINIMUM_ALPHA).item()
    assert module.alpha.grad.item() == 1


def test_pass_through_is_x_itself():
    module = PassThrough("unsigned")
    x = torch.randn(3, requires_grad=True)
    assert module(x) is x
    assert module.units(x) is x
    assert module.positive_alpha().item() == 1
    assert not module.positive_alpha().requires_grad
    assert module.state_dict() == {}
    assert (module.set, module.bits) == ("unsigned", 32)


@pytest.mark.parametrize(
    ("bits", "kind"),
    [(1, ElasticBinarizer), (2, UniformQuantizer), (4, UniformQuantizer), (8, UniformQuantizer), (32, PassThrough)],
)
def test_bits_choose_the_quantizer(bits, kind):
    made = quantizer("unsigned", bits, channels=5)
    assert type(made) is kind
    assert made.set == "unsigned"
    assert bits == 32 or made.channels == 5


@pytest.mark.parametrize("bits", [0, 3, 16, True, "1"])
def test_other_bits_are_refused(bits, refused):
    assert refused(TypeError, quantizer, "signed", bits) == f"bits must be one of 1, 2, 4, 8, 32, not {bits!r}"

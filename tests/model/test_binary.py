import numpy as np
import pytest
import torch
from torch.testing import assert_close

from model.binary import MINIMUM_ALPHA, BinaryBlock, BinaryLinear, ElasticBinarizer

ALPHA, BETA = 0.75, 0.125
# Around each border of each case: x - beta = -1, -tiny, 0, alpha/2 -+ tiny, alpha/2, alpha - tiny, alpha, beyond.
POINTS = torch.tensor([-2.0, -0.8, -0.75, -0.5, -0.01, 0.0, 0.1, 0.374, 0.375, 0.376, 0.7, 0.75, 0.8, 3.0]) + BETA


def binarizer(set, channels=None):
    module = ElasticBinarizer(set, channels=channels, alpha=ALPHA)
    with torch.no_grad():
        module.beta.fill_(BETA)
    return module


def test_binarizer_defaults():
    module = ElasticBinarizer()
    assert module.set == "signed"
    assert module.beta.shape == ()
    assert module.alpha.shape == ()
    assert not module.initialised
    assert repr(module) == "ElasticBinarizer(set='signed', channels=None)"


def test_binarizer_custom():
    module = ElasticBinarizer("unsigned", channels=5, alpha=0.5)
    assert module.beta.tolist() == [0, 0, 0, 0, 0]
    assert module.alpha.item() == 0.5
    assert module.initialised


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"set": "ternary"}, "set must be one of signed, unsigned, not 'ternary'"),
        ({"channels": 0}, "channels must be an integer from 1 to 65535, not 0"),
        ({"channels": True}, "channels must be an integer from 1 to 65535, not True"),
        ({"alpha": 0.0}, "alpha must be a finite number of at least 1e-05, not 0.0"),
        ({"alpha": -1.0}, "alpha must be a finite number of at least 1e-05, not -1.0"),
        ({"alpha": float("nan")}, "alpha must be a finite number of at least 1e-05, not nan"),
        ({"alpha": float("inf")}, "alpha must be a finite number of at least 1e-05, not inf"),
        ({"alpha": "1"}, "alpha must be a finite number of at least 1e-05, not '1'"),
        ({"alpha": True}, "alpha must be a finite number of at least 1e-05, not True"),
    ],
)
def test_binarizer_refuses(arguments, message):
    with pytest.raises(TypeError) as error:
        ElasticBinarizer(**arguments)
    assert str(error.value) == message


def test_binarizer_refuses_other_channels():
    with pytest.raises(ValueError, match=r"^x must have 3 channels in its last axis, not the shape \[2, 1\]$"):
        ElasticBinarizer(channels=3, alpha=1.0)(torch.zeros(2, 1))


def test_signed_bits_with_the_tie():
    module = binarizer("signed")
    assert module.units(POINTS).tolist() == [-1] * 5 + [1] * 9
    assert module(POINTS).tolist() == [-ALPHA] * 5 + [ALPHA] * 9


def test_unsigned_bits_with_the_tie():
    module = binarizer("unsigned")
    assert module.units(POINTS).tolist() == [0] * 8 + [1] * 6
    assert module(POINTS).tolist() == [0] * 8 + [ALPHA] * 6


@pytest.mark.parametrize("set", ["signed", "unsigned"])
def test_exact_zero_is_one_and_negative_zero_too(set):
    module = ElasticBinarizer(set, alpha=2.0)
    level = 0.0 if set == "signed" else 1.0
    below = float(np.nextafter(np.float32(level), np.float32(-1)))
    low = -1 if set == "signed" else 0
    assert module.units(torch.tensor([level, below])).tolist() == [1, low]
    assert ElasticBinarizer("signed", alpha=1.0).units(torch.tensor([-0.0])).item() == 1


def gradients(set, points, gradient):
    """Return the gradients of x, alpha and beta for each point on its own."""
    rows = []
    for point, factor in zip(points, gradient, strict=True):
        module = binarizer(set)
        x = point.clone().requires_grad_()
        (module(x) * factor).backward()
        rows.append([x.grad, module.alpha.grad, module.beta.grad])
    return torch.tensor(rows).T


def test_unsigned_gradients_follow_the_paper():
    factor = torch.linspace(-2, 3, len(POINTS))
    x = POINTS
    inside = (x >= BETA) & (x < BETA + ALPHA)
    slope = torch.where(x < BETA + ALPHA / 2, (BETA - x) / ALPHA, 1 - (x - BETA) / ALPHA)
    to_alpha = torch.where(x < BETA, 0.0, torch.where(inside, slope, 1.0))
    expected = torch.stack([inside.float(), to_alpha, -inside.float()]) * factor
    assert_close(gradients("unsigned", x, factor), expected)


def test_signed_gradients_follow_the_paper():
    factor = torch.linspace(-2, 3, len(POINTS))
    inside = ((POINTS - BETA).abs() <= ALPHA).float()
    sign = torch.where(POINTS >= BETA, 1.0, -1.0)
    assert_close(gradients("signed", POINTS, factor), torch.stack([inside, sign, -inside]) * factor)


@pytest.mark.parametrize("place", range(3), ids=["x", "alpha", "beta"])
def test_unsigned_gradients_numerically(place):
    """Away from the borders they are those of alpha * (clip((x - beta) / alpha, 0, 1) + what rounding added)."""
    x = torch.tensor([-1.0, 0.01, 0.2, 0.36, 0.39, 0.6, 0.74, 0.9, 4.0], dtype=torch.float64) + BETA

    def surrogate(x, alpha, beta, rounding=None):
        clipped = ((x - beta) / alpha).clamp(0, 1)
        added = ((clipped >= 0.5).to(x.dtype) - clipped) if rounding is None else rounding
        return alpha * (clipped + added), added

    at = [x, torch.tensor(ALPHA, dtype=torch.float64), torch.tensor(BETA, dtype=torch.float64)]
    rounding = surrogate(*at)[1]
    step = 1e-6
    sides = [[value + sign * step * (index == place) for index, value in enumerate(at)] for sign in (1, -1)]
    numeric = (surrogate(*sides[0], rounding)[0] - surrogate(*sides[1], rounding)[0]) / (2 * step)
    found = gradients("unsigned", x.float(), torch.ones(len(x)))[place]
    assert_close(found, numeric.float(), rtol=1e-4, atol=1e-5)


def test_gradients_sum_over_rows_and_keep_channels():
    module = binarizer("unsigned", channels=3)
    x = torch.tensor([[0.2, 0.6, -1.0], [0.3, 5.0, 0.7]]) + BETA
    module(x).sum().backward()
    assert module.beta.grad.tolist() == [-2, -1, -1]
    inner = torch.tensor([-0.2 / ALPHA, 1 - 0.6 / ALPHA, 0.0, -0.3 / ALPHA, 1.0, 1 - 0.7 / ALPHA])
    assert_close(module.alpha.grad, inner.sum())


def test_alpha_below_the_floor_still_learns():
    module = ElasticBinarizer(alpha=1.0)
    with torch.no_grad():
        module.alpha.fill_(-3.0)
    y = module(torch.tensor([0.5]))
    y.backward()
    assert y.item() == torch.tensor(MINIMUM_ALPHA).item()
    assert module.alpha.grad.item() == 1


def test_signed_alpha_starts_at_the_mean_size():
    module = ElasticBinarizer()
    module(torch.tensor([[-1.0, 2.0], [0.5, -4.5]]))
    assert module.alpha.item() == 2
    module(torch.tensor([100.0]))
    assert module.alpha.item() == 2


def test_unsigned_alpha_starts_at_the_mean_of_the_large():
    module = ElasticBinarizer("unsigned")
    module(torch.tensor([0.1, 0.5, 0.499, 1.5, -3.0]))
    assert module.alpha.item() == 1


def test_unsigned_alpha_falls_back_where_all_is_small():
    module = ElasticBinarizer("unsigned")
    module(torch.full((2, 8), 1 / 8))
    assert module.alpha.item() == 0.5
    module = ElasticBinarizer("unsigned")
    module(torch.zeros(4))
    assert module.alpha.item() == 1


@pytest.mark.parametrize("x", [torch.tensor([1.0, float("nan")]), torch.zeros(0)], ids=["nan", "empty"])
def test_alpha_needs_finite_data(x):
    with pytest.raises(
        ValueError, match=r"^x must be finite and not empty to set alpha from it, not have a mean of nan$"
    ):
        ElasticBinarizer()(x)


def test_evaluation_needs_alpha():
    module = ElasticBinarizer().eval()
    with pytest.raises(
        ValueError, match=r"^alpha must be set before evaluation: run one batch in training mode, or give"
    ):
        module(torch.zeros(3))


def test_state_keeps_whether_alpha_is_set():
    trained, fresh = ElasticBinarizer(), ElasticBinarizer()
    trained(torch.tensor([3.0]))
    fresh.load_state_dict(trained.state_dict())
    assert fresh.eval()(torch.tensor([1.0])).item() == 3
    fresh.load_state_dict(ElasticBinarizer().state_dict())
    with pytest.raises(ValueError, match=r"^alpha must be set"):
        fresh(torch.tensor([1.0]))


def test_linear_defaults_and_custom():
    plain = BinaryLinear(4, 3)
    assert repr(plain) == "BinaryLinear(4, 3, bias=True, weight_scale='tensor')"
    assert plain.bias.tolist() == [0, 0, 0]
    assert plain.alpha_w().shape == ()
    custom = BinaryLinear(4, 3, bias=False, weight_scale="channel")
    assert custom.bias is None
    assert custom.alpha_w().shape == (3,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "in_features must be an integer from 1 to 65535, not 0"),
        ((65536, 1), "in_features must be an integer from 1 to 65535, not 65536"),
        ((1, 1.0), "out_features must be an integer from 1 to 65535, not 1.0"),
        ((1, 1, 1), "bias must be True or False, not 1"),
        ((1, 1, True, "row"), "weight_scale must be one of tensor, channel, not 'row'"),
    ],
)
def test_linear_refuses(arguments, message):
    with pytest.raises(TypeError) as error:
        BinaryLinear(*arguments)
    assert str(error.value) == message


def test_weight_bits_and_scale():
    linear = BinaryLinear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    assert linear.signs().tolist() == [[-1, -1], [1, 1]]
    assert linear.alpha_w().item() == 3
    channel = BinaryLinear(2, 2, weight_scale="channel")
    channel.load_state_dict(linear.state_dict())
    assert channel.signs().tolist() == [[-1, -1], [1, 1]]
    assert channel.alpha_w().tolist() == [1.5, 4.5]


@pytest.mark.parametrize("weight_scale", ["tensor", "channel"])
@pytest.mark.parametrize("set", ["signed", "unsigned"])
def test_forward_equals_plain_numpy(set, weight_scale):
    torch.manual_seed(1)
    source, linear = ElasticBinarizer(set, channels=70), BinaryLinear(70, 9, weight_scale=weight_scale)
    torch.nn.init.normal_(linear.bias)
    torch.nn.init.normal_(source.beta, std=0.2)
    x = torch.randn(3, 5, 70)
    y = linear(source.units(x), source.positive_alpha()).detach().numpy()
    z = x.numpy() - source.beta.detach().numpy()
    alpha, weight = source.alpha.detach().numpy(), linear.weight.detach().numpy()
    signs = np.where(weight >= np.float32(weight.mean(dtype=np.float64)), 1, -1)
    units = np.where(z >= 0, 1, -1) if set == "signed" else (z >= alpha / np.float32(2)).astype(int)
    axis = None if weight_scale == "tensor" else 1
    scale = alpha * np.abs(weight).mean(axis, dtype=np.float64).astype(np.float32)
    expected = (units @ signs.T).astype(np.float32) * scale + linear.bias.detach().numpy()
    assert expected.dtype == np.float32
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("weight_scale", ["tensor", "channel"])
def test_product_gradients_equal_autograd_of_the_dense_form(weight_scale):
    torch.manual_seed(2)
    linear = BinaryLinear(6, 4, weight_scale=weight_scale)
    units = torch.where(torch.rand(2, 3, 6) < 0.5, 1.0, 0.0).requires_grad_()
    alpha = torch.tensor(0.7, requires_grad=True)
    direction = torch.randn(2, 3, 4)
    (linear(units, alpha) * direction).sum().backward()
    dense_units, dense_alpha = units.detach().requires_grad_(), alpha.detach().requires_grad_()
    dense_weight = (linear.alpha_w()[..., None] * linear.signs()).requires_grad_()
    dense = torch.nn.functional.linear(dense_alpha * dense_units, dense_weight, linear.bias.detach())
    (dense * direction).sum().backward()
    assert_close(linear.weight.grad, dense_weight.grad)
    assert_close(alpha.grad, dense_alpha.grad)
    assert_close(units.grad, dense_units.grad)
    assert_close(linear.bias.grad, direction.sum((0, 1)))


def test_autocast_does_not_change_a_bit():
    torch.manual_seed(3)
    source, linear = ElasticBinarizer(alpha=1.0), BinaryLinear(700, 8)
    x = torch.randn(4, 700)
    plain = linear(source.units(x), source.positive_alpha())
    with torch.autocast("cpu", torch.bfloat16):
        under = linear(source.units(x), source.positive_alpha())
    assert under.dtype == torch.float32
    assert torch.equal(plain, under)


def test_one_training_step_moves_every_parameter():
    torch.manual_seed(4)
    block = BinaryBlock(
        ElasticBinarizer(channels=16), BinaryLinear(16, 8), ElasticBinarizer("unsigned", channels=8), relu=True
    )
    block(torch.randn(64, 16)).square().sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((None, None, None), TypeError, "source must be of type ElasticBinarizer, not NoneType"),
        ((ElasticBinarizer(), None, None), TypeError, "linear must be of type BinaryLinear, not NoneType"),
        (
            (ElasticBinarizer(channels=3), BinaryLinear(4, 5), ElasticBinarizer()),
            ValueError,
            "source must have 4 channels or one shift, not 3",
        ),
        (
            (ElasticBinarizer(), BinaryLinear(4, 5), ElasticBinarizer(channels=4)),
            ValueError,
            "target must have 5 channels or one shift, not 4",
        ),
    ],
)
def test_block_refuses(arguments, kind, message):
    with pytest.raises(kind) as error:
        BinaryBlock(*arguments)
    assert str(error.value) == message


def test_block_refuses_relu_that_is_not_a_bool():
    with pytest.raises(TypeError, match=r"^relu must be of type bool, not int$"):
        BinaryBlock(ElasticBinarizer(), BinaryLinear(1, 1), ElasticBinarizer(), relu=1)

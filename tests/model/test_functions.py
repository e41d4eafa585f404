"""The autograd functions of one-bit quantizers: compiled passes decide and pass gradients as torch's operations do."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from model import functions
from model.functions import Binarize, SignedRows, layout_of
from model.member import Member
from model.shape import Shape
from tests.model.passes import ALPHA, SETS, binarized, by_torch, close_sum

NAN, INFINITY = float("nan"), float("inf")

# x, and the shifts that go with it: one, one per channel, one per head.
SHAPES = {
    "number": ((), ()),
    "row": ((37,), ()),
    "rows": ((5, 3, 64), ()),
    "channels": ((3, 5, 37), (37,)),
    "one channel": ((9, 1), (1,)),
    "many channels": ((70, 600), (600,)),
    "many blocks": ((7, 90, 128), (128,)),
    "heads": ((2, 3, 8, 8), (3, 1, 1)),
    "odd heads": ((2, 3, 5, 7), (3, 1, 1)),
    "long heads": ((2, 2, 40, 600), (2, 1, 1)),
}


def neighbours(value):
    """Return a float32, the one below and the one above."""
    number = np.float32(value)
    return [np.nextafter(number, np.float32(-9)), number, np.nextafter(number, np.float32(9))]


BORDERS = [border for value in (-ALPHA, 0.0, np.float32(ALPHA) / 2, ALPHA) for border in neighbours(value)]
SPECIAL = torch.tensor([*BORDERS, -0.0, -3.0, 3.0, INFINITY, -INFINITY, NAN])


@pytest.mark.parametrize("units", [True, False], ids=["units", "values"])
@pytest.mark.parametrize("set", SETS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_binarizer_equals_that_of_torch(shape, set, units):
    torch.manual_seed(0)
    signed = set == "signed"
    x, beta, direction = torch.randn(shape[0]), 0.3 * torch.randn(shape[1]), torch.randn(shape[0])
    alpha = torch.tensor(ALPHA)
    assert layout_of(x.shape, beta.shape) is not None
    out, to_x, to_alpha, to_beta = binarized(x, alpha, beta, signed, units, direction)
    expected = by_torch(binarized, x, alpha, beta, signed, units, direction)
    assert torch.equal(out, expected[0])
    assert torch.equal(to_x, expected[1])
    close_sum(to_beta, -to_x.double().sum_to_size(beta.shape), to_x.double().abs().sum_to_size(beta.shape))
    if signed and units:
        assert to_alpha is None
        assert expected[2] is None
        return
    z = (x - beta).double()
    inside = to_x != 0
    terms = direction.double() * (0 if units else out.double().sign())
    if not signed:
        terms = terms - torch.where(inside, to_x.double() * z, 0.0) / alpha.double()
    close_sum(to_alpha, terms.sum(), terms.abs().sum())
    assert_close(to_alpha, expected[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("units", [True, False], ids=["units", "values"])
@pytest.mark.parametrize("set", SETS)
def test_borders_and_numbers_that_are_none(set, units):
    """Each stands in a channel of its own, so that each gradient of beta is that of one number."""
    count = len(SPECIAL)
    x, alpha, beta = SPECIAL.expand(2, count), torch.tensor(ALPHA), torch.zeros(count)
    direction = torch.linspace(-2, 3, 2 * count).view(2, count)
    found = binarized(x, alpha, beta, set == "signed", units, direction)
    expected = by_torch(binarized, x, alpha, beta, set == "signed", units, direction)
    for mine, theirs in zip((found[0], found[1], found[3]), (expected[0], expected[1], expected[3]), strict=True):
        assert torch.equal(mine, theirs)
    bits = found[0][0] > 0
    level = 0.0 if set == "signed" else float(np.float32(ALPHA) / 2)
    assert bits.tolist() == [number >= level for number in SPECIAL.tolist()]


def test_operands_need_not_be_contiguous():
    x, beta = torch.randn(64, 5, 3).transpose(0, 1), torch.randn(6)[::2]
    direction = torch.ones(()).expand(5, 64, 3)
    arguments = x, torch.tensor(ALPHA), beta, False, True, direction
    for mine, theirs in zip(binarized(*arguments), by_torch(binarized, *arguments), strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=["float64", "bfloat16"])
def test_other_dtypes_are_left_to_torch(dtype):
    x = torch.linspace(-2, 2, 9).to(dtype)
    leaves = x.clone().requires_grad_(), torch.tensor(ALPHA, dtype=dtype), torch.zeros((), dtype=dtype)
    out = Binarize.apply(*leaves, True, False)
    out.sum().backward()
    assert out.dtype == leaves[0].grad.dtype == dtype
    assert leaves[0].grad.tolist() == (x.abs() <= leaves[1]).to(dtype).tolist()


@pytest.mark.parametrize(
    ("shape", "beta"),
    [((4, 6), (2, 1, 6)), ((4, 6), (4, 1)), ((2, 3, 4), (2, 3, 4)), ((2, 3), (1, 1, 3)), ((5, 2, 2), (3, 1, 1))],
)
def test_other_shapes_of_shifts_have_no_layout(shape, beta):
    assert layout_of(torch.Size(shape), torch.Size(beta)) is None


def test_shifts_of_rows_are_left_to_torch():
    x, beta = torch.randn(4, 6), torch.randn(4, 1, requires_grad=True)
    Binarize.apply(x, torch.tensor(9.0), beta, True, True).sum().backward()
    assert_close(beta.grad, torch.full((4, 1), -6 / 9))


def test_nothing_gives_nothing():
    x = torch.zeros(0, 4, requires_grad=True)
    Binarize.apply(x, torch.tensor(1.0), torch.zeros(4), True, True).sum().backward()
    assert x.grad.shape == (0, 4)


def test_a_second_derivative_is_refused():
    x = torch.randn(3, requires_grad=True)
    y = Binarize.apply(x, torch.tensor(1.0), torch.zeros(()), True, False).square().sum()
    (first,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_x_must_not_change_before_its_gradient():
    leaf = torch.randn(3, requires_grad=True)
    x = leaf * 1
    y = Binarize.apply(x, torch.tensor(1.0), torch.zeros(()), True, False)
    x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (700, 64), (999, 130)])
def test_mean_is_that_of_float64(shape):
    matrix = 100 * torch.randn(shape) + 3
    assert torch.equal(functions.mean(matrix), matrix.double().mean().float())
    assert torch.equal(by_torch(functions.mean, matrix), matrix.double().mean().float())
    assert functions.mean(matrix.double()).dtype == torch.float64


def test_signed_rows_equal_those_of_torch():
    rows = torch.randn(3, 4, 37)
    centre = rows[0, 0, 0].clone()
    mine, theirs = SignedRows.apply(rows, centre), by_torch(SignedRows.apply, rows, centre)
    assert torch.equal(mine, theirs)
    assert mine[0, 0, 0] > 0


@pytest.mark.parametrize("attention", ["softmax", "boolean", "threshold"])
def test_a_member_computes_the_same_by_torch(attention):
    torch.manual_seed(6)
    member = Member(Shape(50, 3, hidden=64, heads=4, attention=attention, dropout=0.0))
    ids, mask = torch.randint(50, (4, 9)), torch.arange(9) < torch.tensor([9, 5, 1, 8])[:, None]
    member(ids, mask)

    def stepped():
        member.zero_grad()
        logits = member(ids, mask).logits
        logits.square().sum().backward()
        return logits.detach(), {name: p.grad for name, p in member.named_parameters()}

    (mine, grads), (theirs, others) = stepped(), by_torch(stepped)
    assert torch.equal(mine, theirs)
    for name, grad in grads.items():
        largest = others[name].abs().max().item()
        assert_close(grad, others[name], rtol=1e-4, atol=1e-5 * largest, msg=name)

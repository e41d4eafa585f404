"""How the tests call the compiled passes, and torch's own operations in their place."""

import pytest

from model import binary, functions, products, uniform
from model.functions import Binarize

ALPHA = 0.7
SETS = ("signed", "unsigned")


def by_torch(function, *arguments):
    """Call a function without the compiled passes."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (functions, uniform, products, binary):
            patch.setattr(module, "compiles", lambda *tensors: False)
        return function(*arguments)


def binarized(x, alpha, beta, signed, units, direction):
    """Return what a binarizer gives, and the gradients of x, alpha and beta."""
    leaves = [tensor.clone().requires_grad_() for tensor in (x, alpha, beta)]
    out = Binarize.apply(*leaves, signed, units)
    out.backward(direction)
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def close_sum(found, exact, terms):
    """Say that a sum is right to 10^-6 of the sum of the sizes of its terms."""
    error = (found.double() - exact).abs()
    assert (error <= 1e-6 * terms + 1e-30).all(), (found, exact, terms)

import pytest

from model.checks import NetworkError
from model.expression import Node, parse
from model.lowering.plan import plan_block


def plan(text, total=1.0, headroom=1.0, **ranges):
    """Return the plan of an expression whose terms reach 1, but for those that are named."""
    tree = parse(text)
    own = {node: ranges.get(node.name, 1.0) for node in tree.walk()}
    return tree, plan_block("m.ffn.0", tree, own, total, headroom)


def fractions(tree, found):
    return {node.name: found.fraction(node) for node in tree.walk()}


def test_result_and_input_have_the_fraction_of_the_widest():
    tree, found = plan("linear2(relu(linear1(x)))", x=3.0, linear2=5.0, linear1=40.0, total=7.0)
    assert fractions(tree, found) == {"x": 12, "linear2": 12, "linear1": 9, "relu": 14}
    assert found.residual == 12
    assert found.largest(Node("x")) == 3.0


def test_the_sum_of_the_residual_counts():
    _, found = plan("linear2(relu(linear1(x)))", total=9.0)
    assert found.residual == 11
    assert found.limit(Node("x")) == 9.0


def test_headroom_widens_every_range():
    _, found = plan("linear2(relu(linear1(x)))", headroom=3.0)
    assert found.residual == 13


def test_terms_that_are_added_or_compared_share_a_fraction():
    tree, found = plan("add(linear2(max(linear1(x), x)), x)", linear1=20.0)
    assert set(fractions(tree, found).values()) == {10}


def test_factors_and_product_have_their_own():
    tree, found = plan("linear2(mul(linear1(x), x))", linear1=20.0, mul=100.0)
    assert fractions(tree, found) == {"x": 14, "linear2": 14, "linear1": 10, "mul": 8}


def test_what_only_a_flat_function_reads_need_not_reach_far():
    tree, found = plan("tanh(linear2(relu(linear1(x))))", linear2=500.0, tanh=1.0)
    assert fractions(tree, found)["linear2"] == 12
    tree, found = plan("linear2(sigmoid(linear1(x)))", linear1=500.0, sigmoid=1.0, headroom=1.5)
    assert fractions(tree, found) == {"linear1": 11, "sigmoid": 14, "linear2": 14, "x": 14}


def test_what_others_read_too_reaches_as_far_as_it_goes():
    _, found = plan("linear2(add(linear1(x), tanh(x)))", x=500.0)
    assert found.residual == 6


def test_a_range_beyond_16_bits_is_refused():
    with pytest.raises(NetworkError) as error:
        plan("linear2(mul(linear1(x), x))", mul=40000.0)
    message = "m.ffn.0.mul(linear1(x), x): must be from 0 to 32767 with its headroom, not 40000"
    assert str(error.value) == message

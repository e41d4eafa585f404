"""Feed-forward expressions: what is in the space, what is not, and what each message says."""

import pytest

from model.checks import NetworkError
from model.expression import BERT, BIT, FeedForward, Node, linear_inputs, parse, widths


def test_a_text_becomes_a_tree_and_back() -> None:
    tree = parse(" linear2( gelu(linear1(max(x , tanh(x)))) ) ")
    assert str(tree) == "linear2(gelu(linear1(max(x, tanh(x)))))"
    assert parse(str(tree)) == tree
    assert tree.height == 5
    assert [node.name for node in tree.walk()] == ["x", "x", "tanh", "max", "linear1", "gelu", "linear2"]


@pytest.mark.parametrize("text", [BERT, BIT, "add(x, linear2(relu(linear1(x))))", "tanh(linear2(elu(linear1(x))))"])
def test_expressions_of_the_space(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expression: must be a text of 1 to 500 characters, not ''"),
        (3, "expression: must be a text of 1 to 500 characters, not 3"),
        ("linear2(gelu(linear1(x)))x", "expression: must end after its first term, not go on with 'x' in "),
        ("linear2(gelu(linear1(x))", "expression: must have ')' after ')', not 'the end' in "),
        ("linear2(gelu(linear1(", "expression: must be complete, not stop early in "),
        ("linear2 + x", "expression: must be of names, brackets and commas, not ' + x'"),
        (
            "linear2(gelo(linear1(x)))",
            "expression: must use x, linear1, linear2, relu, gelu, sigmoid, tanh, leaky_relu, elu, swish, add, mul",
        ),
        ("linear2(add(linear1(x)))", "expression: must have ',' after ')', not ')' in "),
        ("linear2(gelu(x))", "expression: must use linear1 once, not 0 times in "),
        ("linear2(add(linear1(x), linear1(x)))", "expression: must use linear1 once, not 2 times in "),
        ("linear1(gelu(linear2(x)))", "expression: must use linear1 before linear2, not after it in "),
        ("linear2(linear1(relu(x)))", "expression: must have no linear2 directly on linear1, as in "),
        ("linear2(relu(tanh(linear1(x))))", "expression: must have no relu directly on tanh, as in "),
        ("linear2(add(relu(linear1(add(x, x))), x))", "expression: must combine two different terms, not 'add(x, x)'"),
        ("mul(linear1(x), linear2(x))", "expression: must be 3 to 7 operations high, not 2 in "),
        (
            "max(relu(linear2(relu(linear1(x)))), linear2(x))",
            "expression: must use linear2 once, not 2 times in ",
        ),
    ],
)
def test_what_is_refused(text: object, message: str) -> None:
    with pytest.raises(NetworkError) as error:
        parse(text)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_the_result_has_the_channels_of_x() -> None:
    with pytest.raises(NetworkError, match="must end with as many channels as x"):
        parse("add(relu(linear1(x)), linear2(tanh(x)))")


def test_heights() -> None:
    assert Node("x").height == 0
    deep = "linear2(relu(linear1(tanh(add(x, relu(max(x, tanh(x))))))))"
    with pytest.raises(NetworkError, match="3 to 7 operations high, not 8"):
        parse(deep)


def test_widths_follow_the_narrower_argument() -> None:
    tree = parse("linear2(relu(mul(linear1(x), x)))")
    assert widths(tree, 8, 4)[tree.arguments[0].arguments[0]] == 4
    assert linear_inputs(tree, 8, 4) == {"linear1": 8, "linear2": 4}
    assert linear_inputs(tree, 8, 16) == {"linear1": 8, "linear2": 8}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stack": 0, "width": 4}, "stack: must be an integer from 1 to 4, not 0"),
        ({"stack": True, "width": 4}, "stack: must be an integer from 1 to 4, not True"),
        ({"width": 0}, "width: must be an integer from 1 to 65535, not 0"),
        ({"width": 1.5}, "width: must be an integer from 1 to 65535, not 1.5"),
    ],
)
def test_wrong_feed_forwards(values: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError) as error:
        FeedForward(**values)  # type: ignore[arg-type]
    assert str(error.value) == message

"""Graphs: order, use, layers, and what a value needs."""

import pytest

from model.checks import NetworkError
from model.graph import binary_layers, infer_values, needed, require_used
from model.operations import Binarize, Concatenate, Matmul
from model.synthetic import random_layer
from model.values import codes, tokens
from tests.model.small import bits, make, operations


def refused(function, *arguments):
    with pytest.raises(NetworkError) as error:
        function(*arguments)
    return str(error.value)


def test_every_operation_has_a_value():
    made = operations()
    values = infer_values(made, tokens(4))
    assert list(values) == ["input", *(at.name for at in made)]
    assert str(values["classify"]) == "logits [3]"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("normalis", "not 'normalis'; did you mean 'normalise'?"),
        ("classify", "not 'classify'; an operation stands after what it reads"),
        ("table", "not 'table'; an operation stands after what it reads"),
        ("", "not ''"),
    ],
)
def test_a_source_that_is_not_before(source, message):
    made = operations(table={"sources": (source,)})
    expected = f"table.sources[0]: must be the input or an operation before, {message}"
    assert refused(infer_values, made, tokens(4)) == expected


def test_a_cycle():
    made = [make("add", name="a", sources=("b", "b")), make("add", name="b", sources=("a", "a"))]
    expected = (
        "a.sources[0]: must be the input or an operation before, not 'b'; an operation stands after what it reads"
    )
    assert refused(infer_values, made, tokens(4)) == expected


def test_names_that_stand_twice():
    made = [make("embed"), make("embed")]
    assert refused(infer_values, made, tokens(4)) == "operations: must be of different names, not 'embed'"


def test_a_value_that_nothing_uses():
    made = operations()
    require_used(made, ("classify",))
    assert refused(require_used, made, ()) == "classify: must be used by an operation or a member, not left over"
    assert refused(require_used, made[:1], ()) == "embed: must be used by an operation or a member, not left over"


def test_what_a_value_needs():
    made = operations()
    assert needed(made, "classify") == made
    assert [at.name for at in needed(made, "concatenate")] == ["embed", "normalise", "binarize", "concatenate"]
    assert needed(made, "input") == ()


def layers_of(*made, set="signed", bits=1):
    return list(binary_layers(made, infer_values(made, codes(9, set, bits))))


def pair(layer, source="input", suffix=""):
    matmul = Matmul(layer.name, (source,), layer.inputs, layer.outputs, layer.weights)
    after = Binarize(f"bits{suffix}", (layer.name,), "signed", layer.thresholds, layer.polarity)
    return matmul, after


def test_a_layer_is_a_matmul_of_bits_and_the_binarize_that_alone_reads_it():
    layer = random_layer(9, 5, "unsigned", 0, "up")
    matmul, after = pair(layer)
    assert layers_of(matmul, after, set="unsigned") == [layer]
    assert layers_of(matmul, after, set="signed") == [random_layer(9, 5, "signed", 0, "up")]


def test_what_is_no_layer():
    matmul, after = pair(random_layer(9, 5, "signed", 0, "up"))
    assert layers_of(matmul) == []
    assert layers_of(matmul, after, bits=2) == []
    assert layers_of(matmul, after, pair(random_layer(9, 5, "signed", 0, "up"), suffix="2")[1]) == []
    other = make("requantise", sources=("up",), multiplier=make("requantise").multiplier[:5], addend=after.thresholds)
    assert layers_of(matmul, other) == []


def test_the_layers_stand_in_the_order_of_the_file():
    first, second = random_layer(9, 5, "signed", 0, "z"), random_layer(10, 3, "signed", 0, "a")
    twice = Concatenate("twice", ("bits", "bits"))
    made = (*pair(first), twice, *pair(second, "twice", "2"))
    assert [layer.name for layer in layers_of(*made)] == ["z", "a"]
    assert make("matmul", weights=bits(9, 18, 3)) == make("matmul")

"""The shape of a member: defaults, what is refused, and the way through plain data."""

import pytest

from model.checks import NetworkError
from model.expression import FeedForward
from model.shape import Precision, Shape


def test_defaults() -> None:
    shape = Shape(100, 2)
    assert (shape.layers, shape.hidden, shape.heads, shape.positions) == (2, 128, 2, 64)
    assert shape.ffn == (FeedForward(width=512),) * 2
    assert (shape.pooling, shape.pooler) == ("first", True)
    assert shape.precision.label == "1-1-1"
    assert Precision.uniform(32, 32, 32).label == "32-32-32"
    assert Precision(ffn_inner=4).label == "1-1-4"


def test_plain_data_and_back() -> None:
    ffn = (FeedForward(stack=2, width=3), FeedForward("linear2(gelu(linear1(x)))", 1, 5))
    shape = Shape(7, 3, layers=2, hidden=6, heads=3, ffn=ffn, precision=Precision(projection=4), attention="boolean")
    assert Shape.from_dict(shape.to_dict()) == shape
    headless = shape.replace(pooling="mean", pooler=False)
    assert Shape.from_dict(headless.to_dict()) == headless != shape
    assert Shape.from_dict({"vocabulary": 7, "classes": 2, "ffn": {"width": 9}}).ffn == (FeedForward(width=9),) * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layers": 0}, "layers: must be an integer from 1 to 48, not 0"),
        ({"layers": True}, "layers: must be an integer from 1 to 48, not True"),
        ({"hidden": 4097}, "hidden: must be an integer from 1 to 4096, not 4097"),
        ({"heads": 3}, "heads: must divide hidden, 128, not 3"),
        ({"heads": 257}, "heads: must be an integer from 1 to 256, not 257"),
        ({"vocabulary": 0}, "vocabulary: must be an integer from 1 to 65536, not 0"),
        ({"positions": 1025}, "positions: must be an integer from 1 to 1024, not 1025"),
        ({"types": "2"}, "types: must be an integer from 1 to 16, not '2'"),
        ({"classes": 0}, "classes: must be an integer from 1 to 1024, not 0"),
        ({"attention": "soft"}, "attention: must be one of softmax, boolean, threshold, not 'soft'"),
        ({"weight_scale": "row"}, "weight_scale: must be one of tensor, channel, not 'row'"),
        ({"pooling": "max"}, "pooling: must be one of first, mean, not 'max'"),
        ({"elastic": 1}, "elastic: must be true or false, not 1"),
        ({"pooler": 3}, "pooler: must be true or false, not 3"),
        ({"dropout": 1}, "dropout: must be from 0 to below 1, not 1"),
        (
            {"split": True, "ffn": (FeedForward(width=32768),)},
            "split: must be false for a layer of more than 32767 inputs, which it would read twice, not true for 32768",
        ),
        ({"ffn": (FeedForward(width=1),) * 3}, "ffn: must be one for all layers or one for each of 2, not 3"),
    ],
)
def test_what_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError) as error:
        Shape(**({"vocabulary": 100, "classes": 2} | values))  # type: ignore[arg-type]
    assert str(error.value) == message


def test_the_widest_layer_that_can_be_split() -> None:
    Shape(100, 2, split=True, ffn=(FeedForward(width=32767),))
    Shape(100, 2, ffn=(FeedForward(width=65535),))
    narrower = FeedForward("linear2(add(relu(x), linear1(x)))", width=65535)
    Shape(100, 2, split=True, ffn=(narrower,))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": 4}, "precision.weights: must be one of 1, 2, 32, not 4"),
        ({"embedding": 2}, "precision.embedding: must be one of 1, 32, not 2"),
        ({"value": 3}, "precision.value: must be one of 1, 2, 4, 8, 32, not 3"),
        ({"pooler": True}, "precision.pooler: must be one of 1, 2, 4, 8, 32, not True"),
    ],
)
def test_wrong_precisions(values: dict[str, int], message: str) -> None:
    with pytest.raises(NetworkError) as error:
        Precision(**values)
    assert str(error.value) == message


def test_unknown_keys_are_refused_with_a_hint() -> None:
    with pytest.raises(NetworkError) as error:
        Shape.from_dict({"vocabulary": 9, "classes": 2, "hiden": 4})
    assert "shape.hiden: must be one of vocabulary" in str(error.value)
    assert str(error.value).endswith("did you mean 'hidden'?")
    with pytest.raises(NetworkError, match=r"precision\.wieghts: must be one of weights"):
        Shape.from_dict({"vocabulary": 9, "classes": 2, "precision": {"wieghts": 1}})

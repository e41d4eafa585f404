"""The binary layer: what it holds and what it refuses."""

import numpy as np
import pytest

from model.binary_layer import BinaryLayer
from model.checks import NetworkError


def layer(**changes):
    values = {
        "name": "up",
        "inputs": 9,
        "outputs": 2,
        "input_set": "signed",
        "weights": np.array([[255, 1], [0, 0]], np.uint8),
        "thresholds": np.array([-9, 10], np.int32),
        "polarity": np.array([0, 1], np.uint8),
    }
    return BinaryLayer(**{**values, **changes})


def test_layer_holds_read_only_copies():
    weights = np.array([[255, 1], [0, 0]], np.uint8)
    made = layer(weights=weights)
    weights[0, 0] = 0
    assert made.weights.tolist() == [[255, 1], [0, 0]]
    assert made.weight_bits.tolist() == [[1] * 9, [0] * 9]
    for part in (made.weights, made.thresholds, made.polarity):
        assert not part.flags.writeable


def test_layer_equality():
    assert layer() == layer()
    assert hash(layer()) == hash(layer())
    assert layer() != layer(name="down")
    assert layer() != layer(input_set="unsigned")
    assert layer() != layer(polarity=np.array([1, 1], np.uint8))
    assert layer() != "up"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, "name: must be 1 to 189 letters, digits, '_' or '.', not 'a b'"),
        ({"name": ""}, "name: must be 1 to 189 letters, digits, '_' or '.', not ''"),
        ({"name": "up\n"}, "name: must be 1 to 189 letters, digits, '_' or '.', not 'up\\n'"),
        ({"name": "é"}, "name: must be 1 to 189 letters, digits, '_' or '.', not 'é'"),
        ({"name": 3}, "name: must be 1 to 189 letters, digits, '_' or '.', not 3"),
        ({"name": "n" * 190}, f"name: must be 1 to 189 letters, digits, '_' or '.', not '{'n' * 76}..."),
        ({"name": "input"}, "name: must be other than 'input', which is the network's input, not 'input'"),
        ({"inputs": 0}, "up.inputs: must be an integer from 1 to 65535, not 0"),
        ({"inputs": True}, "up.inputs: must be an integer from 1 to 65535, not True"),
        ({"outputs": 65536}, "up.outputs: must be an integer from 1 to 65535, not 65536"),
        (
            {"input_set": "unsinged"},
            "up.input_set: must be one of signed, unsigned, not 'unsinged'; did you mean 'unsigned'?",
        ),
        ({"weights": [[1]]}, "up.weights: must be a numpy array, not a list"),
        ({"weights": np.zeros((2, 2), np.int8)}, "up.weights: must be uint8 [2, 2], not int8 [2, 2]"),
        ({"weights": np.zeros((2, 3), np.uint8)}, "up.weights: must be uint8 [2, 2], not uint8 [2, 3]"),
        (
            {"weights": np.array([[0, 0], [0, 2]], np.uint8)},
            "up.weights[1]: must be 0 in the bits after the first 9, not 2",
        ),
        ({"thresholds": np.zeros(2, np.int64)}, "up.thresholds: must be int32 [2], not int64 [2]"),
        ({"thresholds": np.zeros(2, ">i4")}, "up.thresholds: must be int32 [2], not >i4 [2]"),
        ({"thresholds": np.array([0, 11], np.int32)}, "up.thresholds[1]: must be from -9 to 10, not 11"),
        ({"thresholds": np.array([-10, 0], np.int32)}, "up.thresholds[0]: must be from -9 to 10, not -10"),
        ({"polarity": np.zeros(3, np.uint8)}, "up.polarity: must be uint8 [2], not uint8 [3]"),
        ({"polarity": np.zeros(2, bool)}, "up.polarity: must be uint8 [2], not bool [2]"),
        ({"polarity": np.array([0, 2], np.uint8)}, "up.polarity[1]: must be 0 or 1, not 2"),
    ],
)
def test_layer_refuses(changes, message):
    with pytest.raises(NetworkError) as error:
        layer(**changes)
    assert str(error.value) == message

import hashlib

import numpy as np
import pytest

from model.bits import unpack
from model.network import NetworkError
from model.synthetic import random_activations, random_layer


def test_layer_is_the_same_everywhere_and_differs_by_seed():
    layer = random_layer(70, 33, "signed", 5)
    parts = (layer.weights.tobytes(), layer.thresholds.tobytes(), layer.polarity.tobytes())
    assert hashlib.sha256(b"".join(parts)).hexdigest()[:16] == "5d5ec081c96b456c"
    assert layer == random_layer(70, 33, "signed", 5)
    assert layer != random_layer(70, 33, "signed", 6)
    assert layer.name == "layer"
    assert random_layer(1, 1, "signed", 0, name="ffn1").name == "ffn1"


@pytest.mark.parametrize("inputs", [1, 2, 3, 7, 8, 9, 64, 768, 3072])
@pytest.mark.parametrize("outputs", [1, 8, 100])
@pytest.mark.parametrize("input_set", ["signed", "unsigned"])
def test_layer_has_rare_channels_and_both_polarities(inputs, outputs, input_set):
    layer = random_layer(inputs, outputs, input_set, 1)
    assert (layer.inputs, layer.outputs, layer.input_set) == (inputs, outputs, input_set)
    if outputs >= 8:
        assert set(layer.polarity.tolist()) == {0, 1}
        assert {-inputs, inputs + 1} <= set(layer.thresholds.tolist())


def test_thresholds_are_as_wide_as_the_sums():
    layer = random_layer(768, 2000, "signed", 2)
    usual = layer.thresholds[np.abs(layer.thresholds) < 700]
    assert abs(usual.mean()) < 3
    assert 24 < usual.std() < 32
    assert 0.2 < layer.polarity.mean() < 0.3


@pytest.mark.parametrize("inputs", [1, 2, 8, 77, 768])
def test_activations_have_the_stated_densities(inputs):
    ones = unpack(random_activations(24, inputs, 3), inputs).sum(1).reshape(3, 8)
    assert (ones[:, 1] == 0).all()
    assert (ones[:, 2] == 1).all()
    assert (ones[:, 5] == inputs - 1).all()
    assert (ones[:, 6] == inputs).all()
    if inputs == 768:
        for column, density in ((0, 0.5), (3, 0.125), (4, 0.5), (7, 0.875)):
            assert np.abs(ones[:, column] / inputs - density).max() < 0.08


def test_activations_are_packed_and_the_same_for_a_seed():
    first = random_activations(9, 11, 4)
    assert (first.dtype, first.shape) == (np.uint8, (9, 2))
    assert np.array_equal(first, random_activations(9, 11, 4))
    assert not np.array_equal(first, random_activations(9, 11, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_layer(0, 1, "signed", 0), "inputs: must be an integer from 1 to 65535, not 0"),
        (lambda: random_layer(1, 65536, "signed", 0), "outputs: must be an integer from 1 to 65535, not 65536"),
        (
            lambda: random_layer(1, 1, "signd", 0),
            "input_set: must be one of signed, unsigned, not 'signd'; did you mean 'signed'?",
        ),
        (lambda: random_layer(1, 1, "signed", -1), f"seed: must be an integer from 0 to {2**63 - 1}, not -1"),
        (lambda: random_layer(1, 1, "signed", True), f"seed: must be an integer from 0 to {2**63 - 1}, not True"),
        (lambda: random_activations(0, 1, 0), "rows: must be an integer from 1 to 1048576, not 0"),
        (lambda: random_activations(1, 1.0, 0), "inputs: must be an integer from 1 to 65535, not 1.0"),
        (lambda: random_activations(1, 1, None), f"seed: must be an integer from 0 to {2**63 - 1}, not None"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(NetworkError) as error:
        call()
    assert str(error.value) == message

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from model import tensorfile
from model.network import BinaryLayer, Network, NetworkError, read_network, write_network
from model.synthetic import random_layer

ROOT = Path(__file__).parents[2]
DIGEST = "eb37b0cf21d147f08fb9b6f72d7cab0ceb27beab27e401fc3b660d8680aede01"


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


def python(code, seed="0"):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


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


@pytest.mark.parametrize(
    ("layers", "provenance", "message"),
    [
        ((), {}, "layers: must be one or more BinaryLayer objects, not ()"),
        (("up",), {}, "layers: must be one or more BinaryLayer objects, not ('up',)"),
        ((layer(), layer()), {}, "layers: must be of different names, not 'up'"),
        ((layer(), layer(name="down")), {}, "down.inputs: must be 2, the outputs of up, not 9"),
        ((layer(),), ["seed"], "provenance: must be an object of texts, not ['seed']"),
        ((layer(),), {"a b": ""}, "provenance key: must be 1 to 200 letters, digits, '_' or '.', not 'a b'"),
        ((layer(),), {"a": 1}, "provenance.a: must be a text of at most 1000 printable characters, not 1"),
        ((layer(),), {"a": "b\n"}, "provenance.a: must be a text of at most 1000 printable characters, not 'b\\n'"),
        ((layer(),), {str(n): "" for n in range(65)}, "provenance: must be at most 64 texts, not 65"),
    ],
)
def test_network_refuses(layers, provenance, message):
    with pytest.raises(NetworkError) as error:
        Network(layers, provenance)
    assert str(error.value) == message


def test_network_properties(network):
    assert (network.inputs, network.outputs) == (20, 5)
    assert network.digest == hashlib.sha256(network.to_bytes()).hexdigest()
    assert Network(list(network.layers), dict(reversed(network.provenance.items()))) == network
    assert hash(Network(network.layers, network.provenance)) == hash(network)
    assert Network(network.layers) != network
    assert network != "network"
    assert pickle.loads(pickle.dumps(network)) == network


def test_round_trip(network, tmp_path):
    write_network(network, tmp_path / "file")
    read = read_network(str(tmp_path / "file"))
    assert read == network
    assert read.to_bytes() == network.to_bytes() == (tmp_path / "file").read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("inputs", [1, 7, 8, 9, 65535])
def test_round_trip_of_sizes(inputs):
    network = Network((random_layer(inputs, 3, "unsigned", inputs),))
    assert Network.from_bytes(network.to_bytes()) == network


def test_the_bytes_are_what_they_were(network):
    assert network.digest == DIGEST


def test_the_bytes_do_not_depend_on_the_hash_seed_and_need_no_torch():
    code = """
import sys
import model, model.network, model.synthetic, model.fold
assert not {"torch", "amaranth", "hw", "sim", "mapping"} & set(sys.modules), sorted(sys.modules)
up = model.synthetic.random_layer(20, 9, "signed", 1, "up")
down = model.synthetic.random_layer(9, 5, "unsigned", 2, "down")
print(model.network.Network((up, down), dict([PAIRS])).digest)
"""
    pairs = ['("dataset", "made up")', '("commit", "0123abc")']
    for seed in ("1", "2"):
        assert python(code.replace("PAIRS", ", ".join(pairs)), seed) == DIGEST
        pairs.reverse()


def test_a_safetensors_reader_reads_the_file(network, tmp_path):
    write_network(network, tmp_path / "file")
    tensors = safetensors.numpy.load_file(tmp_path / "file")
    assert len(tensors) == 6
    assert np.array_equal(tensors["up.weights"], network.layers[0].weights)
    assert np.array_equal(tensors["down.thresholds"], network.layers[1].thresholds)
    with safetensors.safe_open(tmp_path / "file", "numpy") as file:
        manifest = json.loads(file.metadata()["manifest"])
    assert [operation["op"] for operation in manifest["operations"]] == ["binary_linear", "binary_linear"]


def test_a_safetensors_writer_writes_files_that_we_read(network, forge):
    tensors = {
        f"{at.name}.{part}": getattr(at, part)
        for at in network.layers
        for part in ("weights", "thresholds", "polarity")
    }
    assert Network.from_bytes(safetensors.numpy.save(tensors, forge.metadata)) == network


def test_reading_copies_nothing(network):
    data = network.to_bytes()
    read = Network.from_bytes(data)
    whole = np.frombuffer(data, np.uint8)
    assert all(np.shares_memory(whole, part) for at in read.layers for part in (at.weights, at.thresholds, at.polarity))


def test_a_link_to_a_file_is_read(network, tmp_path):
    write_network(network, tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_network(tmp_path / "link") == network


def test_a_failed_write_leaves_the_old_file(network, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorfile.os, "fsync", full)
    with pytest.raises(NetworkError) as error:
        write_network(network, path)
    assert str(error.value) == f"{path}: file: must be writable, not fail with: No space left on device"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_flushed_before_it_is_renamed(network, tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        plain = getattr(os, name)
        monkeypatch.setattr(tensorfile.os, name, lambda *a, plain=plain, name=name: (calls.append(name), plain(*a)))
    write_network(network, tmp_path / "file")
    assert calls == ["fsync", "replace", "fsync"]

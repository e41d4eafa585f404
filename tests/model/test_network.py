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
from model.network import Member, Network, NetworkError, read_network, write_network
from model.synthetic import random_layer
from model.values import codes, tokens
from tests.model.small import make, operations, whole

ROOT = Path(__file__).parents[2]
CHAIN = "d73eff6c6b367379c52f30e9244f322097737595baec84ead5dd4d1551fb3d7f"
WHOLE = "e3081442d1c875b4df484bfeac5cbcc8b7fe935e1de2fcd7377eecb0b636d7c1"


def python(code, seed="0"):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


MEMBER = Member("one", "classify", 3)
NETWORKS = [
    ({"operations": ()}, "operations: must be one or more, not ()"),
    ({"operations": ("up",)}, "operations: must be Operation objects, not ('up',)"),
    ({"operations": "up"}, "operations: must be Operation objects, not 'up'"),
    ({"operations": operations()[:1]}, "one.output: must be the name of logits, not 'classify'"),
    ({"input": None}, "input: must be tokens or codes, not None"),
    ({"input": tokens(5)}, "embed.positions: must be at least 5, the rows of the network's input, not 4"),
    (
        {"input": codes(9, "signed")},
        "embed.sources[0]: must be tokens, not the signed 1-bit codes [n, 9] of 'input'",
    ),
    ({"members": (3,)}, "members: must be Member objects, not (3,)"),
    ({"members": (MEMBER, MEMBER)}, "members: must be of different names, not 'one'"),
    ({"members": (), "labels": ()}, "vote: must be None without members, not 'soft'"),
    ({"members": (), "vote": None}, "labels: must be one for each of 0 classes, or none, not 3"),
    ({"vote": "mean"}, "one.output: must be of 1 class with this vote, not 3"),
    ({"vote": None}, "vote: must be one of soft, hard, mean, not None"),
    ({"labels": ("a", "b")}, "labels: must be one for each of 3 classes, or none, not 2"),
    ({"tokenizer": b""}, "tokenizer: must be 1 to 4194304 bytes, or None, not b''"),
    ({"tokenizer": "text"}, "tokenizer: must be 1 to 4194304 bytes, or None, not 'text'"),
    ({"tokenizer": bytes((4 << 20) + 1)}, "tokenizer: must be 1 to 4194304 bytes, or None, not b'\\x00\\x00"),
    ({"fraction": 1}, "fraction: must be an integer from 0 to 0, not 1"),
    ({"provenance": ["seed"]}, "provenance: must be an object of texts, not ['seed']"),
    ({"provenance": {"a b": ""}}, "provenance key: must be 1 to 200 letters, digits, '_' or '.', not 'a b'"),
    ({"provenance": {"a": 1}}, "provenance.a: must be a text of at most 1000 printable characters, not 1"),
    ({"provenance": {"a": "b\n"}}, "provenance.a: must be a text of at most 1000 printable characters, not 'b\\n'"),
    ({"provenance": {str(n): "" for n in range(65)}}, "provenance: must be at most 64 texts, not 65"),
]


@pytest.mark.parametrize(("changes", "message"), NETWORKS, ids=range(len(NETWORKS)))
def test_a_wrong_network(changes, message):
    with pytest.raises(NetworkError) as error:
        whole(**changes)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((), "layers: must be one or more BinaryLayer objects, not ()"),
        (("up",), "layers: must be one or more BinaryLayer objects, not ('up',)"),
        ((random_layer(9, 2, "signed", 0),) * 2, "operations: must be of different names, not 'layer'"),
        (
            (random_layer(9, 2, "signed", 0, "a"), random_layer(9, 2, "signed", 0, "b")),
            "b.sources[0]: must be of 9 channels, not the signed 1-bit codes [n, 2] of 'a.bits'",
        ),
    ],
)
def test_a_wrong_chain(layers, message):
    with pytest.raises(NetworkError) as error:
        Network.chain(layers)
    assert str(error.value) == message


def test_a_chain_gives_its_layers_back(network):
    assert network.layers == (random_layer(20, 9, "signed", 1, "up"), random_layer(9, 5, "unsigned", 2, "down"))
    assert (network.input, network.limit) == (codes(20, "signed"), 1024)
    assert (network.outputs, network.members, network.classes, network.vote) == (("down.bits",), (), 0, None)
    assert network.values["up.bits"] == codes(9, "unsigned")
    assert network.values["down.bits"] == codes(5, "unsigned")
    assert Network.chain(network.layers).values["down.bits"] == codes(5, "signed")


def test_network_properties(network):
    assert network.digest == hashlib.sha256(network.to_bytes()).hexdigest()
    again = Network(list(network.operations), network.input, provenance=dict(reversed(network.provenance.items())))
    assert again == network
    assert hash(again) == hash(network)
    assert Network.chain(network.layers) != network
    assert network != "network"
    assert pickle.loads(pickle.dumps(network)) == network
    assert pickle.loads(pickle.dumps(whole())) == whole()


def test_a_whole_network():
    network = whole()
    assert (network.classes, network.limit, network.outputs) == (3, 4, ("classify", "classify"))
    assert network.weight_bits == 162
    assert (
        network.size_bits()
        == network.size_bits("two")
        == {
            "classifier": 27 * 8 + 3 * 32,
            "embedding": 45 + 5 * 16,
            "multipliers": 4 * 9 * 48,
            "normalisation": 9 * 48,
            "positions": 54 * 16,
            "tables": 257 * 16 + 4 * 16 + 3 * 32,
            "thresholds": 9 * 33 + 3 * 32,
            "weights": 162,
        }
    )
    assert network.member_operations("one") == network.operations


def test_members_may_share_operations():
    start = operations()
    row = make("maximum", name="row", sources=("first", "mean"))
    own = (row, make("classify", name="c", sources=("row",), bias=np.zeros(3, np.int32)))
    members = (Member("one", "classify", 1), Member("two", "c", 1))
    network = whole(operations=(*start, *own), members=members)
    assert network.member_operations("one") == start
    assert network.member_operations("two") == (*start[: -len(own)], *own)
    assert network.size_bits("two")["weights"] == network.weight_bits == 162
    assert network.size_bits()["classifier"] == 2 * network.size_bits("two")["classifier"]
    assert network != whole(operations=(*start, *own), members=members[::-1])
    with pytest.raises(NetworkError, match=r"^member: must be one of one, two, not 'twoo'; did you mean 'two'\?$"):
        network.member_operations("twoo")


@pytest.mark.parametrize("name", ["whole", "chain", "plain", "mean"])
def test_round_trip(name, network, tmp_path):
    mean = make("classify", weights=np.ones((1, 9), np.int8), bias=np.zeros(1, np.int32))
    made = {
        "whole": whole(),
        "chain": network,
        "plain": whole(labels=(), tokenizer=None, vote="hard", provenance={}),
        "mean": whole(operations=(*operations()[:-1], mean), vote="mean", labels=("likeness",), fraction=9),
    }[name]
    write_network(made, tmp_path / "file")
    read = read_network(str(tmp_path / "file"))
    assert read == made
    assert read.to_bytes() == made.to_bytes() == (tmp_path / "file").read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("inputs", [1, 7, 8, 9, 65535])
def test_round_trip_of_sizes(inputs):
    network = Network.chain((random_layer(inputs, 3, "unsigned", inputs),))
    assert Network.from_bytes(network.to_bytes()) == network


def test_the_bytes_are_what_they_were(network):
    assert network.digest == CHAIN
    assert whole().digest == WHOLE


def test_the_bytes_do_not_depend_on_the_hash_seed_and_need_no_torch():
    code = """
import sys
import model, model.network, model.synthetic, model.fold
import tests.model.small as small
assert not {"torch", "amaranth", "hw", "sim", "mapping"} & set(sys.modules), sorted(sys.modules)
up = model.synthetic.random_layer(20, 9, "signed", 1, "up")
down = model.synthetic.random_layer(9, 5, "unsigned", 2, "down")
print(model.network.Network.chain((up, down), "unsigned", dict([PAIRS])).digest, small.whole().digest)
"""
    pairs = ['("dataset", "made up")', '("commit", "0123abc")']
    for seed in ("1", "2"):
        assert python(code.replace("PAIRS", ", ".join(pairs)), seed) == f"{CHAIN} {WHOLE}"
        pairs.reverse()


def test_a_safetensors_reader_reads_the_file(tmp_path):
    network = whole()
    write_network(network, tmp_path / "file")
    tensors = safetensors.numpy.load_file(tmp_path / "file")
    assert tensors.pop("tokenizer").tobytes() == network.tokenizer
    for operation in network.operations:
        for part, array in operation.arrays.items():
            found = tensors.pop(f"{operation.name}.{part}")
            assert found.dtype == array.dtype and np.array_equal(found, array)
    assert tensors == {}
    with safetensors.safe_open(tmp_path / "file", "numpy") as file:
        manifest = json.loads(file.metadata()["manifest"])
    assert [operation["op"] for operation in manifest["operations"]] == [at.op for at in network.operations]


def test_a_safetensors_writer_writes_files_that_we_read():
    network = whole()
    data = network.to_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    tensors = {f"{at.name}.{part}": array for at in network.operations for part, array in at.arrays.items()}
    tensors["tokenizer"] = np.frombuffer(network.tokenizer, np.uint8)
    assert Network.from_bytes(safetensors.numpy.save(tensors, metadata)) == network


def test_reading_copies_nothing_but_the_tokenizer():
    data = whole().to_bytes()
    read = Network.from_bytes(data)
    file = np.frombuffer(data, np.uint8)
    assert all(np.shares_memory(file, array) for at in read.operations for array in at.arrays.values())


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

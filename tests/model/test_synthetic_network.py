"""Made-up networks: legal, the same everywhere, of every kind, with balanced bits and with ties."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.checks import NetworkError
from model.integer import IntegerNetwork
from model.network import Network
from model.operation import OPERATIONS
from model.synthetic_builder import Draw
from model.synthetic_network import random_network, random_sentences, random_sketch

ROOT = Path(__file__).parents[2]
DIGEST = "062a50d0065383f5d980c953a211e164aac1c0e11f30ba2dc277a832288dd27d"
SMALL = {"layers": 1, "width": 21, "heads": 3, "inner": 20, "limit": 7}


def run(network, count=12):
    ids, types = random_sentences(network, count, 0)
    return IntegerNetwork(network).run(ids, types, keep="all")


def numbers(result, name):
    """Return all numbers of a value, of all sentences."""
    return np.concatenate([values[name].flatten() for values in result.values])


def test_the_same_everywhere():
    code = "from model.synthetic_network import random_network; print(random_network(5).digest)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == random_network(5).digest == DIGEST
    assert random_network(6).digest != DIGEST


def test_sketches_cover_what_the_format_allows():
    sketches = [random_sketch(seed) for seed in range(200)]
    for name, wanted in {
        "layers": {0, 1, 2, 3},
        "heads": {1, 2, 3, 4},
        "bits": {1, 2, 4, 8},
        "attention_bits": {1, 2, 4, 8},
        "attention": {"row", "head"},
        "feed_forward": {"plain", "table", "multiply", "maximum", "add"},
        "stack": {1, 2},
        "ternary": {False, True},
        "members": {1, 2, 3, 4},
        "shared": {False, True},
        "vote": {"soft", "hard", "mean"},
        "classes": {1, 2, 3, 7},
        "types": {1, 2, 3},
        "pooling": {"first", "mean"},
        "pooler": {False, True},
    }.items():
        assert {getattr(sketch, name) for sketch in sketches} == wanted
    widths = [sketch.width for sketch in sketches]
    assert 16 <= min(widths) < 32 and 200 < max(widths) <= 256
    assert sum(width % 2 for width in widths) > 40
    assert all(
        sketch.width % sketch.heads == 0 and (sketch.classes == 1) == (sketch.vote == "mean") for sketch in sketches
    )


def test_what_is_fixed_stays():
    sketch = random_sketch(3, layers=2, width=40, heads=4, vote="mean")
    assert (sketch.layers, sketch.width, sketch.heads, sketch.vote, sketch.classes) == (2, 40, 4, "mean", 1)
    assert random_sketch(3, layers=2) == random_sketch(3, layers=2) != random_sketch(4, layers=2)


def test_wrong_sketches():
    with pytest.raises(TypeError, match=r"^sketch must be of layers, .*, not 'layer'; did you mean 'layers'\?$"):
        random_sketch(0, layer=1)
    for seed in (-1, True, 1.0):
        with pytest.raises(NetworkError, match=r"^seed: must be an integer from 0 to 9223372036854775807, not "):
            random_sketch(seed)


@pytest.mark.parametrize("feed_forward", ["plain", "table", "multiply", "maximum", "add"])
@pytest.mark.parametrize(("bits", "attention"), [(1, "row"), (2, "head"), (4, "row"), (8, "row")])
def test_networks_are_legal_and_alive(feed_forward, bits, attention):
    network = random_network(
        bits, **SMALL, feed_forward=feed_forward, bits=bits, attention=attention, stack=2, members=2
    )
    assert Network.from_bytes(network.to_bytes()) == network
    result = run(network)
    for operation in network.operations:
        found = numbers(result, operation.name)
        assert found.min() < found.max() or operation.op in ("row_threshold", "head_threshold"), operation.name
        if operation.op == "binarize":
            assert 0.3 < found.mean() < 0.7, operation.name
    last = network.members[0].output
    assert len(np.unique(numbers(result, last))) > 4


def test_all_operations_occur():
    ops = {at.op for seed in range(12) for at in random_network(seed, **SMALL, members=1).operations}
    assert ops == set(OPERATIONS)


def test_ties_occur():
    network = random_network(1, **SMALL, bits=1, attention="row", attention_bits=1, members=1)
    result = run(network, 40)
    values = network.values
    ties = {"sums": 0, "fixed": 0}
    for operation in network.operations:
        if operation.op == "binarize":
            source = np.concatenate([each[operation.sources[0]] for each in result.values])
            ties[values[operation.sources[0]].kind] += int((source == operation.thresholds).sum())
    assert ties["sums"] > 200 and ties["fixed"] > 20
    rare = np.concatenate(
        [at.thresholds - values[at.sources[0]].high for at in network.operations if at.op == "binarize"]
    )
    assert 1 in rare


def test_shared_embeddings():
    for shared, count in ((True, 1), (False, 3)):
        network = random_network(0, **SMALL, members=3, shared=shared)
        assert sum(at.op == "embed" for at in network.operations) == count


def test_early_exits_occur():
    runs = set()
    for seed in range(4):
        network = random_network(seed, layers=0, members=4, vote="soft", classes=2, limit=7)
        runs |= set(run(network, 40).members_run.tolist())
    assert len(runs) > 1


def test_sentences():
    network = random_network(2, layers=0, limit=9, types=2, vocabulary=11)
    ids, types = random_sentences(network, 30, 4)
    assert [len(each) for each in ids] == [len(each) for each in types]
    assert {len(ids[0]), len(ids[1])} == {1, 9}
    assert set(np.concatenate(ids)) == set(range(11)) and set(np.concatenate(types)) == {0, 1}
    again = random_sentences(network, 30, 4)[0]
    assert all(np.array_equal(one, other) for one, other in zip(ids, again, strict=True))
    assert len(random_sentences(network, 1, 4)[0]) == 1


def test_draws():
    draw = Draw("a")
    drawn = draw.integers(-3, 4, 1000)
    assert set(drawn.tolist()) == set(range(-3, 5))
    assert draw.integers(0, 1, 2, 3).shape == (2, 3)
    assert draw.bits(2, 9).shape == (2, 2)
    assert Draw("a").integer(0, 99) == Draw("a").integer(0, 99)
    assert Draw("a").integers(0, 99, 50).tolist() != Draw("b").integers(0, 99, 50).tolist()

"""Whole networks in torch: a sentence gives what it gives alone, whatever it is computed with."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model import integer
from model.bits import unpack
from model.integer import IntegerNetwork
from model.integer_layout import Batch
from model.network import Network
from model.synthetic import random_activations, random_layer
from model.synthetic_network import random_network, random_sentences
from model.values import codes
from tests.model.small import make, whole

ROOT = Path(__file__).parents[2]
SENTENCES = [[1, 2, 3, 4], [0], [4, 4], [0, 1, 2], [3], [1, 2, 3, 4]]


def same(first, second):
    """Return whether two results of one sentence each are equal, every value included."""
    parts = ("logits", "contributions", "totals", "predictions", "members_run")
    pairs = [(getattr(first, part), getattr(second, part)) for part in parts]
    (one,), (other,) = first.values, second.values
    pairs += [(one[name], other[name]) for name in one]
    return list(one) == list(other) and all(np.array_equal(*pair) for pair in pairs)


def alone(result, index):
    """Return the part of a result that belongs to one sentence."""
    cut = slice(index, index + 1)
    return integer.IntegerResult(
        result.logits[:, cut],
        result.contributions[:, cut],
        result.totals[cut],
        result.predictions[cut],
        result.members_run[cut],
        result.values[cut],
    )


def test_the_shapes_of_a_result():
    network = whole()
    result = IntegerNetwork(network).run(SENTENCES, keep="all")
    assert result.logits.shape == result.contributions.shape == (2, 6, 3)
    assert (result.totals.shape, result.predictions.shape, result.members_run.shape) == ((6, 3), (6,), (6,))
    assert np.array_equal(result.totals, result.contributions.sum(0))
    for sentence, values in zip(SENTENCES, result.values, strict=True):
        n = len(sentence)
        assert list(values) == [at.name for at in network.operations]
        assert all(array.dtype == np.int64 for array in values.values())
        assert values["embed"].shape == values["binarize"].shape == values["context"].shape == (n, 9)
        assert values["scores"].shape == values["row_threshold"].shape == (3, n, n)
        assert values["first"].shape == values["mean"].shape == (1, 9)
        assert values["classify"].shape == (3,)
        assert set(values["binarize"].flat) <= {0, 1}
        assert set(values["quantize"].flat) <= {-2, -1, 0, 1}
        assert set(values["row_threshold"].flat) <= {0, 1, 2, 3}
        for name, value in values.items():
            assert network.values[name].low <= value.min() and value.max() <= network.values[name].high
    assert np.array_equal(result.values[0]["classify"], result.logits[1, 0])


def test_without_values():
    run = IntegerNetwork(whole()).run
    kept, plain = run(SENTENCES, keep="all"), run(SENTENCES)
    assert plain.values == []
    assert np.array_equal(plain.totals, kept.totals) and np.array_equal(plain.logits, kept.logits)
    assert run([]).logits.shape == (2, 0, 3)


@pytest.mark.parametrize("rows", [1, 5, 1 << 20])
def test_a_sentence_gives_what_it_gives_alone(rows, monkeypatch):
    monkeypatch.setattr(integer, "_BATCH_ROWS", rows)
    run = IntegerNetwork(whole()).run
    types = [[0, 0, 1, 1], [1], [0, 1], [1, 0, 0], [0], [0, 0, 1, 1]]
    together = run(SENTENCES, types, keep="all")
    for index, (sentence, own) in enumerate(zip(SENTENCES, types, strict=True)):
        assert same(run([sentence], [own], keep="all"), alone(together, index))
    assert same(alone(together, 0), alone(together, 5))
    assert not same(alone(together, 0), run(SENTENCES[:1], keep="all"))


@pytest.mark.parametrize("seed", range(6))
def test_random_networks_on_batches_and_alone(seed, monkeypatch):
    network = random_network(seed, layers=1, width=18, heads=3, limit=9)
    ids, types = random_sentences(network, 12, seed)
    run = IntegerNetwork(network).run
    together = run(ids, types, keep="all")
    for index in range(12):
        assert same(run(ids[index : index + 1], types[index : index + 1], keep="all"), alone(together, index))
    monkeypatch.setattr(integer, "_BATCH_SCORES", 100)
    apart = run(ids, types)
    assert np.array_equal(apart.totals, together.totals)
    assert np.array_equal(apart.members_run, together.members_run)


def test_a_chain_of_layers(network):
    rows = unpack(random_activations(50, 20, 1), 20)
    result = IntegerNetwork(network).run([rows[:30], rows[30:]], keep="all")
    bits = rows.astype(np.int64)
    for layer in network.layers:
        units = 2 * bits - 1 if layer.input_set == "signed" else bits
        sums = units @ (2 * layer.weight_bits.astype(np.int64) - 1).T
        bits = (sums >= layer.thresholds) ^ layer.polarity
        found = np.concatenate([values[f"{layer.name}.bits"] for values in result.values])
        assert np.array_equal(found, bits)
    assert result.logits.shape == (0, 2, 0)
    assert result.predictions.tolist() == [-1, -1]


def test_codes_of_more_bits():
    made = make("matmul", sources=("input",))
    network = Network((made,), codes(18, "signed", 4))
    rows = np.arange(36).reshape(2, 18) % 16 - 8
    (values,) = IntegerNetwork(network).run([rows], keep="all").values
    assert np.array_equal(values["matmul"], rows @ (2 * unpack(made.weights, 18).astype(np.int64) - 1).T)


def test_a_mean():
    network = random_network(3, vote="mean", members=3, layers=0)
    result = IntegerNetwork(network).run(*random_sentences(network, 5, 0))
    assert np.array_equal(result.predictions, result.totals[:, 0])
    assert result.members_run.tolist() == [3] * 5


TOKENS = "must be integers [1 to 4]"


@pytest.mark.parametrize(
    ("sentences", "types", "message"),
    [
        ([[0], []], None, f"sentences[1] {TOKENS}, not float64 [0]"),
        ([[0, 1, 2, 3, 4]], None, f"sentences[0] {TOKENS}, not int64 [5]"),
        ([[0.5]], None, f"sentences[0] {TOKENS}, not float64 [1]"),
        ([[True]], None, f"sentences[0] {TOKENS}, not bool [1]"),
        ([[[0]]], None, f"sentences[0] {TOKENS}, not int64 [1, 1]"),
        ([0], None, f"sentences[0] {TOKENS}, not int64 []"),
        ([[0], [1, 5]], None, "sentences[1] must be of integers from 0 to 4, not 5"),
        ([[-1]], None, "sentences[0] must be of integers from 0 to 4, not -1"),
        ([[0]], [], "types must be of 1 sentences, not 0"),
        ([[0], [1]], [[0], [2]], "types[1] must be of integers from 0 to 1, not 2"),
        ([[0, 1]], [[0]], "types[0] must be of 2 tokens, not 1"),
    ],
)
def test_wrong_sentences(sentences, types, message):
    with pytest.raises(ValueError, match="must be") as error:
        IntegerNetwork(whole()).run(sentences, types)
    assert str(error.value) == message


def test_wrong_codes():
    run = IntegerNetwork(Network.chain((random_layer(3, 2, "signed", 0),))).run
    for rows, types, message in (
        ([[[0, 1]]], None, "sentences[0] must be integers [1 to 1024, 3], not int64 [1, 2]"),
        ([[0, 1, 1]], None, "sentences[0] must be integers [1 to 1024, 3], not int64 [3]"),
        ([[[0, 1, -1]]], None, "sentences[0] must be of integers from 0 to 1, not -1"),
        ([[[0, 1, 1]]], [[0]], "types must be left out for a network that reads codes"),
    ):
        with pytest.raises(ValueError, match="must be") as error:
            run(rows, types)
        assert str(error.value) == message


def test_products_that_may_be_rounded_are_refused():
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(
            ValueError, match=r"^float32 matmul precision must be 'highest', not 'high': sums would not "
        ):
            IntegerNetwork(whole()).run(SENTENCES)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_path_imports_no_other_implementation():
    code = "import sys, model.integer; print(sorted({'sim', 'hw', 'mapping'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"


def test_a_batch_has_a_layout_for_values_of_one_row():
    batch = Batch.of([3, 1], torch.device("cpu"))
    assert batch.layout(codes(3, "signed")).lengths.tolist() == [3, 1]
    assert batch.layout(codes(3, "signed", 1, 1)).lengths.tolist() == [1, 1]

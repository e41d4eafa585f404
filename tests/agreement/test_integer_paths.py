"""Torch's integer path against the reference: two implementations of docs/arithmetic.md, equal in every value."""

import numpy as np
import pytest

from model.integer import IntegerNetwork
from model.network import Network
from model.synthetic_network import random_network, random_sentences
from sim.reference import evaluate, evaluate_codes

SEEDS = range(20261121, 20261121 + 24)
SENTENCES = 6


def differences(network: Network, seed: int) -> list[str]:
    """Return the name of every array that differs, and of every vote."""
    sentences, types = random_sentences(network, SENTENCES, seed)
    found = IntegerNetwork(network).run(sentences, types, keep="all")
    different = []
    for row, (ids, kinds) in enumerate(zip(sentences, types, strict=True)):
        expected = evaluate(network, ids, kinds)
        given = found.values[row]
        names = set(expected.values) - {"tokens", "types", "input"}
        assert names
        assert names <= set(given)
        different += [name for name in names if not same(expected.values[name], given[name])]
        for name, vote in (("contributions", found.contributions[:, row]), ("totals", found.totals[row])):
            different += [name] * (not same(getattr(expected, name), vote))
        different += ["prediction"] * int(expected.prediction != found.predictions[row])
        different += ["members_run"] * int(expected.members_run != found.members_run[row])
    return different


def same(expected: np.ndarray, given: np.ndarray) -> bool:
    return expected.shape == given.shape and np.array_equal(expected, given)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_agree_in_every_value(seed: int) -> None:
    assert differences(random_network(seed), seed) == []


@pytest.mark.parametrize("vote", ["soft", "hard", "mean"])
def test_every_vote_of_four_members_agrees(vote: str) -> None:
    assert differences(random_network(7, members=4, vote=vote), 7) == []


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("pooler", [False, True])
def test_every_head_agrees(pooling: str, pooler: bool) -> None:
    for limit in (1, 7, 100):
        assert differences(random_network(limit, layers=1, pooling=pooling, pooler=pooler, limit=limit), 1) == []


def test_a_chain_of_layers_agrees() -> None:
    from model.synthetic import random_layer

    network = Network.chain((random_layer(70, 33, "signed", 1), random_layer(33, 9, "unsigned", 2, "next")), "unsigned")
    codes = np.random.default_rng(5).integers(0, 2, (11, 70)).astype(np.uint8)
    found = IntegerNetwork(network).run([codes], keep="all").values[0]
    for name, expected in evaluate_codes(network, codes).values.items():
        if name != "input":
            assert same(expected, found[name]), name

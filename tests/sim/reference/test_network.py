"""Whole networks: one with every operation, worked out by hand, chains of layers, votes, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.bits import pack, unpack
from model.network import BinaryLayer, Member, Network
from model.operation import OPERATIONS
from model.operations import (
    Add,
    Binarize,
    Classify,
    Concatenate,
    Context,
    Embed,
    First,
    HeadThreshold,
    Matmul,
    Maximum,
    Mean,
    Multiply,
    Normalise,
    Quantize,
    Requantise,
    RowThreshold,
    Scores,
    Table,
)
from model.synthetic import random_activations, random_layer
from model.synthetic_network import random_network, random_sentences
from model.values import codes, tokens
from sim.reference import InputError, WidthError, binarize, evaluate, evaluate_codes, sums
from sim.reference.network import RUN


def i16(*numbers: Any) -> np.ndarray:
    return np.array(numbers, np.int16)


def i32(*numbers: Any) -> np.ndarray:
    return np.array(numbers, np.int32)


EMBED = Embed("embed", ("input",), 8, pack([[1, 0], [1, 1]]), i16(64, 50), i16([0, 0], [-32, 32]), i16([0, 0], [1, 1]))
GRAPH = (
    EMBED,
    Normalise("norm", ("embed",), 8, 0, 4, i16(16, 8), i32(0, 1600)),
    Binarize("bits", ("norm",), "signed", i32(4096, 0), np.array([0, 1], np.uint8)),
    Quantize("codes", ("norm",), "unsigned", 4, 8, i16(1, 1), i32(0, 0)),
    Concatenate("twice", ("bits", "bits")),
    Matmul("d", ("twice",), 4, 2, pack([[1, 1, 0, 1], [0, 0, 0, 1]])),
    Scores("scores", ("bits", "bits"), 2),
    RowThreshold("soft", ("scores",), 2, 1, 1, np.array([65535, 20000, 0], np.uint16), i32(100000, 300000, 900000)),
    HeadThreshold("hard", ("scores",), i32(1, -1)),
    Context("context", ("soft", "codes")),
    Context("other", ("hard", "bits")),
    Requantise("fixed", ("context",), 8, 1, i16(100, -100), i32(1, 0)),
    Requantise("d_fixed", ("d",), 8, 0, i16(10000, 20000), i32(0, 0)),
    Requantise("other_fixed", ("other",), 8, 0, i16(1000, 1000), i32(0, 0)),
    Add("add", ("fixed", "d_fixed")),
    Maximum("maximum", ("add", "other_fixed")),
    Multiply("product", ("maximum", "norm"), 8, 12),
    Table("table", ("product",), 8, 8, (10 * np.arange(257)).astype(np.int16)),
    First("first", ("table",)),
    Mean("mean", ("d_fixed",)),
    Add("pooled", ("first", "mean")),
    Classify("one", ("pooled",), 1, np.array([[1, -1], [2, 0], [-1, 1]], np.int8), i32(0, -1400, 5)),
    First("d_first", ("d_fixed",)),
    Classify("two", ("d_first",), 0, np.array([[1, 0], [0, 1], [1, 1]], np.int8), i32(0, 0, 0)),
)
MEMBERS = (Member("a", "one", 3, 2, 1000), Member("b", "two", 1, 5, 500))
NETWORK = Network(GRAPH, tokens(2), MEMBERS, "soft", ("x", "y", "z"))


def test_every_operation_by_hand() -> None:
    found = evaluate(NETWORK, [0, 1], [0, 1])
    expected: dict[str, Any] = {
        # 64, -64; 50 - 32 + 1, 50 + 32 + 1
        "embed": [[64, -64], [19, 83]],
        # g = 4096, -4096 and the reverse, times 1 and 1/2, plus 0 and 100
        "norm": [[4096, -1948], [-4096, 2148]],
        "bits": [[1, 1], [0, 0]],
        # 16, -7.6; -16, 8.4
        "codes": [[15, 0], [0, 8]],
        "twice": [[1, 1, 1, 1], [0, 0, 0, 0]],
        "d": [[2, -2], [-2, 2]],
        "scores": [[[1, -1], [-1, 1]]] * 2,
        # shares 65535 / 85535 = 803402 / 2^20 and 20000 / 85535 = 245183 / 2^20
        "soft": [[[2, 1], [1, 2]]] * 2,
        "hard": [[[1, 0], [0, 1]], [[1, 1], [1, 1]]],
        # 2 * 15 + 1 * 0, 2 * 0 + 1 * 8; 1 * 15 + 2 * 0, 1 * 0 + 2 * 8
        "context": [[30, 8], [15, 16]],
        "other": [[1, 0], [-1, 0]],
        # 3001 / 2, -800 / 2; 1501 / 2, -1600 / 2
        "fixed": [[1501, -400], [751, -800]],
        "d_fixed": [[20000, -32768], [-20000, 32767]],
        "other_fixed": [[1000, 0], [-1000, 0]],
        "add": [[21501, -32768], [-19249, 31967]],
        "maximum": [[21501, 0], [-1000, 31967]],
        # 21501 * 1, 0; -1000 * -1, 31967 * 2148 / 4096 = 16763.9
        "product": [[21501, 0], [1000, 16764]],
        # a tenth of a unit per 25.6: 1280 + 839.9, 1280; 1280 + 39.1, 1280 + 654.8
        "table": [[2120, 1280], [1319, 1935]],
        "first": [[2120, 1280]],
        # 20000 - 20000, and -1 / 2, which goes up
        "mean": [[0, 0]],
        "pooled": [[2120, 1280]],
        # 840 / 2, 2840 / 2, -835 / 2 = -417.5
        "one": [420, 1420, -417],
        "d_first": [[20000, -32768]],
        "two": [20000, -32768, -12768],
    }
    assert {name: value.tolist() for name, value in found.values.items()} == expected
    assert list(found.values) == [operation.name for operation in GRAPH]
    # 1260 / 4, 4260 / 4 clamped, -1251 / 4; 625 and -1024 clamped, -399
    assert found.contributions.tolist() == [[315, 1000, -313], [500, -500, -399]]
    assert found.totals.tolist() == [815, 500, -712]
    assert {name: value.tolist() for name, value in found.logits.items()} == {
        "a": expected["one"],
        "b": expected["two"],
    }
    assert (found.prediction, found.members_run) == (0, 2)


def test_the_hand_built_network_has_every_operation() -> None:
    assert {operation.op for operation in GRAPH} == set(OPERATIONS) == set(RUN)


def test_types_of_values() -> None:
    found = evaluate(NETWORK, [0, 1], [0, 1])
    types = {"bits": np.uint8, "hard": np.uint8, "twice": np.uint8, "codes": np.int16, "soft": np.int16}
    types |= dict.fromkeys(("d", "scores", "context", "other", "one", "two"), np.int32)
    for name, value in found.values.items():
        assert value.dtype == types.get(name, np.int16), name
    assert found.contributions.dtype == found.totals.dtype == np.int64


def test_types_are_0_unless_given() -> None:
    plain, zeros = evaluate(NETWORK, [0, 1]), evaluate(NETWORK, np.array([0, 1], np.uint16), [0, 0])
    assert plain.values["embed"].tolist() == zeros.values["embed"].tolist() == [[64, -64], [18, 82]]


def test_a_sentence_of_one_token() -> None:
    found = evaluate(NETWORK, [1])
    assert found.values["embed"].tolist() == [[50, 50]]
    # No variance: g = 0, y = offset / 16.
    assert found.values["norm"].tolist() == [[0, 100]]
    assert found.values["bits"].tolist() == [[0, 0]]
    assert found.values["scores"].tolist() == [[[1]], [[1]]]
    # The whole share is above the last level.
    assert found.values["soft"].tolist() == [[[3]], [[3]]]
    assert found.values["context"].tolist() == [[0, 0]]


def voted(vote: str, *members: Member) -> Any:
    found = evaluate(Network(GRAPH, tokens(2), members, vote), [0, 1], [0, 1])
    return found.contributions.tolist(), found.prediction, found.members_run


def test_hard_votes() -> None:
    # The first member says class 1, the second class 0.
    assert voted("hard", Member("a", "one", 3), Member("b", "two", 1)) == ([[0, 3, 0], [1, 0, 0]], 1, 1)
    assert voted("hard", Member("a", "one", 3), Member("b", "two", 4)) == ([[0, 3, 0], [4, 0, 0]], 0, 2)
    assert voted("hard", Member("a", "one", 3), Member("b", "two", 3)) == ([[0, 3, 0], [3, 0, 0]], 0, 2)
    # A tie is lost to class 0 only, which no member but the first has the weight to reach.
    three = (Member("b", "two", 3), Member("a", "one", 2), Member("c", "one", 1))
    assert voted("hard", *three) == ([[3, 0, 0], [0, 2, 0], [0, 1, 0]], 0, 1)
    assert voted("hard", *(replace(member, multiplier=2) for member in three))[1:] == (1, 3)


def test_all_members_are_evaluated_after_an_early_exit() -> None:
    one, two = Member("a", "one", 1, 0, 1 << 30), Member("b", "two", 1, 0, 1)
    assert voted("soft", one, two) == ([[420, 1420, -417], [1, -1, -1]], 1, 1)


def test_the_mean_is_a_total() -> None:
    single = (*GRAPH[:19], Classify("one", ("first",), 0, np.array([[1, 1]], np.int8), i32(-4000)))
    graph = (
        *single,
        First("d_first", ("d_fixed",)),
        Classify("two", ("d_first",), 0, np.array([[1, 1]], np.int8), i32(0)),
    )
    members = (Member("a", "one", 3, 1), Member("b", "two", 65535))
    found = evaluate(Network(graph, tokens(2), members, "mean", fraction=8), [0, 1], [0, 1])
    # 3400 - 4000 = -600, times 3 / 2; 20000 - 32768 = -12768
    assert found.contributions.tolist() == [[-900], [-12768 * 65535]]
    assert found.totals.tolist() == [found.prediction] == [-900 - 12768 * 65535]
    assert found.members_run == 2


def test_a_chain_is_its_layers() -> None:
    layers = [
        random_layer(9, 17, "unsigned", 1, "a"),
        random_layer(17, 8, "signed", 2, "b"),
        random_layer(8, 3, "unsigned", 3),
    ]
    network = Network.chain(layers)
    bits = unpack(random_activations(6, 9, 4), 9)
    found = evaluate_codes(network, bits)
    for layer in layers:
        d = sums(bits, layer.weight_bits, layer.input_set == "unsigned")
        assert found.values[layer.name].tolist() == d.tolist()
        bits = binarize(d, layer.thresholds, layer.polarity)
        assert found.values[f"{layer.name}.bits"].tolist() == bits.tolist()
    assert (found.logits, found.prediction, found.members_run) == ({}, None, 0)
    assert found.totals.shape == (0,)
    assert found.contributions.shape == (0, 0)


@pytest.mark.parametrize("seed", range(12))
def test_made_up_networks_give_what_their_graph_promises(seed: int) -> None:
    network = random_network(seed)
    for ids, types in zip(*random_sentences(network, 3, seed), strict=True):
        found = evaluate(network, ids, types)
        for name, array in found.values.items():
            value = network.values[name]
            rows = min(len(ids), value.rows)
            one = (value.channels,) if value.kind == "logits" else (rows, value.channels)
            assert array.shape == ((value.heads, rows, rows) if value.heads else one), name
            assert value.low <= array.min() <= array.max() <= value.high, name
        assert found.contributions.shape == (len(network.members), network.classes)
        if network.vote != "mean":
            early = found.contributions[: found.members_run].sum(axis=0)
            assert found.prediction == early.tolist().index(early.max())


def test_codes_of_more_bits() -> None:
    matmul = Matmul("d", ("input",), 2, 1, pack([[1, 0]]))
    network = Network((matmul,), codes(2, "signed", 4))
    found = evaluate_codes(network, [[-8, 7], [3, 1]])
    assert found.values["d"].tolist() == [[-15], [2]]
    with pytest.raises(InputError) as caught:
        evaluate_codes(network, [[-8, 7], [3, 8]])
    assert str(caught.value) == "codes[1, 1] must be from -8 to 7, not 8"


BIT = BinaryLayer("bit", 1, 1, "signed", pack([[1]]), i32(0), np.zeros(1, np.uint8))
CHAIN = Network.chain([BIT])


@pytest.mark.parametrize(
    ("ids", "types", "message"),
    [
        ([], None, "ids must be 1 to 2 tokens, not 0"),
        ([0, 1, 0], None, "ids must be 1 to 2 tokens, not 3"),
        ([0, 2], None, "ids[1] must be from 0 to 1, not 2"),
        ([-1, 2], None, "ids[0] must be from 0 to 1, not -1"),
        ([0.0], None, "ids must be integers of 1 dimension, not float64 [1]"),
        ([[0, 1]], None, "ids must be integers of 1 dimension, not int64 [1, 2]"),
        (0, None, "ids must be integers of 1 dimension, not int64 []"),
        ([True], None, "ids must be integers of 1 dimension, not bool [1]"),
        (["a"], None, "ids must be integers of 1 dimension, not <U1 [1]"),
        ([0, 1], [0], "types must be 2, one for each token, not 1"),
        ([0, 1], [0, 2], "types[1] must be from 0 to 1, not 2"),
        ([0, 1], [0, -1], "types[1] must be from 0 to 1, not -1"),
        ([0], ["0"], "types must be integers of 1 dimension, not <U1 [1]"),
    ],
)
def test_sentences_that_are_refused(refused: Any, ids: Any, types: Any, message: str) -> None:
    assert refused(InputError, evaluate, NETWORK, ids, types) == message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((0, 1), int), "codes must be 1 to 1024 rows, not 0"),
        (np.zeros((1025, 1), int), "codes must be 1 to 1024 rows, not 1025"),
        ([[0, 1]], "codes must be rows of 1, not 2"),
        ([0], "codes must be integers of 2 dimensions, not int64 [1]"),
        ([[0], [2]], "codes[1, 0] must be from 0 to 1, not 2"),
        ([[-1]], "codes[0, 0] must be from 0 to 1, not -1"),
        ([[0.5]], "codes must be integers of 2 dimensions, not float64 [1, 1]"),
    ],
)
def test_codes_that_are_refused(refused: Any, rows: Any, message: str) -> None:
    assert refused(InputError, evaluate_codes, CHAIN, rows) == message


def test_the_input_of_the_other_kind_is_refused(refused: Any) -> None:
    assert refused(InputError, evaluate, CHAIN, [0]).startswith("network must read tokens, not signed 1-bit codes")
    assert refused(InputError, evaluate_codes, NETWORK, [[0]]).startswith("network must read codes, not tokens")


def test_a_width_that_does_not_hold_names_the_operation(refused: Any) -> None:
    broken = Requantise("fixed", ("context",), 8, 1, i16(100, -100), i32(1, 0))
    object.__setattr__(broken, "multiplier", np.array([32768, 0]))
    graph = tuple(broken if operation.name == "fixed" else operation for operation in GRAPH)
    network = replace(NETWORK, operations=graph)
    assert refused(WidthError, evaluate, network, [0, 1]) == "fixed: multiplier must fit in 16 bits, not 32768"

import pytest
import torch

from model.checks import NetworkError
from model.lowering.calibrate import Calibration, measure, terms
from tests.model.lowering.members import WIDE, make_calibration, make_member, make_shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "calibration.sentences: must be one or more, not []"),
        (([[1, 2], []],), "calibration.sentences[1]: must be one or more integers of at least 0, not []"),
        (([[1, True]],), "calibration.sentences[0]: must be one or more integers of at least 0, not [1, True]"),
        (([[1, -2]],), "calibration.sentences[0]: must be one or more integers of at least 0, not [1, -2]"),
        (([3],), "calibration.sentences[0]: must be one or more integers of at least 0, not 3"),
        (([[1]], []), "calibration.types: must be of 1 sentences, not 0"),
        (([[1]], [[0, 1]]), "calibration.types[0]: must be of 1 tokens, not 2"),
        (([[1]], [[0.5]]), "calibration.types[0]: must be one or more integers of at least 0, not [0.5]"),
        (([[1]], None, 0.5), "calibration.headroom: must be a number from 1 to 64, not 0.5"),
        (([[1]], None, "2"), "calibration.headroom: must be a number from 1 to 64, not '2'"),
    ],
)
def test_wrong_sentences_are_refused(arguments, message):
    with pytest.raises(NetworkError) as error:
        Calibration(*arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("sentences", "types", "message"),
    [
        ([[1, 2], [3, 4, 5]], None, "calibration.sentences[1]: must be of at most 2 tokens, not 3"),
        ([[40]], None, "calibration.sentences[0]: largest id: must be an integer from 0 to 39, not 40"),
        ([[1]], [[2]], "calibration.types[0]: largest type: must be an integer from 0 to 1, not 2"),
    ],
)
def test_sentences_that_the_network_cannot_read_are_refused(sentences, types, message):
    with pytest.raises(NetworkError) as error:
        Calibration(sentences, types).check(2, 40, 2)
    assert str(error.value) == message


def test_batches_hold_sentences_of_one_length():
    calibration = Calibration([[1, 2], [3], [4, 5], *[[6]] * 40], [[0, 1], [1], [1, 0], *[[0]] * 40])
    found = [(ids.tolist(), types.tolist()) for ids, types in calibration.batches()]
    assert [len(ids) for ids, _ in found] == [32, 9, 1 + 1]
    assert found[-1] == ([[1, 2], [4, 5]], [[0, 1], [1, 0]])


def test_ranges_are_the_largest_of_every_sentence_alone():
    member, calibration = make_member(make_shape(expression=WIDE)), make_calibration(10)
    ranges = measure("m", member, calibration)
    outputs = []
    with torch.no_grad():
        for ids, types in zip(calibration.sentences, calibration.types, strict=True):
            tensor = torch.tensor([ids])
            outputs.append(member(tensor, torch.ones_like(tensor, dtype=torch.bool), torch.tensor([types])).hidden)
    for place, name in enumerate(("embedding.norm", "layers.0.ffn_norms.0")):
        largest = max(hidden[place].abs().max().item() for hidden in outputs)
        assert ranges[name] == pytest.approx(largest, rel=1e-5)
    block = member.layers[0].ffn[0]
    assert {f"layers.0.ffn.0.{node}" for node in block.tree.walk()} <= set(ranges)
    assert {"layers.0.attention", "layers.0.attention_norm.sum", "pooler"} <= set(ranges)
    assert ranges["layers.0.ffn.0.x"] == ranges["layers.0.attention_norm"]


def test_terms_are_those_of_the_block():
    block = make_member(make_shape(expression=WIDE)).layers[0].ffn[0]
    x = torch.randn(5, 24)
    with torch.no_grad():
        assert torch.equal(terms(block, x)[block.tree], block(x))


def test_hooks_do_not_stay():
    member = make_member(make_shape())
    measure("m", member, make_calibration(2))
    assert not any(module._forward_hooks for module in member.modules())


def test_values_that_are_not_finite_are_refused():
    member = make_member(make_shape())
    with torch.no_grad():
        member.pooler.bias[0] = float("inf")
    with pytest.raises(NetworkError) as error:
        measure("m", member, make_calibration(2))
    assert str(error.value) == "m.pooler: must be finite on the calibration sentences, not inf"

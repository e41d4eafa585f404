import copy
import json
import re

import numpy as np
import pytest
import torch

from model.checks import NetworkError
from model.integer import IntegerNetwork
from model.lowering import Calibration, ExportReport, export_ensemble, export_member, lower_ensemble
from model.network import Network
from model.shape import Precision
from tests.model.lowering.members import (
    case_member,
    exported,
    make_calibration,
    make_member,
    make_sentences,
    make_shape,
    threads,
)

CALIBRATION = make_calibration()


@pytest.fixture(scope="module")
def pair():
    """Two members of different depth that share one embedding."""
    one, two = make_member(make_shape(), seed=1), make_member(make_shape(layers=2, attention="boolean"), seed=2)
    two.embedding.load_state_dict(one.embedding.state_dict())
    return one, two


def count(network, op):
    return [operation.op for operation in network.operations].count(op)


@pytest.fixture(scope="module")
def together(pair):
    return lower_ensemble(pair, calibration=CALIBRATION, member_weights=[2.0, 1.0])


@pytest.fixture(scope="module")
def alone(pair):
    return [lower_ensemble([member], calibration=CALIBRATION) for member in pair]


def test_a_shared_embedding_appears_once(together):
    network = together.network
    assert (count(network, "embed"), count(network, "normalise")) == (1, 1 + 2 + 4)
    shared = {operation.name for operation in network.member_operations("member0")}
    shared &= {operation.name for operation in network.member_operations("member1")}
    assert shared == {"member0.embedding.sum", "member0.embedding.norm"}


def test_a_shared_embedding_has_the_format_that_both_can_use(together, alone):
    fractions = [network.values["member0.embedding.norm"].fraction for network, _ in alone]
    assert together.network.values["member0.embedding.norm"].fraction == min(fractions)


def test_members_of_one_embedding_object_share_it(pair, together):
    one, two = copy.deepcopy(pair)
    two.embedding = one.embedding
    assert export_ensemble([one, two], calibration=CALIBRATION, member_weights=[2.0, 1.0]) == together.network


def test_other_embeddings_stay_apart(pair):
    one, two = pair[0], make_member(make_shape(), seed=3)
    network = export_ensemble([one, two], calibration=CALIBRATION)
    assert count(network, "embed") == 2


def test_each_member_of_an_ensemble_gives_what_it_gives_alone(together, alone):
    ids = [np.array(own) for own in make_sentences(20, 3)[0]]
    found = IntegerNetwork(together.network).run(ids).logits
    for index, (network, report) in enumerate(alone):
        assert report.logits[0].fraction == together.report.logits[index].fraction
        own = IntegerNetwork(network).run(ids).logits[0]
        if network.values["member0.embedding.norm"] == together.network.values["member0.embedding.norm"]:
            assert np.array_equal(own, found[index])
        else:
            assert (own.argmax(1) == found[index].argmax(1)).mean() >= 0.9


def test_a_soft_vote_is_that_of_the_weighted_logits(together):
    network, report = together
    result = IntegerNetwork(network).run([np.array(own) for own in CALIBRATION.sentences])
    scales = [2.0**-entry.fraction for entry in report.logits]
    totals = 2 * result.logits[0] * scales[0] + result.logits[1] * scales[1]
    assert network.vote == "soft"
    assert (totals.argmax(1) == result.predictions).mean() > 0.9
    assert all(member.bound > 1 for member in network.members)


def test_a_hard_vote_counts_weights(pair):
    network = export_ensemble(pair, calibration=CALIBRATION, member_weights=[2.0, 1.0], vote="hard")
    result = IntegerNetwork(network).run([np.array(own) for own in CALIBRATION.sentences])
    assert [member.multiplier for member in network.members] == [255, 128]
    assert np.array_equal(result.predictions, result.logits[0].argmax(1))


def make_regression(seed):
    return make_member(make_shape(classes=1), seed=seed, steps=1)


def test_a_regression_is_a_mean():
    members = [make_regression(seed) for seed in (1, 2)]
    network, report = lower_ensemble(members, calibration=CALIBRATION, member_weights=[3.0, 1.0])
    assert (network.vote, network.fraction) == ("mean", 16)
    result = IntegerNetwork(network).run([np.array(own) for own in CALIBRATION.sentences])
    floats = [own[:, 0] / 2**entry.fraction for own, entry in zip(result.logits, report.logits, strict=True)]
    assert np.abs(result.predictions / 2**16 - (0.75 * floats[0] + 0.25 * floats[1])).max() < 1e-4


def test_everything_else_stands_in_the_network():
    member = case_member("plain")
    network = export_ensemble(
        [member],
        calibration=CALIBRATION,
        labels=["no", "maybe", "yes"],
        tokenizer=b"vocabulary",
        names=["first"],
        provenance={"dataset": "made up"},
    )
    assert (network.labels, network.tokenizer) == (("no", "maybe", "yes"), b"vocabulary")
    assert network.provenance == {"dataset": "made up", "logit_fractions": "16"}
    assert network.members[0].name == "first"
    assert all(operation.name.startswith("first.") for operation in network.operations)
    assert (network.vote, network.limit) == ("soft", 10)


def test_the_file_holds_the_network():
    _, (network, _) = exported("mixed")
    assert Network.from_bytes(network.to_bytes()) == network


def test_the_shortest_positions_limit_a_sentence():
    short, long = make_member(make_shape(positions=6), seed=1), make_member(make_shape(), seed=2)
    network = export_ensemble([long, short], calibration=Calibration(make_sentences(10, 1, longest=6)[0]))
    assert network.limit == 6
    with pytest.raises(NetworkError, match=r"^calibration\.sentences\[0\]: must be of at most 6 tokens, not 10$"):
        export_ensemble([long, short], calibration=Calibration([[1] * 10]))


@pytest.mark.parametrize("case", ["deep", "eight bits"])
def test_bytes_do_not_depend_on_threads_or_on_when(case):
    _, (expected, report) = exported(case)
    for number in (1, 2):
        with threads(number):
            network, again = lower_ensemble([case_member(case)], calibration=make_calibration())
            assert torch.get_num_threads() == number
        assert network.to_bytes() == expected.to_bytes()
        assert again == report


def test_members_are_left_as_they_are():
    member = case_member("plain").train()
    before = copy.deepcopy(member.state_dict())
    export_member(member, calibration=CALIBRATION)
    assert member.training
    assert all(torch.equal(before[name], tensor) for name, tensor in member.state_dict().items())
    assert all(parameter.requires_grad for parameter in member.parameters())


def test_training_mode_gives_the_same_network():
    member = case_member("plain").train()
    assert export_member(member, calibration=make_calibration()) == exported("plain")[1].network


def test_the_report_is_plain_data_about_every_part():
    _, (network, report) = exported("mixed")
    assert isinstance(report, ExportReport)
    data = json.loads(json.dumps(report.to_dict()))
    assert sorted(data) == ["codes", "exponentials", "formats", "logits", "saturations", "size_bits", "tables"]
    assert data["size_bits"] == network.size_bits()
    assert data["saturations"] == {}
    made = [o.name for o in network.operations if o.op in ("binarize", "quantize", "head_threshold")]
    assert [entry.name for entry in report.codes] == made
    assert [entry.name for entry in report.fallbacks] == [
        entry["name"] for entry in data["codes"] if entry["form"] == "table"
    ]
    for entry in report.formats:
        assert network.values[entry.name].fraction == entry.fraction
    assert [entry.name for entry in report.tables] == ["member0.pooler.tanh"]


def test_saturation_is_counted():
    member = make_member(make_shape(), seed=4)
    few = Calibration([[1, 2, 3]], headroom=1)
    wild = copy.deepcopy(few)
    with torch.no_grad():
        member.pooler.bias[0] = 100.0
    _, report = lower_ensemble([member], calibration=wild)
    # The pooler's format ends at 8, where tanh is flat: its largest value saturates, which costs nothing.
    assert report.saturations == {"member0.pooler.fixed": 1}


def refused(message, members, **options):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        export_ensemble(members, calibration=CALIBRATION, **options)


def test_wrong_ensembles_are_refused():
    member = case_member("plain")
    refused("members: must be one or more, not []", [])
    other = make_member(make_shape(classes=2), seed=1, steps=1)
    refused("member1: classes: must be 3 as of member0, not 2", [member, other])
    wide = make_member(make_shape(), seed=1, steps=1)
    wide.shape = wide.shape.replace(precision=Precision(weights=32))
    refused(
        "b: export needs 1-bit matrix weights, not 32: train one more step of the chain",
        [member, wide],
        names=["a", "b"],
    )
    refused("vote: must be mean for members of one logit, not 'hard'", [make_regression(1)], vote="hard")
    refused("labels: must be one for each of 3 classes, or none, not 2", [member], labels=["a", "b"])
    weights = "member_weights: must be 1 finite numbers of at least 0, the first above 0, not [0.0]"
    refused(f"{weights}; leave out members that were not accepted", [member], member_weights=[0.0])

import re

import pytest
import torch
from torch import nn

from model.checks import NetworkError
from model.lowering.checks import check_member, check_names, check_vote, check_weights
from model.member import Member
from model.shape import Precision
from tests.model.lowering.members import make_member, make_shape

CHAIN = ": train one more step of the chain"


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        (Precision(weights=32), "m: export needs 1-bit matrix weights, not 32" + CHAIN),
        (Precision(weights=2), "m: export needs 1-bit matrix weights, not 2" + CHAIN),
        (Precision(embedding=32), "m: export needs a 1-bit word embedding, not 32" + CHAIN),
        *(
            (Precision(**{kind: 32}), f"m: export needs 1, 2, 4 or 8 bits of {kind}, not 32{CHAIN}")
            for kind in ("projection", "query_key", "value", "attention", "ffn_input", "ffn_inner", "pooler")
        ),
    ],
)
def test_precision_without_an_integer_form_is_refused(precision, message):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        check_member("m", Member(make_shape(precision=precision)))


def test_bits_that_no_quantizer_has_do_not_matter():
    check_member("m", make_member(make_shape(precision=Precision(attention=32), attention="boolean"), steps=1))
    check_member("m", make_member(make_shape(precision=Precision(pooler=32), pooler=False), steps=1))


def test_signed_attention_codes_are_refused():
    message = (
        "m: two_sets must be true where the attention is a softmax, not false: signed attention codes are for "
        "comparisons in training only"
    )
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        check_member("m", Member(make_shape(two_sets=False)))


def test_a_quantizer_without_data_is_refused():
    message = (
        "m: layers.0.attention.query_in.alpha must be set before export, not left to the first batch: run one batch in "
        "training mode"
    )
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        check_member("m", Member(make_shape()))


def test_parameters_of_another_type_are_refused():
    member = make_member(make_shape(), steps=1)
    member.embedding.norm.bias = nn.Parameter(member.embedding.norm.bias.double())
    with pytest.raises(NetworkError, match=r"^m: embedding\.norm\.bias must be float32, not float64$"):
        check_member("m", member)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_parameters_that_are_not_finite_are_refused(value):
    member = make_member(make_shape(), steps=1)
    with torch.no_grad():
        member.layers[0].attention.context.beta[3] = value
    message = "m: layers.0.attention.context.beta must be finite, not NaN or infinite: go back to an earlier checkpoint"
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        check_member("m", member)


def test_what_is_no_member_is_refused():
    with pytest.raises(TypeError, match=r"^m must be a Member, not Linear$"):
        check_member("m", nn.Linear(2, 2))


def test_names_are_counted_unless_given():
    assert check_names(None, 3) == ("member0", "member1", "member2")
    assert check_names(["a", "b.c"], 2) == ("a", "b.c")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "names: must be one for each of 2 members, not 1"),
        (["a", "a"], "names: must be different, not 'a'"),
        (["a", "b c"], "names[1]: must be 1 to 100 letters, digits, '_' or '.', not 'b c'"),
    ],
)
def test_wrong_names_are_refused(names, message):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        check_names(names, 2)


def test_weights_are_alike_unless_given():
    assert check_weights(None, 2) == (1.0, 1.0)
    assert check_weights([2, 0.0], 2) == (2.0, 0.0)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 1.0], [1.0, float("nan")], [1.0, True], ["1", 1.0]])
def test_wrong_weights_are_refused(weights):
    message = (
        f"member_weights: must be 2 finite numbers of at least 0, the first above 0, not {weights}; leave out members "
        "that were not accepted"
    )
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        check_weights(weights, 2)


def test_a_vote_is_soft_or_a_mean_unless_given():
    assert [check_vote(None, classes) for classes in (1, 2, 5)] == ["mean", "soft", "soft"]
    assert check_vote("hard", 3) == "hard"


@pytest.mark.parametrize(
    ("vote", "classes", "message"),
    [
        ("loud", 3, "vote: must be one of soft, hard, mean, not 'loud'"),
        ("mean", 3, "vote: must be soft or hard for members of several classes, not 'mean'"),
        ("soft", 1, "vote: must be mean for members of one logit, not 'soft'"),
    ],
)
def test_wrong_votes_are_refused(vote, classes, message):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        check_vote(vote, classes)

"""Members and labels: what a network may have, and what a manifest may say of them."""

import pytest

from model.checks import NetworkError
from model.values import Value
from model.vote import Member, check_labels, check_vote, member_entry, read_members

LOGITS = {
    "two": Value("logits", channels=2),
    "three": Value("logits", channels=3),
    "one": Value("logits", channels=1),
    "fixed": Value("fixed", channels=2),
}
KEYS = "must be an object with the keys name, output, multiplier, shift, bound, not "


def member(name="a", output="two", **changes):
    return Member(**{"name": name, "output": output, "multiplier": 3, "shift": 4, "bound": 5, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, "name: must be 1 to 189 letters, digits, '_' or '.', not 'a b'"),
        ({"multiplier": -1}, "a.multiplier: must be an integer from 0 to 65535, not -1"),
        ({"multiplier": 65536}, "a.multiplier: must be an integer from 0 to 65535, not 65536"),
        ({"shift": 32}, "a.shift: must be an integer from 0 to 31, not 32"),
        ({"bound": 0}, "a.bound: must be an integer from 1 to 1073741824, not 0"),
        ({"bound": (1 << 30) + 1}, "a.bound: must be an integer from 1 to 1073741824, not 1073741825"),
        ({"bound": True}, "a.bound: must be an integer from 1 to 1073741824, not True"),
    ],
)
def test_a_wrong_member(changes, message):
    with pytest.raises(NetworkError) as error:
        member(**changes)
    assert str(error.value) == message


def test_members_and_their_entries():
    members = (member(), Member("b", "two", 0), Member("c", "two", 65535, 31, 1 << 30))
    assert read_members([member_entry(each) for each in members]) == members
    assert member() == member()
    assert member() != member(output="three")
    assert member() != member(bound=6)
    assert (members[1].shift, members[1].bound) == (0, 1)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (None, "members: must be a list of members, not None"),
        ([3], "members[0]: " + KEYS + "3"),
        ([{}], "members[0]: " + KEYS + "without name, output, multiplier, shift, bound"),
        ([{**member_entry(member()), "weight": 1}], "members[0]: " + KEYS + "'weight'"),
        ([{**member_entry(member()), "shift": "1"}], "members[0]: a.shift: must be an integer from 0 to 31, not '1'"),
    ],
)
def test_wrong_entries(entries, message):
    with pytest.raises(NetworkError) as error:
        read_members(entries)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("vote", "members", "fraction"),
    [
        (None, (), 0),
        ("soft", (member(),), 0),
        ("hard", (member(), member("b")), 0),
        ("mean", (member(output="one"),), 31),
        ("soft", tuple(member(f"m{index}") for index in range(64)), 0),
    ],
)
def test_a_vote(vote, members, fraction):
    check_vote(vote, members, LOGITS, fraction)


@pytest.mark.parametrize(
    ("vote", "members", "fraction", "message"),
    [
        ("soft", (), 0, "vote: must be None without members, not 'soft'"),
        (None, (member(),), 0, "vote: must be one of soft, hard, mean, not None"),
        ("sift", (member(),), 0, "vote: must be one of soft, hard, mean, not 'sift'; did you mean 'soft'?"),
        ("soft", (member(), member()), 0, "members: must be of different names, not 'a'"),
        ("soft", tuple(member(f"m{index}") for index in range(65)), 0, "members: must be at most 64, not 65"),
        ("soft", (member(output="tw"),), 0, "a.output: must be the name of logits, not 'tw'; did you mean 'two'?"),
        ("soft", (member(output="fixed"),), 0, "a.output: must be the name of logits, not 'fixed'"),
        (
            "soft",
            (member(), member("b", "three")),
            0,
            "b.output: must be of as many classes as a has, 2, not 3",
        ),
        ("soft", (member(output="one"),), 0, "a.output: must be of 2 or more classes with this vote, not 1"),
        ("hard", (member(output="one"),), 0, "a.output: must be of 2 or more classes with this vote, not 1"),
        ("mean", (member(),), 0, "a.output: must be of 1 class with this vote, not 2"),
        ("soft", (member(),), 1, "fraction: must be an integer from 0 to 0, not 1"),
        ("mean", (member(output="one"),), 32, "fraction: must be an integer from 0 to 31, not 32"),
    ],
)
def test_a_wrong_vote(vote, members, fraction, message):
    with pytest.raises(NetworkError) as error:
        check_vote(vote, members, LOGITS, fraction)
    assert str(error.value) == message


def test_labels():
    assert check_labels([], 3) == ()
    assert check_labels(["no", "so so", "é" * 100], 3) == ("no", "so so", "é" * 100)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("ab", "labels: must be a list of texts, not 'ab'"),
        (["a"], "labels: must be one for each of 2 classes, or none, not 1"),
        (["a", 1], "labels[1]: must be a text of 1 to 100 printable characters, not 1"),
        (["", "b"], "labels[0]: must be a text of 1 to 100 printable characters, not ''"),
        (["a\n", "b"], "labels[0]: must be a text of 1 to 100 printable characters, not 'a\\n'"),
        (["a" * 101, "b"], f"labels[0]: must be a text of 1 to 100 printable characters, not '{'a' * 76}..."),
        (["a", "a"], "labels: must be different, not 'a'"),
    ],
)
def test_wrong_labels(labels, message):
    with pytest.raises(NetworkError) as error:
        check_labels(labels, 2)
    assert str(error.value) == message

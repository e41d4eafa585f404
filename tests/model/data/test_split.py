import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.split import Row, Shares, disjoint, distinct, joined, part_of, to_splits

KEYS = [f"key {number}" for number in range(4000)]


def row(key, label=0, part="train", text=None):
    return Row(key, text or key, label, part)


def test_the_part_of_a_key_never_changes():
    parts = [part_of(key, "salt", Shares(dev=100, test=200)) for key in KEYS]
    assert hashlib.sha256(" ".join(parts).encode()).hexdigest() == (
        "9ab03e849a9fe425b7e94a7c092fe2b4796a9d98c55dc940784265b018be0cf4"
    )


def test_the_part_follows_the_definition():
    place = int.from_bytes(hashlib.sha256(b"salt\0film").digest()[:8], "big") * 1000 // 2**64
    assert part_of("film", "salt", Shares(dev=999 - place, test=place + 1)) == "test"
    assert part_of("film", "salt", Shares(dev=1, test=place)) == "dev"
    assert part_of("film", "salt", Shares(dev=0, test=place)) == "train"


def test_shares_are_kept():
    parts = [part_of(key, "salt", Shares(dev=100, test=200)) for key in KEYS]
    assert abs(parts.count("dev") - 400) < 60
    assert abs(parts.count("test") - 800) < 80
    assert {part_of(key, "salt", Shares(dev=0)) for key in KEYS} == {"train"}
    assert {part_of(key, "salt", Shares(dev=1000)) for key in KEYS} == {"dev"}


def test_salts_are_independent():
    parts = [[part_of(key, salt, Shares(dev=500)) for key in KEYS] for salt in ("one", "two")]
    assert abs(sum(a == b for a, b in zip(*parts, strict=True)) - 2000) < 120


def test_a_bigger_test_share_takes_nothing_out_of_test():
    small, big = ({key for key in KEYS if part_of(key, "", Shares(100, share)) == "test"} for share in (100, 150))
    assert small < big


def test_groups_join_through_others():
    assert joined([("a", "1"), ("b", "2"), ("c", "1", "2"), ("d",), ("d", "3")]) == ["1", "1", "1", "3", "3"]
    assert joined([]) == []
    assert joined([("a", "a")]) == ["a"]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), max_size=8), st.randoms())
def test_groups_are_the_connected_ones_in_any_order(keys, random):
    groups = joined(keys)
    for own, group in zip(keys, groups, strict=True):
        for other, another in zip(keys, groups, strict=True):
            assert (group == another) == connected(own, other, keys)
    order = list(range(len(keys)))
    random.shuffle(order)
    assert joined([keys[place] for place in order]) == [groups[place] for place in order]


def connected(own, other, keys):
    """Return whether two sets of keys are joined, by following all keys from one of them."""
    reached = set(own)
    for _ in keys:
        for more in keys:
            if reached & set(more):
                reached |= set(more)
    return bool(reached & set(other))


def test_a_text_stays_in_the_part_that_counts_most():
    rows = [row("a"), row("a", part="dev"), row("a", part="test"), row("b", part="dev"), row("b"), row("c"), row("c")]
    assert disjoint(rows) == [rows[2], rows[3], rows[5], rows[6]]


def test_a_text_stands_once_and_has_one_label():
    rows = [row("a", 1, text="A"), row("a", 1, text="a!"), row("b", 0), row("b", 1), row("c", 0)]
    assert distinct(rows) == [rows[0], rows[4]]


def test_the_label_in_train_does_not_touch_test():
    rows = [row("a", 0), row("a", 1, "test"), row("b", 0, "test"), row("b", 1, "test")]
    assert distinct(rows) == [rows[1]]


def test_rows_become_splits():
    rows = [Row("k", "a", 1, "test", "g", "p"), Row("l", "b", 0, "train", "h", "q"), Row("m", "c", 2, "test", "i", "r")]
    train, dev, test = to_splits(rows)
    assert (train.texts, train.pairs, train.groups, train.labels.tolist()) == (("b",), ("q",), ("h",), [0])
    assert (test.texts, test.pairs, test.groups, test.labels.tolist()) == (("a", "c"), ("p", "r"), ("g", "i"), [1, 2])
    assert (len(dev), test.labels.dtype) == (0, np.int64)
    assert to_splits(rows, regression=True)[2].labels.dtype == np.float32
    assert to_splits([row("a")])[0].pairs is None


@pytest.mark.parametrize("key", ["\ud800", "", "\0"])
def test_any_key_has_a_part(key):
    assert part_of(key, "salt", Shares(dev=1000)) == "dev"

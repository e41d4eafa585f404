import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.batches import length_batches, ordered_batches, pad, random_numbers, sampled_batches
from model.data.errors import DataError

LENGTHS = np.random.default_rng(1).integers(3, 65, 1003)


def padding(batches, lengths):
    """Return how many places of the batches hold nothing, as a share."""
    whole = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - lengths[np.concatenate(batches)].sum() / whole


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=50),
    st.integers(1, 12),
    st.integers(1, 6),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_each_index_comes_once(lengths, size, bucket, seed, epoch):
    for batches in (length_batches(lengths, size, seed, epoch, bucket), ordered_batches(lengths, size)):
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        sizes = sorted(len(batch) for batch in batches)
        assert sizes[1:] == [size] * (len(batches) - 1)
        assert sizes[0] == (len(lengths) % size or size)
        assert all(batch.dtype == np.int64 for batch in batches)


def test_batches_are_the_same_for_the_same_seed_and_epoch():
    first = length_batches(LENGTHS, 32, 7, 2)
    again = length_batches(LENGTHS.tolist(), 32, 7, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for seed, epoch in ((8, 2), (7, 3), (2, 7)):
        assert not np.array_equal(np.concatenate(first), np.concatenate(length_batches(LENGTHS, 32, seed, epoch)))


def test_batches_stay_what_they_are():
    assert [batch.tolist() for batch in length_batches([5, 3, 8, 1, 9, 2, 7], 2, 1, 1)] == [[6, 2], [1, 0], [4], [3, 5]]
    assert [batch.tolist() for batch in sampled_batches([1, 2, 3, 4], 7, 3, [5, 3, 8, 1], 1, 1)] == [
        [3, 3, 1],
        [2],
        [0, 2, 2],
    ]


def test_like_lengths_share_a_batch_in_random_order():
    batches = length_batches(LENGTHS, 16, 1, 0)
    assert padding(batches, LENGTHS) < 0.05
    assert padding(length_batches(LENGTHS, 16, 1, 0, bucket=1), LENGTHS) > 0.3
    means = [LENGTHS[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.4


def test_ordered_batches_go_from_short_to_long():
    assert [batch.tolist() for batch in ordered_batches([4, 2, 4, 1, 3], 2)] == [[3, 1], [4, 0], [2]]


def test_sampled_batches_follow_the_weights():
    weights = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
    drawn = np.concatenate(sampled_batches(weights, 40_000, 64, np.ones(5), 1, 1))
    counts = np.bincount(drawn, minlength=5)
    assert counts.sum() == 40_000
    assert counts[[0, 2, 4]].sum() == 0
    assert abs(counts[1] - 10_000) < 400


def test_sampled_batches_are_the_same_for_the_same_seed_and_epoch():
    weights = np.linspace(1, 2, len(LENGTHS))
    first, again, other = (
        np.concatenate(sampled_batches(weights, 500, 32, LENGTHS, seed, epoch))
        for seed, epoch in ((1, 2), (1, 2), (2, 1))
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert len(set(first.tolist())) < 500
    batches = sampled_batches(weights, 500, 32, LENGTHS, 1, 2)
    assert sorted(map(len, batches)) == [20] + [32] * 15
    assert padding(batches, LENGTHS) < 0.1


def test_sampling_never_takes_what_has_no_weight(monkeypatch):
    class Always:
        def __init__(self, number):
            self.number = number

        def random(self, count):
            return np.full(count, self.number)

        def permutation(self, count):
            return np.arange(count)

    def drawn(number, weights):
        monkeypatch.setattr("model.data.batches.random_numbers", lambda *_: Always(number))
        (batch,) = sampled_batches(weights, 3, 4, np.ones(len(weights)), 0, 0)
        return batch.tolist()

    for weights in ([0.0, 1.0, 0.0], [0.0, *[0.1] * 10, 0.0], [0.0, 5e-324, 0.0]):
        assert drawn(0.0, weights) == [1] * 3
        assert drawn(np.nextafter(1, 0), weights) == [len(weights) - 2] * 3


def test_pad():
    ids, mask = pad([np.int32([7, 8, 9]), np.int32([5]), np.int32([])], 1)
    assert ids.tolist() == [[7, 8, 9], [5, 1, 1], [1, 1, 1]]
    assert mask.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert (ids.dtype, mask.dtype) == (np.int64, np.bool_)
    assert pad([np.int32([])], 0)[0].tolist() == [[0]]


def test_random_numbers_differ_by_seed_place_and_purpose():
    keys = [(seed, place, purpose) for seed in (0, 1, 2) for place in (0, 1, 2) for purpose in (1, 2)]
    drawn = [tuple(random_numbers(*key).integers(1 << 60, size=3)) for key in keys]
    assert len(set(drawn)) == len(keys)
    assert random_numbers(1, 2, 3).integers(1 << 32) == 4140415376


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: length_batches([], 2, 0, 0), "lengths: must be at least one number, not (0,)"),
        (lambda: length_batches([[1]], 2, 0, 0), "lengths: must be at least one number, not (1, 1)"),
        (lambda: length_batches([1], 0, 0, 0), "size: must be at least 1, not 0"),
        (lambda: ordered_batches([1], 0), "size: must be at least 1, not 0"),
        (lambda: length_batches([1], 1, 0, 0, bucket=0), "bucket: must be at least 1, not 0"),
        (lambda: length_batches([1], 1, -1, 0), "seed: must be from 0 to 4294967295, not -1"),
        (lambda: length_batches([1], 1, 1 << 32, 0), "seed: must be from 0 to 4294967295, not 4294967296"),
        (lambda: length_batches([1], 1, 0, -1), "epoch: must be from 0 to 4294967295, not -1"),
        (lambda: random_numbers(0, 0, 0), "purpose: must be from 1 to 4294967295, not 0"),
        (lambda: sampled_batches([1], 0, 1, [1], 0, 0), "count: must be at least 1, not 0"),
        (lambda: sampled_batches([1], 1, 1, [1, 1], 0, 0), "weights: must be 2 numbers, as lengths, not (1,)"),
        (lambda: pad([], 0), "ids: must be at least one example, not 0"),
        *(
            (
                lambda weights=weights: sampled_batches(weights, 1, 1, [1, 1], 0, 0),
                "weights: must be finite, none below 0 and not all 0, not 'others'",
            )
            for weights in ([0, 0], [1, -1], [1, np.nan], [1, np.inf])
        ),
    ],
)
def test_wrong_arguments_are_refused(refused, function, message):
    assert refused(DataError, function) == message

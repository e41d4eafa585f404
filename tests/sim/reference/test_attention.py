"""Scores, context and attention codes, against loops over one product, one probability, at a time."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.reference.attention import context, head_threshold, row_threshold, scores
from sim.reference.integers import Codes, WidthError, code_range

CODES = [*product([1, 2, 4, 8], ["signed", "unsigned"])]


def random_codes(shape: tuple[int, ...], bits: int, set: str, seed: int) -> Codes:
    low, high = code_range(bits, set)
    return Codes(np.random.default_rng(seed).integers(low, high + 1, shape), bits, set)


def test_scores_by_hand() -> None:
    queries = Codes(np.array([[1, 0, 1, 1], [0, 0, 1, 0]]), 1, "signed")
    keys = Codes(np.array([[1, 1, 0, 0], [0, 0, 1, 0]]), 1, "signed")
    result = scores(queries, keys, 2)
    # Head 0: (+ -) and (- -) with (+ +) and (- -); head 1: (+ +) and (+ -) with (- -) and (+ -).
    assert result.tolist() == [[[0, 0], [-2, 2]], [[-2, 0], [0, 2]]]
    assert result.dtype == np.int32
    assert scores(queries, keys, 1).tolist() == [[[-2, 0], [-2, 4]]]


@pytest.mark.parametrize(("bits", "set"), CODES)
@pytest.mark.parametrize(("tokens", "channels", "heads"), [(1, 1, 1), (5, 6, 1), (3, 15, 5), (4, 7, 7)])
def test_scores_and_context(bits: int, set: str, tokens: int, channels: int, heads: int) -> None:
    queries = random_codes((tokens, channels), bits, set, 1)
    keys = random_codes((tokens, channels), 2, "signed", 2)
    width = channels // heads
    q, k = queries.values.tolist(), keys.values.tolist()
    expected = np.zeros((heads, tokens, tokens), int)
    for i, j, c in product(range(tokens), range(tokens), range(channels)):
        expected[c // width, i, j] += q[i][c] * k[j][c]
    assert (scores(queries, keys, heads) == expected).all()

    attention = random_codes((heads, tokens, tokens), bits, "unsigned", 3)
    a, v = attention.values.tolist(), queries.values.tolist()
    result = context(attention, queries)
    assert result.dtype == np.int32
    assert result.tolist() == [
        [sum(a[c // width][i][j] * v[j][c] for j in range(tokens)) for c in range(channels)] for i in range(tokens)
    ]


def test_a_score_that_leaves_32_bits() -> None:
    wide = Codes(np.full((1, 33026), 255), 8, "unsigned")
    with pytest.raises(WidthError) as caught:
        scores(wide, wide, 1)
    assert str(caught.value) == f"score must fit in 32 bits, not {33026 * 255 * 255}"
    assert scores(Codes(wide.numbers[:, 1:], 8, "unsigned"), Codes(wide.numbers[:, 1:], 8, "unsigned"), 1).max() < 2**31


def test_a_context_at_its_widest_and_beyond() -> None:
    """Show what 1,024 rows of 8-bit codes give, and that sums of 2^31, which no legal network has, are seen."""
    attention = Codes(np.full((1, 1024, 1024), 255), 8, "unsigned")
    values = Codes(np.full((1024, 1), 255), 8, "unsigned")
    assert (context(attention, values) == 1024 * 255 * 255).all()
    row, column = Codes(np.full((1, 1, 1 << 17), 128), 8, "unsigned"), np.full((1 << 17, 1), 127)
    assert context(row, Codes(column, 8, "unsigned")).tolist() == [[2**31 - 2**24]]
    with pytest.raises(WidthError) as caught:
        context(row, Codes(column + 1, 8, "unsigned"))
    assert str(caught.value) == "context must fit in 32 bits, not 2147483648"


def exponential(entries: int) -> np.ndarray:
    return np.array([65535 >> index for index in range(entries)], np.uint16)


def naive(row: list[int], multiplier: int, shift: int, table: list[int], levels: list[int]) -> list[int]:
    """Return the codes with probabilities as fractions and the index found by counting."""
    shares = []
    for score in row:
        exact = Fraction((max(row) - score) * multiplier, 2**shift)
        index = 0
        while index < len(table) - 1 and index + Fraction(1, 2) <= exact:
            index += 1
        shares.append(table[index])
    probabilities = [Fraction(share, sum(shares)) for share in shares]
    return [len([level for level in levels if p >= Fraction(level, 2**20)]) for p in probabilities]


def codes_of(row: list[int], multiplier: int, shift: int, table: Any, levels: list[int]) -> list[int]:
    bits = (len(levels) + 1).bit_length() - 1
    d = np.array([[row]], np.int32)
    return row_threshold(d, bits, multiplier, shift, np.array(table), np.array(levels)).numbers[0, 0].tolist()


def test_row_threshold_by_hand() -> None:
    # Distances 0, 1, 2, 2: E = 65535, 32767, 16383, 16383, Z = 131068; a half is reached by the first only.
    assert codes_of([4, 2, 0, 0], 1, 1, exponential(4), [2**19]) == [1, 0, 0, 0]
    assert codes_of([4, 2, 0, 0], 1, 1, exponential(4), [2**17]) == [1, 1, 0, 0]
    assert codes_of([4, 2, 0, 0], 1, 1, exponential(4), [0, 2**17, 2**19]) == [3, 2, 1, 1]


def test_a_tie_with_a_level_fires() -> None:
    # Two equal scores share evenly: a half, exactly.
    assert codes_of([7, 7], 1, 0, [65535], [2**19]) == [1, 1]
    assert codes_of([7, 7], 1, 0, [65535], [2**19 + 1]) == [0, 0]
    assert codes_of([7, 7, 7, 7], 1, 0, [65535], [2**18, 2**18, 2**18 + 1]) == [2, 2, 2, 2]


def test_one_token_has_everything() -> None:
    assert codes_of([-(2**31)], 65535, 0, [65535], [2**20]) == [1]
    assert codes_of([5], 65535, 0, [65535], [2**20 + 1]) == [0]
    assert codes_of([5], 65535, 0, [65535], [2**21]) == [0]


def test_the_index_ends_at_the_last_entry() -> None:
    scale = [65535, 100, 0]
    # Far below the largest: entry 2, share 0, which only the level 0 takes.
    assert codes_of([0, -2, -1000000], 1, 1, scale, [1]) == [1, 1, 0]
    assert codes_of([0, -2, -1000000], 1, 1, scale, [0]) == [1, 1, 1]
    assert codes_of([2**31 - 1, -(2**31)], 65535, 0, scale, [1]) == [1, 0]


def test_an_index_half_way_goes_to_the_farther_entry() -> None:
    # Distance 1, halved: index 1; distance 1, a quarter of it: index 0.
    assert codes_of([1, 0], 1, 1, [65535, 0], [1]) == [1, 0]
    assert codes_of([1, 0], 1, 2, [65535, 0], [1]) == [1, 1]


def test_signed_bits_index_by_halves() -> None:
    """With d = 6 a score is one of -6, -4 ... 6, and d + 1 entries hold every distance."""
    entries = exponential(7).tolist()
    for score in range(-6, 7, 2):
        shares = [65535, entries[(6 - score) // 2]]
        half = codes_of([6, score], 1, 1, entries, [2**20 * shares[1] // sum(shares)])
        above = codes_of([6, score], 1, 1, entries, [2**20 * shares[1] // sum(shares) + 1])
        assert (half[1], above[1]) == (1, 0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_every_row_of_every_head(bits: int) -> None:
    random = np.random.default_rng(bits)
    d = random.integers(-20, 21, (3, 5, 5)).astype(np.int32)
    levels = sorted(random.integers(0, 2**19, 2**bits - 1).tolist())
    codes = row_threshold(d, bits, 5, 3, exponential(17), np.array(levels))
    assert codes.numbers.dtype == (np.uint8 if bits == 1 else np.int16)
    assert (codes.bits, codes.set) == (bits, "unsigned")
    for head, row in product(range(3), range(5)):
        expected = naive(d[head, row].tolist(), 5, 3, exponential(17).tolist(), levels)
        assert codes.numbers[head, row].tolist() == expected


falling = st.lists(st.integers(0, 65535), max_size=6).map(lambda rest: [65535, *sorted(rest, reverse=True)])


@given(
    st.one_of(
        st.lists(st.integers(-9, 9), min_size=1, max_size=6),
        st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=3),
    ),
    st.integers(0, 65535),
    st.integers(0, 31),
    falling,
    st.lists(st.integers(0, 2**21), min_size=3, max_size=3).map(sorted),
)
def test_row_threshold_against_fractions(
    row: list[int], multiplier: int, shift: int, table: list[int], levels: list[int]
) -> None:
    assert codes_of(row, multiplier, shift, table, levels) == naive(row, multiplier, shift, table, levels)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6), falling)
def test_levels_at_and_beside_the_shares(row: list[int], table: list[int]) -> None:
    shares = [table[min(max(row) - score, len(table) - 1)] for score in row]
    for share in set(shares):
        for level in {share * 2**20 // sum(shares) + step for step in (-1, 0, 1)} - {-1}:
            assert codes_of(row, 1, 0, table, [level]) == naive(row, 1, 0, table, [level])


def test_levels_of_the_longest_row_stay_in_their_width() -> None:
    d = np.zeros((1, 1, 1024), np.int32)
    codes = row_threshold(d, 1, 65535, 0, np.array([65535]), np.array([2**21]))
    assert not codes.numbers.any()
    codes = row_threshold(d, 1, 65535, 0, np.array([65535]), np.array([2**10]))
    assert codes.numbers.all()


def test_head_threshold() -> None:
    d = np.array([[[0, 1], [2, -5]], [[0, 1], [2, -5]]], np.int32)
    codes = head_threshold(d, np.array([1, -4], np.int32))
    assert codes.numbers.tolist() == [[[0, 1], [1, 0]], [[1, 1], [1, 0]]]
    assert codes.numbers.dtype == np.uint8
    assert (codes.bits, codes.set) == (1, "unsigned")

"""The mean of rows in torch: sentences of all lengths together, each against the exact mean of its own rows."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch

from model.integer_kernels import MEAN_EXPONENTS, MEAN_FACTORS, kernel
from model.integer_layout import Batch
from model.values import MAX_ROWS, Value
from tests.model.small import make

CPU = torch.device("cpu")
LOW, HIGH = -32768, 32767


def compute(sentences, limit=MAX_ROWS):
    """Return the mean of each sentence, computed together."""
    value = Value("fixed", channels=sentences[0].shape[1], rows=limit, fraction=8)
    made = make("mean")
    run = kernel(made, [value], made.result([value]), CPU)
    rows = torch.from_numpy(np.concatenate(sentences)).to(torch.int32)
    found = run(Batch.of([len(own) for own in sentences], CPU), rows)
    assert found.dtype == torch.int32
    return found.tolist()


def plain(column):
    """Return the mean of integers step by step, as section 10 has it."""
    n, e = len(column), 0
    while 2**e < n:
        e += 1
    r = (2 ** (14 + e) + n // 2) // n
    return max(LOW, min(HIGH, floor(Fraction(sum(column) * r, 2 ** (14 + e)) + Fraction(1, 2))))


def test_every_count_of_rows():
    sentences = []
    for n in range(1, 1025):
        random = np.random.default_rng(n)
        constant = [np.full(n, value) for value in (LOW, HIGH, LOW + 1, HIGH - 1)]
        drawn = [random.integers(-size, size, n) for size in (3, 3000, 32768)]
        sentences.append(np.stack([*constant, *drawn], axis=1))
    for start in range(0, 1024, 64):
        part = sentences[start : start + 64]
        assert compute(part) == [[plain(column.tolist()) for column in own.T] for own in part]


def test_a_sentence_is_alone_in_its_batch():
    random = np.random.default_rng(1)
    sentences = [random.integers(LOW, HIGH + 1, (n, 5)) for n in (3, 1, 8, 1, 5, 1000, 2)]
    assert compute(sentences) == [compute([own])[0] for own in sentences]


def test_one_row_is_its_own_mean():
    rows = [np.array([[LOW, -1, 0, 1, HIGH]])] * 3
    assert compute(rows, limit=1) == compute(rows) == [rows[0][0].tolist()] * 3


@pytest.mark.parametrize("n", [2**e for e in range(11)])
def test_powers_of_two_round_a_half_up(n):
    column = np.random.default_rng(n).integers(LOW, HIGH + 1, (n, 40))
    assert compute([column]) == [[floor(Fraction(int(total), n) + Fraction(1, 2)) for total in column.sum(0)]]


def test_the_tables_reach_the_longest_sentence():
    assert len(MEAN_FACTORS) == len(MEAN_EXPONENTS) == MAX_ROWS + 1
    assert (MEAN_FACTORS[1024], MEAN_EXPONENTS[1024], MEAN_FACTORS[3], MEAN_EXPONENTS[3]) == (16384, 10, 21845, 2)
    assert all(2**14 <= factor < 2**15 for factor in MEAN_FACTORS[1:])

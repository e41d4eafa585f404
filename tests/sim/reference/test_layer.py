"""The reference of a binary layer against three loops, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.reference import LayerError, binarize, sums

BITS = np.zeros((2, 3), np.uint8)


def plain_sums(activations: np.ndarray, weights: np.ndarray, unsigned: bool) -> list[list[int]]:
    """Return the dot products, one product at a time."""
    result = []
    for row in activations.tolist():
        line = []
        for column in weights.tolist():
            total = 0
            for a, w in zip(row, column, strict=True):
                sign = 1 if w else -1
                if unsigned:
                    total += sign if a else 0
                else:
                    total += sign if a else -sign
            line.append(total)
        result.append(line)
    return result


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_sums(density: float, unsigned: bool) -> None:
    random = np.random.default_rng(3)
    activations = random.random((5, 37)) < density
    weights = (random.random((4, 37)) < 0.5).astype(np.uint8)
    result = sums(activations, weights, unsigned)
    assert result.dtype == np.int64
    assert result.tolist() == plain_sums(activations, weights, unsigned)


def test_binarize() -> None:
    d = np.array([[-3, -2, -1], [2, 1, 0]])
    thresholds = np.array([-3, -1, 0])
    assert binarize(d, thresholds, np.zeros(3, np.uint8)).tolist() == [[1, 0, 0], [1, 1, 1]]
    assert binarize(d, thresholds, np.ones(3, bool)).tolist() == [[0, 1, 1], [0, 0, 0]]
    assert binarize(d, thresholds, np.array([1, 0, 0], np.uint8)).tolist() == [[0, 0, 0], [0, 1, 1]]
    assert binarize(d, thresholds, np.zeros(3, bool)).dtype == np.uint8


@pytest.mark.parametrize(
    ("activations", "weights", "unsigned", "message"),
    [
        (BITS.astype(int), BITS, False, "activations must be bool or uint8, not int64"),
        (BITS, BITS.astype(float), False, "weights must be bool or uint8, not float64"),
        (BITS + np.uint8(2), BITS, False, "activations must be bits, 0 or 1, not 2"),
        (BITS[0], BITS, False, "activations must be an array of 2 dimensions, not 1 dimension"),
        (BITS, [[1]], False, "weights must be an array of 2 dimensions, not list"),
        (BITS, BITS[:, :2], False, "weights must have the 3 inputs of the activations, not 2"),
        (BITS, BITS, 1, "unsigned must be True or False, not 1"),
    ],
)
def test_wrong_sums(activations: Any, weights: Any, unsigned: Any, message: str) -> None:
    with pytest.raises(LayerError) as caught:
        sums(activations, weights, unsigned)
    assert str(caught.value) == message


D, NUMBERS, FLAGS = np.zeros((2, 3), int), np.zeros(3, int), np.zeros(3, bool)


@pytest.mark.parametrize(
    ("d", "thresholds", "polarity", "message"),
    [
        (D.astype(float), NUMBERS, FLAGS, "sums must be integers, not float64"),
        (D, NUMBERS.astype(float), FLAGS, "thresholds must be integers, not float64"),
        (D, NUMBERS[:2], FLAGS, "thresholds must have the 3 columns of the sums, not 2"),
        (D, NUMBERS, FLAGS[:1], "polarity must have the 3 columns of the sums, not 1"),
        (D, NUMBERS, NUMBERS, "polarity must be bool or uint8, not int64"),
        (D[0], NUMBERS, FLAGS, "sums must be an array of 2 dimensions, not 1 dimension"),
        (D, D, FLAGS, "thresholds must be an array of 1 dimension, not 2 dimensions"),
    ],
)
def test_wrong_binarize(d: Any, thresholds: Any, polarity: Any, message: str) -> None:
    with pytest.raises(LayerError) as caught:
        binarize(d, thresholds, polarity)
    assert str(caught.value) == message

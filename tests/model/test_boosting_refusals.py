"""What boosting refuses, and in which words."""

import math

import numpy as np
import pytest

from model.boosting import Boosting, Settings, adaboost
from model.checks import NetworkError

SAMME = Settings(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "classes must be an integer of at least 1, not 0"),
        ({"classes": True}, "classes must be an integer of at least 1, not True"),
        ({"seed": -1}, "seed must be an integer of at least 0, not -1"),
        ({"method": "x"}, "method must be one of boosting, bagging, seeds, not 'x'"),
        ({"variant": "sammy"}, "variant must be one of samme, adaboost, not 'sammy'; did you mean 'samme'?"),
        ({"mode": "draw"}, "mode must be one of resample, reweight, not 'draw'"),
        ({"variant": "real"}, "variant must be one of samme, adaboost, not 'real'"),
        ({"loss": 2}, "loss must be one of linear, square, exponential, not 2"),
    ],
)
def test_settings_refuse(refused, arguments, message):
    assert refused(TypeError, lambda: Settings(**{"classes": 2} | arguments)) == message


def test_adaboost_is_for_two_classes(refused):
    message = refused(ValueError, lambda: Settings(3, variant="adaboost"))
    assert message == "variant must be 'samme' for 3 classes, not 'adaboost'"
    message = refused(ValueError, adaboost, np.full(4, 0.25), np.zeros(4, bool), 3)
    assert message == "classes must be 2, not 3; use samme"
    assert Settings(3, "bagging", variant="adaboost").classes == 3


def test_draw_refuses(refused):
    boosting = Boosting(np.array([0, 1] * 5), Settings(2, mode="reweight"))
    assert refused(TypeError, boosting.draw, 0, 0, 0) == "count must be an integer of at least 1, not 0"
    message = "count must be at most 10 where examples are shuffled, not 11"
    assert refused(ValueError, boosting.draw, 11, 0, 0) == message


def test_from_dict_refuses(refused):
    labels = np.array([0, 1, 0, 1, 1])
    good = Boosting(labels, SAMME).to_dict()

    def answer(**changes):
        return refused(NetworkError, Boosting.from_dict, labels, good | changes)

    assert answer(labels="0").startswith("boosting.labels: must be of the labels that are given, not of others")
    assert answer(distribution=[0.5, 0.5]).startswith("boosting.distribution: must be 5 shares that sum to 1, not")
    assert answer(distribution=[0.5, 0.5, 0.5, 0.5, -1.0]).startswith("boosting.distribution: must be 5 shares")
    assert answer(rounds=[{"error": 0}]).startswith("boosting.rounds[0]: must be an object with the keys error")
    assert answer(settings={}).startswith("boosting.settings: must be an object with the keys classes")
    assert answer(members=2).startswith("boosting: must be an object with the keys settings")
    assert refused(NetworkError, Boosting.from_dict, labels[::-1], good).startswith("boosting.labels: must be of the")


@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [
        (2, [0, 1, 0], "labels must be of 4 examples or more, not of the shape [3]"),
        (3, [0, 1], "labels must be of 3 examples or more, not of the shape [2]"),
        (2, [[0, 1, 0, 1]], "labels must be of 4 examples or more, not of the shape [1, 4]"),
        (2, [0, 1, 2, 0], "labels must be from 0 to 1, not 2"),
        (2, [0, 1, -1, 0], "labels must be from 0 to 1, not -1"),
        (2, [0.0, 1, 0, 1], "labels must be integers, the indices of classes, not float64"),
        (1, [0.0, 1, 0, math.nan], "labels must be finite numbers for regression, not [0.0, 1.0, 0.0, nan]"),
    ],
)
def test_labels_are_checked(refused, classes, labels, message):
    assert refused(ValueError, Boosting, labels, Settings(classes)) == message


def test_predictions_are_checked(refused):
    boosting = Boosting(np.array([0, 1, 0, 1]), SAMME)
    message = refused(ValueError, boosting.update, [0, 1, 0])
    assert message == (
        "predictions must be one for each of 4 examples, not [3]; gather them in a pass that leaves no example out"
    )
    assert refused(ValueError, boosting.update, [0, 1, 0, 2]) == "predictions must be from 0 to 1, not 2"
    assert refused(ValueError, boosting.update, [0.5] * 4).startswith("predictions must be integers")
    scores = Boosting(np.zeros(4), Settings(1))
    assert refused(ValueError, scores.update, [0, 1, 0, math.inf]).startswith("predictions must be finite numbers")
    assert boosting.member == scores.member == 0

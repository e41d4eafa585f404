"""How the members of an ensemble come to differ: boosting (SAMME, AdaBoost, AdaBoost.R2), bagging, or seeds alone.

A trainer asks for the distribution of the next member, trains it, gathers its predictions of all training examples *in
their own order*, and hands them to `update`. Everything is a function of the labels, the settings and the predictions;
the state between two members is plain data.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.checks import nearest, refuse, require_keys, show

METHODS = ("boosting", "bagging", "seeds")
MODES = ("resample", "reweight")
VARIANTS = ("samme", "adaboost")
LOSSES = ("linear", "square", "exponential")
# A member that repeats the one before it has an error of exactly chance in theory: rounding must not accept it.
_CHANCE_TOLERANCE = 1e-12
_BAG, _EPOCH, _MEMBER = 1, 2, 3
_KEYS = ("settings", "labels", "rounds", "distribution")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """What decides how members differ; `classes` is 1 for regression.

    `resample` draws the examples of each epoch; `reweight` shows each example once and weighs its loss. `variant` is
    for classes, `loss` (of an error relative to the largest) for regression; `seed` draws the bags of bagging.
    """

    classes: int
    method: Literal["boosting", "bagging", "seeds"] = "boosting"
    mode: Literal["resample", "reweight"] = "resample"
    variant: Literal["samme", "adaboost"] = "samme"
    loss: Literal["linear", "square", "exponential"] = "square"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("classes", 1), ("seed", 0)):
            _check_integer(name, getattr(self, name), low)
        for name, choices in (("method", METHODS), ("mode", MODES), ("variant", VARIANTS), ("loss", LOSSES)):
            value = getattr(self, name)
            if value not in choices:
                hint = nearest(value, choices)
                raise TypeError(f"{name} must be one of {', '.join(choices)}, not {show(value)}{hint}")
        if self.variant == "adaboost" and self.method == "boosting" and self.classes > 2:
            raise ValueError(f"variant must be 'samme' for {self.classes} classes, not 'adaboost'")

    @property
    def chance(self) -> float:
        """The error from which a member is no better than chance."""
        return 0.5 if self.classes == 1 else 1 - 1 / self.classes


@dataclass(frozen=True)
class Round:
    """What became of one member: its error under its own distribution, and its weight in the vote.

    A member that is not accepted has the weight 0, and is best left out of the ensemble.
    """

    error: float
    weight: float
    accepted: bool


class Boosting:
    """The distribution over m training examples, from member to member."""

    def __init__(self, labels: ArrayLike, settings: Settings) -> None:
        self.settings = settings
        self.labels = _check_labels(labels, settings)
        self._rounds: list[Round] = []
        self._distribution = self._first()

    @property
    def member(self) -> int:
        """The index of the member that comes next."""
        return len(self._rounds)

    @property
    def rounds(self) -> tuple[Round, ...]:
        """What became of the members so far."""
        return tuple(self._rounds)

    @property
    def distribution(self) -> Floats:
        """D of the next member, over the training examples; it sums to 1. For bagging: the shares of its bag."""
        return self._distribution.copy()

    @property
    def loss_weights(self) -> Floats:
        """What each example's loss is multiplied by: m * D when reweighting, with a mean of 1; else 1."""
        if self.settings.mode == "reweight":
            return len(self.labels) * self._distribution
        return np.ones(len(self.labels))

    def draw(self, count: int, seed: int, epoch: int) -> Integers:
        """Return the indices of the examples that one epoch shows, in order: the same for the same arguments.

        Boosting that resamples draws from D with replacement. Bagging that resamples shuffles its bag, which is the
        same in every epoch. Else all examples are shuffled. A shuffle gives at most m indices.
        """
        _check_integer("count", count, 1)
        rng = _generator(seed, _EPOCH, self.member, epoch)
        resample = self.settings.mode == "resample"
        if resample and self.settings.method == "boosting":
            edges = np.cumsum(self._distribution)
            return np.searchsorted(edges / edges[-1], rng.random(count), side="right").astype(np.int64)
        if count > len(self.labels):
            raise ValueError(f"count must be at most {len(self.labels)} where examples are shuffled, not {count}")
        shown = self._bag() if resample and self.settings.method == "bagging" else np.arange(len(self.labels))
        return rng.permutation(shown)[:count].astype(np.int64)

    def update(self, predictions: ArrayLike) -> Round:
        """Take the next member's predictions, one for each example and in the examples' order, and move on.

        Predictions are indices of classes, or scores for regression.
        """
        given = _check_predictions(predictions, self.labels, self.settings)
        if self.settings.method == "boosting":
            made, self._distribution = self._boost(given)
            self._rounds.append(made)
            return made
        errors = regression_losses(given, self.labels, "linear") if self.settings.classes == 1 else given != self.labels
        made = Round(math.fsum(self._distribution * errors), 1.0, True)
        self._rounds.append(made)
        self._distribution = self._first()
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain data that JSON keeps to the bit."""
        return {
            "settings": asdict(self.settings),
            "labels": _digest(self.labels),
            "rounds": [asdict(made) for made in self._rounds],
            "distribution": self._distribution.tolist(),
        }

    @classmethod
    def from_dict(cls, labels: ArrayLike, data: Any) -> Boosting:
        """Return the state that `to_dict` wrote; the labels must be those that it was made with."""
        values = require_keys("boosting", data, _KEYS)
        settings = Settings(**require_keys("boosting.settings", values["settings"], _names(Settings)))
        self = cls(labels, settings)
        if values["labels"] != _digest(self.labels):
            refuse("boosting.labels", "of the labels that are given", "of others", "; is it another run?")
        self._rounds = [_round(f"boosting.rounds[{i}]", made) for i, made in enumerate(values["rounds"])]
        self._distribution = _check_distribution(values["distribution"], len(self.labels))
        return self

    def _boost(self, predictions: NDArray[Any]) -> tuple[Round, Floats]:
        if self.settings.classes == 1:
            losses = regression_losses(predictions, self.labels, self.settings.loss)
            return adaboost_r2(self._distribution, losses)
        rule = adaboost if self.settings.variant == "adaboost" else samme
        return rule(self._distribution, predictions != self.labels, self.settings.classes)

    def _first(self) -> Floats:
        count = len(self.labels)
        if self.settings.method == "bagging":
            return np.bincount(self._bag(), minlength=count) / count
        return _uniform(count)

    def _bag(self) -> Integers:
        count = len(self.labels)
        return _generator(self.settings.seed, _BAG, self.member).integers(0, count, count)


def samme(distribution: Floats, wrong: NDArray[np.bool_], classes: int) -> tuple[Round, Floats]:
    """Return the round and the next distribution: SAMME, for any number of classes.

    weight = ln((1 - e) / e) + ln(classes - 1); what was wrong is multiplied by exp(weight), then all is normalised.
    """
    chance = 1 - 1 / classes
    error = math.fsum(distribution[wrong])
    if _is_chance(error, chance):
        return Round(error, 0.0, False), _uniform(len(wrong))
    clamped = _clamp(error, chance, len(wrong))
    weight = math.log((1 - clamped) / clamped) + math.log(classes - 1)
    return Round(error, weight, True), _normalised(distribution * np.where(wrong, math.exp(weight), 1.0))


def adaboost(distribution: Floats, wrong: NDArray[np.bool_], classes: int = 2) -> tuple[Round, Floats]:
    """Return the round and the next distribution: discrete AdaBoost, for two classes.

    weight = ln((1 - e) / e) / 2, half of SAMME's; what was wrong is multiplied by exp(weight) and what was right by
    exp(-weight), which normalises to SAMME's distribution.
    """
    if classes != 2:
        raise ValueError(f"classes must be 2, not {classes}; use samme")
    error = math.fsum(distribution[wrong])
    if _is_chance(error, 0.5):
        return Round(error, 0.0, False), _uniform(len(wrong))
    clamped = _clamp(error, 0.5, len(wrong))
    weight = 0.5 * math.log((1 - clamped) / clamped)
    return Round(error, weight, True), _normalised(distribution * np.where(wrong, math.exp(weight), math.exp(-weight)))


def adaboost_r2(distribution: Floats, losses: Floats) -> tuple[Round, Floats]:
    """Return the round and the next distribution: AdaBoost.R2 (Drucker) for losses from 0 to 1.

    beta = e / (1 - e), weight = ln(1 / beta); each example is multiplied by beta^(1 - loss), then all is normalised.
    """
    error = math.fsum(distribution * losses)
    if _is_chance(error, 0.5):
        return Round(error, 0.0, False), _uniform(len(losses))
    clamped = _clamp(error, 0.5, len(losses))
    beta = clamped / (1 - clamped)
    return Round(error, -math.log(beta), True), _normalised(distribution * beta ** (1 - losses))


def regression_losses(predictions: Floats, labels: Floats, loss: str) -> Floats:
    """Return each example's loss from its error relative to the largest one: e, e^2 or 1 - exp(-e); 0 if none errs."""
    errors = np.abs(predictions - labels)
    largest = errors.max()
    relative = errors / largest if largest > 0 else errors
    if loss == "exponential":
        return -np.expm1(-relative)
    return relative**2 if loss == "square" else relative


def member_seed(seed: int, member: int) -> int:
    """Return the seed of one member's own randomness: initial weights, order, dropout."""
    return int(np.random.SeedSequence(seed, spawn_key=(_MEMBER, member)).generate_state(1)[0])


def _generator(seed: int, *key: int) -> np.random.Generator:
    # The key is no part of the entropy: SeedSequence([1, 2]) and SeedSequence([1, 2, 0]) are one and the same.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _uniform(count: int) -> Floats:
    return np.full(count, 1 / count)


def _normalised(weights: Floats) -> Floats:
    return weights / math.fsum(weights)


def _is_chance(error: float, chance: float) -> bool:
    return error >= chance - _CHANCE_TOLERANCE


def _clamp(error: float, chance: float, count: int) -> float:
    return min(max(error, 1 / count), chance - 1 / count)


def _check_labels(labels: ArrayLike, settings: Settings) -> NDArray[Any]:
    # Below this the clamp of the error has no room between 1 / m and chance - 1 / m.
    least = math.ceil(2 / settings.chance)
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) < least:
        raise ValueError(f"labels must be of {least} examples or more, not of the shape {list(array.shape)}")
    return _check_values("labels", array, settings)


def _check_predictions(predictions: ArrayLike, labels: NDArray[Any], settings: Settings) -> NDArray[Any]:
    array = np.asarray(predictions)
    if array.shape != labels.shape:
        hint = "; gather them in a pass that leaves no example out"
        raise ValueError(f"predictions must be one for each of {len(labels)} examples, not {list(array.shape)}{hint}")
    return _check_values("predictions", array, settings)


def _check_values(name: str, array: NDArray[Any], settings: Settings) -> NDArray[Any]:
    if settings.classes == 1:
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite numbers for regression, not {show(array.tolist())}")
        return array.astype(np.float64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, the indices of classes, not {array.dtype}")
    outside = (array < 0) | (array >= settings.classes)
    if outside.any():
        raise ValueError(f"{name} must be from 0 to {settings.classes - 1}, not {array[outside][0]}")
    return array.astype(np.int64)


def _check_distribution(values: Any, count: int) -> Floats:
    array = np.asarray(values, np.float64)
    if array.shape != (count,) or not (array >= 0).all() or not math.isclose(math.fsum(array), 1, rel_tol=1e-9):
        refuse("boosting.distribution", f"{count} shares that sum to 1", show(values))
    return array


def _round(where: str, data: Any) -> Round:
    return Round(**require_keys(where, data, _names(Round)))


def _names(kind: type) -> list[str]:
    return [item.name for item in fields(kind)]


def _digest(labels: NDArray[Any]) -> str:
    return hashlib.sha256(labels.tobytes()).hexdigest()


def _check_integer(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise TypeError(f"{name} must be an integer of at least {low}, not {show(value)}")

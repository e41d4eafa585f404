"""The plan of one stage of training, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from model.checks import NetworkError, nearest, require, require_choice, require_integer
from model.distillation import PARTS
from model.training.checks import known_keys, require_flag, require_number

KEEPS = ("best", "last")
SENTENCE = "sentence"
FEATURES = ("hidden", "attention", "direction")
_NUMBERS = {
    "epochs": (0.01, 10_000),
    "rate": (1e-8, 1),
    "alpha_rate": (0, 1),
    "warmup": (0, 1),
    "decay": (0, 1),
    "clip": (1e-6, 1e6),
    "word_drop": (0, 0.9),
    "temperature": (0.01, 100),
}


@dataclass(frozen=True)
class StagePlan:
    """How one module is trained.

    `rate` is the peak of a linear warm-up (over the share `warmup` of the steps) and decay to 0; alphas of quantizers
    learn at `alpha_rate` and are not decayed. `losses` weighs the parts of the objective. `pool` adds the sentences
    that the teacher labels to the training set. `keep` says which weights the stage ends with: those of the best dev
    score, or the last. `bfloat16` multiplies in 16 bits: for modules of full precision.
    """

    epochs: float = 2.0
    rate: float = 1e-3
    alpha_rate: float = 1e-4
    batch: int = 32
    warmup: float = 0.1
    decay: float = 0.01
    clip: float = 1.0
    word_drop: float = 0.0
    temperature: float = 1.0
    losses: Mapping[str, float] = field(default_factory=lambda: {"label": 1.0})
    pool: bool = False
    keep: Literal["best", "last"] = "best"
    checks_per_epoch: int = 2
    bfloat16: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _NUMBERS.items():
            require_number(name, getattr(self, name), low, high)
        require_integer("batch", self.batch, 1, 4096)
        require_integer("checks_per_epoch", self.checks_per_epoch, 1, 1000)
        require_choice("keep", self.keep, KEEPS)
        require_flag("pool", self.pool)
        require_flag("bfloat16", self.bfloat16)
        self._check_losses()

    def _check_losses(self) -> None:
        legal = isinstance(self.losses, Mapping) and len(self.losses) > 0
        require(legal, "losses", f"a mapping of {', '.join(PARTS)}", self.losses)
        for name, weight in self.losses.items():
            require(name in PARTS, f"losses.{name}", f"one of {', '.join(PARTS)}", name, nearest(name, PARTS))
            require_number(f"losses.{name}", weight, 0, 1e6)
        require(any(self.losses.values()), "losses", "above 0 for one of them", dict(self.losses))
        object.__setattr__(self, "losses", {name: float(weight) for name, weight in self.losses.items() if weight})

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher is read at all."""
        return any(name != "label" for name in self.losses)

    @property
    def needs_vectors(self) -> bool:
        """Whether the sentence vectors of the fine-tuned teacher are read."""
        return SENTENCE in self.losses

    @property
    def needs_features(self) -> bool:
        """Whether the teacher itself runs in every step, not only its stored logits."""
        return any(name in FEATURES for name in self.losses)

    def replace(self, **changes: Any) -> StagePlan:
        """Return this plan with other values."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads."""
        return asdict(self) | {"losses": dict(self.losses)}

    @classmethod
    def from_dict(cls, where: str, data: Any) -> StagePlan:
        """Return the plan of plain data; an unknown key is refused."""
        values = known_keys(where, data, [item.name for item in fields(cls)])
        try:
            return cls(**values)
        except NetworkError as error:
            raise NetworkError(f"{where}.{error}") from None

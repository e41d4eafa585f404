"""How members and their ensemble stand up to disturbed input: noise on the embedding, dropped tokens, typing errors.

A sweep runs a trained classifier at some levels of one disturbance and gives one plain record for each level and seed.
The same arguments give the same records. All members see the same disturbance, and noise is drawn anew with the same
seed for each: an ensemble gains nothing from averaging the noise away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from model.checks import show
from model.member import Member
from model.voting import hard_vote, soft_vote

NOISE_LEVELS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
DROP_RATES = (0.0, 0.05, 0.1, 0.2, 0.3)
TYPO_RATES = (0.0, 0.02, 0.05, 0.1, 0.2)
_DROP, _TYPO = 1, 2

Record = dict[str, Any]
Typos = Callable[[str, float, np.random.Generator], str]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Sentences as the members read them: B rows of S ids, the mask of real tokens (at the front), token types."""

    ids: NDArray[np.int64]
    mask: NDArray[np.bool_]
    types: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name, value in (("mask", self.mask), ("types", self.types)):
            if value is not None and value.shape != self.ids.shape:
                raise ValueError(f"{name} must be {list(self.ids.shape)} as ids, not {list(value.shape)}")
        if self.mask.dtype != np.bool_ or (np.diff(self.mask.astype(np.int8), axis=1) > 0).any():
            raise ValueError("mask must be True for the tokens at the front of each row, and False behind them")


class Predict(Protocol):
    """A trained classifier: logits [N, B, C] of all members, with noise of a deviation on the embedding's output."""

    def __call__(self, inputs: Inputs, noise: float = 0.0, seed: int = 0) -> NDArray[Any]:
        """Return the logits."""


@dataclass(frozen=True, eq=False)
class Judge:
    """What a record is made by: the labels [B] and the vote of the ensemble (soft or hard)."""

    labels: NDArray[np.int64]
    weights: ArrayLike
    vote: str = "soft"

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype.kind not in "iu" or (self.labels < 0).any():
            raise ValueError("labels must be one class for each sentence, not of another kind or below 0")
        if self.vote not in ("soft", "hard"):
            raise TypeError(f"vote must be soft or hard, not {show(self.vote)}")

    def record(self, kind: str, level: float, seed: int, logits: NDArray[Any]) -> Record:
        """Return kind, level and seed, the accuracy of each member, and that of the ensemble."""
        if logits.ndim != 3 or logits.shape[1] != len(self.labels):
            raise ValueError(f"logits must be [members, {len(self.labels)}, classes], not {list(logits.shape)}")
        vote = hard_vote if self.vote == "hard" else soft_vote
        members = (logits.argmax(-1) == self.labels).mean(1)
        ensemble = (vote(logits, self.weights) == self.labels).mean()
        record = {"kind": kind, "level": float(level), "seed": int(seed)}
        return record | {"members": members.tolist(), "ensemble": float(ensemble)}


def noise_sweep(
    predict: Predict,
    inputs: Inputs,
    judge: Judge,
    *,
    levels: Sequence[float] = NOISE_LEVELS,
    seeds: Sequence[int] = (0,),
) -> list[Record]:
    """Return the records for Gaussian noise of these deviations on the embedding's output."""
    return _sweep("noise", levels, seeds, judge, lambda level, seed: predict(inputs, noise=level, seed=seed))


def drop_sweep(
    predict: Predict,
    inputs: Inputs,
    judge: Judge,
    *,
    kept: Iterable[int],
    levels: Sequence[float] = DROP_RATES,
    seeds: Sequence[int] = (0,),
) -> list[Record]:
    """Return the records for tokens dropped at these rates; `kept` are the ids that are never dropped."""
    special = tuple(kept)

    def run(level: float, seed: int) -> NDArray[Any]:
        return predict(drop_tokens(inputs, level, _generator(seed, _DROP), special))

    return _sweep("drop", levels, seeds, judge, run)


def typo_sweep(
    predict: Predict,
    encode: Callable[[list[str]], Inputs],
    texts: Sequence[str],
    judge: Judge,
    *,
    typos: Typos,
    levels: Sequence[float] = TYPO_RATES,
    seeds: Sequence[int] = (0,),
) -> list[Record]:
    """Return the records for texts with typing errors at these rates; `encode` turns texts into inputs."""

    def run(level: float, seed: int) -> NDArray[Any]:
        # A generator for each text: how many numbers one text draws does not change what happens to the next.
        changed = [typos(text, level, _generator(seed, _TYPO, row)) for row, text in enumerate(texts)]
        return predict(encode(changed))

    return _sweep("typos", levels, seeds, judge, run)


def drop_tokens(inputs: Inputs, rate: float, rng: np.random.Generator, kept: Iterable[int]) -> Inputs:
    """Return inputs without a share of their tokens; what follows a dropped token moves up.

    The first token of a sentence is never dropped, nor are those whose ids are `kept`. Higher rates drop what lower
    ones drop, and more.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be from 0 to 1, not {rate!r}")
    dropped = rng.random(inputs.ids.shape) < rate
    dropped[:, 0] = False
    dropped &= ~np.isin(inputs.ids, np.array(list(kept), np.int64))
    stays = inputs.mask & ~dropped
    order = np.argsort(~stays, axis=1, kind="stable")
    ids, mask = np.take_along_axis(inputs.ids, order, 1), np.take_along_axis(stays, order, 1)
    return Inputs(ids, mask, None if inputs.types is None else np.take_along_axis(inputs.types, order, 1))


def predictor(members: Sequence[Member], *, batch: int = 128, device: str = "cpu") -> Predict:
    """Return what a sweep calls, for members in memory: in evaluation mode, `batch` sentences at a time."""
    if not members or batch < 1:
        raise ValueError("members and batch must be at least 1, not 0")

    @torch.no_grad()
    def predict(inputs: Inputs, noise: float = 0.0, seed: int = 0) -> NDArray[Any]:
        rows = []
        for member in members:
            generator = torch.Generator().manual_seed(seed)
            training = member.training
            member.eval()
            parts = [_logits(member, piece, noise, generator, device) for piece in _pieces(inputs, batch)]
            member.train(training)
            rows.append(np.concatenate(parts))
        return np.stack(rows)

    return predict


def _logits(member: Member, inputs: Inputs, noise: float, generator: torch.Generator, device: str) -> NDArray[Any]:
    ids, mask = (torch.from_numpy(array).to(device) for array in (inputs.ids, inputs.mask))
    types = None if inputs.types is None else torch.from_numpy(inputs.types).to(device)
    return member(ids, mask, types, noise=noise, generator=generator).logits.float().cpu().numpy()


def _pieces(inputs: Inputs, batch: int) -> Iterable[Inputs]:
    for start in range(0, len(inputs.ids), batch):
        part = slice(start, start + batch)
        types = None if inputs.types is None else inputs.types[part]
        yield Inputs(inputs.ids[part], inputs.mask[part], types)


def _sweep(
    kind: str,
    levels: Sequence[float],
    seeds: Sequence[int],
    judge: Judge,
    run: Callable[[float, int], NDArray[Any]],
) -> list[Record]:
    for level in levels:
        if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 <= level < float("inf"):
            raise ValueError(f"levels must be finite numbers of at least 0, not {show(level)}")
    return [judge.record(kind, level, seed, run(level, seed)) for level in levels for seed in seeds]


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))

"""The float members of a finished run, as its ensemble elected them, with everything that they read with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from model.data.batches import pad
from model.data.dataset import Dataset
from model.data.wordpiece import Tokenizer
from model.member import Member
from model.robustness import Inputs
from model.training.chain import MEMBER, TOGETHER
from model.training.checkpoint import load_into
from model.training.checks import TrainingError
from model.training.inputs import read_data
from model.training.pipeline import finished_report
from model.training.run import REPORT, TOKENIZER, RunFolder


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """Members with their weights in the vote, in the order of the vote."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    vote: str
    dataset: Dataset
    tokenizer: Tokenizer
    limit: int

    def encode(self, texts: list[str], pairs: list[str] | None = None) -> Inputs:
        """Return texts, or pairs of texts, as the members read them."""
        encoded = self.tokenizer.encode(texts, pairs, limit=self.limit)
        ids, mask = pad(encoded.ids, self.tokenizer.pad)
        types, _ = pad(encoded.types, 0)
        return Inputs(ids, mask, types.astype(np.int64))


def read_finished(folder: RunFolder, glue: Path | None = None) -> FinishedRun:
    """Return what a finished run has made, and the data that it was trained on."""
    report, recipe = finished_report(folder), folder.recipe
    if report is None or recipe.stop is not None:
        found = "under way; go on with train --resume" if report is None else f"that stops at {recipe.stop}"
        raise TrainingError(f"{folder.path}: must be a finished run with members, not one {found}")
    dataset = read_data(recipe.data, glue)
    folder.settle(dataset=dataset.name, dataset_digest=dataset.digest)
    path = folder.path / TOKENIZER
    if not path.is_file():
        raise TrainingError(f"{path}: must be there, not missing; begin a new run")
    tokenizer = Tokenizer.from_bytes(path.read_bytes())
    last = recipe.chain[-1]
    shape = recipe.shape_of(last.precision, tokenizer.size, dataset.task.classes, split=last.split)
    places, weights = _elected(folder, report, recipe.ensemble.members)
    members = []
    for number, place in enumerate(places):
        together = recipe.ensemble.together is not None
        name, prefix = (TOGETHER, f"members.{number}.") if together else (f"{MEMBER}-{place + 1}", "")
        member = Member(shape)
        load_into(member, _weights(folder, name, prefix), str(folder.stage_path(name)))
        members.append(member.eval())
    return FinishedRun(tuple(members), weights, recipe.ensemble.vote, dataset, tokenizer, recipe.data.limit)


def _weights(folder: RunFolder, name: str, prefix: str) -> dict[str, Tensor]:
    """Return the weights of a member in a stage, without what served training alone."""
    stage = folder.finished(name)
    if stage is None:
        raise TrainingError(f"{folder.stage_path(name)}: must be there, not missing; resume the run")
    own = {key.removeprefix(prefix): tensor for key, tensor in stage.tensors.items() if key.startswith(prefix)}
    return {key: tensor for key, tensor in own.items() if not key.startswith("projection.")}


def _elected(folder: RunFolder, report: dict[str, Any], made: int) -> tuple[list[int], tuple[float, ...]]:
    """Return which of the members that were made vote, and their weights."""
    rounds, weights = report.get("boosting"), report.get("member_weights")
    legal = isinstance(rounds, list) and len(rounds) == made and all(isinstance(turn, dict) for turn in rounds)
    accepted = [place for place, turn in enumerate(rounds) if turn.get("accepted") is True] if legal and rounds else []
    places = accepted or [0]
    sure = isinstance(weights, list) and all(type(weight) in (int, float) for weight in weights)
    if not legal or not sure or len(weights or ()) != len(places):
        where = folder.path / REPORT
        raise TrainingError(f"{where}: must have the members' rounds and weights, not others; delete it and resume")
    return places, tuple(float(weight) for weight in weights or ())

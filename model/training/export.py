"""A finished run exported again: the same members, with another vote where that is asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from model.checks import show
from model.data.dataset import Dataset
from model.data.wordpiece import Encoded
from model.network import Network, read_network
from model.reading import tokenizer_of
from model.training.ballots import VoteOptions, revote
from model.training.checks import TrainingError
from model.training.corpus import encode_split
from model.training.inputs import read_data
from model.training.pipeline import finished_report
from model.training.results import calibration_places
from model.training.run import NETWORK, REPORT, RunFolder


def export_again(folder: RunFolder, options: VoteOptions | None, glue: Path | None = None) -> tuple[Network, Dataset]:
    """Return the network of a finished run, voting as the options say, and the data that it was trained on."""
    report = finished_report(folder)
    if folder.recipe.stop is not None:
        what = f"must be a finished run with a network, not one that stops at {folder.recipe.stop}"
        raise TrainingError(f"{folder.path}: {what}")
    if report is None:
        raise TrainingError(f"{folder.path}: must be a finished run, not one under way; go on with train --resume")
    recipe = folder.recipe
    dataset = read_data(recipe.data, glue)
    folder.settle(dataset=dataset.name, dataset_digest=dataset.digest)
    network = read_network(folder.path / NETWORK)
    if options is None:
        return network, dataset
    train = encode_split(tokenizer_of(network), dataset.train, recipe.data.limit)
    places = calibration_places(len(train), recipe.calibration, recipe.seed)
    sentences = Encoded([train.ids[i] for i in places], [train.types[i] for i in places])
    return revote(network, _weights(folder, report, len(network.members)), sentences, options), dataset


def _weights(folder: RunFolder, report: dict[str, Any], members: int) -> list[float]:
    found: Any = report.get("member_weights")
    numbers = isinstance(found, list) and len(found) == members and all(type(x) in (int, float) for x in found)
    legal = numbers and all(0 <= x < math.inf for x in found) and found[0] > 0
    if not legal:
        expected = f"{members} numbers of at least 0, the first above 0, not {show(found)}"
        where = f"{folder.path / REPORT}: member_weights"
        raise TrainingError(f"{where}: must be {expected}; delete it and resume the run")
    return [float(weight) for weight in found]

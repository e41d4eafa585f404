"""The end of a run: the network exported, evaluated as integers, and set beside what it must be measured by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from model.data.batches import random_numbers
from model.data.metrics import METRICS
from model.evaluation import beside_words, evaluate_split, figures
from model.lowering import Calibration, Export, lower_ensemble
from model.member import Member
from model.network import Network
from model.training.ensemble import Ensemble
from model.training.run import NETWORK
from model.training.scoring import score_logits
from model.training.stage import predict
from model.training.students import Students
from model.voting import Vote

_CALIBRATION = 23
References = dict[str, float | None]


def calibration_places(sentences: int, count: int, seed: int) -> NDArray[np.int64]:
    """Return which of the training sentences calibrate the export, in their order."""
    return np.sort(random_numbers(seed, 0, _CALIBRATION).permutation(sentences)[:count])


def export_run(students: Students, ensemble: Ensemble, known: References) -> Export:
    """Return the network of an ensemble, with what is known of the run, and the report of the export."""
    recipe, task, train = students.recipe, students.dataset.task, students.corpora.train
    places = calibration_places(len(train), recipe.calibration, recipe.seed)
    calibration = Calibration([train.ids[i].tolist() for i in places], [train.types[i].tolist() for i in places])
    return lower_ensemble(
        ensemble.members,
        member_weights=ensemble.weights,
        vote="mean" if task.regression else cast(Vote, recipe.ensemble.vote),
        labels=task.labels,
        tokenizer=students.tokenizer.to_bytes(),
        calibration=calibration,
        provenance=provenance(students, known),
    )


def report_of(
    students: Students,
    ensemble: Ensemble,
    network: Network,
    known: References,
    hear: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Return the figures of a run on the test split."""
    dataset, folder = students.dataset, students.runner.folder
    found = evaluate_split(network, dataset.test, device=students.runner.device, hear=hear)
    logits = [predict(member, students.corpora.test, students.runner.device) for member in ensemble.members]
    dev = evaluate_split(network, dataset.dev, device=students.runner.device)
    return {
        **figures(dataset.task, dataset.test, found),
        "dev_accuracy": METRICS[dataset.task.metrics[0]](dev.predictions(), dataset.dev.labels),
        **known,
        **beside_words(dataset, "test", found.predictions()),
        "float_member_accuracy": [score_logits(dataset.task, rows, dataset.test.labels) for rows in logits],
        "member_weights": list(ensemble.weights),
        "boosting": [dataclasses.asdict(turn) for turn in ensemble.rounds],
        "dataset": dataset.name,
        "recipe": students.recipe.name,
        "seed": students.recipe.seed,
        "network": str(folder.path / NETWORK),
        "digest": network.digest,
        "size_bits": network.size_bits(),
    }


def step_report(students: Students) -> dict[str, Any]:
    """Return the figures of a run that ends with a step of the chain: those of its floats, on dev and test."""
    recipe, dataset = students.recipe, students.dataset
    last = recipe.steps[-1]
    member, corpora = students.made[last.name], students.corpora
    return {
        "stop": last.name,
        "precision": last.precision.label,
        "examples": len(dataset.test),
        "metric": dataset.task.metrics[0],
        "accuracy": students.score(member, corpora.test),
        "dev_accuracy": students.score(member, corpora.dev),
        **references(students),
        "dataset": dataset.name,
        "recipe": recipe.name,
        "seed": recipe.seed,
    }


def references(students: Students) -> References:
    """Return the scores on the test split of the models that the run has made on its way; None where it made none."""
    task, test = students.dataset.task, students.corpora.test
    full, said = students.full_precision(), students.corpora.teacher_test
    return {
        "float_accuracy": None if full is None else students.score(full, test),
        "teacher_accuracy": None if said is None else score_logits(task, said, test.labels),
    }


def provenance(students: Students, figures: References) -> dict[str, str]:
    """Return what a network says of where it comes from."""
    recipe, dataset = students.recipe, students.dataset
    known = {name: f"{value:.6f}" for name, value in figures.items() if value is not None}
    if dataset.task.score_range is not None:
        known["score_range"] = "{:g} {:g}".format(*dataset.task.score_range)
    return {
        "recipe": recipe.name,
        "seed": str(recipe.seed),
        "dataset": dataset.name,
        "dataset_digest": dataset.digest,
        "source": "".join(letter if letter.isprintable() else "?" for letter in dataset.source[:1000]),
        "metric": dataset.task.metrics[0],
        "shape": shape_text(students.made[recipe.chain[-1].name]),
        **known,
    }


def shape_text(member: Member) -> str:
    """Return the shape of a member in words."""
    shape = member.shape
    return f"{shape.layers} layers of {shape.hidden}, {shape.heads} heads, {shape.precision.label}"

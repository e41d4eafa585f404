"""A training run from recipe to network: teacher, pool, chain, ensemble, export, report."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.data.dataset import Dataset
from model.network import Network
from model.training.curves import draw_curves
from model.training.ensemble import Ensemble, train_ensemble
from model.training.inputs import Inputs, read_inputs, settle
from model.training.pool import make_pool, teacher_words
from model.training.progress import Progress, Silence
from model.training.recipe import Recipe
from model.training.results import export_run, references, report_of, step_report
from model.training.run import CURVES, NETWORK, REPORT, RunFolder, recorded, write_report
from model.training.runner import SAVE_EVERY, Runner
from model.training.store import Store
from model.training.students import Students, gather
from model.training.teacher import Teacher, make_teacher


@dataclass(frozen=True)
class Machine:
    """What a run runs on, and who watches it. Nothing here changes what a recipe means."""

    device: str = "cpu"
    glue: Path | None = None
    progress: Progress = field(default_factory=Silence)
    save_every: float = SAVE_EVERY
    store: Store | None = None


def train(folder: RunFolder, machine: Machine, inputs: Inputs | None = None) -> dict[str, Any]:
    """Make everything that the folder's recipe asks for, as far as it is not there yet, and return the report."""
    report = finished_report(folder)
    if report is not None:
        machine.progress.say(f"{folder.path}: finished before")
        return report
    if folder.recipe.stop is not None:
        return _end_at_step(train_chain(folder, machine, inputs))
    students, ensemble = prepare(folder, machine, inputs)
    # Left where a run was killed after the last stage was written and before its checkpoints were removed.
    folder.drop_checkpoints()
    known, progress = references(students), machine.progress
    made = export_run(students, ensemble, known)
    progress.begin("network reads test", len(students.dataset.test))
    report = report_of(students, ensemble, made.network, known, hear=lambda done: progress.advance(done, {}))
    progress.end(f"{report['metric']} {report['accuracy']:.4f}")
    network = with_accuracy(made.network, report)
    folder.write(NETWORK, network.to_bytes())
    draw(folder, students.dataset)
    report |= {"digest": network.digest, "export": made.report.to_dict()}
    write_report(folder, report)
    return report


def prepare(folder: RunFolder, machine: Machine, inputs: Inputs | None = None) -> tuple[Students, Ensemble]:
    """Train what is not trained yet, and return the students and the ensemble."""
    students = train_chain(folder, machine, inputs)
    return students, train_ensemble(students)


def train_chain(folder: RunFolder, machine: Machine, inputs: Inputs | None = None) -> Students:
    """Train the steps of the chain that are asked for, as far as they are not there yet, and return the students."""
    students = begin(folder, machine, inputs)
    for step in folder.recipe.steps:
        students.run_step(step)
    return students


def begin(folder: RunFolder, machine: Machine, inputs: Inputs | None = None) -> Students:
    """Make what all students need, the teacher first, and return the students, none of them trained."""
    recipe = folder.recipe
    inputs = inputs or read_inputs(recipe, folder.path, machine.glue)
    settle(folder, inputs)
    dataset, tokenizer = inputs.dataset, inputs.tokenizer
    runner = Runner(
        folder, machine.device, machine.progress, machine.save_every, lambda: draw(folder, dataset), machine.store
    )
    teacher = None if recipe.teacher is None else make_teacher(runner, recipe.teacher, inputs, recipe.seed)
    pool = _pool(recipe, dataset, teacher, machine.glue)
    folder.settle(pool_digest=hashlib.sha256("\0".join(pool).encode()).hexdigest())
    corpora = gather(runner, recipe, dataset, tokenizer, teacher, pool)
    return Students(runner, recipe, dataset, tokenizer, corpora, teacher)


def finished_report(folder: RunFolder) -> dict[str, Any] | None:
    """Return the report of a run whose network is there and whole, if it makes one, or None."""
    report, path = recorded(folder.path, REPORT), folder.path / NETWORK
    if folder.recipe.stop is not None:
        return report if report.get("stop") == folder.recipe.stop else None
    if not report or not path.is_file():
        return None
    whole = hashlib.sha256(path.read_bytes()).hexdigest() == report.get("digest")
    return report | {"network": str(path)} if whole else None


def with_accuracy(network: Network, report: dict[str, Any]) -> Network:
    """Return a network that says how it did on the test split."""
    known = {"accuracy": f"{report['accuracy']:.6f}", "examples": str(report["examples"])}
    return dataclasses.replace(network, provenance={**network.provenance, **known})


def draw(folder: RunFolder, dataset: Dataset) -> None:
    """Draw the curves of a run so far."""
    title = f"{folder.recipe.name}: {dataset.name}, seed {folder.recipe.seed}"
    folder.write(CURVES, draw_curves(title, dataset.task.metrics[0], folder.metrics()))


def _pool(recipe: Recipe, dataset: Dataset, teacher: Teacher | None, glue: Path | None) -> tuple[str, ...]:
    if teacher is None or recipe.data.pool_key is None:
        return ()
    words = teacher_words(recipe.data, dataset, teacher.classifier.encoder, teacher.tokenizer)
    seed = recipe.seed if recipe.data.seed is None else recipe.data.seed
    return make_pool(recipe.data, dataset, words, seed, glue)


def _end_at_step(students: Students) -> dict[str, Any]:
    """Write the report of a run that ends with a step of the chain, and return it."""
    folder = students.runner.folder
    folder.drop_checkpoints()
    report = step_report(students)
    draw(folder, students.dataset)
    write_report(folder, report)
    return report

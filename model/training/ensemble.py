"""The ensemble of a run: members trained one after the other, each on what those before it got wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from model.boosting import Boosting, Round, Settings, member_seed
from model.member import Member
from model.training.chain import FRESH, LABELS, MEMBER, TOGETHER
from model.training.corpus import Corpus
from model.training.facts import data_digest
from model.training.plan import StagePlan
from model.training.recipe import EnsembleRecipe, TogetherPlan
from model.training.stage import Sampling, stage_seed
from model.training.starts import start_from_student
from model.training.students import Students
from model.training.together import Together, together_loss


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained members in the order of the vote, with their weights, and what became of every member that was made."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    rounds: tuple[Round, ...]


def train_ensemble(students: Students) -> Ensemble:
    """Train the members of a recipe; a member that is no better than chance is left out of the vote."""
    recipe = students.recipe.ensemble
    boosting = _boosting(students)
    made: list[Member] = []
    for index in range(recipe.members):
        seed = member_seed(students.recipe.seed, index)
        member = _start(students, made, seed)
        for name, plan in _plans(recipe, index):
            sampling = _sampling(boosting, seed)
            students.train_member(name, member, plan, recipe.teacher, stage_seed(seed, name), sampling)
        boosting.update(_predictions(students, member, index))
        made.append(member)
    ensemble = elected(made, boosting.rounds)
    if recipe.together is not None:
        _train_together(students, ensemble, recipe.together)
    return ensemble


def elected(made: list[Member], rounds: tuple[Round, ...]) -> Ensemble:
    """Return the members that vote: those that were accepted, or the first one alone."""
    accepted = [index for index, turn in enumerate(rounds) if turn.accepted] or [0]
    weights = tuple(rounds[index].weight or 1.0 for index in accepted)
    return Ensemble(tuple(made[index] for index in accepted), weights, rounds)


def _train_together(students: Students, ensemble: Ensemble, chosen: TogetherPlan) -> None:
    """Train the members that vote together; each ends with weights of its own but for a shared embedding."""
    recipe = students.recipe
    module = Together(ensemble.members, ensemble.weights, shared_embedding=recipe.ensemble.shared_embedding)
    corpus = students.corpus_of(chosen.plan, recipe.ensemble.teacher)
    loss = together_loss(chosen, students.dataset.task.regression)
    seed, facts = stage_seed(recipe.seed, TOGETHER), {"share": chosen.share}
    students.train(TOGETHER, module, chosen.plan, corpus, loss, seed, facts)


def boosting_labels(corpus: Corpus, regression: bool) -> NDArray[Any]:
    """Return the labels of a corpus, and what the teacher says where there is none."""
    if corpus.teacher_logits is None:
        return corpus.labels
    said = corpus.teacher_logits[:, 0] if regression else corpus.teacher_logits.argmax(1)
    missing = np.isnan(corpus.labels) if regression else corpus.labels < 0
    return np.where(missing, said, corpus.labels).astype(corpus.labels.dtype)


def _boosting(students: Students) -> Boosting:
    recipe, task = students.recipe.ensemble, students.dataset.task
    chosen = cast(Mapping[str, Any], {"method": recipe.method, "mode": recipe.mode})
    settings = Settings(task.classes, **chosen, seed=students.recipe.seed)
    return Boosting(boosting_labels(students.corpus(recipe.plan), task.regression), settings)


def _start(students: Students, made: list[Member], seed: int) -> Member:
    recipe, last = students.recipe.ensemble, students.recipe.chain[-1]
    member = students.fresh(last.precision, seed, recipe.plan, split=last.split)
    if recipe.start == "warm":
        start_from_student(member, made[-1] if made else students.made[last.name])
    elif recipe.start != FRESH:
        start_from_student(member, students.made[recipe.start])
    if recipe.shared_embedding:
        member.embedding.load_state_dict(students.made[last.name].embedding.state_dict())
        member.embedding.requires_grad_(False)
    return member


def _plans(recipe: EnsembleRecipe, index: int) -> list[tuple[str, StagePlan]]:
    """Return the stages of one member: one, or two with the features of the teacher first (two-stage distillation)."""
    name = f"{MEMBER}-{index + 1}"
    first = [] if recipe.features is None else [(f"{name}-features", recipe.features)]
    return [*first, (name, recipe.plan)]


def _sampling(boosting: Boosting, seed: int) -> Sampling:
    settings = boosting.settings
    if settings.method == "seeds":
        return Sampling()
    facts = {"boosting": data_digest(boosting.to_dict()), "seed": seed}
    if settings.mode == "reweight":
        return Sampling(weights=boosting.loss_weights, facts=facts)
    return Sampling(draw=lambda epoch: boosting.draw(len(boosting.labels), seed, epoch), facts=facts)


def _predictions(students: Students, member: Member, index: int) -> NDArray[Any]:
    """Return what a member says of all training examples, in their order."""
    corpus, what = students.corpus(students.recipe.ensemble.plan), f"member {index + 1} reads its sentences"
    name = f"{LABELS}-{MEMBER}-{index + 1}"
    logits = students.said(name, what, member, corpus)
    return logits[:, 0].astype(np.float64) if students.dataset.task.regression else logits.argmax(1)

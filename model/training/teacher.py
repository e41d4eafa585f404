"""The full-precision teacher of a run: fine-tuned once, and what it says of every sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from model.data.dataset import Dataset
from model.data.wordpiece import Tokenizer
from model.encoder import Classifier
from model.huggingface import load_classifier
from model.training.chain import LABELS, TEACHER
from model.training.corpus import encode_pool, encode_split
from model.training.facts import module_facts, score_facts, splits_digest, texts_digest
from model.training.inputs import Inputs
from model.training.losses import batch_loss
from model.training.recipe import TeacherRecipe
from model.training.runner import Runner
from model.training.scoring import score_logits
from model.training.stage import Stage, predict, stage_seed


@dataclass(frozen=True, eq=False)
class Teacher:
    """A fine-tuned classifier and the tokenizer that it reads with."""

    recipe: TeacherRecipe
    classifier: Classifier
    tokenizer: Tokenizer


def make_teacher(runner: Runner, recipe: TeacherRecipe, inputs: Inputs, seed: int) -> Teacher:
    """Return the teacher of a task, fine-tuned or read from where it was."""
    dataset, tokenizer, source = inputs.dataset, inputs.teacher_tokenizer, inputs.teacher_folder
    if tokenizer is None or source is None:
        raise TypeError("inputs must have a teacher, not none")
    pooling = cast(Literal["first", "mean"], recipe.pooling)
    own_seed, half = stage_seed(seed if recipe.seed is None else recipe.seed, TEACHER), recipe.plan.bfloat16
    classifier = load_classifier(source, dataset.task.classes, pooling, own_seed)
    train, dev = (encode_split(tokenizer, split, recipe.limit) for split in (dataset.train, dataset.dev))
    stage = Stage(
        name=TEACHER,
        module=classifier,
        plan=recipe.plan,
        corpus=train,
        loss=batch_loss(recipe.plan, dataset.task.regression),
        score=lambda: score_logits(dataset.task, predict(classifier, dev, runner.device, bfloat16=half), dev.labels),
        seed=own_seed,
        device=runner.device,
        facts=lambda: score_facts(dataset.task, dev),
    )
    runner.train(stage)
    return Teacher(recipe, classifier, tokenizer)


def teacher_logits(
    runner: Runner, teacher: Teacher, dataset: Dataset, pool: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Return what the teacher says of train, dev, test and the pool, computed once."""

    def make() -> dict[str, NDArray[np.float32]]:
        limit = teacher.recipe.limit
        corpora = {part: encode_split(teacher.tokenizer, split, limit) for part, split in dataset.splits.items()}
        if pool:
            corpora["pool"] = encode_pool(teacher.tokenizer, pool, limit, dataset.task.regression)
        return {
            part: runner.predict(
                f"teacher reads {part}", teacher.classifier, corpus, bfloat16=teacher.recipe.plan.bfloat16
            )
            for part, corpus in corpora.items()
        }

    def facts() -> dict[str, Any]:
        reads = {"tokenizer": teacher.tokenizer.digest, "limit": teacher.recipe.limit, "pool": texts_digest(pool)}
        reads |= {"splits": splits_digest(dataset.splits), "bfloat16": teacher.recipe.plan.bfloat16}
        return {"reads": reads, "module": module_facts(teacher.classifier)}

    return runner.compute(LABELS, make, facts)

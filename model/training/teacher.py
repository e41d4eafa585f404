"""The full-precision teacher of a run: fine-tuned once, and what it says of every sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from model.data.dataset import Dataset
from model.data.wordpiece import Tokenizer
from model.encoder import Classifier
from model.huggingface import load_classifier
from model.training.chain import LABELS, TEACHER
from model.training.corpus import Floats, encode_pool, encode_split
from model.training.facts import module_facts, score_facts, splits_digest, texts_digest
from model.training.inputs import Inputs
from model.training.losses import batch_loss
from model.training.recipe import TeacherRecipe
from model.training.runner import Runner
from model.training.scoring import score_logits
from model.training.stage import Stage, predict, stage_seed
from model.training.starts import piece_corpus

LEARNED = ("train", "pool")
_CONSTANT = 1e-6


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


@dataclass(frozen=True, eq=False)
class Said:
    """What the teacher says of the sentences of each part: train, dev, test, and the pool if there is one.

    `vectors` are what its head reads of train and pool, each channel with mean 0 and deviation 1 over both; none where
    nobody learns from them.
    """

    logits: Mapping[str, Floats]
    vectors: Mapping[str, Floats]


def ask_teacher(runner: Runner, teacher: Teacher, dataset: Dataset, pool: Sequence[str], *, vectors: bool) -> Said:
    """Return what the teacher says, computed once."""
    names = ("logits", "pooled") if vectors else ("logits",)

    def make() -> dict[str, NDArray[Any]]:
        limit = teacher.recipe.limit
        corpora = {part: encode_split(teacher.tokenizer, split, limit) for part, split in dataset.splits.items()}
        if pool:
            corpora["pool"] = encode_pool(teacher.tokenizer, pool, limit, dataset.task.regression)
        half = teacher.recipe.plan.bfloat16
        found = {
            part: runner.outputs(f"teacher reads {part}", teacher.classifier, corpus, names, bfloat16=half)
            for part, corpus in corpora.items()
        }
        rows = {f"{part}-pooled": values["pooled"] for part, values in found.items() if vectors and part in LEARNED}
        return {part: values["logits"] for part, values in found.items()} | {
            name: values.astype(np.float16) for name, values in rows.items()
        }

    def facts() -> dict[str, Any]:
        reads = {"tokenizer": teacher.tokenizer.digest, "limit": teacher.recipe.limit, "pool": texts_digest(pool)}
        reads |= {"splits": splits_digest(dataset.splits), "bfloat16": teacher.recipe.plan.bfloat16}
        return {"reads": reads, "module": module_facts(teacher.classifier), "outputs": list(names)}

    parts = [*dataset.splits, *(["pool"] if pool else [])]
    learned = [part for part in LEARNED if vectors and part in parts]
    made = runner.compute(LABELS, [*parts, *(f"{part}-pooled" for part in learned)], make, facts)
    rows = {part: made[f"{part}-pooled"].astype(np.float32) for part in learned}
    return Said({part: made[part] for part in parts}, _standardised(rows))


def read_pieces(runner: Runner, teacher: Teacher, tokenizer: Tokenizer) -> Floats:
    """Return what the teacher's head reads of each piece of a student's tokenizer alone [V, G], computed once."""

    def make() -> dict[str, NDArray[Any]]:
        corpus = piece_corpus(tokenizer, teacher.tokenizer, teacher.recipe.limit)
        half = teacher.recipe.plan.bfloat16
        return runner.outputs("teacher reads words", teacher.classifier, corpus, ("pooled",), bfloat16=half)

    def facts() -> dict[str, Any]:
        reads = {"pieces": tokenizer.digest, "tokenizer": teacher.tokenizer.digest, "limit": teacher.recipe.limit}
        return {"reads": reads, "module": module_facts(teacher.classifier), "bfloat16": teacher.recipe.plan.bfloat16}

    return runner.compute(f"{LABELS}-words", ("pooled",), make, facts)["pooled"]


def _standardised(rows: dict[str, Floats]) -> dict[str, Floats]:
    """Return rows whose columns have mean 0 and deviation 1 over all parts; a constant column becomes 0."""
    if not rows:
        return {}
    together = np.concatenate(list(rows.values())).astype(np.float64)
    mean, deviation = together.mean(0), together.std(0)
    scale = 1 / np.where(deviation > _CONSTANT, deviation, np.inf)
    return {part: ((values - mean) * scale).astype(np.float32) for part, values in rows.items()}

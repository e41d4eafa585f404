"""What a run reads: looked at before its folder is made, so that nothing is written for wrong input."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checks import require_integer
from model.data.augment import can_splice
from model.data.catalog import load
from model.data.dataset import Dataset, what_is_missing
from model.data.wordpiece import Tokenizer, adapted_tokenizer, load_tokenizer, train_tokenizer
from model.encoder import EncoderConfig
from model.huggingface import load_config, packaged_teacher
from model.training.chain import TEACHER
from model.training.checks import TrainingError
from model.training.data_recipe import TEACHERS, DataRecipe
from model.training.pool import whole_words
from model.training.recipe import Recipe, TeacherRecipe
from model.training.run import TOKENIZER, RunFolder
from model.training.starts import check_teacher_start
from model.vote import check_labels

PACKAGED = "packaged"
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")


@dataclass(frozen=True, eq=False)
class Inputs:
    """The data of a run, the tokenizer of its students and, where there is a teacher, its folder and its tokenizer."""

    dataset: Dataset
    tokenizer: Tokenizer
    teacher_folder: Path | None = None
    teacher_tokenizer: Tokenizer | None = None


def read_inputs(recipe: Recipe, folder: Path, glue: Path | None = None) -> Inputs:
    """Return what a recipe reads; the tokenizer is made from the training set, unless the run's folder has it."""
    dataset = read_data(recipe.data, glue)
    if recipe.teacher is None:
        return Inputs(dataset, _tokenizer(recipe.data, dataset, folder, None))
    source = teacher_folder(recipe.teacher)
    own = load_tokenizer(_tokenizer_file(source))
    _check_teacher(recipe.teacher, load_config(source), own, dataset)
    check_starts(recipe, source)
    if recipe.data.jumble and not whole_words(own):
        what = "must be 0 for a teacher whose tokenizer has no word of three letters or more"
        raise TrainingError(f"data.jumble: {what}, not {recipe.data.jumble}")
    return Inputs(dataset, _tokenizer(recipe.data, dataset, folder, own), source, own)


def check_starts(recipe: Recipe, teacher: Path) -> None:
    """Refuse a recipe with a step that cannot start from the layers of the teacher in a folder."""
    for step in recipe.chain:
        if step.start == TEACHER:
            check_teacher_start(recipe.shape_of(step.precision, recipe.data.vocabulary, 2), load_config(teacher))


def read_data(recipe: DataRecipe, glue: Path | None = None) -> Dataset:
    """Return the data of a recipe, from which something can be learned, and whose classes a network can name."""
    dataset = shortened(load(recipe.set, glue=glue, columns=recipe.columns), recipe.examples)
    check_labels(dataset.task.labels, len(dataset.task.labels))
    if problem := what_is_missing(dataset):
        raise TrainingError(f"{dataset.name}: must be {problem}")
    if recipe.pool_key is not None and dataset.task.pairs:
        what = f"must be 0 for {dataset.name}, a task of pairs, which make no pool"
        raise TrainingError(f"data.{recipe.pool_key}: {what}")
    if recipe.splice and not can_splice(dataset.train.texts):
        what = f"must be 0 for {dataset.name}, which has no two training texts of two words or more"
        raise TrainingError(f"data.splice: {what}, not {recipe.splice}")
    return dataset


def settle(folder: RunFolder, inputs: Inputs) -> None:
    """Record what a run reads in its folder; data that are not those that the run began with are refused."""
    teacher = inputs.teacher_tokenizer
    folder.settle(
        dataset=inputs.dataset.name,
        dataset_digest=inputs.dataset.digest,
        tokenizer_digest=inputs.tokenizer.digest,
        teacher_tokenizer_digest=None if teacher is None else teacher.digest,
    )
    if not (folder.path / TOKENIZER).exists():
        folder.write(TOKENIZER, inputs.tokenizer.to_bytes())


def shortened(dataset: Dataset, examples: int) -> Dataset:
    """Return a data set with at most so many training examples, its first ones; 0 for all."""
    if not examples or examples >= len(dataset.train):
        return dataset
    return dataclasses.replace(dataset, train=dataset.train.take(np.arange(examples)))


def teacher_folder(recipe: TeacherRecipe) -> Path:
    """Return where the teacher's encoder is."""
    return packaged_teacher() if recipe.source == PACKAGED else Path(recipe.source)


def _tokenizer(recipe: DataRecipe, dataset: Dataset, folder: Path, teacher: Tokenizer | None) -> Tokenizer:
    """Return the tokenizer of a run's folder, or a new one of the training set."""
    path = folder / TOKENIZER
    if path.is_file():
        return Tokenizer.from_bytes(path.read_bytes())
    texts = (*dataset.train.texts, *(dataset.train.pairs or ()))
    if teacher is not None and recipe.pieces == TEACHERS:
        return adapted_tokenizer(teacher, texts, recipe.vocabulary)
    return train_tokenizer(texts, recipe.vocabulary)


def _check_teacher(recipe: TeacherRecipe, config: EncoderConfig, tokenizer: Tokenizer, dataset: Dataset) -> None:
    """Refuse a teacher that cannot read what its tokenizer makes of the data."""
    require_integer("teacher.limit", recipe.limit, 4, config.positions)
    if tokenizer.size > config.vocabulary:
        expected = f"a tokenizer of at most {config.vocabulary} pieces, as the encoder has"
        raise TrainingError(f"teacher.source: must have {expected}, not {tokenizer.size}")
    if dataset.task.pairs and config.types < 2:
        raise TrainingError(f"teacher.source: must have 2 token types for {dataset.name}, a task of pairs, not 1")


def _tokenizer_file(folder: Path) -> Path:
    return next((folder / name for name in TOKENIZER_FILES if (folder / name).exists()), folder / TOKENIZER_FILES[0])

"""The teacher: fine-tuned once, and asked once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.data.catalog import load
from model.data.dataset import DataError, Dataset
from model.training.corpus import encode_split, make_batch
from model.training.inputs import Inputs, read_inputs
from model.training.recipe import Recipe
from model.training.run import RunFolder
from model.training.runner import Runner
from model.training.scoring import score_logits
from model.training.stage import predict
from model.training.teacher import ask_teacher, make_teacher

Refused = Callable[..., str]


@pytest.fixture
def dataset(texts: Path) -> Dataset:
    return load(str(texts))


@pytest.fixture
def recipe(taught: dict[str, Any]) -> Recipe:
    return Recipe.from_dict(taught)


def test_it_learns_the_task_and_is_read_the_second_time(recipe: Recipe, dataset: Dataset, tmp_path: Path) -> None:
    assert recipe.teacher is not None
    inputs = read_inputs(recipe, tmp_path)
    with RunFolder(tmp_path, recipe, resume=False) as folder:
        runner = Runner(folder)
        teacher = make_teacher(runner, recipe.teacher, inputs, 1)
        test = encode_split(teacher.tokenizer, dataset.test, 16)
        logits = predict(teacher.classifier, test)
        assert score_logits(dataset.task, logits, test.labels) > 0.8
        count = len(folder.metrics())
        again = make_teacher(runner, recipe.teacher, inputs, 1)
        assert (predict(again.classifier, test) == logits).all()
        assert len(folder.metrics()) == count


@pytest.mark.parametrize("bfloat16", [False, True])
def test_what_it_says_of_every_sentence(
    bfloat16: bool, taught: dict[str, Any], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught["teacher"] |= {"bfloat16": bfloat16, "epochs": 0.5}
    recipe = Recipe.from_dict(taught)
    assert recipe.teacher is not None
    inputs = read_inputs(recipe, tmp_path)
    pool = ("a lovely film", "dreary plot and stupid script")
    with RunFolder(tmp_path, recipe, resume=False) as folder:
        runner = Runner(folder)
        teacher = make_teacher(runner, recipe.teacher, inputs, 1)
        said = ask_teacher(runner, teacher, dataset, pool, vectors=True)
        assert {part: rows.shape for part, rows in said.logits.items()} == {
            "train": (len(dataset.train), 2),
            "dev": (len(dataset.dev), 2),
            "test": (len(dataset.test), 2),
            "pool": (2, 2),
        }
        test = predict(teacher.classifier, encode_split(teacher.tokenizer, dataset.test, 16), bfloat16=bfloat16)
        assert (said.logits["test"] == test).all()
        assert {part: rows.shape for part, rows in said.vectors.items()} == {
            "train": (len(dataset.train), 24),
            "pool": (2, 24),
        }
        monkeypatch.setattr(Runner, "outputs", None)
        again = ask_teacher(runner, teacher, dataset, pool, vectors=True)
        for kind in ("logits", "vectors"):
            assert all(np.array_equal(rows, getattr(again, kind)[part]) for part, rows in getattr(said, kind).items())


def test_vectors_are_what_the_head_reads(taught: dict[str, Any], dataset: Dataset, tmp_path: Path) -> None:
    taught["teacher"] |= {"epochs": 0.5}
    recipe = Recipe.from_dict(taught)
    inputs = read_inputs(recipe, tmp_path)
    with RunFolder(tmp_path, recipe, resume=False) as folder:
        runner = Runner(folder)
        teacher = make_teacher(runner, recipe.teacher, inputs, 1)
        vectors = ask_teacher(runner, teacher, dataset, (), vectors=True).vectors["train"]
        train = encode_split(teacher.tokenizer, dataset.train, 16)
        batch = make_batch(train, np.arange(len(train)), "cpu")
        teacher.classifier.eval()
        with torch.no_grad():
            last = teacher.classifier.encoder(batch.ids, batch.mask).hidden[-1]
        means = torch.stack([row[: mask.sum()].mean(0) for row, mask in zip(last, batch.mask, strict=True)]).numpy()
        assert np.allclose(vectors, (means - means.mean(0)) / means.std(0), atol=0.02)


def test_a_folder_without_a_model(taught: dict[str, Any], tmp_path: Path, refused: Refused) -> None:
    taught["teacher"]["source"] = str(tmp_path / "no")
    message = refused(DataError, read_inputs, Recipe.from_dict(taught), tmp_path)
    assert message.startswith(f"{tmp_path / 'no' / 'tokenizer.json'}: must be readable, not fail with: No such file")


def test_a_run_without_a_teacher(recipe: Recipe, tmp_path: Path) -> None:
    inputs = read_inputs(recipe, tmp_path / "run")
    with (
        RunFolder(tmp_path / "run", recipe, resume=False) as folder,
        pytest.raises(TypeError, match="inputs must have a teacher, not none"),
    ):
        make_teacher(Runner(folder), recipe.teacher, Inputs(inputs.dataset, inputs.tokenizer), 1)

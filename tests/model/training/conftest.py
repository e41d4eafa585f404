"""A task that a tiny network learns in a second, and runs on it."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from model.data.wordpiece import train_tokenizer
from model.training import pipeline, results
from model.training.pipeline import Machine, begin, train
from model.training.recipe import Recipe
from model.training.run import RunFolder
from model.training.students import Students
from tests.model.training.recipes import BAD, FILLER, GOOD, WORDS, sentence, tiny_recipe, write_rows, write_texts


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: these modules are too small for two."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of two classes."""
    return write_texts(tmp_path_factory.mktemp("data") / "texts.csv")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of sentences: of one mood, or of two."""
    rng = random.Random(2)
    rows = []
    for index in range(120):
        first, second = rng.choice((GOOD, BAD)), rng.choice((GOOD, BAD))
        label = "same" if first is second else "other"
        rows.append((f"{sentence(rng, first)} {index}", sentence(rng, second), label))
    return write_rows(tmp_path_factory.mktemp("data") / "pairs.csv", ("text", "text2", "label"), rows)


@pytest.fixture(scope="session")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences with a score from 0 to 4: how many of their telling words are good."""
    rng = random.Random(3)
    rows = []
    for index in range(160):
        good = index % 5
        words = rng.sample(GOOD, good) + rng.sample(BAD, 4 - good) + rng.sample(FILLER, 2)
        rng.shuffle(words)
        rows.append((" ".join(words), good))
    return write_rows(tmp_path_factory.mktemp("data") / "scores.csv", ("text", "label"), rows)


@pytest.fixture(scope="session")
def teacher_folder(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder as Hugging Face lays it out, with random weights and a vocabulary of the sentences."""
    from model.encoder import Encoder, EncoderConfig
    from model.huggingface import save_encoder

    folder = tmp_path_factory.mktemp("teacher")
    vocabulary = train_tokenizer(texts.read_text().splitlines(), 200).vocabulary
    config = EncoderConfig(vocabulary=len(vocabulary), hidden=24, layers=1, heads=2, intermediate=32, positions=32)
    save_encoder(Encoder(config, generator=torch.Generator().manual_seed(1)), folder)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocabulary))
    return folder


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long and is written whole at the end, the picture and the linear model."""
    monkeypatch.setattr(pipeline, "draw_curves", lambda *arguments: b"picture")
    monkeypatch.setattr(results, "beside_words", lambda *given: WORDS)


@pytest.fixture
def plain(texts: Path) -> dict[str, Any]:
    """Return the recipe of most tests."""
    return tiny_recipe(texts)


@pytest.fixture
def taught(plain: dict[str, Any], teacher_folder: Path) -> dict[str, Any]:
    """Return a recipe with a teacher and a pool."""
    plain["teacher"] = {"source": str(teacher_folder), "limit": 16, "epochs": 4, "rate": 0.003, "batch": 16}
    plain["data"] |= {"replace": 1, "splice": 20}
    for step in plain["chain"]:
        step |= {"teacher": "teacher", "pool": True, "word_drop": 0.1}
    plain["ensemble"] |= {"distillation": "logits", "pool": True}
    return plain


@pytest.fixture
def students(plain: dict[str, Any], tmp_path: Path) -> Callable[..., Students]:
    """Return a function that gives the students of a recipe, none of which is trained yet."""

    def gathered(data: dict[str, Any] | None = None) -> Students:
        recipe = Recipe.from_dict(plain if data is None else data)
        folder = RunFolder(tmp_path / "students", recipe, resume=True)
        made = begin(folder, Machine())
        folder.close()
        return made

    return gathered


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that trains a recipe of plain data in a folder and returns its report."""

    def train_in(data: dict[str, Any], name: str = "run", *, resume: bool = False, **machine: Any) -> dict[str, Any]:
        with RunFolder(tmp_path / name, Recipe.from_dict(data), resume=resume) as folder:
            return train(folder, Machine(**machine))

    return train_in

"""The pool: what is in it, in which order, and for which tasks there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model.data.catalog import load
from model.data.dataset import Dataset
from model.data.wordpiece import train_tokenizer
from model.encoder import Encoder, EncoderConfig
from model.training import pool
from model.training.checks import TrainingError
from model.training.data_recipe import DataRecipe
from model.training.inputs import read_data
from model.training.pool import Words, make_pool, word_neighbours

Refused = Callable[..., str]


@pytest.fixture
def dataset(texts: Path) -> Dataset:
    return load(str(texts))


def test_nothing_is_asked_for(dataset: Dataset) -> None:
    assert make_pool(DataRecipe("rt"), dataset, Words(), 1) == ()


def test_parts_stand_one_after_the_other(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tuple(f"sentence {number}" for number in range(9))
    asked = []

    def unlabelled(names: list[str], **options: object) -> tuple[str, ...]:
        asked.append((names, options))
        return found

    monkeypatch.setattr(pool, "unlabelled", unlabelled)
    recipe = DataRecipe("rt", replace=2, jumble=1, splice=7, spans=6, unlabelled=5, sources=("films",))
    words = Words(("zebra", "quince"), {"lovely": ("gentle", "superb"), "film": ("movie",)})
    made = make_pool(recipe, dataset, words, 1)
    count = len(dataset.train)
    assert len(made) == 3 * count + 7 + 6 + 5
    assert "movie" in " ".join(made[:count])
    assert made[:count] != made[count : 2 * count]
    jumbled = " ".join(made[2 * count : 3 * count])
    assert "zebra" in jumbled
    assert "quince" in jumbled
    whole = " | ".join(" ".join(text.split()) for text in dataset.train.texts)
    assert all(span in whole for span in made[-11:-5])
    assert len(set(made[-5:])) == 5
    assert set(made[-5:]) <= set(found)
    assert made == make_pool(recipe, dataset, words, 1)
    assert made != make_pool(recipe, dataset, words, 2)
    assert asked[0] == (["rt"], {"glue": None, "columns": None, "sources": ("films",)})


def test_pairs_make_none(pairs: Path, refused: Refused) -> None:
    message = refused(TrainingError, read_data, DataRecipe(str(pairs), splice=3))
    assert message == "data.splice: must be 0 for pairs, a task of pairs, which make no pool"


def test_neighbours_are_the_nearest_words() -> None:
    words = "good great fine bad awful poor film movie script actor"
    tokenizer = train_tokenizer([f"{words} {words} abcdefghijklmnopqrstuvwxyz zyxwvutsrqponmlkjihgfedcba"], 120)
    teacher = Encoder(EncoderConfig(tokenizer.size, hidden=16, layers=1, heads=2, intermediate=8, positions=16))
    place = tokenizer.vocabulary.index
    with torch.no_grad():
        vectors = teacher.embeddings.vocabulary.weight
        vectors.normal_(generator=torch.Generator().manual_seed(1))
        vectors[place("great")] = vectors[place("good")] + 0.01
        vectors[place("movie")] = vectors[place("film")] + 0.01
    found = word_neighbours(["A good FILM.", "great script, unseen"], teacher, tokenizer)
    assert found["good"][0] == "great"
    assert found["great"][0] == "good"
    assert found["film"][0] == "movie"
    assert "movie" not in found
    assert all(word not in near for word, near in found.items())
    assert all(len(near) <= pool.NEIGHBOURS for near in found.values())

"""A task that a tiny network learns in a second, and a recipe for it."""

import csv
import random
from pathlib import Path
from typing import Any

GOOD = ["lovely", "bright", "warm", "clever", "funny", "moving", "gentle", "superb", "honest", "rich"]
BAD = ["dreary", "clumsy", "cold", "stupid", "boring", "shallow", "cruel", "awful", "fake", "poor"]
WORDS = {"tfidf_accuracy": 0.5, "tfidf_difference": 0.25, "tfidf_difference_interval": [0.0, 0.5]}
FILLER = ["film", "story", "actor", "scene", "plot", "music", "ending", "script", "camera", "voice"]


def sentence(rng: random.Random, words: list[str]) -> str:
    """Return a sentence of four to nine words, two of them telling."""
    chosen = rng.sample(FILLER, rng.randint(2, 7)) + rng.sample(words, 2)
    rng.shuffle(chosen)
    return " ".join(chosen)


def write_rows(path: Path, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Path:
    """Write a CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_texts(path: Path) -> Path:
    """Write sentences of two classes."""
    rng = random.Random(1)
    rows = [(sentence(rng, (BAD, GOOD)[i % 2]), ("bad", "good")[i % 2]) for i in range(160)]
    return write_rows(path, ("text", "label"), rows)


def few_steps(texts: Path) -> dict[str, Any]:
    """Return a recipe of fifteen steps in five stages."""
    data = tiny_recipe(texts)
    for section in (*data["chain"], data["ensemble"]):
        section |= {"epochs": 1, "batch": 40}
    return data


def tiny_recipe(texts: Path) -> dict[str, Any]:
    """Return a recipe of four short stages, as plain data that a test may change."""
    return {
        "name": "tiny",
        "seed": 3,
        "data": {"set": str(texts), "limit": 12, "vocabulary": 100},
        "shape": {"layers": 1, "hidden": 16, "heads": 2},
        "chain": [
            {"name": "float", "precision": "32-32-32", "epochs": 2, "batch": 16, "rate": 0.005},
            {"name": "w1a2", "precision": "1-1-2", "epochs": 1, "batch": 16, "rate": 0.005},
            {"name": "w1a1", "precision": "1-1-1", "epochs": 1, "batch": 16, "rate": 0.005},
        ],
        "ensemble": {"members": 2, "epochs": 1, "batch": 16, "rate": 0.005},
        "calibration": 16,
    }


def small_recipe() -> dict[str, Any]:
    """Return the least that a recipe can say."""
    return {"name": "small", "data": {"set": "rt"}, "chain": [{"name": "bits", "precision": "1-1-1"}]}


def taught_recipe() -> dict[str, Any]:
    """Return a recipe with a teacher and three steps."""
    steps = {"float": "32-32-32", "two": "1-1-2", "one": "1-1-1"}
    chain = [{"name": name, "precision": precision} for name, precision in steps.items()]
    return small_recipe() | {"teacher": {}, "chain": chain}

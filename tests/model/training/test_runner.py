"""The runner: when it saves, what it logs, what it tells."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from model.training import runner as module
from model.training.checkpoint import CheckpointError
from model.training.recipe import Recipe
from model.training.run import RunFolder
from model.training.runner import Runner
from model.training.students import Students

Make = Callable[..., Students]


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        self.heard.append(("begin", stage, total, done))

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        self.heard.append(("advance", done, tuple(values)))

    def end(self, note: str = "") -> None:
        self.heard.append(("end", note))

    def say(self, line: str) -> None:
        self.heard.append(("say", line))


@pytest.fixture
def made(students: Make, plain: dict[str, Any]) -> Students:
    for step in plain["chain"]:
        step |= {"epochs": 1, "batch": 40}
    return students(plain)


def saves(made: Students, monkeypatch: pytest.MonkeyPatch, every: float, seconds: float = 0.0) -> list[int]:
    """Train the first step, and return the steps after which it was saved; a save takes `seconds`."""
    made.runner.save_every = every
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    steps = []

    def save(_folder: RunFolder, checkpoint: Any) -> None:
        steps.append(checkpoint.data["step"])
        now[0] += seconds

    monkeypatch.setattr(RunFolder, "save", save)
    own = module.Stage.run_step
    monkeypatch.setattr(module.Stage, "run_step", lambda stage: (own(stage), now.__setitem__(0, now[0] + 1.0))[0])
    made.run_step(made.recipe.chain[0])
    return steps


class TestSaving:
    def test_never_after_the_last_step(self, made: Students, monkeypatch: pytest.MonkeyPatch) -> None:
        assert saves(made, monkeypatch, 0.0) == [1, 2]

    def test_every_so_many_seconds(
        self, students: Make, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain["chain"][0] |= {"epochs": 3, "batch": 40}
        assert saves(students(plain), monkeypatch, 2.0) == [2, 4, 6, 8]

    def test_what_takes_long_is_done_less_often(
        self, students: Make, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain["chain"][0] |= {"epochs": 10, "batch": 40}
        assert saves(students(plain), monkeypatch, 2.0, seconds=0.375) == [2, 10, 18, 26]


class TestTelling:
    def test_what_is_heard(self, made: Students) -> None:
        listener = made.runner.progress = Listener()
        made.run_step(made.recipe.chain[0])
        assert listener.heard[0] == ("begin", "float", 120, 0)
        assert [line[1] for line in listener.heard if line[0] == "advance"] == [40, 80, 120]
        assert listener.heard[-1][1].startswith("dev 0.")
        count = len(listener.heard)
        made.run_step(made.recipe.chain[0])
        assert len(listener.heard) == count
        made.run_step(made.recipe.chain[1])
        assert listener.heard[count][:2] == ("begin", "float reads its pupils' sentences")

    def test_what_is_logged(self, made: Students) -> None:
        made.run_step(made.recipe.chain[0])
        lines = made.runner.folder.metrics()
        assert [line["step"] for line in lines] == [1, 2, 3]
        assert all(set(line) == {"stage", "step", "total", "label", "dev"} for line in lines)

    def test_it_draws_after_a_while(self, made: Students, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn: list[float] = []
        made.runner.draw = lambda: drawn.append(time.monotonic())
        made.run_step(made.recipe.chain[0])
        assert drawn == []
        monkeypatch.setattr(module, "_DRAW_EVERY", 0.0)
        made.run_step(made.recipe.chain[1])
        assert len(drawn) == 1


def test_arrays_are_computed_once(plain: dict[str, Any], tmp_path: Any) -> None:
    asked = []

    def make() -> dict[str, np.ndarray]:
        asked.append(1)
        return {"a": np.arange(3, dtype=np.float32)}

    with RunFolder(tmp_path / "run", Recipe.from_dict(plain), resume=False) as folder:
        for _ in range(2):
            assert Runner(folder).compute("labels", ("a",), make)["a"].tolist() == [0, 1, 2]
    assert asked == [1]


def test_arrays_that_lack_one(plain: dict[str, Any], tmp_path: Any, refused: Any) -> None:
    with RunFolder(tmp_path / "run", Recipe.from_dict(plain), resume=False) as folder:
        runner = Runner(folder)
        runner.compute("labels", ("a",), lambda: {"a": np.zeros(2, np.float32)})
        where = folder.stage_path("labels")
        message = refused(CheckpointError, runner.compute, "labels", ("a", "b"), dict)
        assert message == f"{where}: must hold b, not a; delete it"

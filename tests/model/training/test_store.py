"""Stages that runs share: made once, to the bits that a run without a store makes, however often it was killed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from model.training import pipeline, results
from model.training.checkpoint import Checkpoint
from model.training.pipeline import Machine, train
from model.training.recipe import Recipe
from model.training.run import RunFolder
from model.training.stage import Stage
from model.training.store import Store, link, machine_facts
from tests.model.disk import Disk
from tests.model.training.killing import Killer, content
from tests.model.training.recipes import WORDS, few_steps

Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long and is no part of a stage."""
    monkeypatch.setattr(pipeline, "draw_curves", lambda *arguments: b"picture")
    monkeypatch.setattr(results, "beside_words", lambda *given: WORDS)


@pytest.fixture
def few(texts: Path) -> dict[str, Any]:
    return few_steps(texts)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the stages that are trained from now on."""
    names: list[str] = []
    own = Stage.begin

    def begin(stage: Stage) -> None:
        names.append(stage.name)
        own(stage)

    monkeypatch.setattr(Stage, "begin", begin)
    return names


def go(data: dict[str, Any], folder: Path, store: Store | None = None, **machine: Any) -> dict[str, Any]:
    with RunFolder(folder, Recipe.from_dict(data), resume=True) as run:
        return train(run, Machine(store=store, **machine))


class TestStore:
    FACTS: ClassVar = {"seed": 1, "plan": {"rate": 0.1}}

    def test_what_is_kept_is_fetched(self, tmp_path: Path) -> None:
        store, said = Store(tmp_path / "store"), []
        assert store.fetch(self.FACTS, said.append) is None
        made = Checkpoint({"w": torch.arange(3.0)}, {"stage": "float"})
        records = [{"stage": "float", "step": 1, "total": 0.5}]
        store.keep(self.FACTS, made, records, 2.5)
        found = Store(tmp_path / "store").fetch(dict(reversed(self.FACTS.items())), said.append)
        assert found is not None
        assert found.checkpoint.tensors["w"].tolist() == [0, 1, 2]
        assert (found.records, found.seconds, said) == (records, 2.5, [])
        known = json.loads(next((tmp_path / "store").glob("*.json")).read_bytes())
        assert known["facts"]["stage"] == self.FACTS
        assert known["facts"]["machine"] == machine_facts("cpu")
        assert store.fetch(self.FACTS | {"seed": 2}, said.append) is None

    def test_the_machine_is_part_of_the_key(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = {Store(tmp_path).key(self.FACTS)}
        for name, value in (("get_num_threads", 7), ("__version__", "9.9")):
            with monkeypatch.context() as patch:
                patch.setattr(torch, name, (lambda value=value: value) if name == "get_num_threads" else value)
                keys.add(Store(tmp_path).key(self.FACTS))
        assert len(keys) == 3

    @pytest.mark.parametrize(("suffix", "data"), [("safetensors", b"x"), ("json", b"{}"), ("json", b"[1")])
    def test_what_is_damaged_is_made_again(self, suffix: str, data: bytes, tmp_path: Path) -> None:
        store, said = Store(tmp_path), []
        store.keep(self.FACTS, Checkpoint({"w": torch.ones(1)}, {}), [], 1.0)
        next(tmp_path.glob(f"*.{suffix}")).write_bytes(data)
        assert store.fetch(self.FACTS, said.append) is None
        assert len(said) == 1 and said[0].endswith(": removed; the stage is made again")
        assert not list(tmp_path.glob("*.safetensors"))

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            *(("records", text) for text in ("{}", "[1]", "[{}]", '[{"stage": "float"}]')),
            ("records", '[{"stage": "float", "step": 1}]'),
            ("records", '[{"stage": "../float", "step": 1, "total": 1}]'),
            ("records", '[{"stage": "float", "step": -1, "total": 1}]'),
            ("records", '[{"stage": "float", "step": 1, "total": 1, "dev": "best"}]'),
            *(("seconds", text) for text in ("NaN", "Infinity", "-1", "1e12", '"1"', "true", "null", "9" * 400)),
        ],
    )
    def test_what_no_run_wrote_is_made_again(self, key: str, text: str, tmp_path: Path) -> None:
        store, said = Store(tmp_path), []
        store.keep(self.FACTS, Checkpoint({"w": torch.ones(1)}, {}), [], 1.0)
        about = next(tmp_path.glob("*.json"))
        known = {name: json.dumps(value) for name, value in json.loads(about.read_bytes()).items()} | {key: text}
        about.write_text("{" + ", ".join(f'"{name}": {value}' for name, value in known.items()) + "}")
        assert store.fetch(self.FACTS, said.append) is None
        assert said == [f"{about}: must be the JSON of a stage, not damaged: removed; the stage is made again"]
        assert not list(tmp_path.glob("*.safetensors"))

    def test_a_second_name_is_on_the_disk_at_the_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a").write_bytes(b"weights")
        (tmp_path / "run").mkdir()
        disk = Disk(monkeypatch, tmp_path / "run")
        link(tmp_path / "a", tmp_path / "run" / "b")
        assert disk.steps == [("rename", "b"), ("flush", "folder")]
        assert (tmp_path / "run" / "b").samefile(tmp_path / "a")

    def test_a_disk_without_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a").write_bytes(b"weights")

        def refuse(*_: Any) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refuse)
        link(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == b"weights"


class TestSharing:
    def test_a_run_that_shares_ends_in_the_same_bits(
        self, few: dict[str, Any], tmp_path: Path, trained: list[str]
    ) -> None:
        go(few, tmp_path / "alone")
        stages, store = list(trained), Store(tmp_path / "store")
        go(few, tmp_path / "first", store)
        assert trained == stages * 2
        go(few, tmp_path / "second", store)
        assert trained == stages * 2
        assert content(tmp_path / "first") == content(tmp_path / "alone")
        assert content(tmp_path / "second") == content(tmp_path / "alone")
        assert (tmp_path / "second" / "costs.json").read_bytes() == (tmp_path / "first" / "costs.json").read_bytes()
        assert set(json.loads((tmp_path / "second" / "costs.json").read_bytes())) >= set(stages)

    @pytest.mark.parametrize(
        ("section", "change", "made_again"),
        [
            ("chain.2", {"rate": 0.004}, ["w1a1", "member-1", "member-2"]),
            ("chain.2", {"losses": {"logits": 1}}, ["w1a1", "member-1", "member-2"]),
            ("chain.0", {"rate": 0.004}, ["float", "w1a2", "w1a1", "member-1", "member-2"]),
            # What has no effect on the weights of a step has none on the steps after it.
            ("chain.0", {"alpha_rate": 0.5}, ["float"]),
            ("ensemble", {"method": "bagging"}, ["member-1", "member-2"]),
            ("ensemble", {"mode": "reweight"}, ["member-1", "member-2"]),
            # The first member starts from the same weights, but its embedding does not learn.
            ("ensemble", {"shared_embedding": True}, ["member-1", "member-2"]),
            ("ensemble", {"vote": "hard"}, []),
            ("shape", {"elastic": False}, ["w1a2", "w1a1", "member-1", "member-2"]),
            ("shape", {"dropout": 0.2}, ["float", "w1a2", "w1a1", "member-1", "member-2"]),
            ("data", {"examples": 100}, ["float", "w1a2", "w1a1", "member-1", "member-2"]),
        ],
    )
    def test_only_what_is_equal_is_shared(
        self,
        section: str,
        change: dict[str, Any],
        made_again: list[str],
        few: dict[str, Any],
        tmp_path: Path,
        trained: list[str],
    ) -> None:
        store = Store(tmp_path / "store")
        go(few, tmp_path / "first", store)
        trained.clear()
        name, _, place = section.partition(".")
        (few[name][int(place)] if place else few[name]).update(change)
        go(few, tmp_path / "second", store)
        assert trained == made_again
        go(few, tmp_path / "alone")
        assert content(tmp_path / "second") == content(tmp_path / "alone")

    def test_a_teacher_of_the_study(self, taught: dict[str, Any], tmp_path: Path, trained: list[str]) -> None:
        taught["teacher"] |= {"seed": 5, "epochs": 1}
        taught["data"] |= {"seed": 6}
        taught["stop"] = "float"
        store = Store(tmp_path / "store")
        for seed in (1, 2):
            go(taught | {"seed": seed}, tmp_path / f"run-{seed}", store)
        assert trained == ["teacher", "float", "float"]
        stages = [(tmp_path / f"run-{seed}" / "stages" / "labels.safetensors").read_bytes() for seed in (1, 2)]
        assert stages[0] == stages[1]
        taught["data"] |= {"seed": 7}
        go(taught, tmp_path / "other", store)
        assert trained == ["teacher", "float", "float", "float"]

    def test_without_seeds_of_their_own_they_follow_the_run(
        self, taught: dict[str, Any], tmp_path: Path, trained: list[str]
    ) -> None:
        taught["stop"] = "float"
        store = Store(tmp_path / "store")
        for seed in (1, 2):
            go(taught | {"seed": seed}, tmp_path / f"run-{seed}", store)
        assert trained == ["teacher", "float"] * 2

    @pytest.mark.parametrize("step", [1, 7])
    def test_killed_at_any_write(
        self, step: int, few: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[str]
    ) -> None:
        few["stop"] = "w1a2"
        go(few, tmp_path / "alone")
        killer, store = Killer(monkeypatch), Store(tmp_path / "store")
        with killer.at(None):
            go(few, tmp_path / "counted", Store(tmp_path / "counted-store"))
        moments = killer.moments
        for moment in range(step, moments, 9):
            with killer.at(moment):
                go(few, tmp_path / "killed", store, save_every=0.0)
        trained.clear()
        go(few, tmp_path / "killed", store)
        go(few, tmp_path / "after", store)
        assert content(tmp_path / "killed") == content(tmp_path / "alone")
        assert content(tmp_path / "after") == content(tmp_path / "alone")
        assert not [name for name in trained if trained.count(name) > 1]


class TestStop:
    def test_the_chain_alone(self, few: dict[str, Any], tmp_path: Path, trained: list[str]) -> None:
        few |= {"stop": "w1a2"}
        few["shape"]["two_sets"] = False
        report = go(few, tmp_path / "run")
        assert trained == ["float", "w1a2"]
        assert (report["stop"], report["precision"]) == ("w1a2", "1-1-2")
        assert 0 <= report["accuracy"] <= 1 and 0 <= report["dev_accuracy"] <= 1
        assert 0 <= report["float_accuracy"] <= 1
        assert not (tmp_path / "run" / "network.safetensors").exists()
        assert go(few, tmp_path / "run") == report
        assert trained == ["float", "w1a2"]

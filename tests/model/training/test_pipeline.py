"""Whole runs: every kind of task, and the same bits from the same recipe, however often it was killed."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.data.catalog import load
from model.data.metrics import METRICS
from model.evaluation import evaluate_split
from model.network import read_network
from model.training import pipeline
from model.training.checks import TrainingError
from model.training.inputs import shortened
from model.training.pipeline import Machine, begin, finished_report, prepare, train
from model.training.recipe import Recipe
from model.training.run import CURVES, NETWORK, REPORT, RunFolder, recorded
from tests.model.training.killing import Killer, Run, content
from tests.model.training.recipes import tiny_recipe

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def learning(texts: Path) -> dict[str, Any]:
    """Return a recipe that makes two members that are accepted."""
    recipe = tiny_recipe(texts)
    recipe["shape"]["hidden"] = 32
    for step, epochs in zip(recipe["chain"], (6, 3, 3), strict=True):
        step |= {"epochs": epochs, "rate": 0.01}
    recipe["ensemble"] |= {"epochs": 2, "rate": 0.01}
    return recipe


@pytest.fixture(scope="module")
def report(learning: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with RunFolder(tmp_path_factory.mktemp("whole") / "run", Recipe.from_dict(learning), resume=False) as folder:
        return train(folder, Machine())


class TestWholeRun:
    def test_the_report_says_what_the_network_does(self, report: dict[str, Any], learning: dict[str, Any]) -> None:
        network = read_network(report["network"])
        assert network.digest == report["digest"]
        assert (len(network.members), network.labels, network.vote) == (2, ("bad", "good"), "soft")
        assert network.limit == learning["data"]["limit"]
        dataset = load(learning["data"]["set"])
        found = evaluate_split(network, dataset.test)
        assert report["accuracy"] == METRICS["accuracy"](found.predictions(), dataset.test.labels)
        assert report["prefix_accuracy"][-1] == report["accuracy"]
        assert report["prefix_accuracy"][0] == report["member_accuracy"][0]
        assert (report["examples"], report["dataset"], report["metric"]) == (len(dataset.test), "texts", "accuracy")
        assert 1 <= report["expected_members"] <= 2
        assert (report["float_accuracy"], report["tfidf_accuracy"], report["teacher_accuracy"]) == (1.0, 1.0, None)
        assert max(report["member_accuracy"]) > 0.8
        low, high = report["interval"]
        assert low <= report["accuracy"] <= high

    def test_the_network_says_where_it_comes_from(self, report: dict[str, Any]) -> None:
        known = read_network(report["network"]).provenance
        assert (known["recipe"], known["seed"], known["dataset"], known["metric"]) == ("tiny", "3", "texts", "accuracy")
        assert known["shape"] == "1 layers of 32, 2 heads, 1-1-1"
        assert float(known["accuracy"]) == pytest.approx(report["accuracy"], abs=1e-6)
        assert float(known["float_accuracy"]) == report["float_accuracy"]
        assert known["examples"] == str(report["examples"])

    def test_the_folder(self, report: dict[str, Any]) -> None:
        folder = Path(report["network"]).parent
        assert json.loads((folder / REPORT).read_bytes())["accuracy"] == report["accuracy"]
        assert (folder / CURVES).read_bytes().startswith(b"\x89PNG")
        stages = {json.loads(line)["stage"] for line in (folder / "metrics.jsonl").read_text().splitlines()}
        assert stages == {"float", "w1a2", "w1a1", "member-1", "member-2"}
        assert not list(folder.glob("checkpoint*"))


class TestTasks:
    """Each kind of task and of training once, on a network that is too small to be good."""

    def test_scores(self, plain: dict[str, Any], scores: Path, run: Run, short: None) -> None:
        plain["data"] |= {"set": str(scores), "columns": {"score_range": [0, 4]}}
        plain["chain"][0] |= {"epochs": 12, "rate": 0.01}
        report = run(plain)
        network = read_network(report["network"])
        assert (network.vote, network.labels, report["metric"]) == ("mean", (), "pearson")
        assert network.provenance["score_range"] == "0 4"
        assert report["float_accuracy"] > 0.5
        assert report["expected_members"] == report["members"]
        assert report["majority_accuracy"] is None
        assert -1 <= report["interval"][0] <= report["accuracy"] <= report["interval"][1] <= 1

    def test_pairs(self, plain: dict[str, Any], pairs: Path, run: Run, short: None) -> None:
        plain["data"] |= {"set": str(pairs), "limit": 24}
        report = run(plain)
        assert report["dataset"] == "pairs"
        dataset = load(str(pairs))
        found = evaluate_split(read_network(report["network"]), dataset.test)
        assert report["accuracy"] == METRICS["accuracy"](found.predictions(), dataset.test.labels)

    def test_a_teacher_and_a_pool(self, taught: dict[str, Any], run: Run, short: None) -> None:
        report = run(taught)
        assert report["teacher_accuracy"] > 0.8
        recorded = float(read_network(report["network"]).provenance["teacher_accuracy"])
        assert recorded == pytest.approx(report["teacher_accuracy"], abs=1e-6)

    def test_two_stages_of_distillation(self, plain: dict[str, Any], run: Run, short: None, tmp_path: Path) -> None:
        plain["ensemble"] |= {"distillation": "two-stage", "teacher": "float", "shared_embedding": True}
        report = run(plain)
        names = {path.stem for path in (tmp_path / "run" / "stages").glob("member*")}
        assert names == {"member-1-features", "member-1", "member-2-features", "member-2"}
        assert report["members"] >= 1

    @pytest.mark.parametrize("vote", ["soft", "hard"])
    def test_members_that_share_an_embedding(self, vote: str, plain: dict[str, Any], run: Run, short: None) -> None:
        plain["ensemble"] |= {"shared_embedding": True, "method": "seeds", "vote": vote}
        network = read_network(run(plain)["network"])
        assert (len(network.members), network.vote) == (2, vote)
        assert len([operation for operation in network.operations if operation.op == "embed"]) == 1

    def test_fewer_examples(self, plain: dict[str, Any], run: Run, short: None, texts: Path) -> None:
        plain["data"]["examples"] = 40
        assert run(plain)["members"] >= 1
        dataset = load(str(texts))
        assert shortened(dataset, 40).train.texts == dataset.train.texts[:40]
        assert shortened(dataset, 0) is dataset
        assert shortened(dataset, 10**6) is dataset

    @pytest.mark.parametrize("head", [{"pooling": "mean", "pooler": False}, {"pooling": "mean"}, {"pooler": False}])
    def test_every_head(self, head: dict[str, Any], plain: dict[str, Any], run: Run, short: None) -> None:
        plain["shape"] |= head
        plain["ensemble"] |= {"distillation": "two-stage", "teacher": "float"}
        report = run(plain)
        network = read_network(report["network"])
        ops = [operation.op for operation in network.member_operations(network.members[0].name)]
        pooler = ["binarize", "matmul", "requantise", "table"] if head.get("pooler", True) else []
        end = [head.get("pooling", "first"), *pooler, "classify"]
        assert ops[-len(end) :] == end
        dataset = load(plain["data"]["set"])
        found = evaluate_split(network, dataset.test)
        assert report["accuracy"] == METRICS["accuracy"](found.predictions(), dataset.test.labels)


class TestSameBits:
    def test_of_the_same_recipe(self, plain: dict[str, Any], run: Run, short: None, tmp_path: Path) -> None:
        one, two = run(plain, "one"), run(plain, "two", save_every=0.0)
        assert one["digest"] == two["digest"]
        assert content(tmp_path / "one") == content(tmp_path / "two")
        assert {**one, "network": ""} == {**two, "network": ""}

    def test_another_seed(self, plain: dict[str, Any], run: Run, short: None) -> None:
        assert run(plain, "one")["digest"] != run(plain | {"seed": 4}, "two")["digest"]


class TestKilled:
    @pytest.fixture
    def small(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Return a recipe of few steps: fifteen in five stages."""
        for section in (*plain["chain"], plain["ensemble"]):
            section |= {"epochs": 1, "batch": 40, "word_drop": 0.1}
        return plain

    @pytest.mark.parametrize("seed", range(3))
    def test_again_and_again(
        self, seed: int, small: dict[str, Any], run: Run, short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = run(small, "whole")
        rng, killer, deaths = random.Random(seed), Killer(monkeypatch), 0
        report = None
        while report is None:
            with killer.at(rng.randint(1, 60)):
                report = run(small, "killed", resume=True, save_every=0.0)
            deaths += report is None
        assert deaths >= 2
        assert report["digest"] == expected["digest"]
        assert content(tmp_path / "killed") == content(tmp_path / "whole")

    @pytest.mark.regress
    def test_at_every_moment(
        self, small: dict[str, Any], run: Run, short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killer = Killer(monkeypatch)
        with killer.at(None):
            expected = run(small, "whole", save_every=0.0)
        for moment in range(1, killer.moments + 1):
            with Killer(monkeypatch).at(moment):
                run(small, f"killed-{moment}", save_every=0.0)
            report = run(small, f"killed-{moment}", resume=True)
            assert report["digest"] == expected["digest"]
            assert content(tmp_path / f"killed-{moment}") == content(tmp_path / "whole")

    def test_a_damaged_checkpoint_falls_back(
        self, small: dict[str, Any], run: Run, short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = run(small, "whole")["digest"]
        moment, current = 10, tmp_path / "killed" / "checkpoint.safetensors"
        while not (current.exists() and current.with_name("checkpoint.previous.safetensors").exists()):
            with Killer(monkeypatch).at(moment):
                run(small, "killed", resume=True, save_every=0.0)
            moment += 1
        current.write_bytes(current.read_bytes()[:-7])
        heard: list[str] = []

        class Listener(pipeline.Silence):
            def say(self, line: str) -> None:
                heard.append(line)

        assert run(small, "killed", resume=True, progress=Listener())["digest"] == expected
        assert heard[0].startswith(f"{current}: must be a whole checkpoint, not damaged (")
        assert heard[0].endswith("; delete it: removed; the one before it is used")


class TestFinished:
    def test_checkpoints_of_a_stage_that_is_finished_go(
        self, plain: dict[str, Any], run: Run, short: None, tmp_path: Path
    ) -> None:
        digest = run(plain)["digest"]
        (tmp_path / "run" / REPORT).unlink()
        (tmp_path / "run" / "checkpoint.safetensors").write_bytes(b"left")
        assert run(plain, resume=True)["digest"] == digest
        assert not list((tmp_path / "run").glob("checkpoint*"))

    def test_nothing_is_done_twice(
        self, plain: dict[str, Any], run: Run, short: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        report = run(plain)
        monkeypatch.setattr(pipeline, "prepare", None)
        assert run(plain, resume=True) == json.loads(json.dumps(report))

    def test_a_network_that_is_gone_or_changed_is_made_again(
        self, plain: dict[str, Any], run: Run, short: None, tmp_path: Path
    ) -> None:
        report = run(plain)
        path = tmp_path / "run" / NETWORK
        data = path.read_bytes()
        for change in (None, data[:-1]):
            path.unlink() if change is None else path.write_bytes(change)
            with RunFolder(tmp_path / "run", Recipe.from_dict(plain), resume=True) as folder:
                assert finished_report(folder) is None
            assert run(plain, resume=True)["digest"] == report["digest"]
            assert path.read_bytes() == data

    def test_it_may_be_moved(self, plain: dict[str, Any], run: Run, short: None, tmp_path: Path) -> None:
        run(plain)
        (tmp_path / "run").rename(tmp_path / "moved")
        assert run(plain, "moved", resume=True)["network"] == str(tmp_path / "moved" / NETWORK)


class TestData:
    def test_data_that_changed_is_refused(
        self, plain: dict[str, Any], texts: Path, tmp_path: Path, refused: Refused
    ) -> None:
        own = tmp_path / "own.csv"
        own.write_bytes(texts.read_bytes())
        plain["data"]["set"] = str(own)
        with RunFolder(tmp_path / "run", Recipe.from_dict(plain), resume=False) as folder:
            begin(folder, Machine())
            assert recorded(folder.path, "run.json")["dataset"] == "own"
            own.write_bytes(texts.read_bytes() + b"a new and lovely film,good\n")
            message = refused(TrainingError, begin, folder, Machine())
        assert "dataset_digest: must be '" in message
        assert message.endswith("'; begin a new run")

    def test_a_loss_that_explodes_is_one_line(self, plain: dict[str, Any], tmp_path: Path, refused: Refused) -> None:
        plain["chain"][0] |= {"rate": 1, "clip": 1e6, "epochs": 40, "losses": {"label": 1e6}}
        plain["chain"][0] |= {"decay": 1}

        def go() -> None:
            with RunFolder(tmp_path / "run", Recipe.from_dict(plain), resume=False) as folder:
                prepare(folder, Machine())

        import torch

        from model.member import Member

        own = Member.forward
        count = 0

        def explode(self: Member, *arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += self.training
            output = own(self, *arguments, **named)
            if count == 4:
                output.logits = output.logits * torch.tensor(float("inf"))
            return output

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Member, "forward", explode)
            message = refused(TrainingError, go)
        assert message.startswith("float: the loss must be finite at step 3, not ")
        assert message.endswith("; lower rate, or clip more")

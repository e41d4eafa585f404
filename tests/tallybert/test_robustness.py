"""tallybert robustness: the members of a finished run on disturbed sentences."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.data.catalog import load
from model.training.disturbance import KINDS, sample
from model.training.finished import read_finished
from model.training.recipe import Recipe
from model.training.run import RunFolder
from tallybert import cli
from tests.tallybert.commandline import report_of

pytestmark = pytest.mark.usefixtures("same_threads")
Refusal = Callable[..., str]


@pytest.fixture
def report(finished: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return report_of(capsys, "robustness", str(finished), "--seeds", "2", "--threads", "1", "--device", "cpu")


def test_clean_is_what_the_run_recorded(report: dict[str, Any], finished: Path) -> None:
    known = json.loads((finished / "report.json").read_bytes())
    assert report["clean"]["members"] == known["float_member_accuracy"]
    assert report["clean"]["member"] == pytest.approx(np.mean(known["float_member_accuracy"]))
    assert (report["dataset"], report["split"], report["sentences"]) == ("texts", "test", known["examples"])
    assert (report["voters"], report["vote"], report["seeds"]) == (known["members"], "soft", [0, 1])


def test_every_level_and_its_summary(report: dict[str, Any]) -> None:
    assert set(report["sweeps"]) == set(KINDS)
    for kind, (_, levels) in KINDS.items():
        points = report["sweeps"][kind]["points"]
        assert [point["level"] for point in points] == list(levels)
        assert 0 not in levels
        for point in points:
            member, ensemble, difference = (point[key]["values"] for key in ("member", "ensemble", "difference"))
            assert len(member) == 2
            assert difference == [a - b for a, b in zip(ensemble, member, strict=True)]
            assert point["member"]["mean"] == pytest.approx(sum(member) / 2)
    assert KINDS["noise"][1][0] == 0.005 and KINDS["noise"][1][-1] == 0.1


def test_the_same_figures_again(report: dict[str, Any], finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["robustness", str(finished), "--seeds", "2", "--threads", "1", "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report


def test_a_table_and_a_picture(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    path = tmp_path / "curves.png"
    arguments = ["robustness", str(finished), "--split", "dev", "--limit", "9", "--seeds", "1", "--plot", str(path)]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    for text in ("texts, dev:", "9 sentences", "typos", "0.005", "drop: tokens left out, share", f"{path}: the same"):
        assert text in out
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_members_are_those_that_vote(finished: Path) -> None:
    recipe = Recipe.from_dict(json.loads((finished / "recipe.json").read_bytes()))
    with RunFolder(finished, recipe, resume=True) as folder:
        run = read_finished(folder)
    inputs = run.encode(list(run.dataset.test.texts))
    assert inputs.ids.shape == inputs.mask.shape
    known = json.loads((finished / "report.json").read_bytes())
    assert list(run.weights) == known["member_weights"]
    for member, accuracy in zip(run.members, known["float_member_accuracy"], strict=True):
        with torch.no_grad():
            logits = member(torch.from_numpy(inputs.ids), torch.from_numpy(inputs.mask)).logits
        assert (logits.argmax(1).numpy() == run.dataset.test.labels).mean() == accuracy


def test_a_sample_is_the_same_and_in_order(finished: Path) -> None:
    split = load("rt").test
    some = sample(split, 40)
    places = [split.texts.index(text) for text in some.texts]
    assert len(some) == 40 and places == sorted(places) and places != list(range(40))
    assert sample(split, 40).texts == some.texts
    assert len(sample(split, 10**6)) == len(split)


class TestRefusals:
    def test_no_run(self, tmp_path: Path, refusal: Refusal) -> None:
        message = refusal("robustness", str(tmp_path))
        assert message == f"{tmp_path}: must be the folder of a run, not one without recipe.json"

    def test_a_run_under_way(self, finished: Path, tmp_path: Path, refusal: Refusal) -> None:
        (tmp_path / "recipe.json").write_bytes((finished / "recipe.json").read_bytes())
        message = refusal("robustness", str(tmp_path))
        expected = "must be a finished run with members, not one under way; go on with train --resume"
        assert message == f"{tmp_path}: {expected}"

    def test_a_run_that_stops(self, recipe: Path, tmp_path: Path, refusal: Refusal, capsys: Any) -> None:
        data = json.loads(recipe.read_bytes()) | {"stop": "float"}
        (tmp_path / "stop.yaml").write_text(json.dumps(data))
        run = tmp_path / "run"
        assert cli.main(["train", str(tmp_path / "stop.yaml"), "-o", str(run), "--threads", "1"]) == 0
        out = capsys.readouterr().out
        assert "tiny on texts, as far as float" in out
        message = refusal("robustness", str(run))
        assert message == f"{run}: must be a finished run with members, not one that stops at float"
        message = refusal("export", str(run), "-o", str(tmp_path / "x.safetensors"))
        assert message == f"{run}: must be a finished run with a network, not one that stops at float"

    def test_other_options(self, finished: Path, refusal: Refusal) -> None:
        run = str(finished)
        assert refusal("robustness", run, "--seeds", "0") == "--seeds: must be an integer from 1 to 100, not 0"
        assert refusal("robustness", run, "--limit", "0") == "--limit: must be an integer from 1 to 10000000, not 0"
        assert refusal("robustness", run, "--plot", "no/x.png").startswith("--plot: must be a file in a folder that")

"""tallybert study as a user meets it: what is trained once, what survives kill -9, what the figures are."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.checks import NetworkError
from model.training.recipe import Recipe
from model.training.run import RunFolder
from model.training.stage import Stage
from model.training.study import Study
from tallybert import cli, studies
from tallybert.studies import load_study
from tests.model.training.killing import content
from tests.model.training.recipes import few_steps, write_texts
from tests.tallybert.commandline import ROOT

pytestmark = pytest.mark.usefixtures("same_threads")
Refusal = Callable[..., str]


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    """Return a study of two variants and two seeds, as plain data; JSON is YAML."""
    base = few_steps(write_texts(tmp_path / "texts.csv"))
    return {
        "name": "small",
        "seeds": 2,
        "stop": "w1a1",
        "base": base,
        "variants": {"two": None, "one": {"shape.two_sets": False}},
        "compare": [["two", "one"]],
    }


def write(data: dict[str, Any], folder: Path) -> str:
    path = folder / "study.yaml"
    path.write_text(json.dumps(data, indent=1))
    return str(path)


def go(data: dict[str, Any], tmp_path: Path, *arguments: str) -> int:
    fixed = ("-o", str(tmp_path / "out"), "--threads", "1", "--device", "cpu", "--json")
    return cli.main(["study", write(data, tmp_path), *fixed, *arguments])


class TestFigures:
    def test_variants_and_pairs(
        self,
        plain: dict[str, Any],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        trained: list[str] = []
        own = Stage.begin
        monkeypatch.setattr(Stage, "begin", lambda stage: (trained.append(stage.name), own(stage)))
        assert go(plain, tmp_path) == 0
        out, err = capsys.readouterr()
        report, folder = json.loads(out), tmp_path / "out"
        # Full precision has no sets: its step is trained once for each seed.
        assert trained == ["float", "w1a2", "w1a1", "w1a2", "w1a1"] * 2
        assert [line.partition(":")[2].split(":")[0] for line in err.splitlines() if line[:2] in ("1/", "4/")] == [
            " two, seed 1",
            " one, seed 2",
        ]
        assert report["seeds"] == [1, 2]
        for name, found in report["variants"].items():
            runs = [json.loads((folder / "runs" / f"{name}-{seed}" / "report.json").read_bytes()) for seed in (1, 2)]
            assert found["test"]["values"] == [run["accuracy"] for run in runs]
            assert found["dev"]["values"] == [run["dev_accuracy"] for run in runs]
            assert found["test"]["mean"] == sum(found["test"]["values"]) / 2
            assert found["figure"] == "floats of step w1a1"
            costs = json.loads((folder / "runs" / f"{name}-1" / "costs.json").read_bytes())
            assert found["runs"][0]["stages"] == costs
            assert found["runs"][0]["seconds"] == pytest.approx(sum(costs.values()), abs=0.01)
        two, one = (report["variants"][name]["test"]["values"] for name in ("two", "one"))
        (pair,) = report["compare"]
        assert pair["values"] == [a - b for a, b in zip(two, one, strict=True)]
        assert (pair["first"], pair["second"], pair["seeds"]) == ("two", "one", 2)
        assert json.loads((folder / "results.json").read_bytes()) == {k: v for k, v in report.items() if k != "folder"}
        assert (folder / "study.png").read_bytes().startswith(b"\x89PNG")

    def test_whole_runs_and_tables(
        self, plain: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        del plain["stop"]
        plain["variants"] = {"four": {"ensemble": {"members": 3, "method": "seeds"}}, "single": {"ensemble.members": 1}}
        plain["compare"] = [["four", "single"]]
        plain["seeds"] = [7]
        assert go(plain, tmp_path) == 0
        found = json.loads(capsys.readouterr().out)["variants"]["four"]
        assert (found["figure"], len(found["prefixes"])) == ("integers of the network", 3)
        (run,) = found["runs"]
        known = json.loads((tmp_path / "out" / "runs" / "four-7" / "report.json").read_bytes())
        assert [value["mean"] for value in found["prefixes"]] == known["prefix_accuracy"]
        assert run["mean_member"] == pytest.approx(sum(known["member_accuracy"]) / 3)
        beside = found["beside"]
        assert set(beside) == {name for name in ("float", "tfidf", "teacher") if known[f"{name}_accuracy"] is not None}
        for name, other in beside.items():
            assert other["values"] == [known[f"{name}_accuracy"]]
            assert other["difference"]["values"] == [known["accuracy"] - known[f"{name}_accuracy"]]
        assert cli.main(["study", write(plain, tmp_path), "-o", str(tmp_path / "out"), "--resume"]) == 0
        out = capsys.readouterr().out
        for text in ("small on texts: accuracy, 1 seeds", "N = 3", "four", "single", "one seed", "TF-IDF"):
            assert text in out


class TestResume:
    def test_more_seeds_train_what_is_missing_alone(
        self,
        plain: dict[str, Any],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert go(plain, tmp_path, "--seeds", "1") == 0
        first = json.loads(capsys.readouterr().out)
        trained: list[int] = []
        own = Stage.begin
        monkeypatch.setattr(Stage, "begin", lambda stage: (trained.append(stage.seed), own(stage)))
        assert go(plain, tmp_path, "--resume") == 0
        second = json.loads(capsys.readouterr().out)
        assert len(trained) == 5
        for name, found in first["variants"].items():
            assert second["variants"][name]["runs"][0] == found["runs"][0]
        trained.clear()
        assert go(plain, tmp_path, "--resume") == 0
        assert json.loads(capsys.readouterr().out) == second
        assert trained == []

    def test_killed_at_random_moments(self, plain: dict[str, Any], tmp_path: Path) -> None:
        assert go(plain, tmp_path) == 0
        whole = content(tmp_path / "out" / "runs")
        arguments = ["study", write(plain, tmp_path), "-o", str(tmp_path / "killed"), "--resume", "--save-every", "0"]
        command = [sys.executable, "-m", "tallybert", *arguments, "--threads", "1", "--device", "cpu"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        for stages in (1, 4, 7):
            process = subprocess.Popen(command, cwd=ROOT, env=environment, **quiet)
            while process.poll() is None and len(list(tmp_path.glob("killed/runs/*/stages/*.safetensors"))) < stages:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            assert not (tmp_path / "killed" / "results.json").exists()
        assert subprocess.run(command, cwd=ROOT, env=environment, check=False, **quiet).returncode == 0
        leave = ("report.json", "curves.png")
        assert content(tmp_path / "killed" / "runs", leave) == {
            name: data for name, data in whole.items() if not name.endswith("curves.png")
        }

    def test_another_study_is_refused(self, plain: dict[str, Any], tmp_path: Path, refusal: Refusal) -> None:
        study = Study.from_dict({k: v for k, v in plain.items() if k != "base"}, plain["base"])
        folder = tmp_path / "out"
        folder.mkdir()
        (folder / "study.json").write_text(json.dumps(study.to_dict()))
        path = write(plain, tmp_path)
        message = refusal("study", path, "-o", str(folder))
        assert message == f"{folder}: must be a new folder, not one with a study in it; add --resume to go on"
        plain["variants"]["one"] = {"shape.two_sets": False, "shape.dropout": 0.2}
        message = refusal("study", write(plain, tmp_path), "-o", str(folder), "--resume")
        what = "variants.one: must be as when the study began, not changed; give the same study, or a new folder"
        assert message == f"{folder / 'study.json'}: {what}"

    @pytest.mark.parametrize("changes", [{1: 2}, {"shape": {1: 2}}, {"chain": {"bits": {None: 2}}}])
    def test_keys_that_are_no_text(self, plain: dict[str, Any], changes: Any) -> None:
        plain["variants"]["one"] = changes
        with pytest.raises(NetworkError, match=r"^variants.one: changes: must be under names such as shape.two_sets"):
            Study.from_dict({k: v for k, v in plain.items() if k != "base"}, plain["base"])

    @pytest.mark.parametrize("names", [("fresh", "taught"), ("taught", "fresh")])
    def test_every_variant_is_looked_at_before_anything_is_written(
        self, names: tuple[str, str], plain: dict[str, Any], tmp_path: Path, refusal: Refusal
    ) -> None:
        changes = {"fresh": None, "taught": {"chain.float.start": "teacher"}}
        plain["base"]["teacher"] = {}
        plain["variants"] = {name: changes[name] for name in names}
        plain["compare"] = [["fresh", "taught"]]
        message = refusal("study", write(plain, tmp_path), "-o", str(tmp_path / "out"))
        assert message == "variants.taught: shape.hidden: must be 384, the teacher's, to start from it, not 16"
        assert not (tmp_path / "out").exists()

    def test_another_process_has_a_run(self, plain: dict[str, Any], tmp_path: Path) -> None:
        study = Study.from_dict({k: v for k, v in plain.items() if k != "base"}, plain["base"])
        run = tmp_path / "out" / "runs" / "two-1"
        with RunFolder(run, study.recipe("two", 1), resume=False):
            assert go(plain, tmp_path) == 2
        assert not (tmp_path / "out" / "results.json").exists()


STUDY = """name: mine
seeds: 3
stop: bits
base:
  data: {set: tweets}
  chain:
    - name: float
      precision: 32-32-32
    - name: bits
      precision: 1-1-1
variants:
  plain:
  other:
    shape.two_sets: false
    chain.bits:
      epochs: 4
      losses: {label: 1}
  whole:
    chain:
      - name: bits
        precision: 1-1-1
        rate: 0.01
compare:
  - [other, plain]
"""
WRONG = [
    ("seeds: 3", "seeds: 0", ":2: seeds: must be an integer from 1 to 100, not 0"),
    ("seeds: 3", "seeds: [1, 1]", ":2: seeds: must be different numbers, not [1, 1]"),
    ("seeds: 3", "seds: 3", ":2: seds: must be one of name, base, seeds, stop, variants, compare, not 'seds'"),
    ("name: mine", "name: My study", ":1: name: must be a name of 1 to 40 small letters"),
    ("stop: bits", "stop: bit", ":3: stop: must be one of float, bits, not 'bit'; did you mean 'bits'?"),
    ("base:", "base: cii\nbasis:", "recipe must be a YAML file or one of "),
    ("{set: tweets}", "{st: tweets}", ":5: base.data.st: must be one of set, columns, "),
    ("precision: 32-32-32", "precision: 3", ":8: base.chain[0].precision: must be weights-embedding-activations"),
    ("  plain:", "  plain: 1", ":12: variants.plain: must be a mapping of what it changes"),
    ("  plain:", "  Plain:", ":12: variants.Plain: must be a name of 1 to 40 small letters"),
    ("two_sets: false", "two_sets: maybe", ":14: variants.other: shape.two_sets: must be true or false, not 'maybe'"),
    ("shape.two_sets", "shape.two_set", ":14: variants.other: shape.two_set: must be one of layers, "),
    ("shape.two_sets: false", "seed: 4", ":14: variants.other: seed: must be left out of a variant"),
    ("epochs: 4", "epochs: no", ":16: variants.other: chain[1].epochs: must be a number from 0.01 to 10000, not 'no'"),
    ("{label: 1}", "{lable: 1}", ":17: variants.other: chain[1].losses.lable: must be one of label, "),
    ("chain.bits:", "chain.bts:", ":15: variants.other: chain.bts: must be one of float, bits, not 'bts'"),
    ("rate: 0.01", "rate: 2", ":22: variants.whole: chain[0].rate: must be a number from 1e-08 to 1, not 2"),
    ("[other, plain]", "[other, plin]", ":24: compare[0][1]: must be one of plain, other, whole, not 'plin'; did you"),
    ("[other, plain]", "[other, other]", ":24: compare[0]: must be two different variants"),
    ("[other, plain]", "other", ":24: compare[0]: must be two variants, as in [new, old], not 'other'"),
]


class TestFiles:
    @pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[new.strip()[:30] for _, new, _ in WRONG])
    def test_the_line_of_what_is_wrong(
        self, old: str, new: str, message: str, tmp_path: Path, refusal: Refusal
    ) -> None:
        assert old in STUDY
        path = tmp_path / "mine.yaml"
        path.write_text(STUDY.replace(old, new, 1))
        found = refusal("study", str(path), "-o", str(tmp_path / "out"))
        assert found.removeprefix(str(path)).startswith(message), found
        assert not (tmp_path / "out").exists()

    def test_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(STUDY)
        study = load_study(str(path))
        plain, other, whole = (study.recipe(name, 2) for name in ("plain", "other", "whole"))
        assert (plain.stop, plain.seed, plain.name) == ("bits", 2, "mine-plain")
        assert (plain.shape, other.shape) == ({}, {"two_sets": False})
        assert (other.chain[1].plan.epochs, dict(other.chain[1].plan.losses)) == (4, {"label": 1.0})
        assert other.chain[0] == plain.chain[0]
        assert [step.name for step in whole.chain] == ["bits"]
        assert (plain.data.seed, study.recipe("plain", 9).data.seed) == (0, 0)

    def test_a_variant_may_stop_elsewhere(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(STUDY.replace("  plain:", "  plain: {stop: none}\n  early: {stop: float}"))
        study = load_study(str(path))
        assert [study.recipe(name, 1).stop for name in study.variants] == [None, "float", "bits", "bits"]

    def test_a_shipped_recipe_as_base(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text("name: mine\nbase: ci\nseeds: [4]\nvariants:\n  hard:\n    ensemble.vote: hard\n")
        recipe = load_study(str(path)).recipe("hard", 4)
        assert (recipe.data.set, recipe.ensemble.vote, recipe.seed) == ("tweets", "hard", 4)

    def test_more_seeds_than_the_file_has(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(STUDY.replace("seeds: 3", "seeds: [5, 2]"))
        study = load_study(str(path))
        assert study.with_seeds(1).seeds == (5,)
        assert study.with_seeds(4).seeds == (5, 2, 6, 7)

    def test_seeds_after_the_largest_there_is(self, tmp_path: Path, refusal: Refusal) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(STUDY.replace("seeds: 3", "seeds: [2147483646]"))
        assert load_study(str(path)).with_seeds(2).seeds == (2147483646, 2147483647)
        with pytest.raises(NetworkError) as caught:
            load_study(str(path)).with_seeds(3)
        expected = "integers from 0 to 2147483647, not 2147483648; give the study a list of that many"
        assert str(caught.value) == f"seeds: must be {expected}"
        assert refusal("study", str(path), "--seeds", "3", "-o", str(tmp_path / "out")) == str(caught.value)
        assert not (tmp_path / "out").exists()

    def test_an_unknown_name(self, refusal: Refusal, tmp_path: Path) -> None:
        message = refusal("study", "two-set", "-o", str(tmp_path / "out"))
        assert message.startswith(
            "study must be a YAML file or one of chain, distillation, elastic, ensembles, seeds, two-sets"
        )
        assert message.endswith("not 'two-set'; did you mean 'two-sets'?")


@pytest.mark.parametrize("name", studies.studies())
def test_shipped_ones(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert len(study.seeds) >= 5
    assert study.compare or len(study.variants) == 1
    recipes = [study.recipe(variant, 1) for variant in study.variants]
    assert all(isinstance(recipe, Recipe) and recipe.data.set == "rt" for recipe in recipes)
    assert len({str(recipe.teacher) for recipe in recipes}) == 1
    assert all(recipe.teacher is not None and recipe.teacher.seed is not None for recipe in recipes)


def test_that_of_the_guide(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "training.md").read_text().partition("## Studies")[2]
    (tmp_path / "guide.yaml").write_text(guide.partition("```yaml\n")[2].partition("```")[0])
    study = load_study(str(tmp_path / "guide.yaml"))
    assert (study.seeds, study.compare) == ((1, 2, 3, 4, 5), (("two-sets", "single-set"),))
    assert study.recipe("longer", 1).chain[1].plan.epochs == 9
    commands = guide.partition("```sh\n")[2].partition("```")[0].splitlines()
    for line in commands:
        cli.build_parser().parse_args(line.partition("#")[0].split()[1:])
    assert all(name in commands[0] for name in studies.studies())


def test_the_chain_study_compares_as_many_epochs() -> None:
    study = load_study("chain")
    epochs = [sum(step.plan.epochs for step in study.recipe(name, 1).chain) for name in study.variants]
    assert len(set(epochs)) == 1


def test_the_help_names_those_that_are_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["study", "--help"])
    out = capsys.readouterr().out
    assert all(name in out for name in studies.studies())

"""What comes with the package: networks and recipes, and what happens where there are none."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.files import FileError
from hw.yamlfile import plain_data, read_yaml
from model.training.plan import StagePlan
from model.training.recipe import SHAPE_KEYS, Recipe
from tallybert import cli, recipes, shipped
from tallybert.recipes import find_yaml, load_recipe
from tallybert.shipped import find_network
from tests.tallybert.commandline import ROOT

Refused = Callable[..., str]
Refusal = Callable[..., str]


class TestNetworks:
    @pytest.fixture
    def stocked(self, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A package with two networks."""
        for name in ("alpha", "default", ".half"):
            (tmp_path / f"{name}.safetensors").write_bytes((finished / "network.safetensors").read_bytes())
        (tmp_path / "README.md").touch()
        monkeypatch.setattr(shipped, "NETWORK_FOLDER", tmp_path)
        return tmp_path

    def test_names(self, stocked: Path) -> None:
        assert shipped.shipped() == ("default", "alpha")

    def test_a_name_goes_before_a_file(self, stocked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(stocked)
        Path("alpha").touch()
        assert find_network("alpha") == stocked / "alpha.safetensors"
        assert find_network("README.md") == Path("README.md")

    def test_the_list(self, stocked: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["models", "--json"]) == 0
        first, second = json.loads(capsys.readouterr().out)["models"]
        report = json.loads((finished / "report.json").read_bytes())
        assert (first["name"], second["name"]) == ("default", "alpha")
        assert first["digest"] == report["digest"]
        assert first["accuracy"] == pytest.approx(report["accuracy"], abs=1e-6)
        assert first["size_bits"] == sum(report["size_bits"].values())
        assert first["bytes"] == (stocked / "default.safetensors").stat().st_size
        assert (first["dataset"], first["members"], first["vote"]) == ("texts", report["members"], "soft")
        assert (first["shape"], first["limit"], first["metric"]) == ("1 layers of 16, 2 heads, 1-1-1", 12, "accuracy")
        assert cli.main(["models"]) == 0
        out = capsys.readouterr().out
        for text in ("default", "alpha", "texts", f"{report['accuracy']:.4f}"):
            assert text in out

    def test_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        for folder in (tmp_path, tmp_path / "no"):
            monkeypatch.setattr(shipped, "NETWORK_FOLDER", folder)
            assert cli.main(["models", "--json"]) == 0
            assert json.loads(capsys.readouterr().out) == {"models": []}
            assert cli.main(["models"]) == 0
            expected = "no network comes with this version; train one: tallybert train --config ci\n"
            assert capsys.readouterr().out == expected

    def test_a_damaged_one_is_named(self, stocked: Path, refusal: Refusal) -> None:
        (stocked / "alpha.safetensors").write_bytes(b"no")
        assert refusal("models").startswith(f"{stocked / 'alpha.safetensors'}: ")

    def test_those_of_this_version_can_be_read(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["models", "--json"]) == 0
        names = [model["name"] for model in json.loads(capsys.readouterr().out)["models"]]
        assert names == list(shipped.shipped())


class TestRecipes:
    def test_each_is_whole_and_called_as_its_file(self) -> None:
        assert "ci" in recipes.recipes()
        for name in recipes.recipes():
            assert load_recipe(name).name == name

    def test_a_name_goes_before_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("ci").touch()
        assert find_yaml("ci", "recipe", recipes.RECIPE_FOLDER) == recipes.RECIPE_FOLDER / "ci.yaml"

    def test_a_file_of_any_name(self, tmp_path: Path) -> None:
        path = tmp_path / "recipe.txt"
        path.write_bytes((recipes.RECIPE_FOLDER / "ci.yaml").read_bytes())
        assert load_recipe(str(path)) == load_recipe("ci")

    def test_a_recorded_recipe_is_a_recipe(self, finished: Path) -> None:
        (finished.parent / "again.yaml").write_bytes((finished / "recipe.json").read_bytes())
        recipe = load_recipe(str(finished.parent / "again.yaml"))
        assert recipe == Recipe.from_dict(json.loads((finished / "recipe.json").read_bytes()))

    @pytest.mark.parametrize(
        ("text", "field", "line"),
        [
            ("a: 1\nb:\n  c: 2\n", "b.c", 3),
            ("a: 1\nb:\n  c: 2\n", "b.d", 2),
            ("a: 1\nb:\n  - c: 2\n  - d: 3\n", "b[1].d", 4),
            ("a: 1\nb:\n  - c: 2\n  - d: 3\n", "b[1].e", 4),
            ("a: 1\nb:\n  - c: 2\n  - d: 3\n", "b[7].e", 2),
            ("\n\na: 1\n", "recipe", 3),
        ],
    )
    def test_the_line_of_a_field(self, text: str, field: str, line: int, tmp_path: Path) -> None:
        path = tmp_path / "x.yaml"
        path.write_text(text)
        assert recipes.line_of(read_yaml(path), field) == line

    def test_an_unknown_name(self, refused: Refused) -> None:
        message = refused(FileError, load_recipe, "cii")
        assert message.startswith("recipe must be a YAML file or one of ")
        assert message.endswith("not 'cii'; did you mean 'ci'?")


class TestGuide:
    """docs/training.md says what is so."""

    @pytest.fixture
    def guide(self) -> str:
        return (ROOT / "docs" / "training.md").read_text()

    def test_its_recipe_is_complete(self, guide: str, tmp_path: Path) -> None:
        text = guide.partition("```yaml\n")[2].partition("```")[0]
        (tmp_path / "guide.yaml").write_text(text)
        recipe = load_recipe(str(tmp_path / "guide.yaml"))
        known = recipe.to_dict()
        given = plain_data(read_yaml(tmp_path / "guide.yaml"))
        plan = set(StagePlan().to_dict())
        assert set(given) == set(known)
        assert set(given["data"]) == set(known["data"])
        assert set(given["data"]["columns"]) | {"score_range"} == set(known["data"]["columns"])
        assert set(given["shape"]) == set(SHAPE_KEYS)
        assert set(given["teacher"]) >= set(known["teacher"]) - plan
        assert set(given["ensemble"]) | {"features"} >= set(known["ensemble"]) - plan
        assert {key for step in given["chain"] for key in step} | {"split"} >= set(known["chain"][0]) - plan

    def test_its_table_has_every_key_of_a_plan_and_its_default(self, guide: str) -> None:
        rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", guide, re.MULTILINE))
        for name, value in StagePlan().to_dict().items():
            shown = f"{value:g}" if isinstance(value, (int, float)) else value
            if name != "losses":
                assert rows[name] == (str(value).lower() if isinstance(value, bool) else shown)

    def test_its_commands_are_accepted(self, guide: str) -> None:
        lines = re.findall(
            r"^tallybert (.*?)(?: +#.*)?$", guide.partition("```sh\n")[2].partition("```")[0], re.MULTILINE
        )
        assert len(lines) == 10
        for line in lines:
            cli.build_parser().parse_args(shlex.split(line))

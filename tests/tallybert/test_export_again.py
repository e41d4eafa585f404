"""tallybert export: a finished run again, with another vote."""

from collections.abc import Callable
from pathlib import Path

import pytest

from model.network import Network, read_network
from tallybert import cli
from tests.tallybert.commandline import report_of

pytestmark = pytest.mark.usefixtures("same_threads")
Refusal = Callable[..., str]
Capture = pytest.CaptureFixture[str]


class TestExport:
    def test_a_target_inside_the_run_is_refused(self, finished: Path, capsys: Capture) -> None:
        for name in ("network.safetensors", "stages/new.safetensors"):
            target = finished / name
            assert cli.main(["export", str(finished), "-o", str(target)]) == 2
            assert f"{target}: must be outside the run's folder" in capsys.readouterr().err

    def test_another_vote(self, finished: Path, tmp_path: Path, capsys: Capture, network: Network) -> None:
        path = tmp_path / "hard.safetensors"
        report = report_of(capsys, "export", str(finished), "-o", str(path), "--vote", "hard")
        made = read_network(path)
        assert (report["vote"], made.vote, report["digest"]) == ("hard", "hard", made.digest)
        assert report["accuracy"] == float(made.provenance["accuracy"]) or "accuracy" in made.provenance
        assert cli.main(["export", str(finished), "-o", str(path)]) == 0
        assert read_network(path).digest == network.digest
        assert "from" in capsys.readouterr().out

    def test_the_accuracy_that_it_records_is_its_own(self, finished: Path, tmp_path: Path, capsys: Capture) -> None:
        path = tmp_path / "n.safetensors"
        report = report_of(capsys, "export", str(finished), "-o", str(path), "--order", "--share", "0.3")
        assert float(read_network(path).provenance["accuracy"]) == pytest.approx(report["accuracy"], abs=1e-6)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--members", "9"), "members: must be from 1 to "),
            (("--members", "0"), "--members: must be an integer from 1 to 64, not 0"),
            (("--share", "1"), "--share: must be a share from 0 to 0.999, not '1'"),
            (("--vote", "mean"), "--vote: must be one of soft, hard, not 'mean'"),
        ],
    )
    def test_arguments(
        self, arguments: tuple[str, ...], message: str, refusal: Refusal, finished: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "n.safetensors"
        assert refusal("export", str(finished), "-o", str(path), *arguments).startswith(message)
        assert not path.exists()

    def test_places(self, refusal: Refusal, finished: Path, tmp_path: Path) -> None:
        path = tmp_path / "n.safetensors"
        expected = f"{tmp_path}: must be the folder of a run, not one without recipe.json"
        assert refusal("export", str(tmp_path), "-o", str(path)) == expected
        assert refusal("export", str(tmp_path / "no"), "-o", str(path)).endswith("not one without recipe.json")
        expected = f"-o/--output: must be a file to write, not the folder {str(tmp_path)!r}"
        assert refusal("export", str(finished), "-o", str(tmp_path)) == expected
        missing = str(tmp_path / "no" / "n")
        expected = f"-o/--output: must be a file in a folder that exists, not {missing!r}"
        assert refusal("export", str(finished), "-o", missing) == expected
        assert not (tmp_path / "no").exists()

    def test_a_run_that_is_not_finished(self, refusal: Refusal, finished: Path, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "recipe.json").write_bytes((finished / "recipe.json").read_bytes())
        message = refusal("export", str(tmp_path / "run"), "-o", str(tmp_path / "n"))
        assert message == f"{tmp_path / 'run'}: must be a finished run, not one under way; go on with train --resume"

    def test_a_recipe_that_was_changed(self, refusal: Refusal, finished: Path, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        text = (finished / "recipe.json").read_text().replace('"members": 2', '"members": 0')
        (tmp_path / "run" / "recipe.json").write_text(text)
        message = refusal("export", str(tmp_path / "run"), "-o", str(tmp_path / "n"))
        expected = "ensemble.members: must be an integer from 1 to 64, not 0"
        assert message == f"{tmp_path / 'run' / 'recipe.json'}: {expected}"

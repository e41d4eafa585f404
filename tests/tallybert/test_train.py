"""tallybert train as a user meets it: what it prints, where it writes, and what survives kill -9."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.network import read_network
from tallybert import cli, training
from tallybert.options import CommandError
from tests.model.training.killing import content
from tests.tallybert.commandline import ROOT

pytestmark = pytest.mark.usefixtures("same_threads")
Refusal = Callable[..., str]
FIELDS = {
    "dataset",
    "examples",
    "accuracy",
    "member_accuracy",
    "float_accuracy",
    "teacher_accuracy",
    "tfidf_accuracy",
    "expected_members",
    "network",
}


class TestOutput:
    def test_json_and_one_line_for_each_stage(
        self, recipe: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        arguments = ["train", str(recipe), "-o", str(tmp_path / "run"), "--threads", "1"]
        assert cli.main([*arguments, "--seed", "8", "--json"]) == 0
        out, err = capsys.readouterr()
        report = json.loads(out)
        assert set(report) >= FIELDS
        assert (report["dataset"], report["seed"], report["threads"]) == ("texts", 8, 1)
        assert report["teacher_accuracy"] is None
        assert read_network(report["network"]).digest == report["digest"]
        lines = err.splitlines()
        assert lines[0].startswith(f"{tmp_path / 'run'}: recipe tiny, seed 8, c")
        stages = [line.partition(":")[0] for line in lines[1:]]
        assert stages == [
            "float",
            "float reads its pupils' sentences",
            "w1a2",
            "w1a2 reads its pupils' sentences",
            "w1a1",
            "member-1",
            "member 1 reads its sentences",
            "member-2",
            "member 2 reads its sentences",
            "network reads test",
        ]
        assert " sentences/s, " in lines[1]

    def test_a_table(self, finished: Path, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        assert cli.main(["train", "--resume", "-o", str(finished)]) == 0
        out, err = capsys.readouterr()
        assert err.splitlines()[-1] == f"{finished}: finished before"
        for text in ("tiny on texts: 29 test sentences", "accuracy", "full precision", "words alone", "teacher"):
            assert text in out
        assert f"{finished / 'network.safetensors'}: the network" in out


class TestFolder:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_a_new_one_for_each_run(self, recipe: Path, tmp_path: Path) -> None:
        wanted = training.load_recipe(str(recipe))
        first = Path("out/runs/tiny-1")
        assert training._folder(wanted, resume=False) == first
        assert training._folder(wanted, resume=True) == first
        (tmp_path / first).mkdir(parents=True)
        assert training._folder(wanted, resume=False) == Path("out/runs/tiny-2")
        assert training._folder(wanted, resume=True) == first
        (tmp_path / "out/runs/tiny-2").mkdir()
        assert training._folder(wanted, resume=True) == Path("out/runs/tiny-2")

    def test_without_a_recipe_there_must_be_a_folder(self, refusal: Refusal) -> None:
        assert refusal("train") == "RECIPE must be given, or -o with --resume to let a run go on"
        expected = "new: must be the folder of a run to resume it without a recipe, not one without"
        assert refusal("train", "-o", "new", "--resume") == expected
        assert not Path("new").exists()


class TestResume:
    def test_what_the_command_line_leaves_out_is_as_it_was(
        self, finished: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        assert cli.main(["train", str(recipe), "--resume", "-o", str(finished), "--json"]) == 0
        out, err = capsys.readouterr()
        assert (json.loads(out)["threads"], json.loads(out)["seed"]) == (1, 3)
        assert "begun on" not in err

    def test_other_hardware_is_told(self, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["train", str(recipe), "-o", str(tmp_path / "run"), "--resume", "--json"]
        assert cli.main([*arguments, "--threads", "1", "--device", "cpu"]) == 0
        assert cli.main([*arguments, "--threads", "2"]) == 0
        told = "begun on cpu and 1 threads: only there would the results be the same to the bit"
        assert told in capsys.readouterr().err.splitlines()

    def test_another_seed_is_another_recipe(self, finished: Path, recipe: Path, refusal: Refusal) -> None:
        message = refusal("train", str(recipe), "--resume", "-o", str(finished), "--seed", "9")
        expected = "seed: must be 9 as in the recipe, not 3; give the same recipe, or a new folder"
        assert message.endswith(f"{finished / 'recipe.json'}: {expected}")

    def test_a_run_that_is_there_is_not_begun_again(self, finished: Path, recipe: Path, refusal: Refusal) -> None:
        message = refusal("train", str(recipe), "-o", str(finished))
        assert message == f"{finished}: must be a new folder, not one with a run in it; add --resume to go on"

    def test_another_process_has_it(self, finished: Path, recipe: Path, refusal: Refusal) -> None:
        program = f"import fcntl, time; f = open({str(finished / 'lock')!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        program += "print('locked', flush=True); time.sleep(60)"
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            message = refusal("train", str(recipe), "--resume", "-o", str(finished))
            process.kill()
        assert message == f"{finished}: must be free, not in use by another process"


class TestKilled:
    def start(self, recipe: Path, target: Path) -> "subprocess.Popen[bytes]":
        arguments = ["train", str(recipe), "-o", str(target), "--resume", "--save-every", "0"]
        command = [sys.executable, "-m", "tallybert", *arguments, "--threads", "1", "--device", "cpu"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @pytest.mark.parametrize("seed", range(2))
    def test_at_random_moments(self, seed: int, recipe: Path, finished: Path, tmp_path: Path) -> None:
        rng, target = random.Random(seed), tmp_path / "killed"
        for lines in sorted(rng.sample(range(14), 3)):
            process = self.start(recipe, target)
            metrics = target / "metrics.jsonl"
            while process.poll() is None and (metrics.read_bytes().count(b"\n") if metrics.exists() else -1) < lines:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            assert not (target / "report.json").exists()
        assert self.start(recipe, target).wait() == 0
        assert (
            read_network(target / "network.safetensors").digest == read_network(finished / "network.safetensors").digest
        )
        assert content(target, ("report.json", "curves.png")) == content(finished, ("report.json", "curves.png"))

    def test_ctrl_c_says_how_to_go_on(
        self, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from model.training.stage import Stage

        def stop(_stage: Stage) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Stage, "run_step", stop)
        assert cli.main(["train", str(recipe), "-o", str(tmp_path / "run")]) == 130
        err = capsys.readouterr().err.splitlines()
        assert err[-2:] == ["to go on: the same command with --resume", "tallybert: error: interrupted"]


class TestFailure:
    """One line, exit code 2, and nothing half-written."""

    def one_line(self, recipe: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> str:
        assert cli.main(["train", str(recipe), "-o", str(target), "--threads", "1"]) == 2
        out, err = capsys.readouterr()
        errors = [line for line in err.splitlines() if line.startswith("tallybert: error: ")]
        assert out == ""
        assert errors == err.splitlines()[-1:]
        assert not list(target.rglob(".*"))
        assert not (target / "network.safetensors").exists()
        return errors[0].removeprefix("tallybert: error: ")

    @pytest.mark.parametrize("write", [1, 4, 9])
    def test_a_full_disk(
        self,
        write: int,
        recipe: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        own, count = os.fsync, 0

        def full(handle: int) -> None:
            nonlocal count
            count += 1
            if count >= write:
                raise OSError(28, "No space left on device")
            own(handle)

        monkeypatch.setattr(os, "fsync", full)
        message = self.one_line(recipe, tmp_path / "run", capsys)
        monkeypatch.undo()
        assert message.startswith(str(tmp_path / "run"))
        assert message.endswith(": must be written, not fail with: No space left on device")
        if write > 1:
            assert cli.main(["train", str(recipe), "-o", str(tmp_path / "run"), "--resume"]) == 0

    def test_a_loss_that_is_no_number(
        self, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch

        from model.member import Member

        own = Member.forward

        def explode(self: Member, *arguments: Any, **named: Any) -> Any:
            output = own(self, *arguments, **named)
            output.logits = output.logits * torch.tensor(float("nan"))
            return output

        monkeypatch.setattr(Member, "forward", explode)
        message = self.one_line(recipe, tmp_path / "run", capsys)
        assert message == "float: the loss must be finite at step 0, not nan; lower rate, or clip more"

    def test_a_gpu_that_is_too_small(
        self, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch

        from model.training.stage import Stage

        def exceed(_stage: Stage) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(Stage, "run_step", exceed)
        message = self.one_line(recipe, tmp_path / "run", capsys)
        assert message == "batch must fit into the memory of the GPU, not exceed it; lower batch or limit"

    def test_no_gpu(self, refusal: Refusal, recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import torch

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        message = refusal("train", str(recipe), "-o", str(tmp_path / "run"), "--device", "cuda")
        assert message == "--device must be auto or cpu on a machine without a CUDA GPU, not cuda"
        assert not (tmp_path / "run").exists()


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for found, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert training.choose_device("auto") == device
    assert training.choose_device("cpu") == "cpu"
    with pytest.raises(CommandError):
        training.choose_device("cuda")

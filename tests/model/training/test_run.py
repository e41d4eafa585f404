"""The folder of a run: whose it is, what is in it, and what is refused."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.training.checkpoint import Checkpoint, CheckpointError
from model.training.checks import TrainingError
from model.training.recipe import Recipe
from model.training.run import CURRENT, METRICS, PREVIOUS, RECIPE, RUN, RunFolder, recorded, write_report

Refused = Callable[..., str]


@pytest.fixture
def recipe() -> Recipe:
    data = {"name": "r", "seed": 4, "data": {"set": "rt"}, "chain": [{"name": "bits", "precision": "1-1-1"}]}
    return Recipe.from_dict(data)


def opened(path: Path, recipe: Recipe, resume: bool = False) -> RunFolder:
    return RunFolder(path, recipe, resume=resume)


def step(number: int, stage: str = "bits") -> Checkpoint:
    return Checkpoint({"a": torch.full((3,), float(number))}, {"stage": stage, "step": number})


class TestOpening:
    def test_a_new_folder_holds_the_recipe(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path / "a" / "b", recipe) as folder:
            assert Recipe.from_dict(json.loads((folder.path / RECIPE).read_bytes())) == recipe

    def test_a_run_is_not_begun_twice(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        opened(tmp_path, recipe).close()
        message = refused(TrainingError, opened, tmp_path, recipe)
        assert message == f"{tmp_path}: must be a new folder, not one with a run in it; add --resume to go on"
        opened(tmp_path, recipe, True).close()

    def test_resume_begins_where_nothing_is_yet(self, tmp_path: Path, recipe: Recipe) -> None:
        opened(tmp_path / "new", recipe, True).close()

    def test_a_file(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        (tmp_path / "f").touch()
        assert (
            refused(TrainingError, opened, tmp_path / "f", recipe) == f"{tmp_path / 'f'}: must be a folder, not a file"
        )

    def test_a_folder_with_other_files_is_left_alone(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        (tmp_path / "thesis.tex").touch()
        for resume in (False, True):
            message = refused(TrainingError, opened, tmp_path, recipe, resume)
            assert message == f"{tmp_path}: must be a new or empty folder, not one with 'thesis.tex' in it"
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_is_read_only(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        tmp_path.chmod(0o500)
        assert "must be a folder to write to" in refused(TrainingError, opened, tmp_path / "new", recipe)

    def test_what_a_killed_process_left_is_swept_up(self, tmp_path: Path, recipe: Recipe) -> None:
        opened(tmp_path, recipe).close()
        torn = (tmp_path / ".checkpoint.safetensors.tmp", tmp_path / "stages" / ".bits.safetensors.tmp")
        for path in torn:
            path.write_bytes(b"half")
        opened(tmp_path, recipe, True).close()
        assert not any(path.exists() for path in torn)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seed": 5}, "seed: must be 5 as in the recipe, not 4"),
            ({"name": "other"}, "name: must be 'other' as in the recipe, not 'r'"),
            ({"data": {"set": "rt", "limit": 9}}, "data.limit: must be 9 as in the recipe, not 48"),
            (
                {"chain": [{"name": "bits", "precision": "1-1-1", "rate": 0.5}]},
                "chain[0].rate: must be 0.5 as in the recipe, not 0.001",
            ),
            ({"ensemble": {"members": 2}}, "ensemble.members: must be 2 as in the recipe, not 1"),
            ({"shape": {"layers": 1}}, "shape.layers: must be 1 as in the recipe, not None"),
        ],
    )
    def test_another_recipe(
        self, change: dict[str, Any], message: str, tmp_path: Path, recipe: Recipe, refused: Refused
    ) -> None:
        opened(tmp_path, recipe).close()
        other = {"name": "r", "seed": 4, "data": {"set": "rt"}, "chain": [{"name": "bits", "precision": "1-1-1"}]}
        found = refused(TrainingError, opened, tmp_path, Recipe.from_dict(other | change), True)
        assert found == f"{tmp_path / RECIPE}: {message}; give the same recipe, or a new folder"
        opened(tmp_path, recipe, True).close()

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
    def test_a_damaged_recipe(self, content: bytes, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        opened(tmp_path, recipe).close()
        (tmp_path / RECIPE).write_bytes(content)
        assert refused(TrainingError, opened, tmp_path, recipe, True).startswith(f"{tmp_path / RECIPE}: must be ")


class TestTwoProcesses:
    def test_only_one_has_the_folder(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        message = f"{tmp_path}: must be free, not in use by another process"
        with opened(tmp_path, recipe):
            assert refused(TrainingError, opened, tmp_path, recipe, True) == message
        opened(tmp_path, recipe, True).close()

    def test_a_killed_process_frees_it(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        program = f"import fcntl, time; f = open({str(tmp_path / 'lock')!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        program += "print('locked', flush=True); time.sleep(60)"
        opened(tmp_path, recipe).close()
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert "must be free" in refused(TrainingError, opened, tmp_path, recipe, True)
            process.kill()
            process.wait()
        opened(tmp_path, recipe, True).close()

    def test_a_refusal_frees_it(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        opened(tmp_path, recipe).close()
        refused(TrainingError, opened, tmp_path, recipe.replace(seed=9), True)
        opened(tmp_path, recipe, True).close()


class TestSettings:
    def test_data_must_stay_what_it_was(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        with opened(tmp_path, recipe) as folder:
            folder.settle(dataset_digest="abc", threads=2)
            folder.settle(dataset_digest="abc", threads=4, device="cpu")
            message = refused(TrainingError, lambda: folder.settle(dataset_digest="xyz"))
            assert message == (
                f"{tmp_path / RUN}: dataset_digest: must be 'abc' as when the run began, not 'xyz'; begin a new run"
            )
            assert recorded(tmp_path, RUN) == {"dataset_digest": "abc", "threads": 4, "device": "cpu"}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"threads": "x"}, "threads: must be an integer of at least 1, not 'x'"),
            ({"threads": True}, "threads: must be an integer of at least 1, not True"),
            ({"threads": None}, "threads: must be an integer of at least 1, not None"),
            ({"threads": 0}, "threads: must be an integer of at least 1, not 0"),
            ({"device": []}, "device: must be cpu or cuda, not []"),
            ({"device": "tpu"}, "device: must be cpu or cuda, not 'tpu'"),
            ({"torch": 2}, "torch: must be a text of printable characters, not 2"),
        ],
    )
    def test_a_machine_that_no_run_recorded(
        self, content: dict[str, Any], message: str, tmp_path: Path, refused: Refused
    ) -> None:
        (tmp_path / RUN).write_text(json.dumps(content))
        assert refused(TrainingError, recorded, tmp_path, RUN) == f"{tmp_path / RUN}: {message}; begin a new run"

    def test_nothing_is_recorded_in_an_empty_folder(self, tmp_path: Path) -> None:
        assert recorded(tmp_path / "no", RUN) == {}

    def test_a_report_is_strict_json(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            with pytest.raises(ValueError, match="JSON"):
                write_report(folder, {"accuracy": float("nan")})
            write_report(folder, {"accuracy": 0.5})
        assert json.loads((tmp_path / "report.json").read_bytes()) == {"accuracy": 0.5}


class TestCheckpoints:
    def test_the_newest_is_read_and_the_one_before_is_kept(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            for number in (1, 2, 3):
                folder.save(step(number))
            found, note = folder.load("bits")
            assert found is not None
            assert (found.data["step"], note) == (3, "")
            (tmp_path / CURRENT).unlink()
            found, _ = folder.load("bits")
            assert found is not None
            assert found.data["step"] == 2

    @pytest.mark.parametrize("cut", [0, 5, 60, -1])
    def test_a_damaged_one_falls_back(self, cut: int, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            folder.save(step(1))
            folder.save(step(2))
            path = tmp_path / CURRENT
            path.write_bytes(path.read_bytes()[:cut])
            found, note = folder.load("bits")
            assert found is not None
            assert found.data["step"] == 1
            assert note.startswith(f"{path}: must be a whole checkpoint, not damaged (")
            assert note.endswith("; delete it: removed; the one before it is used")
            folder.save(step(3))
            assert torch.equal(folder.load("bits")[0].tensors["a"], torch.full((3,), 3.0))
            (tmp_path / CURRENT).unlink()
            assert folder.load("bits")[0].data["step"] == 1

    def test_both_damaged(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            for name in (CURRENT, PREVIOUS):
                (tmp_path / name).write_bytes(b"no")
            found, note = folder.load("bits")
            assert found is None
            assert PREVIOUS in note

    def test_one_that_is_refused_falls_back(self, tmp_path: Path, recipe: Recipe) -> None:
        def check(checkpoint: Checkpoint, where: str) -> None:
            if checkpoint.data["step"] == 2:
                raise CheckpointError(f"{where}: must be odd, not 2")

        with opened(tmp_path, recipe) as folder:
            folder.save(step(1))
            folder.save(step(2))
            found, note = folder.load("bits", check)
            assert found is not None
            assert found.data["step"] == 1
            assert note == f"{tmp_path / CURRENT}: must be odd, not 2: removed; the one before it is used"
            assert not (tmp_path / CURRENT).exists()

    def test_another_stage_is_not_read(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            folder.save(step(1, "before"))
            assert folder.load("bits") == (None, "")
            folder.save(step(2))
            assert folder.load("bits")[0].data["step"] == 2

    def test_a_finished_stage(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            assert folder.finished("bits") is None
            folder.save(step(1))
            folder.finish("bits", step(2))
            folder.drop_checkpoints()
            assert folder.finished("bits").data["step"] == 2
            assert not (tmp_path / CURRENT).exists()

    @pytest.mark.parametrize("call", ["replace", "fsync"])
    def test_a_full_disk_leaves_a_good_one(
        self, call: str, tmp_path: Path, recipe: Recipe, refused: Refused, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(tmp_path, recipe) as folder:
            folder.save(step(1))

            def full(*arguments: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            monkeypatch.setattr(os, call, full)
            message = refused(CheckpointError, folder.save, step(2))
            monkeypatch.undo()
            assert message.endswith("not fail with: No space left on device")
            assert folder.load("bits")[0].data["step"] == 1
            assert not list(tmp_path.glob(".*"))


class TestMetrics:
    def test_lines_come_back(self, tmp_path: Path, recipe: Recipe) -> None:
        lines = [{"stage": "bits", "step": number, "total": 0.1 * number} for number in range(5)]
        with opened(tmp_path, recipe) as folder:
            assert folder.metrics() == []
            for line in lines:
                folder.log(line)
            assert folder.metrics() == lines

    def test_a_torn_tail_is_left_out_and_mended(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            folder.log({"stage": "bits", "step": 1, "total": 0.5})
            whole = (tmp_path / METRICS).read_bytes()
            folder.log({"stage": "bits", "step": 2, "total": 0.4})
            data = (tmp_path / METRICS).read_bytes()
            for length in range(len(whole), len(data)):
                for tail in (b"", bytes(3)):
                    (tmp_path / METRICS).write_bytes(data[:length] + tail)
                    assert folder.metrics() == [{"stage": "bits", "step": 1, "total": 0.5}]
                    folder.forget_after("bits", 1)
                    assert (tmp_path / METRICS).read_bytes() == whole

    def test_what_will_be_made_again_is_forgotten(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            for stage in ("float", "bits"):
                for number in (1, 2, 3):
                    folder.log({"stage": stage, "step": number, "total": 0.5})
            folder.forget_after("bits", 1)
            assert [(line["stage"], line["step"]) for line in folder.metrics()] == [
                ("float", 1),
                ("float", 2),
                ("float", 3),
                ("bits", 1),
            ]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b"[]", "must be an object with stage, step and total, not []"),
            (b"7", "must be an object with stage, step and total, not 7"),
            (b'{"stage": 3, "step": 1, "total": 1.0}', "stage: must be the name of a stage, not 3"),
            (b'{"stage": "bits", "total": 1.0}', "step: must be an integer of at least 0, not missing"),
            (b'{"stage": "bits", "step": "1", "total": 1.0}', "step: must be an integer of at least 0, not '1'"),
            (b'{"stage": "bits", "step": true, "total": 1.0}', "step: must be an integer of at least 0, not True"),
            (b'{"stage": "bits", "step": 1}', "total: must be a number, not missing"),
            (b'{"stage": "bits", "step": 1, "total": 1.0, "dev": [null]}', "dev: must be a number, not [None]"),
        ],
    )
    def test_a_line_that_no_run_wrote(
        self, line: bytes, message: str, tmp_path: Path, recipe: Recipe, refused: Refused
    ) -> None:
        with opened(tmp_path, recipe) as folder:
            folder.log({"stage": "bits", "step": 1, "total": 0.5})
        with (tmp_path / METRICS).open("ab") as file:
            file.write(line + b"\n")
        expected = f"{tmp_path / METRICS}: line 2: {message}; remove the line"
        assert refused(TrainingError, opened, tmp_path, recipe, True) == expected

    def test_lines_of_any_depth(self, tmp_path: Path, recipe: Recipe) -> None:
        with opened(tmp_path, recipe) as folder:
            (tmp_path / METRICS).write_bytes(b"[" * 100_000 + b"\n")
            assert folder.metrics() == []

    def test_a_failure(self, tmp_path: Path, recipe: Recipe, refused: Refused) -> None:
        with opened(tmp_path, recipe) as folder:
            (tmp_path / METRICS).mkdir()
            message = refused(TrainingError, folder.log, {"stage": "bits"})
        assert message == f"{tmp_path / METRICS}: must be written, not fail with: Is a directory"

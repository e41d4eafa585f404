"""A run's folder whose files are JSON and yet hold what no run wrote: one line names file and field, exit code 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("same_threads")
Refusal = Callable[..., str]
WRONG: list[Any] = [[], {}, "x", [None], {"a": [1]}, True]


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))


FIGURES = [
    ("accuracy", "a number", [[], {}, "x", None, True]),
    ("interval", "two numbers", [[], [0.5], [0.5, "x"], {}, None, 0.5]),
    ("member_accuracy", "a list of numbers", [[None], [[0.5]], {}, None, 0.5]),
    ("size_bits", "an object of integers", [[], {"weights": None}, {"weights": -1}, None]),
    ("examples", "an integer of at least 1", [[], 0, 1.5, True, None]),
    ("float_accuracy", "a number or null", [[], {}, "x", True]),
    ("dataset", "a text of printable characters", [[], {}, 7, None, "a\nb"]),
]


class TestReport:
    @pytest.mark.parametrize(("field", "expected", "values"), FIGURES, ids=[field for field, _, _ in FIGURES])
    def test_a_figure_of_another_type(
        self, field: str, expected: str, values: list[Any], run: Path, refusal: Refusal
    ) -> None:
        path = run / "report.json"
        for value in values:
            change(path, **{field: value})
            message = f"{path}: {field}: must be {expected}, not {value!r}; delete it and resume the run"
            assert refusal("train", "--resume", "-o", str(run)) == message
            assert refusal("export", str(run), "-o", str(run.parent / "n")) == message
        assert not (run.parent / "n").exists()

    def test_a_figure_that_is_missing(self, run: Path, refusal: Refusal) -> None:
        path = run / "report.json"
        path.write_text("{}")
        message = refusal("export", str(run), "-o", str(run.parent / "n"))
        expected = "recipe: must be a text of printable characters, not missing; delete it and resume the run"
        assert message == f"{path}: {expected}"

    @pytest.mark.parametrize("content", ["[]", "7", "null", "{", "[" * 100_000])
    def test_what_is_no_object(self, content: str, run: Path, refusal: Refusal) -> None:
        (run / "report.json").write_text(content)
        for arguments in (("train", "--resume", "-o", str(run)), ("export", str(run), "-o", str(run.parent / "n"))):
            assert refusal(*arguments).endswith("; delete it and resume the run")


class TestMachine:
    @pytest.mark.parametrize(
        ("field", "expected"), [("threads", "an integer of at least 1"), ("device", "cpu or cuda"), ("torch", "a text")]
    )
    def test_another_type(self, field: str, expected: str, run: Path, refusal: Refusal) -> None:
        for value in (*WRONG, None, -1):
            if (field, value) == ("torch", "x"):
                continue
            change(run / "run.json", **{field: value})
            message = refusal("train", "--resume", "-o", str(run))
            assert message.startswith(f"{run / 'run.json'}: {field}: must be {expected}")
            assert message.endswith("; begin a new run")

    def test_data_that_are_not_texts(self, run: Path, refusal: Refusal) -> None:
        change(run / "run.json", dataset_digest=[None])
        for arguments in (("export", str(run), "-o", str(run.parent / "n")),):
            message = refusal(*arguments)
            assert message.startswith(f"{run / 'run.json'}: dataset_digest: must be [None] as when the run began, not ")


@pytest.mark.parametrize("line", ["[]", "7", '{"stage": 3}', '{"stage": "float", "step": [], "total": 1}', "{}"])
def test_metrics(line: str, run: Path, refusal: Refusal) -> None:
    path = run / "metrics.jsonl"
    path.write_text(f"{line}\n{path.read_text()}")
    for arguments in (("train", "--resume", "-o", str(run)), ("export", str(run), "-o", str(run.parent / "n"))):
        message = refusal(*arguments)
        assert message.startswith(f"{path}: line 1: ")
        assert message.endswith("; remove the line")

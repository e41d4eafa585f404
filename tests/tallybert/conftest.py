"""The command in this process: what it refuses, and the one line that it says then."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.network import Network, read_network
from tallybert import cli
from tests.model.training.recipes import few_steps, write_texts
from tests.tallybert.commandline import TINY


class Refusal:
    """Runs the command in this process and returns the one line that it ends with."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> str:
        try:
            code = cli.main(arguments)
        except SystemExit as stop:
            code = stop.code
        out, err = self._capsys.readouterr()
        assert (code, out) == (2, "")
        assert err.endswith("\n")
        assert err[:-1].isprintable()
        assert err.startswith("tallybert: error: ")
        return err.removeprefix("tallybert: error: ").rstrip("\n")


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    return Refusal(capsys)


@pytest.fixture
def same_threads() -> Iterator[None]:
    """Leave torch as it was."""
    import torch

    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a recipe of fifteen steps, beside its texts: JSON is YAML."""
    path = tmp_path_factory.mktemp("recipe")
    (path / "tiny.yaml").write_text(json.dumps(few_steps(write_texts(path / "texts.csv"))))
    return path / "tiny.yaml"


@pytest.fixture(scope="session")
def finished(recipe: Path) -> Path:
    """Return the folder of a run of that recipe, on one thread, that was not interrupted."""
    import torch

    folder, threads = recipe.parent / "finished", torch.get_num_threads()
    assert cli.main(["train", str(recipe), "-o", str(folder), "--threads", "1", "--device", "cpu"]) == 0
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def network(finished: Path) -> Network:
    """Return the network that this run ended with."""
    return read_network(finished / "network.safetensors")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a very small accelerator."""
    path = tmp_path_factory.mktemp("accelerator") / "tiny.yaml"
    path.write_text(TINY)
    return path

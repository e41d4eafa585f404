"""The command in this process: what it refuses, and the one line that it says then."""

from pathlib import Path

import pytest

from tallybert import cli
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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a very small accelerator."""
    path = tmp_path_factory.mktemp("accelerator") / "tiny.yaml"
    path.write_text(TINY)
    return path

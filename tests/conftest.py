"""What all tests share: how a refusal is looked at, where GLUE is, and no deadline for examples on a busy machine.

Tests run side by side, one process for each processor, so torch gets one thread: results do not depend on it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from hypothesis import settings

MAX_LETTERS = 1000

settings.register_profile("tallybert", deadline=None)
settings.load_profile("tallybert")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let tests read the real GLUE files, which the project does not ship."""
    parser.addoption("--glue", metavar="FOLDER", help="the GLUE folder: tests read its real files too")


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name a function by its name: its address differs from process to process, and with it the name of the test."""
    function = val.func if isinstance(val, partial) else val
    return function.__qualname__.replace(".<locals>", "") if isinstance(function, FunctionType) else None


@pytest.fixture
def glue_folder(request: pytest.FixtureRequest) -> Path:
    """Return the folder that --glue names; without it the test is left out."""
    folder = request.config.getoption("--glue")
    if folder is None:
        pytest.skip("no GLUE folder is given: run with --glue FOLDER to test the readers on the real files")
    return Path(folder)


@pytest.fixture
def refused() -> Callable[..., str]:
    """Return a function that calls another one, which must raise one kind of error: short, on one line."""

    def refusal(kind: type[Exception], function: Callable[..., Any], *arguments: Any) -> str:
        with pytest.raises(kind) as caught:
            function(*arguments)
        assert type(caught.value) is kind
        message = str(caught.value)
        assert message.isprintable(), message
        assert 0 < len(message) < MAX_LETTERS
        return message

    return refusal

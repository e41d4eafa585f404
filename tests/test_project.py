"""The project's own files: what is pinned, what is shipped, what make and the check script offer."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hw.config import PRESET_FOLDER, presets

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = dict(
    line.split("==") for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    return [Requirement(text) for texts in (PROJECT["project"]["dependencies"], *extras) for text in texts]


def test_every_requirement_has_an_upper_bound_that_the_pin_keeps() -> None:
    pins = {canonical(name): version for name, version in PINS.items()}
    for requirement in requirements():
        assert any(bound.operator in ("<", "==") for bound in requirement.specifier), requirement
        assert pins[canonical(requirement.name)] in requirement.specifier, requirement


def test_every_requirement_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text().splitlines()
    for requirement in requirements():
        (line,) = [n for n, entry in enumerate(text) if re.match(f' +"{requirement.name}[^a-z0-9-]', entry)]
        assert re.fullmatch(r" +# [A-Z].*\.", text[line - 1]), requirement


def test_pins_are_exact_and_name_no_place() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert "://" not in text
    assert "--" not in text
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in PINS.values())


def test_the_presets_are_shipped() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["hw"]
    shipped = {path.stem for pattern in patterns for path in (ROOT / "hw").glob(pattern)}
    assert shipped == set(presets())
    assert (ROOT / "hw" / "presets").samefile(PRESET_FOLDER)


def test_the_check_script_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert "make test" in text


@pytest.mark.parametrize("target", ["demo", "test", "regress", "bench", "lint", "clean", "help"])
def test_make_explains_each_target(target: str) -> None:
    result = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(rf"^make {target} +\S", result.stdout, re.MULTILINE)

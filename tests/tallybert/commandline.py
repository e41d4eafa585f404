"""The command in a process of its own, with an accelerator that is small enough for it, or in this one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hw.bench.build import missing_tool
from tallybert import cli

ROOT = Path(__file__).parents[2]
TINY = """format: tallybert-accelerator-1
name: tiny
array:
  rows: 2
  columns: 2
  word_bits: 4
  sum_bits: 8
buffers:
  activation_lines: 8
  weight_lines: 8
  threshold_lines: 4
  output_lines: 4
memory:
  burst_beats: 4
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run python -m with these arguments."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def verify_and_keep(folder: Path, *arguments: str) -> tuple[Path, dict[str, Any]]:
    """Run `verify --keep` on Icarus, where it is; return the folder and the report."""
    if missing := missing_tool("icarus"):
        pytest.skip(missing)
    result = run("tallybert", "verify", *arguments, "--simulator", "icarus", "--keep", str(folder), "--json")
    assert result.returncode == 0, result.stderr
    assert "building it for icarus" in result.stderr
    assert "running" in result.stderr
    return folder, json.loads(result.stdout)


def check_what_was_kept(capsys: pytest.CaptureFixture[str], folder: Path) -> list[str]:
    """Check both halves of what `verify` has kept, and return the line of each."""
    capsys.readouterr()
    assert cli.main(["check", str(folder / "rtl")]) == 0
    assert cli.main(["check", str(folder / "case")]) == 0
    return capsys.readouterr().out.splitlines()


def look_at_the_table(out: str, folder: Path, *whats: str) -> None:
    """See that a table says of all of these that nothing differs, and how to run it again."""
    for what in whats:
        assert re.search(rf"{what} different +│ +0 │", out)
    assert re.search(r"verdict +│ +equal │", out)
    assert f"again: python -m hw.bench {folder}/rtl/tallybert_core.v {folder}/case --simulator icarus\n" in out


def report_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run a verb in this process and return the report that it prints for --json."""
    capsys.readouterr()
    assert cli.main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)

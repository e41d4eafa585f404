"""The command in a process of its own, with an accelerator that is small enough for it, or in this one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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


def report_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run a verb in this process and return the report that it prints for --json."""
    capsys.readouterr()
    assert cli.main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)

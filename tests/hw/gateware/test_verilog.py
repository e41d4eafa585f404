"""The Verilog of accelerators with a key buffer and codes of several bits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hw.arch import Accelerator
from hw.gateware.machine import CORE_MODULE
from hw.gateware.verilog import generate

ACCELERATORS = {
    "fewer rows": Accelerator(rows=2, columns=4, word_bits=4, drain_rows=2, code_bits=4, key_lines=5, port_bits=8),
    "more rows": Accelerator(rows=4, columns=1, word_bits=8, pipeline=0, code_bits=4, key_lines=2, port_bits=16),
}


@pytest.mark.icarus
@pytest.mark.parametrize("name", ACCELERATORS)
def test_generated_verilog_compiles_without_a_warning(name: str, tmp_path: Path) -> None:
    text = generate(ACCELERATORS[name])
    (tmp_path / "core.v").write_text(f"`timescale 1ns/1ps\n{text}")
    command = ["iverilog", "-g2012", "-Wall", "-t", "null", "-s", CORE_MODULE, "core.v"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    for module in ("key_bank", "element", "correction", "machine"):
        assert f"\nmodule tallybert_{module}(" in text

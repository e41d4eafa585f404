"""The Verilog of odd accelerators, with everything that a preset leaves out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hw.arch import Accelerator
from hw.gateware.machine import CORE_MODULE
from hw.gateware.verilog import generate

ACCELERATORS = {
    "fewer rows": Accelerator(rows=2, columns=4, word_bits=4, drain_rows=2, code_bits=4, key_lines=5, port_bits=8),
    "more rows": Accelerator(rows=4, columns=1, word_bits=8, pipeline=0, code_bits=4, key_lines=2, port_bits=16),
    "more lanes": Accelerator(
        rows=3, columns=2, word_bits=8, drain_rows=2, sum_bits=11, code_bits=4, port_bits=8
    ).replace(vector_lanes=8),
    "one lane": Accelerator(rows=1, columns=8, word_bits=4, sum_bits=20, key_lines=4, port_bits=16, vector_lanes=1),
    "scores only": Accelerator(rows=3, columns=2, word_bits=8, sum_bits=11, drain_rows=2, row_lanes=4, code_bits=4),
    "one lane for scores": Accelerator(rows=1, columns=1, word_bits=1, port_bits=8, row_lanes=1, score_slots=1),
    "both": Accelerator(rows=2, columns=4, word_bits=8, port_bits=64, vector_lanes=2, row_lanes=8, code_bits=2),
    "text and vote": Accelerator(rows=2, columns=4, word_bits=8, sum_bits=11, port_bits=16, vector_lanes=4).replace(
        token_lines=2, classes=9
    ),
    "one class": Accelerator(rows=1, columns=1, word_bits=4, sum_bits=11, port_bits=8, vector_lanes=1).replace(
        token_lines=2, classes=1
    ),
    "no text": Accelerator(rows=1, columns=2, word_bits=4, sum_bits=11, port_bits=8, vector_lanes=2, classes=3),
}


@pytest.mark.icarus
@pytest.mark.parametrize("name", ACCELERATORS)
def test_generated_verilog_compiles_without_a_warning(name: str, tmp_path: Path) -> None:
    text = generate(ACCELERATORS[name])
    (tmp_path / "core.v").write_text(f"`timescale 1ns/1ps\n{text}")
    command = ["iverilog", "-g2012", "-Wall", "-t", "null", "-s", CORE_MODULE, "core.v"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    a, modules = ACCELERATORS[name], ["element", "correction", "machine"]
    of_vector = ["vector_lane", "sums_bank", "fixed_bank", "scale_bank", "level_bank"]
    assert modules_of(text) >= {f"tallybert_{module}" for module in [*modules, *(of_vector if a.vector_lanes else [])]}
    for buffer in ("token", "word", "embedding"):
        assert (f"tallybert_{buffer}_bank" in modules_of(text)) == (a.token_lines > 0)
    assert (("gather" in text), ("ballot" in text)) == (a.token_lines > 0, a.classes > 0)
    assert ("tallybert_key_bank" in modules_of(text)) == (a.key_lines > 0)
    of_rows = {f"tallybert_{module}" for module in ("row_lane", "score_bank", "table_bank")}
    assert of_rows & modules_of(text) == (of_rows if a.row_lanes else set())


def modules_of(text: str) -> set[str]:
    return set(re.findall(r"^module (\w+)\(", text, re.MULTILINE))


def test_nothing_of_a_vector_unit_is_there_without_lanes() -> None:
    text = generate(Accelerator(rows=1, columns=1, word_bits=1, port_bits=256))
    assert not re.search("vector|sums_|fixed|scale|level_", " ".join(modules_of(text)))
    assert "vector" not in text


def test_nothing_of_a_row_unit_is_there_without_lanes() -> None:
    text = generate(Accelerator(rows=1, columns=1, word_bits=1, port_bits=256, vector_lanes=1))
    assert not re.search("row_lane|score|table_bank", " ".join(modules_of(text)))
    assert not re.search("score|maxima|maximum_|softmax|row_slices|row_queue|row_trace", text)

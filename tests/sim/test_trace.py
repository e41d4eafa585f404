"""The retirement trace: rows, and the first difference."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from hw.arch import Accelerator
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.timing import simulate
from sim.trace import TraceRow, first_difference, trace_rows
from tests.sim.programs import HALT, load, program

ROWS = (TraceRow(0, "load", 3, 9, 0x12), TraceRow(1, "halt", 5, 10, 0))


def test_rows() -> None:
    p = program(Accelerator(), [load(), HALT], bytes(range(32)))
    timing = simulate(p.accelerator, p.instructions, MemoryProfile())
    execution = execute(p)
    rows = trace_rows(p.instructions, timing, execution)
    assert rows == (
        TraceRow(0, str(load()), int(timing.issue[0]), int(timing.retire[0]), int(execution.checksums[0])),
        TraceRow(1, "halt", int(timing.issue[1]), int(timing.retire[1]), 0),
    )
    assert all(type(value) in (int, str) for row in rows for value in dataclasses.astuple(row))


def test_rows_of_another_program() -> None:
    p = program(Accelerator(), [load(), HALT], bytes(32))
    timing = simulate(p.accelerator, p.instructions, MemoryProfile())
    with pytest.raises(ValueError, match="must have one length, not") as caught:
        trace_rows(p.instructions[:1], timing, execute(p))
    assert str(caught.value) == "instructions, issue, retire and checksums must have one length, not (1, 2, 2, 2)"


def test_no_difference() -> None:
    assert first_difference(ROWS, list(ROWS)) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"issue": 4}, "instruction 1 (halt): issue must be 5, not 4"),
        ({"retire": 11}, "instruction 1 (halt): retire must be 10, not 11"),
        ({"checksum": 255}, "instruction 1 (halt): checksum must be 0x00000000, not 0x000000ff"),
        ({"issue": 4, "retire": 11}, "instruction 1 (halt): issue must be 5, not 4, retire must be 10, not 11"),
    ],
)
def test_difference(changes: dict[str, int], expected: str) -> None:
    assert first_difference(ROWS, (ROWS[0], dataclasses.replace(ROWS[1], **changes))) == expected


def test_lengths() -> None:
    assert first_difference(ROWS, ROWS[:1]) == "trace must have 2 rows, not 1"
    assert first_difference(ROWS[:1], ROWS) == "trace must have 1 rows, not 2"


def test_import_is_light() -> None:
    code = "import sim, sys; print(sorted({'numba', 'numpy', 'torch', 'amaranth'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_machine_does_not_need_the_compiler() -> None:
    code = "import sim.machine, sim.reference, sys; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

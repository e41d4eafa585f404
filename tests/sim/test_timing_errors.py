"""Programs that the timing model refuses: stuck ones, and those that are wrong from the start."""

from __future__ import annotations

from typing import Any

import pytest

from hw.isa import Instruction
from sim.memory import MemoryProfile
from sim.timing import TimingError
from tests.sim.programs import FENCE, HALT, LOAD, load, matmul, store
from tests.sim.test_timing import cycles, run


def test_missing_token() -> None:
    waiting = matmul(wait=LOAD)
    with pytest.raises(TimingError) as caught:
        run([load(), waiting, HALT])
    message = str(caught.value)
    assert message.startswith("program must run to its HALT, not stop for ever before cycle ")
    assert message.split(": ", 1)[1] == (
        f"instruction 1 ({waiting}) does not issue; instruction 2 (halt) issued in cycle 6, does not retire"
    )


def test_missing_binarize() -> None:
    with pytest.raises(TimingError, match=r"instruction 0 \(matmul .*\) issued in cycle 5, does not retire"):
        run([matmul(handover=1, column_groups=2), HALT])


def test_slow_memory_is_not_stuck() -> None:
    slow = {"latency": 65535, "write_latency": 65535, "jitter": 65535, "interval": 255}
    profile = MemoryProfile(**slow, stall_rate=256, stall_max=255)
    assert run([load(), store(segment_beats=2), HALT], profile).cycles > 3 * 65535


@pytest.mark.parametrize(
    ("instructions", "where"),
    [([], "[] of 0"), ([FENCE], "[] of 1"), ([HALT, FENCE], "[0] of 2"), ([HALT, HALT], "[0, 1] of 2")],
)
def test_halt_must_be_last(instructions: list[Instruction], where: str) -> None:
    with pytest.raises(TimingError) as caught:
        run(instructions)
    assert str(caught.value) == f"program must have one HALT, its last instruction, not HALT at {where}"


@pytest.mark.parametrize("make", [load, store])
@pytest.mark.parametrize(("changes", "name"), [({"address": 8}, "address"), ({"segments": 2, "stride": 16}, "stride")])
def test_transfers_must_be_aligned(make: Any, changes: dict[str, int], name: str) -> None:
    instruction = make(**changes)
    with pytest.raises(TimingError) as caught:
        run([instruction, HALT])
    assert str(caught.value) == (
        f"instruction 0 ({instruction}): {name} must be a multiple of the 32 bytes of a beat, not {changes[name]}"
    )


def test_stride_of_one_segment_does_not_matter() -> None:
    assert cycles([load(stride=1), HALT]) == cycles([load(), HALT])

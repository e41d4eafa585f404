"""A run with every cycle of it: what each unit does, and what goes over the memory port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction, Unit
from sim import record
from sim.memory import MemoryProfile
from sim.state import BUSY
from sim.timing import Timing, run_recorded

_STATE = (1 << record.STATE_BITS) - 1


@dataclass(frozen=True)
class Recording:
    """The timing of a run, and its cycles.

    `states` is uint8 [unit, cycle], each a state in the order of `hw.isa.STATE_NAMES`. The others are bool [cycle]: a
    beat on R for the fetch or for LOAD, a beat of STORE that is read from the output buffer, and one on W.
    """

    timing: Timing
    states: np.ndarray
    fetched: np.ndarray
    loaded: np.ndarray
    read: np.ndarray
    stored: np.ndarray


def record_run(
    accelerator: Accelerator, instructions: Sequence[Instruction], profile: MemoryProfile, end: int | None = None
) -> Recording:
    """Run the instructions as `sim.timing.simulate` does, and record every cycle."""
    timing, log = run_recorded(accelerator, instructions, profile, end)
    states = np.stack([log >> record.STATE_BITS * unit & _STATE for unit in range(len(Unit))]).astype(np.uint8)
    loaded = states[Unit.LOAD] == BUSY
    reads, read, stored = ((log >> bit & 1) != 0 for bit in (record.R, record.SENDS, record.W))
    return Recording(timing, states, reads & ~loaded, loaded, read, stored)

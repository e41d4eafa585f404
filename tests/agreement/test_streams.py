"""Every stream of the core under idle, back-pressure and reset in flight, on one small accelerator.

The grid holds one channel's habits against the others': an instant memory, one that idles, one that pushes back, both,
one beat at a time, and a reset at any point of a run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.arch import Accelerator
from hw.bench.build import default_cache, missing_tool
from sim.memory import MemoryProfile
from tests.agreement.compare import compare, failures
from tests.agreement.points import Point

SMALL = Accelerator(
    name="streams",
    rows=2,
    columns=2,
    word_bits=4,
    pipeline=1,
    sum_bits=8,
    drain_rows=1,
    activation_lines=8,
    weight_lines=8,
    threshold_lines=4,
    output_lines=4,
    port_bits=16,
    burst_beats=4,
    reads_in_flight=2,
    writes_in_flight=2,
    fetch_depth=2,
    queue_depth=2,
    transfers_in_flight=2,
)
PROFILES = {
    "instant": {"latency": 1, "write_latency": 1},
    "idle": {"latency": 1, "write_latency": 1, "interval": 4},
    "far": {"latency": 150, "write_latency": 90},
    "jitter": {"latency": 1, "write_latency": 1, "jitter": 200},
    "pushes back": {"latency": 1, "write_latency": 1, "stall_rate": 256, "stall_max": 9},
    "alternating": {"latency": 1, "write_latency": 1, "stall_rate": 256, "stall_max": 1},
    "bursts": {"latency": 3, "write_latency": 3, "stall_rate": 20, "stall_max": 60},
    "everything": {"latency": 17, "write_latency": 5, "interval": 2, "jitter": 30, "stall_rate": 100, "stall_max": 7},
}
SHAPE = (5, 21, 7)

pytestmark = pytest.mark.icarus


@pytest.fixture(autouse=True)
def _needs_icarus() -> None:
    missing = missing_tool("icarus")
    if missing:
        pytest.skip(missing)


def _point(number: int, profile: dict[str, int], resets: bool, seed: int = 0) -> Point:
    memory = MemoryProfile(**profile, seed=number)
    return Point(number, SMALL, *SHAPE, ("signed", "unsigned")[number % 2], memory, seed, resets)


def test_every_habit_of_the_memory(tmp_path: Path) -> None:
    points = [_point(2 * i + s, profile, False) for i, profile in enumerate(PROFILES.values()) for s in range(2)]
    assert failures(points, compare(points, "icarus", default_cache(), tmp_path)) == []


def test_a_reset_in_any_cycle_leaves_no_trace(tmp_path: Path) -> None:
    # `seed` chooses the cycle of the reset, modulo the length of the run: spread over the whole of it.
    points = [_point(n, PROFILES["everything"], True, seed=17 * n) for n in range(50)]
    assert failures(points, compare(points, "icarus", default_cache(), tmp_path)) == []

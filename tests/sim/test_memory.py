"""The memory profile, and its random numbers against docs/memory.md in plain integers."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from hw.arch import Accelerator
from sim.memory import AR, AW, B, MemoryProfile, MemoryProfileError, R, W, extra, random, stall
from sim.state import config_record

CASES = [(0, 0), (1, 0), (0, 1), (3, 7), (12345, 255), (0xFFFFFFFF, 0xFFFFFFFF), (0x80000000, 0x7FFFFFFF)]
SEEDS = [0, 1, 0x12345678, 0x80000000, 0xFFFFFFFF]


@numba.njit
def call_random(seed: int, channel: int, burst: int, beat: int) -> int:
    return random(seed, channel, burst, beat)


@numba.njit
def call_stall(profile: Any, channel: int, burst: int, beat: int) -> int:
    return stall(profile, channel, burst, beat)


@numba.njit
def call_extra(profile: Any, channel: int, burst: int) -> int:
    return extra(profile, channel, burst)


def plain_random(seed: int, channel: int, burst: int, beat: int) -> int:
    """Evaluate docs/memory.md with integers of any size."""
    modulus = 1 << 32
    x = seed ^ channel * 0x9E3779B1 % modulus ^ burst * 0x85EBCA77 % modulus ^ beat * 0xC2B2AE3D % modulus
    x = (x ^ x >> 16) * 0x7FEB352D % modulus
    x = (x ^ x >> 15) * 0x846CA68B % modulus
    return x ^ x >> 16


def plain_stall(profile: MemoryProfile, channel: int, burst: int, beat: int) -> int:
    """Evaluate docs/memory.md with integers of any size."""
    number = plain_random(profile.seed, channel, burst, beat)
    return 1 + (number >> 8) % profile.stall_max if number & 255 < profile.stall_rate else 0


def plain_extra(profile: MemoryProfile, channel: int, burst: int) -> int:
    """Evaluate docs/memory.md with integers of any size."""
    return plain_random(profile.seed, channel, burst, 0xFFFFFFFF) % (profile.jitter + 1)


def test_channels() -> None:
    assert (AR, R, AW, W, B) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_random(seed: int) -> None:
    for channel in range(5):
        for burst, beat in CASES:
            assert call_random(seed, channel, burst, beat) == plain_random(seed, channel, burst, beat)


@pytest.mark.parametrize("rate", [0, 1, 64, 255, 256])
@pytest.mark.parametrize("longest", [1, 2, 255])
def test_stall(rate: int, longest: int) -> None:
    profile = MemoryProfile(stall_rate=rate, stall_max=longest, seed=99)
    record = config_record(Accelerator(), profile, 1)
    stalls = [call_stall(record, W, burst, beat) for burst in range(30) for beat in range(10)]
    assert stalls == [plain_stall(profile, W, burst, beat) for burst in range(30) for beat in range(10)]
    assert max(stalls) <= (longest if rate else 0)
    assert rate < 256 or min(stalls) > 0


@pytest.mark.parametrize("jitter", [0, 1, 6, 65535])
def test_extra(jitter: int) -> None:
    profile = MemoryProfile(jitter=jitter, seed=0xDEADBEEF)
    record = config_record(Accelerator(), profile, 1)
    extras = [call_extra(record, B, burst) for burst in range(200)]
    assert extras == [plain_extra(profile, B, burst) for burst in range(200)]
    assert max(extras) <= jitter


def test_defaults() -> None:
    expected = {
        "latency": 20,
        "write_latency": 10,
        "interval": 1,
        "jitter": 0,
        "stall_rate": 0,
        "stall_max": 1,
        "seed": 0,
    }
    assert MemoryProfile().to_dict() == expected


def test_custom() -> None:
    values = {
        "latency": 1,
        "write_latency": 2,
        "interval": 3,
        "jitter": 4,
        "stall_rate": 5,
        "stall_max": 6,
        "seed": 7,
    }
    assert MemoryProfile(**values).to_dict() == values


@pytest.mark.parametrize(
    ("name", "value", "limits"),
    [
        ("latency", 0, "1 to 65535"),
        ("latency", 65536, "1 to 65535"),
        ("write_latency", 0, "1 to 65535"),
        ("interval", 256, "1 to 255"),
        ("jitter", -1, "0 to 65535"),
        ("stall_rate", 257, "0 to 256"),
        ("stall_max", 0, "1 to 255"),
        ("seed", 1 << 32, "0 to 4294967295"),
        ("seed", True, "0 to 4294967295"),
        ("seed", 1.0, "0 to 4294967295"),
        ("latency", "20", "1 to 65535"),
        ("interval", np.int64(1), "1 to 255"),
    ],
)
def test_wrong_values(name: str, value: Any, limits: str) -> None:
    with pytest.raises(MemoryProfileError) as caught:
        MemoryProfile(**{name: value})
    assert str(caught.value) == f"memory.{name} must be an integer from {limits}, not {value!r}"

"""The memory model of docs/memory.md: its parameters and its random numbers, stalls and extra latencies."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.compiled import compiled

AR, R, AW, W, B = range(5)
"""The numbers of the channels in the random function."""

_EXTRA_BEAT = 0xFFFFFFFF
_MASK = np.uint64(0xFFFFFFFF)
_CHANNEL = np.uint64(0x9E3779B1)
_BURST = np.uint64(0x85EBCA77)
_BEAT = np.uint64(0xC2B2AE3D)
_FIRST = np.uint64(0x7FEB352D)
_SECOND = np.uint64(0x846CA68B)
_15, _16 = np.uint64(15), np.uint64(16)

_RANGES = {
    "latency": (1, 65535),
    "write_latency": (1, 65535),
    "interval": (1, 255),
    "jitter": (0, 65535),
    "stall_rate": (0, 256),
    "stall_max": (1, 255),
    "seed": (0, 0xFFFFFFFF),
}


class MemoryProfileError(ValueError):
    """A memory profile outside the ranges of docs/memory.md; the message says which field and what was expected."""


@dataclass(frozen=True)
class MemoryProfile:
    """The parameters of the memory: everything that its behaviour depends on besides the requests themselves."""

    latency: int = 20
    write_latency: int = 10
    interval: int = 1
    jitter: int = 0
    stall_rate: int = 0
    stall_max: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise MemoryProfileError(f"memory.{name} must be an integer from {low} to {high}, not {value!r}")

    def to_dict(self) -> dict[str, int]:
        """Return the parameters by name, in the order of docs/memory.md."""
        return dataclasses.asdict(self)


@compiled
def random(seed: int, channel: int, burst: int, beat: int) -> np.int64:
    """Return the 32-bit random number of a beat; every argument counts modulo 2^32."""
    x = np.uint64(seed) ^ np.uint64(channel) * _CHANNEL ^ np.uint64(burst) * _BURST ^ np.uint64(beat) * _BEAT
    x &= _MASK
    x = (x ^ (x >> _16)) * _FIRST & _MASK
    x = (x ^ (x >> _15)) * _SECOND & _MASK
    return np.int64(x ^ (x >> _16))


@compiled
def stall(profile: Any, channel: int, burst: int, beat: int) -> int:
    """Return for how many cycles a handshake is held back; `profile` is a record with the fields of a MemoryProfile."""
    if profile.stall_rate == 0:
        return 0
    number = random(profile.seed, channel, burst, beat)
    if number & 255 < profile.stall_rate:
        cycles: int = 1 + (number >> 8) % profile.stall_max
        return cycles
    return 0


@compiled
def extra(profile: Any, channel: int, burst: int) -> int:
    """Return the extra latency of a burst; `profile` is as above."""
    if profile.jitter == 0:
        return 0
    cycles: int = random(profile.seed, channel, burst, _EXTRA_BEAT) % (profile.jitter + 1)
    return cycles

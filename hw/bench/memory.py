"""The memory behind the core's AXI4 port, as docs/memory.md defines it, for a bench that steps it once per cycle."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MASK = 0xFFFFFFFF
AR, R, AW, W, B = range(5)
WHOLE_BURST = 0xFFFFFFFF
PAGE_BYTES = 4096


class ProtocolError(AssertionError):
    """The core broke a rule of the memory port."""


@dataclass(frozen=True)
class Profile:
    """The parameters of docs/memory.md."""

    latency: int
    write_latency: int
    interval: int
    jitter: int
    stall_rate: int
    stall_max: int
    seed: int

    def random(self, channel: int, burst: int, beat: int) -> int:
        x = self.seed ^ (channel * 0x9E3779B1 & MASK) ^ (burst * 0x85EBCA77 & MASK) ^ (beat * 0xC2B2AE3D & MASK)
        x = (x ^ x >> 16) * 0x7FEB352D & MASK
        x = (x ^ x >> 15) * 0x846CA68B & MASK
        return x ^ x >> 16

    def stall(self, channel: int, burst: int, beat: int) -> int:
        if not self.stall_rate:
            return 0
        number = self.random(channel, burst, beat)
        return 1 + (number >> 8) % self.stall_max if number & 255 < self.stall_rate else 0

    def extra(self, channel: int, burst: int) -> int:
        return self.random(channel, burst, WHOLE_BURST) % (self.jitter + 1) if self.jitter else 0


@dataclass
class Burst:
    """An accepted request; `ready` is the cycle from which its first beat may be answered (reads)."""

    number: int
    address: int
    beats: int
    ready: int
    done: int = 0


class RequestChannel:
    """AR or AW: hold each request back as the profile says, refuse what the protocol forbids."""

    def __init__(self, profile: Profile, channel: int, beat_bytes: int, memory_bytes: int) -> None:
        self._profile, self._channel = profile, channel
        self._beat_bytes, self._memory_bytes = beat_bytes, memory_bytes
        self._count = 0
        self._due = -1
        self._offered: tuple[int, int] | None = None

    def step(self, now: int, valid: bool, address: int, beats: int) -> Burst | None:
        """Return the burst if its handshake is in this cycle; the caller drives ready accordingly."""
        if not valid:
            if self._offered is not None:
                raise ProtocolError(f"request {self._count}: valid must stay until the handshake, but it fell")
            return None
        if self._offered is None:
            self._check(address, beats)
            self._offered = (address, beats)
            self._due = now + self._profile.stall(self._channel, self._count, 0)
        elif self._offered != (address, beats):
            raise ProtocolError(f"request {self._count}: must stay {self._offered} until the handshake")
        if now != self._due:
            return None
        burst = Burst(self._count, address, beats, now)
        self._offered = None
        self._count += 1
        return burst

    def _check(self, address: int, beats: int) -> None:
        end = address + beats * self._beat_bytes
        if address % self._beat_bytes or end > self._memory_bytes:
            inside = f"inside {self._memory_bytes} bytes"
            raise ProtocolError(f"burst {address:#x} + {beats} beats must be aligned and {inside}")
        if address // PAGE_BYTES != (end - 1) // PAGE_BYTES:
            raise ProtocolError(f"burst {address:#x} + {beats} beats must not cross a 4 KiB boundary")


class ReadSide:
    """AR and R."""

    def __init__(self, profile: Profile, memory: bytearray, beat_bytes: int) -> None:
        self._profile, self._memory, self._beat_bytes = profile, memory, beat_bytes
        self._requests = RequestChannel(profile, AR, beat_bytes, len(memory))
        self._bursts: deque[Burst] = deque()
        self._due = -1
        self._free = 0

    def step(self, now: int, valid: bool, address: int, beats: int) -> tuple[bool, tuple[int, bool] | None]:
        """Return (ARREADY, (data, last) of a beat that is transferred in this cycle or None)."""
        beat = self._beat(now) if self._bursts else None
        accepted = self._requests.step(now, valid, address, beats)
        if accepted:
            accepted.ready += self._profile.latency + self._profile.extra(R, accepted.number)
            self._bursts.append(accepted)
        return accepted is not None, beat

    def _beat(self, now: int) -> tuple[int, bool] | None:
        burst = self._bursts[0]
        if self._due < 0:
            earliest = max(burst.ready, self._free) if burst.done == 0 else self._free
            self._due = earliest + self._profile.stall(R, burst.number, burst.done)
        if now < self._due:
            return None
        start = burst.address + burst.done * self._beat_bytes
        data = int.from_bytes(self._memory[start : start + self._beat_bytes], "little")
        burst.done += 1
        self._due, self._free = -1, now + self._profile.interval
        last = burst.done == burst.beats
        if last:
            self._bursts.popleft()
        return data, last


class WriteSide:
    """AW, W and B. Beats may come before their request; they wait for it, and are written when both are there."""

    def __init__(self, profile: Profile, memory: bytearray, beat_bytes: int) -> None:
        self._profile, self._memory, self._beat_bytes = profile, memory, beat_bytes
        self._requests = RequestChannel(profile, AW, beat_bytes, len(memory))
        self._bursts: deque[Burst] = deque()
        self._beats: deque[tuple[int, bool]] = deque()
        self._responses: deque[tuple[int, int]] = deque()
        self._offered: tuple[int, bool] | None = None
        self._burst = self._beat = 0
        self._due = -1
        self._free = 0
        self._response_free = 0

    def step(self, now: int, request: tuple[bool, int, int], data: tuple[bool, int, bool]) -> tuple[bool, bool, bool]:
        """Return (AWREADY, WREADY, BVALID) of this cycle."""
        responded = self._respond(now)
        taken = self._take(now, *data)
        accepted = self._requests.step(now, *request)
        if accepted:
            self._bursts.append(accepted)
        self._write(now)
        return accepted is not None, taken, responded

    def _take(self, now: int, valid: bool, data: int, last: bool) -> bool:
        which = f"beat {self._beat} of write burst {self._burst}"
        if not valid:
            if self._offered is not None:
                raise ProtocolError(f"{which}: valid must stay until the handshake, but it fell")
            return False
        if self._offered is None:
            self._offered = (data, last)
            self._due = max(now, self._free) + self._profile.stall(W, self._burst, self._beat)
        elif self._offered != (data, last):
            raise ProtocolError(f"{which}: must stay as it was offered until the handshake")
        if now < self._due:
            return False
        self._beats.append(self._offered)
        self._offered, self._free = None, now + self._profile.interval
        self._burst, self._beat = (self._burst + 1, 0) if last else (self._burst, self._beat + 1)
        return True

    def _write(self, now: int) -> None:
        while self._bursts and self._beats:
            burst, (data, last) = self._bursts[0], self._beats.popleft()
            start = burst.address + burst.done * self._beat_bytes
            self._memory[start : start + self._beat_bytes] = data.to_bytes(self._beat_bytes, "little")
            burst.done += 1
            if last != (burst.done == burst.beats):
                raise ProtocolError(f"WLAST must mark beat {burst.beats} of write burst {burst.number}")
            if last:
                self._bursts.popleft()
                ready = now + self._profile.write_latency + self._profile.extra(B, burst.number)
                self._responses.append((burst.number, ready))

    def _respond(self, now: int) -> bool:
        if not self._responses:
            return False
        number, ready = self._responses[0]
        if now < max(ready, self._response_free) + self._profile.stall(B, number, 0):
            return False
        self._responses.popleft()
        self._response_free = now + 1
        return True

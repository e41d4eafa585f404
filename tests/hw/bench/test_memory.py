"""The bench's memory: its random numbers, its cycles by hand, and every rule of the port that it enforces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hw.bench.memory import AR, AW, PAGE_BYTES, WHOLE_BURST, B, Profile, ProtocolError, R, ReadSide, W, WriteSide
from tests.hw.gateware.clockwork import seeded

Refused = Callable[..., str]
PLAIN = Profile(latency=1, write_latency=1, interval=1, jitter=0, stall_rate=0, stall_max=1, seed=0)
BEAT = 4


def profile(**changes: int) -> Profile:
    return Profile(**{**vars(PLAIN), **changes})


def literal_random(seed: int, channel: int, burst: int, beat: int) -> int:
    """Evaluate docs/memory.md line by line."""
    modulus = 2**32
    x = seed ^ (channel * 0x9E3779B1) % modulus ^ (burst * 0x85EBCA77) % modulus ^ (beat * 0xC2B2AE3D) % modulus
    x = ((x ^ (x // 2**16)) * 0x7FEB352D) % modulus
    x = ((x ^ (x // 2**15)) * 0x846CA68B) % modulus
    return x ^ (x // 2**16)


class TestNumbers:
    def test_channels(self) -> None:
        assert (AR, R, AW, W, B) == (0, 1, 2, 3, 4)

    @pytest.mark.parametrize(
        ("seed", "channel", "burst", "beat", "expected"),
        [(0, 0, 0, 0, 0), (1, 0, 0, 0, 1753845952), (0, 4, 0, 0, 1142142835), (2**32 - 1, 3, 70000, 255, 2467950493)],
    )
    def test_known_numbers(self, seed: int, channel: int, burst: int, beat: int, expected: int) -> None:
        assert literal_random(seed, channel, burst, beat) == expected
        assert profile(seed=seed).random(channel, burst, beat) == expected

    def test_random_is_the_formula(self) -> None:
        random = seeded("memory numbers")
        for _ in range(3000):
            seed, burst = random.getrandbits(32), random.choice([0, 1, 65536, 2**32 - 1, random.getrandbits(32)])
            channel, beat = random.randrange(5), random.choice([0, 1, 255, WHOLE_BURST, random.getrandbits(8)])
            assert profile(seed=seed).random(channel, burst, beat) == literal_random(seed, channel, burst, beat)

    @pytest.mark.parametrize("rate", [0, 1, 128, 255, 256])
    @pytest.mark.parametrize("largest", [1, 7, 255])
    def test_stall_is_the_formula(self, rate: int, largest: int) -> None:
        stalls = profile(stall_rate=rate, stall_max=largest, seed=5)
        for burst in range(40):
            for beat in range(8):
                number = literal_random(5, W, burst, beat)
                expected = 1 + number // 256 % largest if number % 256 < rate else 0
                assert stalls.stall(W, burst, beat) == expected

    @pytest.mark.parametrize("jitter", [0, 1, 6, 65535])
    def test_extra_is_the_formula(self, jitter: int) -> None:
        for burst in range(50):
            expected = literal_random(9, B, burst, 0xFFFFFFFF) % (jitter + 1)
            assert profile(jitter=jitter, seed=9).extra(B, burst) == expected


def reads(given: Profile, requests: list[tuple[int, int, int]], until: int = 200) -> tuple[list[int], list[Any]]:
    """Offer read requests (cycle, address, beats), one after the other; return handshakes and (cycle, data, last)."""
    side = ReadSide(given, bytearray(i % 251 for i in range(8192)), BEAT)
    handshakes, beats, waiting = [], [], list(requests)
    for now in range(1, until):
        offered = bool(waiting) and now >= waiting[0][0]
        ready, beat = side.step(now, offered, *(waiting[0][1:] if offered else (0, 0)))
        if ready:
            handshakes.append(now)
            waiting.pop(0)
        if beat is not None:
            beats.append((now, *beat))
    return handshakes, beats


def cycles_of_beats(given: Profile, requests: list[tuple[int, int, int]]) -> list[int]:
    return [beat[0] for beat in reads(given, requests)[1]]


class TestReads:
    def test_plain(self) -> None:
        handshakes, beats = reads(PLAIN, [(3, 8, 2), (4, 16, 1)])
        assert handshakes == [3, 4]
        data = [int.from_bytes(bytes(range(at, at + 4)), "little") for at in (8, 12, 16)]
        assert beats == [(4, data[0], False), (5, data[1], True), (6, data[2], True)]

    def test_latency_counts_from_the_handshake(self) -> None:
        assert cycles_of_beats(profile(latency=10), [(3, 0, 2), (4, 0, 1)]) == [13, 14, 15]
        assert cycles_of_beats(profile(latency=10), [(3, 0, 2), (20, 0, 1)]) == [13, 14, 30]

    def test_interval_separates_beats_and_bursts(self) -> None:
        assert cycles_of_beats(profile(latency=2, interval=3), [(1, 0, 3), (2, 0, 2)]) == [3, 6, 9, 12, 15]
        assert cycles_of_beats(profile(latency=2, interval=3), [(1, 0, 1), (4, 0, 1)]) == [3, 6]

    def test_jitter_delays_first_beats(self) -> None:
        jittery = profile(latency=2, jitter=9, seed=1)
        extra = [literal_random(1, R, burst, 0xFFFFFFFF) % 10 for burst in range(2)]
        assert max(extra) > 0
        assert cycles_of_beats(jittery, [(1, 0, 2), (50, 0, 1)]) == [3 + extra[0], 4 + extra[0], 52 + extra[1]]

    def test_stalls_of_requests_and_beats(self) -> None:
        seed = 3
        stalling = profile(latency=2, interval=2, stall_rate=256, stall_max=5, seed=seed)
        keys = [(AR, 0, 0), (AR, 1, 0), (R, 0, 0), (R, 0, 1), (R, 1, 0)]
        stall = {key: 1 + literal_random(seed, *key) // 256 % 5 for key in keys}
        handshakes, beats = reads(stalling, [(4, 0, 2), (5, 0, 1)])
        assert handshakes[0] == 4 + stall[AR, 0, 0]
        assert handshakes[1] == handshakes[0] + 1 + stall[AR, 1, 0]
        first = handshakes[0] + 2 + stall[R, 0, 0]
        second = first + 2 + stall[R, 0, 1]
        last = max(second + 2, handshakes[1] + 2) + stall[R, 1, 0]
        assert [beat[0] for beat in beats] == [first, second, last]

    def test_data_are_read_when_the_beat_is_transferred(self) -> None:
        memory = bytearray(64)
        side = ReadSide(profile(latency=3), memory, BEAT)
        side.step(1, True, 0, 1)
        memory[0] = 77
        assert [side.step(now, False, 0, 0)[1] for now in (2, 3, 4)] == [None, None, (77, True)]

    def test_nothing_is_ready_while_nothing_is_offered(self) -> None:
        side = ReadSide(PLAIN, bytearray(64), BEAT)
        assert all(side.step(now, False, 0, 0) == (False, None) for now in range(1, 20))


class Writer:
    """A core that offers requests, then their beats as early as the port allows."""

    def __init__(self, given: Profile) -> None:
        self.memory = bytearray(8192)
        self.side = WriteSide(given, self.memory, BEAT)
        self.requests: list[int] = []
        self.beats: list[int] = []
        self.responses: list[int] = []

    def run(self, requests: list[tuple[int, int, int]], first_beat: int = 0, until: int = 200) -> None:
        waiting, owed, number = list(requests), [], 0
        for now in range(1, until):
            offered = bool(waiting) and now >= waiting[0][0]
            request = (True, *waiting[0][1:]) if offered else (False, 0, 0)
            sends = bool(owed) and now >= first_beat
            aw, w, b = self.side.step(now, request, (sends, 1000 + number, sends and owed[0] == 1))
            if w:
                self.beats.append(now)
                number += 1
                owed = [owed[0] - 1, *owed[1:]] if owed[0] > 1 else owed[1:]
            if aw:
                self.requests.append(now)
                owed.append(waiting.pop(0)[2])
            if b:
                self.responses.append(now)


def writes(given: Profile, requests: list[tuple[int, int, int]], first_beat: int = 0) -> Writer:
    writer = Writer(given)
    writer.run(requests, first_beat)
    return writer


class TestWrites:
    def test_plain(self) -> None:
        writer = writes(PLAIN, [(2, 8, 2), (3, 32, 1)])
        assert (writer.requests, writer.beats, writer.responses) == ([2, 3], [3, 4, 5], [5, 6])
        words = [int.from_bytes(writer.memory[at : at + 4], "little") for at in (4, 8, 12, 16, 32, 36)]
        assert words == [0, 1000, 1001, 0, 1002, 0]

    def test_interval_bounds_beats_across_bursts(self) -> None:
        assert writes(profile(interval=3), [(2, 0, 2), (3, 0, 2)]).beats == [3, 6, 9, 12]
        assert writes(profile(interval=3), [(2, 0, 1), (10, 0, 1)]).beats == [3, 11]
        assert writes(profile(interval=3), [(2, 0, 2)], first_beat=7).beats == [7, 10]

    def test_responses_wait_for_their_latency_and_each_other(self) -> None:
        assert writes(profile(write_latency=7), [(2, 0, 1), (3, 0, 1)]).responses == [10, 11]
        extra = [literal_random(6, B, burst, 0xFFFFFFFF) % 50 for burst in range(2)]
        first = 3 + 7 + extra[0]
        second = max(4 + 7 + extra[1], first + 1)
        jittery = writes(profile(write_latency=7, jitter=49, seed=6), [(2, 0, 1), (3, 0, 1)])
        assert jittery.responses == [first, second]

    def test_beats_before_their_request(self) -> None:
        memory = bytearray(64)
        side = WriteSide(profile(write_latency=3), memory, BEAT)
        assert side.step(1, (False, 0, 0), (True, 5, False)) == (False, True, False)
        assert side.step(2, (False, 0, 0), (True, 6, True)) == (False, True, False)
        assert side.step(3, (False, 0, 0), (True, 7, True)) == (False, True, False)
        assert not any(memory)
        assert side.step(4, (True, 8, 2), (False, 0, False)) == (True, False, False)
        assert memory[8:17:4] == bytes([5, 6, 0])
        assert side.step(5, (True, 16, 1), (False, 0, False)) == (True, False, False)
        assert memory[16] == 7
        answers = [now for now in range(6, 20) if side.step(now, (False, 0, 0), (False, 0, False))[2]]
        assert answers == [7, 8]

    @pytest.mark.parametrize("seed", range(6))
    def test_stalls(self, seed: int) -> None:
        def stall(*key: int) -> int:
            number = literal_random(seed, *key)
            return 1 + number // 256 % 5 if number % 256 < 128 else 0

        stalling = profile(interval=2, stall_rate=128, stall_max=5, seed=seed)
        writer = writes(stalling, [(2, 0, 2), (50, 0, 1), (51, 0, 1)])
        first = 2 + stall(AW, 0, 0) + 1 + stall(W, 0, 0)
        second = first + 2 + stall(W, 0, 1)
        third_request = 50 + stall(AW, 1, 0)
        third = third_request + 1 + stall(W, 1, 0)
        last_request = third_request + 1 + stall(AW, 2, 0)
        last = max(last_request + 1, third + 2) + stall(W, 2, 0)
        answers = [second + 1 + stall(B, 0, 0), third + 1 + stall(B, 1, 0)]
        answers.append(max(last + 1, answers[1] + 1) + stall(B, 2, 0))
        assert writer.requests == [2 + stall(AW, 0, 0), third_request, last_request]
        assert (writer.beats, writer.responses) == ([first, second, third, last], answers)


class TestRules:
    """Every rule that the core could break, with the message that names the break."""

    @pytest.mark.parametrize("channel", ["read", "write"])
    @pytest.mark.parametrize(
        ("address", "beats", "message"),
        [
            (2, 1, "burst 0x2 + 1 beats must be aligned and inside 8192 bytes"),
            (8192, 1, "burst 0x2000 + 1 beats must be aligned and inside 8192 bytes"),
            (8188, 2, "burst 0x1ffc + 2 beats must be aligned and inside 8192 bytes"),
            (4092, 2, "burst 0xffc + 2 beats must not cross a 4 KiB boundary"),
        ],
    )
    def test_addresses(self, channel: str, address: int, beats: int, message: str, refused: Refused) -> None:
        memory = bytearray(8192)
        reading, writing = ReadSide(PLAIN, memory, BEAT), WriteSide(PLAIN, memory, BEAT)
        if channel == "read":
            assert refused(ProtocolError, reading.step, 1, True, address, beats) == message
        else:
            assert refused(ProtocolError, writing.step, 1, (True, address, beats), (False, 0, False)) == message

    @pytest.mark.parametrize(("address", "beats"), [(4092, 1), (4096, 256), (8188, 1), (0, PAGE_BYTES // BEAT)])
    def test_bursts_up_to_the_boundary_are_fine(self, address: int, beats: int) -> None:
        assert ReadSide(PLAIN, bytearray(8192), BEAT).step(1, True, address, beats) == (True, None)

    def test_a_request_must_stay(self, refused: Refused) -> None:
        stalling = profile(stall_rate=256, stall_max=1)
        fell, moved, grew = (ReadSide(stalling, bytearray(8192), BEAT) for _ in range(3))
        for side in (fell, moved, grew):
            assert side.step(1, True, 8, 2) == (False, None)
        message = "request 0: valid must stay until the handshake, but it fell"
        assert refused(ProtocolError, fell.step, 2, False, 8, 2) == message
        message = "request 0: must stay (8, 2) until the handshake"
        assert refused(ProtocolError, moved.step, 2, True, 12, 2) == message
        assert refused(ProtocolError, grew.step, 2, True, 8, 3) == message

    def test_a_beat_must_stay(self, refused: Refused) -> None:
        stalling = profile(stall_rate=256, stall_max=1)
        fell, changed, ended = (WriteSide(stalling, bytearray(64), BEAT) for _ in range(3))
        for side in (fell, changed, ended):
            assert side.step(1, (False, 0, 0), (True, 7, False)) == (False, False, False)
        message = "beat 0 of write burst 0: valid must stay until the handshake, but it fell"
        assert refused(ProtocolError, fell.step, 2, (False, 0, 0), (False, 7, False)) == message
        message = "beat 0 of write burst 0: must stay as it was offered until the handshake"
        assert refused(ProtocolError, changed.step, 2, (False, 0, 0), (True, 8, False)) == message
        assert refused(ProtocolError, ended.step, 2, (False, 0, 0), (True, 7, True)) == message

    @pytest.mark.parametrize(("beats", "last"), [(1, False), (2, True)])
    def test_wlast(self, beats: int, last: bool, refused: Refused) -> None:
        side = WriteSide(PLAIN, bytearray(64), BEAT)
        side.step(1, (True, 0, beats), (False, 0, False))
        message = f"WLAST must mark beat {beats} of write burst 0"
        assert refused(ProtocolError, side.step, 2, (False, 0, 0), (True, 0, last)) == message

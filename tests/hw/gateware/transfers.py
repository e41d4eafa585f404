"""Transfers in integers: the bursts of LOAD and STORE, and where each beat stands in a buffer."""

from __future__ import annotations

from hw.arch import Accelerator

PAGE = 4096
Burst = tuple[int, int]
Place = tuple[int, int, int, int]


def bursts_of(a: Accelerator, *, address: int, segments: int, segment_beats: int, stride: int) -> list[Burst]:
    """Return the bursts (address, beats) of a transfer, grown beat by beat."""
    bursts: list[list[int]] = []
    for segment in range(segments):
        for beat in range(segment_beats):
            at = (address + segment * stride + beat * a.beat_bytes) % (1 << 32)
            if beat and at % PAGE and bursts[-1][1] < a.burst_beats:
                bursts[-1][1] += 1
            else:
                bursts.append([at, 1])
    return [(at, beats) for at, beats in bursts]


def places_of(*, banks: int, line_beats: int, line: int, row_beats: int, beats: int) -> list[Place]:
    """Return (bank, line, lane, last) of each beat by the formulas of docs/machine.md, section 2."""
    lines_of_a_row = -(-row_beats // line_beats)
    places = []
    for index in range(beats):
        row, beat = divmod(index, row_beats)
        first = line + row // banks * lines_of_a_row
        places.append((row % banks, (first + beat // line_beats) % 65536, beat % line_beats, int(index == beats - 1)))
    return places

"""Parameters in memory, bit by bit as the machine's buffers want them; padding that counts for nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Buffer
from mapping.errors import MappingError
from mapping.whole.image import Image
from mapping.whole.parameters import MAX_SEGMENT, Packing, Parameters, flat
from mapping.whole.work import Parcel
from tests.mapping.network.points import resized

ACCELERATORS = {
    "narrow port": {"port_bits": 8, "vector_lanes": 2, "columns": 2, "word_bits": 8},
    "wide port": {"port_bits": 128, "vector_lanes": 1, "columns": 16, "word_bits": 64},
    "wide sums": {"sum_bits": 18, "columns": 8, "vector_lanes": 16},
    "short words": {"word_bits": 4, "port_bits": 32, "vector_lanes": 4},
}


class Made:
    """An accelerator with its parameters; reads lines of a parcel back from the image."""

    def __init__(self, **changes: Any) -> None:
        self.accelerator: Accelerator = resized(**changes)
        self.image = Image()
        self.image.place(b"other", 1)
        self.parameters = Parameters(self.accelerator, self.image)

    def lines(self, parcel: Parcel, bits: int) -> list[int]:
        """Return the lines, of so many bits, that a load of the parcel brings, as numbers."""
        (t,) = parcel.transfers
        beat = self.accelerator.beat_bytes
        assert t.address % beat == 0
        assert not t.gather
        assert t.segment_beats <= MAX_SEGMENT
        assert t.segment_beats % t.row_beats == 0
        assert t.row_beats * self.accelerator.port_bits == bits
        data = b"".join(
            bytes(self.image._data[t.address + n * t.stride :][: t.segment_beats * beat]) for n in range(t.segments)
        )
        assert len(data) == t.segments * t.segment_beats * beat == parcel.beats * beat
        return [int.from_bytes(data[i : i + bits // 8], "little") for i in range(0, len(data), bits // 8)]


@pytest.fixture(params=ACCELERATORS)
def made(request: pytest.FixtureRequest) -> Made:
    return Made(**ACCELERATORS[request.param])


def field(line: int, low: int, bits: int, signed: bool = True) -> int:
    """Return some bits of a line."""
    value = line >> low & (1 << bits) - 1
    return value - (1 << bits) if signed and value >> bits - 1 else value


@pytest.mark.parametrize("seed", range(12))
def test_products_count_their_channels_and_the_pad(seed: int, made: Made) -> None:
    source, numbers, a = random.Random(seed), np.random.default_rng(seed), made.accelerator
    panels, width = source.choice([1, 1, 2, 3]), source.randint(1, 40)
    packing = Packing(panels, width, width if panels == 1 else width + source.randint(0, 9))
    assert packing.positions().tolist() == [p * packing.pitch + k for p in range(panels) for k in range(width)]
    channels, outputs = panels * width, source.randint(1, 2 * a.columns + 1)
    weights = numbers.integers(0, 2, (outputs, channels), dtype=np.uint8)
    count = -(-outputs // a.columns)
    groups = np.full(count * a.columns, -1)
    groups[:outputs] = numbers.permutation(outputs)
    parcel = made.parameters.weights("w", weights, list(groups.reshape(count, -1)), packing)
    lines = made.parameters.lines_of(packing.bits)
    assert (parcel.name, parcel.buffer, parcel.lines) == ("w", Buffer.WEIGHT, count * lines)
    rows = made.lines(parcel, lines * a.line_bits)
    assert len(rows) == count * a.columns
    words = made.parameters.words_of(packing.bits)
    assert (words - 1) * a.word_bits < packing.bits <= words * a.word_bits <= lines * a.line_bits
    read = (1 << words * a.word_bits) - 1
    codes = numbers.integers(0, 2, channels, dtype=np.uint8)
    row = sum(int(bit) << int(place) for bit, place in zip(codes, packing.positions(), strict=True))
    for channel, held in zip(groups, rows, strict=True):
        if channel < 0:
            continue
        matches = (~(held ^ row) & read).bit_count()
        pad = made.parameters.pad(packing)
        assert pad in (0, 1)
        # A signed sum is 2 * matches - inputs; padding that does not match lowers it by as much as the rest raises it.
        total = 2 * matches - words * a.word_bits - pad
        expected = int((2 * weights[channel].astype(int) - 1) @ (2 * codes.astype(int) - 1))
        assert (seed, total) == (seed, expected)
        assert (seed, (held & row).bit_count()) == (seed, int(weights[channel].astype(int) @ codes))


def test_thresholds(made: Made) -> None:
    a = made.accelerator
    most = (1 << a.sum_bits - 1) - 1
    thresholds = np.array([0, -1, 5, 10**6, -(10**6), most])
    polarity = np.array([0, 1, 1, 0, 1, 0])
    padding = [-1] * (-6 % a.columns)
    groups = np.array([4, 1, 2, 3, 0, 5, *padding]).reshape(-1, a.columns)
    parcel = made.parameters.thresholds("t", thresholds, polarity, list(groups))
    assert (parcel.buffer, parcel.lines) == (Buffer.THRESHOLD, len(groups))
    found, bits = [], a.threshold_entry_bits
    for line in made.lines(parcel, a.threshold_line_bits):
        for column in range(a.columns):
            entry = field(line, column * bits, bits, signed=False)
            found.append((field(entry, 0, a.sum_bits), entry >> bits - 1))
    low = -most - 1
    assert found[:6] == [(low, 1), (-1, 1), (5, 1), (most, 0), (0, 0), (most, 0)]
    # No sum is as large as this threshold, so that a column without a channel never fires.
    assert found[6:] == [(most, 0)] * len(padding)
    assert most > a.max_inputs


def test_scales(made: Made) -> None:
    lanes = made.accelerator.vector_lanes
    multiplier = np.array([3, -1, 32767, -32768, 0], np.int16)
    addend = np.array([-5, 1, 2**31 - 1, -(2**31), 7], np.int32)
    parcel = made.parameters.scales("s", multiplier, addend)
    lines = made.lines(parcel, made.accelerator.parameter_line_bits)
    assert (parcel.buffer, parcel.lines, len(lines)) == (Buffer.SCALE, -(-5 // lanes), parcel.lines)
    entries = [(field(line, 64 * n, 16), field(line, 64 * n + 16, 32)) for line in lines for n in range(lanes)]
    assert entries == list(zip(multiplier, addend, strict=True)) + [(0, 0)] * (-5 % lanes)
    assert all(field(line, 64 * n + 48, 16) == 0 for line in lines for n in range(lanes))


@pytest.mark.parametrize("sets", [1, 2, 3])
def test_levels(made: Made, sets: int) -> None:
    lanes = made.accelerator.vector_lanes
    thresholds = [np.array([0, -32768, 32768, 9 - s, -1], np.int32) for s in range(sets)]
    polarity = [np.array([1, 0, 1, 0, s & 1], np.uint8) for s in range(sets)]
    parcel = made.parameters.levels("l", list(zip(thresholds, polarity, strict=True)))
    lines = made.lines(parcel, made.accelerator.parameter_line_bits)
    assert (parcel.buffer, parcel.lines) == (Buffer.LEVEL, -(-5 // lanes))
    entries = [field(line, 64 * n, 64, signed=False) for line in lines for n in range(lanes)]
    for channel, entry in enumerate(entries):
        for s in range(3):
            pair = (field(entry, 18 * s, 17), entry >> 18 * s + 17 & 1)
            there = channel < 5 and s < sets
            assert pair == ((thresholds[s][channel], polarity[s][channel]) if there else (0, 0))


@pytest.mark.parametrize("classes", [1, 3, 8, 9])
def test_classifier(made: Made, classes: int) -> None:
    lanes, channels = made.accelerator.vector_lanes, 13
    source = np.random.default_rng(classes)
    weights = source.integers(-128, 128, (classes, channels)).astype(np.int8)
    bias = source.integers(-(2**31), 2**31, classes).astype(np.int32)
    parcel = made.parameters.classifier("c", weights, bias)
    lines = made.lines(parcel, made.accelerator.parameter_line_bits)
    slices, eights = -(-channels // lanes), -(-classes // 8)
    assert (parcel.buffer, parcel.lines) == (Buffer.SCALE, eights * slices + classes)
    for k in range(classes):
        for channel in range(slices * lanes):
            q, lane = divmod(channel, lanes)
            weight = field(lines[k // 8 * slices + q], 64 * lane + 8 * (k % 8), 8)
            assert weight == (weights[k, channel] if channel < channels else 0)
        assert lines[eights * slices + k] == int(bias[k]) & 0xFFFFFFFF


@pytest.mark.parametrize("entries", [1, 7, 8, 40])
@pytest.mark.parametrize("count", [1, 3, 15])
def test_table(made: Made, entries: int, count: int) -> None:
    table = np.linspace(65535, 0, entries).astype(np.uint16)
    levels = np.arange(count, dtype=np.int32) * 70_000
    parcel, start = made.parameters.table("t", table, levels), made.parameters.table_lines(entries)
    width = made.accelerator.table_line_bits
    lines = made.lines(parcel, width)
    assert (parcel.buffer, parcel.lines, len(lines)) == (Buffer.TABLE, start + -(-count * 32 // width), parcel.lines)
    g, h = width // 16, width // 32
    assert [field(lines[i // g], 16 * (i % g), 16, signed=False) for i in range(entries)] == table.tolist()
    assert [field(lines[start + i // h], 32 * (i % h), 32) for i in range(count)] == levels.tolist()


def test_a_block_is_made_once(made: Made) -> None:
    parcels = [made.parameters.once(("t", n % 2), lambda: Parcel("b", Buffer.LEVEL, 1, ())) for n in range(4)]
    assert parcels[0] is parcels[2] is not parcels[1] is parcels[3]


@pytest.mark.parametrize(
    ("rows", "row_beats", "segments", "segment_beats"),
    [(1, 65_535, 1, 65_535), (6, 2, 1, 12), (65_536, 1, 2, 32_768), (3, 30_000, 3, 30_000), (4, 30_000, 2, 60_000)],
)
def test_transfers_are_segments_of_whole_rows(rows: int, row_beats: int, segments: int, segment_beats: int) -> None:
    made = Made(port_bits=64)
    t = made.parameters.transfer(4096, rows, row_beats, 5)
    assert (t.address, t.row_beats, t.offset) == (4096, row_beats, 5)
    assert (t.segments, t.segment_beats, t.stride) == (segments, segment_beats, segment_beats * 8)


def test_rows_that_no_segment_can_hold(refused: Callable[..., str]) -> None:
    message = refused(MappingError, Made().parameters.transfer, 0, 2, 65_536)
    assert message == "network: a row must be at most 65535 beats of memory, not 65536"


def test_flat_channels() -> None:
    assert (flat(7).bits, flat(7).positions().tolist()) == (7, list(range(7)))

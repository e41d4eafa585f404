"""The tables of an embedding in memory: ids, rows of words, positions, and a type for each token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hw.isa import Buffer
from mapping.errors import MappingError
from mapping.whole.context import Context
from mapping.whole.embedding import EmbeddingTables
from mapping.whole.image import Image
from mapping.whole.work import Parcel
from model.bits import unpack
from model.network import Network
from model.operations import Embed
from tests.mapping.network.points import network, resized

ACCELERATORS = {
    "slices in lines": {"vector_lanes": 4, "port_bits": 32},
    "narrow port": {"vector_lanes": 2, "port_bits": 8},
    "wide port": {"vector_lanes": 1, "port_bits": 128},
    "wide lanes": {"vector_lanes": 32, "port_bits": 16},
}
TYPES = (0, 0, 2, 2, 2, 1, 0)


class Made:
    """The tables of the embedding of a network of 21 channels, for sentences with some types."""

    def __init__(self, types: Sequence[int] = TYPES, **changes: Any) -> None:
        made: Network = network(40, width=21, heads=1, layers=0, types=3, limit=9)
        self.accelerator = resized(**changes)
        self.context = Context(made, self.accelerator, tuple(types), 64, 0, Image())
        (self.operation,) = [o for o in made.operations if isinstance(o, Embed)][:1]
        self.tables = EmbeddingTables(self.context, self.operation)
        self.slices = -(-21 // self.accelerator.vector_lanes)

    def rows(self, parcel: Parcel, bits: int) -> list[int]:
        """Return the lines that the loads of a parcel bring, as numbers; each load at its offset."""
        beat, held = self.accelerator.beat_bytes, bytearray(parcel.lines * bits // 8)
        for t in parcel.transfers:
            data = b"".join(
                bytes(self.context.image._data[t.address + n * t.stride :][: t.segment_beats * beat])
                for n in range(t.segments)
            )
            held[t.offset * bits // 8 : t.offset * bits // 8 + len(data)] = data
            assert len(data) == t.segments * t.segment_beats * beat
        assert len(held) == parcel.lines * bits // 8
        return [int.from_bytes(held[i : i + bits // 8], "little") for i in range(0, len(held), bits // 8)]

    def numbers(self, parcel: Parcel) -> np.ndarray:
        """Return the rows of a parcel of 16-bit numbers; lanes behind the last channel must be 0."""
        assert parcel.buffer is Buffer.EMBEDDING
        lanes = self.accelerator.vector_lanes
        lines = self.rows(parcel, self.accelerator.embedding_line_bits)
        assert all(line >> 16 * lanes == 0 for line in lines)
        data = np.array([[line >> 16 * lane & 0xFFFF for lane in range(lanes)] for line in lines], np.uint16)
        rows = data.view(np.int16).reshape(-1, self.slices * lanes)
        assert not rows[:, 21:].any()
        return rows[:, :21]


@pytest.fixture(params=ACCELERATORS)
def made(request: pytest.FixtureRequest) -> Made:
    return Made(**ACCELERATORS[request.param])


def test_rows_of_words(made: Made) -> None:
    a = made.accelerator
    width, per_line = a.word_line_bits, a.word_line_bits // a.vector_lanes
    row_lines = 1 + -(-made.slices // per_line)
    parcel = made.tables.words(4, 3)
    (t,) = parcel.transfers
    assert (parcel.buffer, parcel.lines) == (Buffer.WORD, 3 * row_lines)
    assert (t.gather, t.token, t.segments, t.offset) == (True, 4, 3, 0)
    assert t.row_beats == t.segment_beats == row_lines * width // a.port_bits
    pitch = 1 << t.stride
    assert row_lines * width // 8 <= pitch < 2 * row_lines * width // 8
    assert t.address % 4096 == 0
    bits = unpack(made.operation.words, 21)
    for word in range(40):
        start = t.address + word * pitch
        data = bytes(made.context.image._data[start : start + row_lines * width // 8])
        lines = [int.from_bytes(data[i : i + width // 8], "little") for i in range(0, len(data), width // 8)]
        assert lines[0] == made.operation.scales[word]
        for channel in range(made.slices * a.vector_lanes):
            q, lane = divmod(channel, a.vector_lanes)
            bit = lines[1 + q // per_line] >> (q % per_line) * a.vector_lanes + lane & 1
            assert bit == (bits[word, channel] if channel < 21 else 0), (word, channel)


def test_words_come_after_their_ids_and_from_one_table(made: Made) -> None:
    first, second = made.tables.words(0, 4), made.tables.words(4, 3)
    assert first.transfers[0].address == second.transfers[0].address
    assert first.after is second.after is made.tables.ids()
    assert made.tables.words(0, 4) is first
    ids, a = made.tables.ids(), made.accelerator
    (t,) = ids.transfers
    lines = -(-len(TYPES) * 16 // a.token_line_bits)
    assert (ids.buffer, ids.lines, t.address) == (Buffer.TOKEN, lines, 64)
    assert (t.segments * t.segment_beats, t.row_beats) == (lines * t.row_beats, a.token_line_bits // a.port_bits)


def test_positions(made: Made) -> None:
    np.testing.assert_array_equal(made.numbers(made.tables.positions(4, 3)), made.operation.positions[4:7])
    np.testing.assert_array_equal(made.numbers(made.tables.positions(0, 4)), made.operation.positions[:4])


def test_types(made: Made) -> None:
    np.testing.assert_array_equal(made.numbers(made.tables.types()), made.operation.types)


@pytest.mark.parametrize(
    ("types", "runs"), [((0, 0, 2, 2), 2), ((1,), 1), ((2, 1, 2, 1), 4), ((1, 1, 1, 1), 1), ((0, 1, 1, 0), 3)]
)
def test_a_load_for_each_run_of_types(types: tuple[int, ...], runs: int, made: Made) -> None:
    parcel = made.tables.typed(list(types), 0)
    np.testing.assert_array_equal(made.numbers(parcel), made.operation.types[list(types)])
    assert len(parcel.transfers) == runs
    assert [t.segments for t in parcel.transfers] == lengths(types)
    assert all(t.stride == 0 for t in parcel.transfers)


def lengths(types: Sequence[int]) -> list[int]:
    """Return the lengths of the runs of equal types."""
    result, last = [], None
    for kind in types:
        if kind == last:
            result[-1] += 1
        else:
            result.append(1)
        last = kind
    return result


def test_a_row_of_a_word_that_no_pitch_holds(refused: Callable[..., str]) -> None:
    wide = Made(vector_lanes=1, port_bits=8)
    wide.tables._row_beats = 4097
    message = refused(MappingError, wide.tables.words, 0, 1)
    assert message == "member0.embed (embed): the row of a word must be at most 4096 bytes, not 4097"
    wide.tables._row_beats = 4096
    assert wide.tables.words(0, 1).transfers[0].stride == 12

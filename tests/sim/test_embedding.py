"""LOAD with gather and the source embedding, from the ids in memory to fixed rows, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Buffer, Source
from sim.machine import Machine, execute
from sim.reference.operations import embed
from tests.sim.buffers import fixed_rows
from tests.sim.programs import HALT, LOAD, load, program, vector
from tests.sim.test_checksum import plain_checksum
from tests.sim.test_vector import ACCELERATORS

WORDS, SPREAD = 13, 3
"""Words of the vocabulary, and token types."""


def fixed_lines(rows: np.ndarray, a: Accelerator) -> bytes:
    """Return rows of numbers as lines of the embedding buffer; lanes that are not valid are ones."""
    lanes, size = a.vector_lanes, a.embedding_line_bits // 8
    parts = [row[first : first + lanes] for row in rows for first in range(0, rows.shape[1], lanes)]
    return b"".join(part.astype("<i2").tobytes().ljust(size, b"\xff") for part in parts)


class Text:
    """Random words, positions and types in memory, one block behind the other, each from a multiple of 4,096."""

    def __init__(self, a: Accelerator, channels: int, random: np.random.Generator) -> None:
        self.a = a
        self.ids = random.integers(0, WORDS, 2 * a.rows)
        self.types = random.integers(0, SPREAD, 2 * a.rows)
        self.words = random.integers(0, 2, (WORDS, channels), np.uint8)
        self.scales = random.integers(0, 32768, WORDS)
        self.positions = random.integers(-20000, 20000, (2 * a.rows, channels))
        self.type_rows = random.integers(-3000, 3000, (SPREAD, channels))
        size = a.word_line_bits // 8
        self.row = size + -(-channels // a.word_line_bits) * size
        self.stride = (self.row - 1).bit_length()
        self.type_stride = (len(fixed_lines(self.type_rows[:1], a)) - 1).bit_length()

    def blocks(self) -> list[bytes]:
        """Return ids, types, words, positions and rows of types."""
        size = self.a.word_line_bits // 8
        rows = []
        for bits, scale in zip(self.words, self.scales, strict=True):
            packed = np.packbits(bits, bitorder="little").tobytes().ljust(self.row - size, b"\0")
            row = int(scale).to_bytes(2, "little").ljust(size, b"\xff") + packed
            rows.append(row.ljust(1 << self.stride, b"\xff"))
        types = [fixed_lines(row[None], self.a).ljust(1 << self.type_stride, b"\xff") for row in self.type_rows]
        ids = [n.astype("<u2").tobytes() for n in (self.ids, self.types)]
        return [*ids, b"".join(rows), fixed_lines(self.positions, self.a), b"".join(types)]

    def expected(self) -> np.ndarray:
        """Return what the reference makes of them."""
        return embed(self.ids, self.types, self.words, self.scales, self.positions, self.type_rows)


def loaded(text: Text) -> Machine:
    """Return a machine with the ids of all rows in its token buffer, those of types from id 32 on, and positions."""
    beat = text.a.beat_bytes
    blocks = [block.ljust(4096, b"\0") for block in text.blocks()]
    m = Machine(text.a, np.frombuffer(b"".join(blocks), np.uint8).copy())
    line = text.a.token_line_bits // 8
    for number, name in enumerate((Buffer.TOKEN, Buffer.TOKEN, Buffer.WORD, Buffer.EMBEDDING)):
        if name is Buffer.WORD:
            continue
        first = number * 64 // line if name is Buffer.TOKEN else 0
        block = text.blocks()[number]
        width = line if name is Buffer.TOKEN else text.a.embedding_line_bits // 8
        beats = -(-len(block) // width) * width // beat
        address = sum(len(b) for b in blocks[:number])
        m.execute(load(buffer=name, address=address, line=first, row_beats=width // beat, segment_beats=beats))
    return m


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("channels", [1, 7, 37, 48])
@pytest.mark.parametrize("second", [0, 1])
def test_embed(a: Accelerator, channels: int, second: int) -> None:
    # The rows of the first or of the second row tile, each with its type, at line 3 of the words and 200 of the types.
    text = Text(a, channels, np.random.default_rng(channels))
    m = loaded(text)
    addresses = np.cumsum([0, *(max(len(block), 4096) for block in text.blocks())]).tolist()
    beats, slices, row = text.row // a.beat_bytes, -(-channels // a.vector_lanes), second * a.rows
    gather = {"gather": 1, "segments": a.rows, "row_beats": beats, "segment_beats": beats, "stride": text.stride}
    m.execute(load(buffer=Buffer.WORD, address=addresses[2], line=3, token=row, **gather))
    beats = slices * a.embedding_line_bits // a.port_bits
    gather |= {"row_beats": beats, "segment_beats": beats, "stride": text.type_stride}
    m.execute(load(buffer=Buffer.EMBEDDING, address=addresses[4], line=200, token=32 + row, **gather))
    lines = {"source_line": 3, "add_line": row * slices, "scale_line": 200, "fixed_line": 20, "typed": 1}
    m.execute(vector(source=Source.EMBEDDING, channels=channels, rows=a.rows, keep=1, **lines))
    assert (fixed_rows(m, a.rows, channels, 20) == text.expected()[row : row + a.rows]).all()


@pytest.mark.parametrize("a", ACCELERATORS)
def test_one_type_for_all_rows(a: Accelerator) -> None:
    text = Text(a, 9, np.random.default_rng(1))
    text.types[:] = 2
    m = loaded(text)
    beats = text.row // a.beat_bytes
    gather = {"gather": 1, "segments": a.rows, "row_beats": beats, "segment_beats": beats, "stride": text.stride}
    m.execute(load(buffer=Buffer.WORD, address=8192, **gather))
    lines = fixed_lines(text.type_rows[2:], a)
    m.buffers["embedding"][0].reshape(-1)[100 * a.embedding_line_bits // 8 :][: len(lines)] = np.frombuffer(
        lines, np.uint8
    )
    m.execute(vector(source=Source.EMBEDDING, channels=9, rows=a.rows, keep=1, scale_line=100, fixed_line=7))
    assert (fixed_rows(m, a.rows, 9, 7) == text.expected()[: a.rows]).all()


def test_gathered_beats() -> None:
    # Ids 2, 0 and 5, from id 1 of the buffer on; rows of two beats, 16 bytes apart from 32 on.
    a = ACCELERATORS[0]
    m = Machine(a, np.arange(256, dtype=np.uint8))
    m.buffers["token"][0, :2] = np.array([[9, 0, 2, 0], [0, 0, 5, 0]])
    checksum = m.execute(
        load(buffer=1, gather=1, token=1, address=32, stride=4, segments=3, segment_beats=2, row_beats=2)
    )
    starts = [64, 32, 112]
    assert m.buffers["weight"][:3, :2].reshape(3, 8).tolist() == [list(range(s, s + 8)) for s in starts]
    words = [int.from_bytes(bytes(range(s + 4 * n, s + 4 * n + 4)), "little") for s in starts for n in (0, 1)]
    assert checksum == plain_checksum(words)


def test_scales_are_unsigned_and_the_sum_saturates_once() -> None:
    m = Machine(ACCELERATORS[0], np.zeros(0, np.uint8))
    m.buffers["word"][0, :2] = np.array([[0xFF, 0xFF, 0, 0], [0b0101, 0, 0, 0]])
    m.buffers["embedding"][0, :2] = np.array([[-30000] * 4, [-3000, 3000, 0, 32767]], "<i2").view(np.uint8)
    m.execute(vector(source=Source.EMBEDDING, channels=4, keep=1, scale_line=1, fixed_line=9))
    assert m.vector.fixed[9].tolist() == [32535, -32768, 32767, -32768]


def test_a_program() -> None:
    # The id 1 of a LOAD, then a gather that waits for it with its own bit: bytes 8 to 11 for bank 0.
    image = bytes([1, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12])
    gather = load(buffer=1, gather=1, stride=2, address=4, wait=LOAD)
    result = execute(program(ACCELERATORS[0], [load(buffer=6), gather, HALT], image))
    assert result.checksums[1] == plain_checksum([0x0C0B0A09])

"""The tables of an embedding in memory: rows of words to be gathered, positions and types, and the ids of the run."""

from __future__ import annotations

from typing import Any

import numpy as np

from hw.isa import Buffer
from mapping.whole.context import Context
from mapping.whole.image import ALIGNMENT
from mapping.whole.work import Parcel, Transfer

MAX_PITCH = 4096
TOKENS = "tokens"


class EmbeddingTables:
    """Makes the parcels of one embed."""

    def __init__(self, c: Context, o: Any) -> None:
        a = c.accelerator
        self._c, self._o = c, o
        self._channels = o.positions.shape[1]
        self._slices = c.slices(self._channels)
        self._row_lines = 1 + -(-self._slices // a.word_line_slices)
        self._row_beats = self._row_lines * a.word_line_bits // a.port_bits
        self._line_bytes = a.embedding_line_bits // 8

    def ids(self) -> Parcel:
        """Return the ids of the run."""

        def make() -> Parcel:
            a, c = self._c.accelerator, self._c
            line_ids = a.token_line_bits // 16
            lines = -(-c.rows // line_ids)
            beats = a.token_line_bits // a.port_bits
            return Parcel(TOKENS, Buffer.TOKEN, lines, (c.parameters.transfer(c.ids_address, lines, beats),))

        return self._c.parameters.once((TOKENS,), make)

    def words(self, first: int, rows: int) -> Parcel:
        """Return the rows of the words of some tokens."""

        def make() -> Parcel:
            beats = self._row_beats
            pitch = self._pitch()
            transfer = Transfer(
                self._words_address(), beats, rows, beats, pitch.bit_length() - 1, gather=True, token=first
            )
            name = f"{self._o.name}.words[{first}]"
            return Parcel(name, Buffer.WORD, rows * self._row_lines, (transfer,), after=self.ids())

        return self._c.parameters.once(("words", self._o.name, first), make)

    def positions(self, first: int, rows: int) -> Parcel:
        """Return the positions of some tokens."""
        numbers = self._o.positions[first : first + rows]
        name = f"{self._o.name}.positions[{first}]"
        return self._c.parameters.once(("positions", self._o.name, first), lambda: self._numbers(name, numbers))

    def types(self) -> Parcel:
        """Return all types."""
        name = f"{self._o.name}.types"
        return self._c.parameters.once(("types", self._o.name), lambda: self._numbers(name, self._o.types))

    def typed(self, types: list[int], first: int) -> Parcel:
        """Return the type of each of some tokens: a load for each run of equal ones, which reads one row again."""

        def make() -> Parcel:
            (source,) = self.types().transfers
            row = self._slices * self._line_bytes
            beats = row // self._c.accelerator.beat_bytes
            starts = [0, *(i for i in range(1, len(types)) if types[i] != types[i - 1]), len(types)]
            transfers = tuple(
                Transfer(source.address + types[start] * row, beats, end - start, beats, 0, start * self._slices)
                for start, end in zip(starts, starts[1:], strict=False)
            )
            return Parcel(f"{self._o.name}.types[{first}]", Buffer.EMBEDDING, len(types) * self._slices, transfers)

        return self._c.parameters.once(("typed", self._o.name, first), make)

    def _numbers(self, name: str, numbers: np.ndarray) -> Parcel:
        """Place rows of 16-bit numbers, a line for each slice."""
        lanes = self._c.accelerator.vector_lanes
        rows = np.zeros((len(numbers) * self._slices, self._line_bytes // 2), "<i2")
        padded = np.zeros((len(numbers), self._slices * lanes), np.int16)
        padded[:, : self._channels] = numbers
        rows[:, :lanes] = padded.reshape(-1, lanes)
        address = self._c.image.place(rows.view(np.uint8), self._c.accelerator.beat_bytes)
        beats = self._line_bytes // self._c.accelerator.beat_bytes
        transfer = self._c.parameters.transfer(address, len(rows), beats)
        return Parcel(name, Buffer.EMBEDDING, len(rows), (transfer,))

    def _pitch(self) -> int:
        """Return the bytes from one word to the next: a power of two."""
        size = self._row_beats * self._c.accelerator.beat_bytes
        pitch = 1 << (size - 1).bit_length()
        if pitch > MAX_PITCH:
            raise self._c.refuse(self._o, f"the row of a word must be at most {MAX_PITCH} bytes, not {size}")
        return pitch

    def _words_address(self) -> int:
        """Return where the table of words stands in memory; it is placed at the first call."""
        a, o = self._c.accelerator, self._o
        if o.name not in self._c.word_tables:
            line = a.word_line_bits // 8
            rows = np.zeros((len(o.words), self._pitch()), np.uint8)
            rows[:, :2] = o.scales.astype("<i2").reshape(-1, 1).view(np.uint8)
            rows[:, line : line + o.words.shape[1]] = o.words
            self._c.word_tables[o.name] = self._c.image.place(rows, ALIGNMENT)
        return self._c.word_tables[o.name]

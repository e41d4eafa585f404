"""Parameters as parcels: weights, thresholds, scales, levels, tables and classifiers in the layout of their buffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hw.arch import PARAMETER_BITS, Accelerator
from hw.isa import Buffer
from mapping.errors import MappingError
from mapping.layout import threshold_rows
from mapping.whole.image import Image
from mapping.whole.work import Parcel, Transfer

MAX_SEGMENT = 65_535
_THRESHOLD_BITS = 17


@dataclass(frozen=True)
class Packing:
    """Where the channels of codes stand in a row of bits: `count` times `width` bits, each in `pitch` bits."""

    count: int
    width: int
    pitch: int

    @property
    def bits(self) -> int:
        """Bits of a row."""
        return self.count * self.pitch

    def positions(self) -> np.ndarray:
        """Return the place of each channel."""
        return (np.arange(self.count)[:, None] * self.pitch + np.arange(self.width)).ravel()


def flat(channels: int) -> Packing:
    """Return the packing of channels one behind the other."""
    return Packing(1, channels, channels)


class Parameters:
    """Makes parcels, each once, and places their bytes in an image."""

    def __init__(self, accelerator: Accelerator, image: Image) -> None:
        self._a = accelerator
        self._image = image
        self._parcels: dict[tuple[object, ...], Parcel] = {}

    def once(self, key: tuple[object, ...], make: Callable[[], Parcel]) -> Parcel:
        """Return the parcel of that key, made at the first call."""
        if key not in self._parcels:
            self._parcels[key] = make()
        return self._parcels[key]

    def words_of(self, bits: int) -> int:
        """Words of the array that hold so many bits."""
        return -(-bits // self._a.word_bits)

    def lines_of(self, bits: int) -> int:
        """Lines of the activation, weight and key buffers that hold whole words of so many bits."""
        return -(-self.words_of(bits) // self._a.line_words)

    def pad(self, packing: Packing) -> int:
        """Return the operand of a product of signed bits; see `weights`."""
        return (self.words_of(packing.bits) * self._a.word_bits - packing.count * packing.width) % 2

    def weights(self, name: str, weights: np.ndarray, groups: Sequence[np.ndarray], packing: Packing) -> Parcel:
        """Return the weights of column groups, each the channels that it has, -1 for none.

        Bits of a row that are no channel are 0 in the activations; in signed products half of them match weights of 0
        and half of them do not match weights of 1, so that at most one, the `pad`, counts.
        """
        a = self._a
        lines = self.lines_of(packing.bits)
        rows = np.zeros((len(groups) * a.columns, lines * a.line_bits), np.uint8)
        used = np.zeros(self.words_of(packing.bits) * a.word_bits, bool)
        used[packing.positions()] = True
        rows[:, np.flatnonzero(~used)[1::2]] = 1
        channels = np.concatenate(list(groups))
        there = np.flatnonzero(channels >= 0)
        rows[there[:, None], packing.positions()] = weights[channels[there]]
        row_beats = lines * a.line_beats
        return self._parcel(
            name, Buffer.WEIGHT, len(groups) * lines, np.packbits(rows, axis=1, bitorder="little"), row_beats
        )

    def selection(self, positions: np.ndarray, lines: int) -> Parcel:
        """Return weights that select bits: of whole column groups the bit of each column, -1 for none."""
        a = self._a
        rows = np.zeros((len(positions), lines * a.line_bits), np.uint8)
        there = np.flatnonzero(positions >= 0)
        rows[there, positions[there]] = 1
        packed = np.packbits(rows, axis=1, bitorder="little")
        name = f"selection[{len(positions)}, {lines}]"
        return self._parcel(name, Buffer.WEIGHT, len(positions) // a.columns * lines, packed, lines * a.line_beats)

    def thresholds(
        self, name: str, thresholds: np.ndarray, polarity: np.ndarray, groups: Sequence[np.ndarray]
    ) -> Parcel:
        """Return threshold lines of column groups; columns without a channel never fire."""
        channels = np.concatenate(list(groups))
        high = (1 << self._a.sum_bits - 1) - 1
        there = channels >= 0
        values = np.where(there, thresholds[channels], high)
        lines = threshold_rows(self._a, values, np.where(there, polarity[channels], 0))
        return self._parcel(name, Buffer.THRESHOLD, len(lines), lines, self._a.threshold_line_beats)

    def scales(self, name: str, multiplier: np.ndarray, addend: np.ndarray) -> Parcel:
        """Return a line of scales for each slice."""
        low = multiplier.astype(np.int64) & 0xFFFF
        return self._entries(name, Buffer.SCALE, low | (addend.astype(np.int64) & 0xFFFFFFFF) << 16)

    def pieces(self, name: str, table: np.ndarray, shift: int) -> Parcel:
        """Return the 256 straight pieces of a table: half of the rise, the beginning, the bit that the half lost."""
        begins, ends = table[:-1].astype(np.int64), table[1:].astype(np.int64)
        rise = ends - begins
        halves, starts = rise >> 1 & 0xFFFF, begins << shift & 0xFFFFFFFF
        return self._entries(name, Buffer.SCALE, halves | starts << 16 | (rise & 1) << 48)

    def levels(self, name: str, sets: Sequence[tuple[np.ndarray, np.ndarray]]) -> Parcel:
        """Return a line of levels for each slice: thresholds and polarities of up to three sets."""
        entries = np.zeros(len(sets[0][0]), np.int64)
        for index, (thresholds, polarity) in enumerate(sets):
            low = thresholds.astype(np.int64) & (1 << _THRESHOLD_BITS) - 1
            width = _THRESHOLD_BITS + 1
            entries |= (low | polarity.astype(np.int64) << _THRESHOLD_BITS) << width * index
        return self._entries(name, Buffer.LEVEL, entries)

    def classifier(self, name: str, weights: np.ndarray, bias: np.ndarray) -> Parcel:
        """Return the scale lines of a CLASSIFY: weights of eight classes in an entry, then a line for each bias."""
        lanes = self._a.vector_lanes
        classes, channels = weights.shape
        slices, eights = -(-channels // lanes), -(-classes // 8)
        bytes_ = np.zeros((eights, slices * lanes, 8), np.uint8)
        for k in range(classes):
            bytes_[k // 8, :channels, k % 8] = weights[k].view(np.uint8)
        biases = np.zeros((classes * lanes, 8), np.uint8)
        biases[::lanes, :4] = bias.astype("<i4").reshape(-1, 1).view(np.uint8)
        entries = np.concatenate([bytes_.reshape(-1, 8), biases])
        return self._entries(name, Buffer.SCALE, entries.view("<i8").ravel())

    def table(self, name: str, table: np.ndarray, levels: np.ndarray) -> Parcel:
        """Return the entries and then the levels of a row_threshold, which begin in line `table_lines`."""
        size = self._a.table_line_bits // 8
        parts = [table.astype("<u2").view(np.uint8), levels.astype("<u4").view(np.uint8)]
        padded = [np.concatenate([part, np.zeros(-len(part) % size, np.uint8)]).reshape(-1, size) for part in parts]
        lines = np.concatenate(padded)
        return self._parcel(name, Buffer.TABLE, len(lines), lines, self.beats_of(size))

    def table_lines(self, entries: int) -> int:
        """Lines of the table buffer that so many entries take."""
        return -(-entries * 16 // self._a.table_line_bits)

    def beats_of(self, size: int) -> int:
        """Beats of so many bytes."""
        return -(-size // self._a.beat_bytes)

    def _entries(self, name: str, buffer: Buffer, entries: np.ndarray) -> Parcel:
        a = self._a
        lines = -(-len(entries) // a.vector_lanes)
        rows = np.zeros((lines, a.parameter_line_bits // PARAMETER_BITS), "<i8")
        whole = np.zeros(lines * a.vector_lanes, np.int64)
        whole[: len(entries)] = entries
        rows[:, : a.vector_lanes] = whole.reshape(lines, -1)
        return self._parcel(name, buffer, lines, rows.view(np.uint8), a.parameter_line_beats)

    def _parcel(self, name: str, buffer: Buffer, lines: int, rows: np.ndarray, row_beats: int) -> Parcel:
        """Place rows, one behind the other, and return their parcel: one load, in segments of whole rows."""
        address = self._image.place(np.ascontiguousarray(rows), self._a.beat_bytes)
        return Parcel(name, buffer, lines, (self.transfer(address, len(rows), row_beats),))

    def transfer(self, address: int, rows: int, row_beats: int, offset: int = 0) -> Transfer:
        """Return the load of rows that stand one behind the other in memory."""
        together = max(c for c in range(1, rows + 1) if rows % c == 0 and (c == 1 or c * row_beats <= MAX_SEGMENT))
        if row_beats > MAX_SEGMENT:
            raise MappingError(f"network: a row must be at most {MAX_SEGMENT} beats of memory, not {row_beats}")
        beats = together * row_beats
        return Transfer(address, row_beats, rows // together, beats, beats * self._a.beat_bytes, offset)

"""Random LOADs and STOREs of loose programs: strides up and down, rows of several lines, gathers of random ids."""

from __future__ import annotations

import struct

from hw.isa import Buffer, Instruction, Opcode, make
from tests.agreement.loose_accesses import buffer_shape
from tests.agreement.loose_scene import SPACE, Scene

_MOST_SEGMENTS = 32
_IDS = 1 << 16


class LooseTransfers:
    """Makes what moves between memory and buffers."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.a = scene.a
        self.number = scene.number

    def fill(self, buffer: Buffer) -> None:
        """Load every line of a buffer, in rows of one line each: the same memory again and again where it is short."""
        banks, lines, line_beats = buffer_shape(self.a, buffer)
        most = SPACE // self.a.beat_bytes // line_beats // banks * banks
        for first in range(0, banks * lines, most):
            rows = min(most, banks * lines - first)
            shape = {"row_beats": line_beats, "segments": 1, "segment_beats": rows * line_beats, "stride": 0}
            self.scene.add(make(Opcode.LOAD, buffer=buffer, address=0, line=first // banks, **shape))

    def load(self, *buffers: Buffer) -> list[Instruction]:
        """Return a LOAD of any buffer, or of one of those that are named."""
        shape = self._rows(self.scene.random.choice(buffers or self.scene.buffers))
        beats = shape.pop("rows") * shape["row_beats"]
        return [make(Opcode.LOAD, **shape, **self._segments(0, beats))]

    def store(self) -> list[Instruction]:
        """Return a STORE."""
        a, number = self.a, self.number
        row_lines = number(1, min(a.output_lines, 3))
        row_beats = (row_lines - 1) * a.output_line_beats + number(1, a.output_line_beats)
        rows = self._within(number(1, min(a.output_lines // row_lines, 4) * a.rows), row_beats)
        line = number(0, a.output_lines - -(-rows // a.rows) * row_lines)
        return [make(Opcode.STORE, line=line, row_beats=row_beats, **self._segments(SPACE, rows * row_beats))]

    def _within(self, rows: int, row_beats: int) -> int:
        return max(1, min(rows, SPACE // 4 // self.a.beat_bytes // row_beats))

    def _rows(self, buffer: Buffer) -> dict[str, int]:
        """Return where the rows of a LOAD go, and how many they are."""
        banks, lines, line_beats = buffer_shape(self.a, buffer)
        number = self.number
        row_lines = number(1, min(lines, 5))
        rows = self._within(number(1, min(lines // row_lines, 4) * banks), row_lines * line_beats)
        line = number(0, lines - -(-rows // banks) * row_lines)
        return {"buffer": buffer, "line": line, "row_beats": row_lines * line_beats, "rows": rows}

    def _segments(self, base: int, total: int) -> dict[str, int]:
        """Return so many beats of memory, in segments that do not overlap, upward or downward."""
        beat, number = self.a.beat_bytes, self.number
        segments = self.scene.random.choice([n for n in range(1, min(total, 64) + 1) if total % n == 0])
        size = total // segments * beat
        stride = size + number(0, (SPACE - segments * size) // segments // beat) * beat
        extent = (segments - 1) * stride + size
        start = base + number(0, (SPACE - extent) // beat) * beat
        if self.scene.random.random() < 0.5:
            start, stride = start + (segments - 1) * stride, -stride % (1 << 32)
        return {"address": start, "stride": stride, "segments": segments, "segment_beats": total // segments}

    # --- gathers -------------------------------------------------------------------------------------------------

    def gather(self) -> bool:
        """Add a LOAD with gather, behind one that brings its ids; sometimes a second one with some of the same ids."""
        a = self.a
        buffers = [b for b in self.scene.buffers if b is not Buffer.TOKEN]
        if not a.token_lines:
            return False
        wanted = self.scene.either(Buffer.WORD, Buffer.EMBEDDING, *buffers)
        shape = self._rows(wanted)
        total = shape.pop("rows") * shape["row_beats"]
        most = min(_MOST_SEGMENTS, a.token_lines * a.token_line_bits // 16)
        legal = [n for n in range(1, most + 1) if total % n == 0 and total // n * a.beat_bytes <= 4096]
        if not legal:
            return False
        segments = self.scene.either(max(legal), self.scene.random.choice(legal))
        size = total // segments * a.beat_bytes
        least = (size - 1).bit_length()
        stride = self.scene.either(least, self.number(least, 12))
        window = ((SPACE - size) >> stride) + 1
        base = self.scene.either(0, _IDS - window, self.number(0, _IDS - window))
        line, token = self._bring_ids([base + self.number(0, window - 1) for _ in range(segments)])
        if line < 0:
            return False
        address = (-base << stride) % (1 << 32)
        shape |= {"segments": segments, "segment_beats": total // segments, "stride": stride, "address": address}
        if self.number(0, 1):
            self.scene.add_best(lambda: self.load(*buffers))
        self.scene.add(make(Opcode.LOAD, gather=1, token=token, **shape))
        if segments > 1 and self.number(0, 1):
            self._gather_again(shape | {"token": token})
        return True

    def _bring_ids(self, ids: list[int]) -> tuple[int, int]:
        """Load ids to any place of the token buffer; return its line and the number of the first id, or -1 and 0."""
        a = self.a
        per_line = a.token_line_bits // 16
        lines = -(-len(ids) // per_line)
        line, ahead = self.number(0, a.token_lines - lines), self.number(0, lines * per_line - len(ids))
        data = struct.pack(f"<{ahead + len(ids)}H", *[self.number(0, _IDS - 1) for _ in range(ahead)], *ids)
        return (line, line * per_line + ahead) if self.scene.bring(Buffer.TOKEN, line, data) else (-1, 0)

    def _gather_again(self, shape: dict[str, int]) -> None:
        """Add a second gather of the same kind of rows, with fewer of these ids; with other lines between the rows."""
        banks, lines, _ = buffer_shape(self.a, Buffer(shape["buffer"]))
        beats = shape["segment_beats"]
        _, _, line_beats = buffer_shape(self.a, Buffer(shape["buffer"]))
        if beats % line_beats:
            return
        segments = self.number(1, shape["segments"] - 1)
        row_lines = beats // line_beats
        needed = -(-segments // banks) * row_lines
        if needed > lines:
            return
        token = shape["token"] + self.number(0, shape["segments"] - segments)
        shape |= {"segments": segments, "row_beats": beats, "line": self.number(0, lines - needed), "token": token}
        self.scene.add(make(Opcode.LOAD, gather=1, **shape))

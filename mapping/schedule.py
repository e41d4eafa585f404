"""From a plan to instructions: the operands of each load, matmul, binarize and store, and what it reads and writes."""

from __future__ import annotations

from typing import NamedTuple

from hw.isa import Buffer, Instruction, Opcode
from hw.program import Region
from mapping.builder import Access, Builder
from mapping.geometry import MAX_FIELD
from mapping.layout import Layout
from mapping.plan import Plan, Step, Transfer, plan
from mapping.tiling import Span, Tiling, chunk_lines

_SPACES = {Buffer.ACTIVATION: "activation", Buffer.WEIGHT: "weight", Buffer.THRESHOLD: "threshold"}


class _Rows(NamedTuple):
    """Consecutive rows of a region, `pitch` bytes from one to the next."""

    region: Region
    start: int
    number: int
    pitch: int


def schedule(layout: Layout, tiling: Tiling) -> tuple[Instruction, ...]:
    """Return the instructions of a layer under a tiling; raise MappingError where the tiling is not legal."""
    emitter = _Emitter(layout, plan(layout.geometry, tiling))
    return emitter.run()


class _Emitter:
    """Writes the steps of a plan into a builder."""

    def __init__(self, layout: Layout, planned: Plan) -> None:
        self.layout = layout
        self.geometry = layout.geometry
        self.accelerator = layout.geometry.accelerator
        self.plan = planned
        self.cuts = planned.cuts
        self.chunk_lines = [chunk_lines(self.geometry, self.cuts, chunk) for chunk in self.cuts.chunks]
        self.builder = Builder(self._spaces())

    def run(self) -> tuple[Instruction, ...]:
        """Emit everything in program order."""
        for step, loads in zip(self.plan.steps, self.plan.loads, strict=True):
            for transfer in loads:
                self._load(transfer)
            self._matmul(step)
            if step.part[1] == self.geometry.lines:
                self._binarize(step)
            if step.completes:
                self._store(step)
        return self.builder.halt()

    def _spaces(self) -> dict[str, int]:
        accelerator = self.accelerator
        return {
            "activation": accelerator.activation_lines,
            "weight": accelerator.weight_lines,
            "threshold": accelerator.threshold_lines,
            "output": accelerator.output_lines,
            self.layout.outputs.name: self.layout.outputs.size // accelerator.beat_bytes,
        }

    # --- loads ---------------------------------------------------------------------------------------------------

    def _load(self, transfer: Transfer) -> None:
        low, high = transfer.groups
        length = transfer.part[1] - transfer.part[0]
        if transfer.buffer is Buffer.THRESHOLD:
            rows = _Rows(self.layout.thresholds, low, high - low, self.geometry.threshold_line_bytes)
            line_beats = self.accelerator.threshold_line_beats
        else:
            rows, line_beats = self._rows_of(transfer.buffer, low, high), self.accelerator.line_beats
        operands = self._moved(rows, transfer.part[0] * line_beats, length * line_beats)
        operands |= {"buffer": int(transfer.buffer), "line": transfer.line}
        written = Access(_SPACES[transfer.buffer], transfer.line, transfer.line + (high - low) * length)
        self.builder.add(Opcode.LOAD, operands, (), (written,))

    def _rows_of(self, buffer: Buffer, low: int, high: int) -> _Rows:
        """Return the rows of activation or weight groups."""
        if buffer is Buffer.WEIGHT:
            columns = self.accelerator.columns
            return _Rows(self.layout.weights, low * columns, (high - low) * columns, self.geometry.row_bytes)
        count = self.geometry.rows_in(low, high)
        return _Rows(self.layout.activations, low * self.accelerator.rows, count, self.geometry.row_bytes)

    def _moved(self, rows: _Rows, skipped: int, row_beats: int) -> dict[str, int]:
        """Return the operands that move `row_beats` beats of each row behind the skipped ones.

        Rows that touch each other are one segment.
        """
        together = 1
        if row_beats * self.accelerator.beat_bytes == rows.pitch:
            together = max(n for n in range(1, rows.number + 1) if rows.number % n == 0 and n * row_beats <= MAX_FIELD)
        segments = rows.number // together
        return {
            "address": rows.region.address + rows.start * rows.pitch + skipped * self.accelerator.beat_bytes,
            "row_beats": row_beats,
            "segments": segments,
            "segment_beats": together * row_beats,
            "stride": together * rows.pitch if segments > 1 else 0,
        }

    # --- compute -------------------------------------------------------------------------------------------------

    def _matmul(self, step: Step) -> None:
        low, high = step.part
        row_groups, column_groups = _size(step.rows), _size(step.columns)
        words = min(high * self.accelerator.line_words, self.geometry.words) - low * self.accelerator.line_words
        operands = {
            "unsigned": int(self.geometry.unsigned),
            "first": int(low == 0),
            "handover": int(high == self.geometry.lines),
            "activation_line": step.activation_line,
            "weight_line": step.weight_line,
            "words": words,
            "pad": self.geometry.pad if low == 0 else 0,
            "rows": self.geometry.rows_in(*step.rows),
            "column_groups": column_groups,
            "activation_stride": high - low if row_groups > 1 else 0,
            "weight_stride": high - low if column_groups > 1 else 0,
        }
        reads = (
            Access("activation", step.activation_line, step.activation_line + row_groups * (high - low)),
            Access("weight", step.weight_line, step.weight_line + column_groups * (high - low)),
        )
        self.builder.add(Opcode.MATMUL, operands, reads)

    def _binarize(self, step: Step) -> None:
        row_groups, column_groups = _size(step.rows), _size(step.columns)
        lines, group = self.chunk_lines[step.chunk], step.output_group
        operands = {
            "threshold_line": step.threshold_line,
            "output_line": step.output_line,
            "output_group": group,
            "output_stride": lines if row_groups > 1 else 0,
            "rows": self.geometry.rows_in(*step.rows),
            "column_groups": column_groups,
        }
        per_line = self.accelerator.output_line_groups
        low = step.output_line + group // per_line
        high = step.output_line + (row_groups - 1) * lines + (group + column_groups - 1) // per_line + 1
        read = Access("threshold", step.threshold_line, step.threshold_line + column_groups)
        self.builder.add(Opcode.BINARIZE, operands, (read,), (Access("output", low, high),))

    def _store(self, step: Step) -> None:
        start, count = step.rows[0] * self.accelerator.rows, self.geometry.rows_in(*step.rows)
        rows = _Rows(self.layout.outputs, start, count, self.geometry.output_row_bytes)
        lines = self.chunk_lines[step.chunk]
        skipped = self.cuts.columns_of(self.cuts.chunks[step.chunk])[0] // self.accelerator.output_line_groups
        beats = self.accelerator.output_line_beats
        operands = self._moved(rows, skipped * beats, lines * beats)
        operands["line"] = step.output_line
        read = Access("output", step.output_line, step.output_line + _size(step.rows) * lines)
        self.builder.add(Opcode.STORE, operands, (read,), self._memory(operands))

    def _memory(self, operands: dict[str, int]) -> list[Access]:
        """Return the beats of the output region that a store writes."""
        region, beat = self.layout.outputs, self.accelerator.beat_bytes
        starts = [
            (operands["address"] - region.address + segment * operands["stride"]) // beat
            for segment in range(operands["segments"])
        ]
        return [Access(region.name, start, start + operands["segment_beats"]) for start in starts]


def _size(span: Span) -> int:
    return span[1] - span[0]

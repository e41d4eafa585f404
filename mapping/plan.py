"""The order of a layer's steps and loads: which item is in which line when, and before which step each load stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hw.isa import Buffer
from mapping.geometry import Geometry
from mapping.tiling import (
    Cuts,
    Span,
    Tiling,
    activation_ring,
    cut,
    output_ring,
    spans,
    threshold_ring,
    weight_ring,
)


class Step(NamedTuple):
    """The row groups, column groups and lines of K of a step, the first line of each in its buffer, and its chunk.

    `output_group` is the position of the first column group in the chunk; the last step of a chunk `completes` it.
    """

    rows: Span
    columns: Span
    part: Span
    activation_line: int
    weight_line: int
    threshold_line: int
    output_line: int
    output_group: int
    chunk: int
    completes: bool


class Transfer(NamedTuple):
    """A load of row or column groups, of each row the lines of a part, and its place.

    It may not stand before the step `free`, and step `need` is the first to use it.
    """

    buffer: Buffer
    groups: Span
    part: Span
    line: int
    free: int
    need: int


@dataclass(frozen=True)
class Plan:
    """All steps in order; `loads[i]` stand before step i."""

    cuts: Cuts
    steps: tuple[Step, ...]
    loads: tuple[tuple[Transfer, ...], ...]


def plan(geometry: Geometry, tiling: Tiling) -> Plan:
    """Place every item of a layer in its buffer and every load before a step; raise MappingError if it does not fit."""
    cuts = cut(geometry, tiling)
    planner = _Planner(geometry, cuts)
    steps = tuple(planner.step(*where) for where in _order(geometry, tiling, planner))
    return Plan(cuts, steps, _placed(planner.transfers, len(steps), tiling.lookahead))


class _Planner:
    """The four rings while the steps are taken in order, and the transfers that they ask for."""

    def __init__(self, geometry: Geometry, cuts: Cuts) -> None:
        self.cuts = cuts
        self.activations = activation_ring(geometry, cuts)
        self.weights = weight_ring(geometry, cuts)
        self.thresholds = threshold_ring(geometry, cuts)
        self.outputs = output_ring(geometry, cuts)
        self.transfers: list[Transfer] = []
        self._count = 0
        self._threshold_item = _inverse(cuts.thresholds)
        self._chunk = _inverse(cuts.chunks)
        self._done: dict[int, int] = {}

    def step(self, rows: Span, panel: int, part: int) -> Step:
        """Plan the next step: a part of some items of rows and of a panel."""
        cuts, columns, chunk = self.cuts, self.cuts.panels[panel], self._chunk[panel]
        activation, weight = self._activation(rows, part), self._weight(panel, part)
        threshold, output, completes = 0, 0, False
        if part == len(cuts.parts) - 1:
            threshold = self._threshold(panel) + columns[0]
            output, completes = self._output(rows, chunk)
        self._count += 1
        groups = cuts.steps[rows[0]][0], cuts.steps[rows[1] - 1][1]
        position = columns[0] - cuts.columns_of(cuts.chunks[chunk])[0]
        return Step(
            groups, columns, cuts.parts[part], activation, weight, threshold, output, position, chunk, completes
        )

    def _activation(self, rows: Span, part: int) -> int:
        """Use a part of some items of rows. More than one are given only where all items have their own places."""
        accesses = [self.activations.access(self._count, row * len(self.cuts.parts) + part) for row in range(*rows)]
        missing = [index for index, (_, free) in enumerate(accesses) if free is not None]
        if missing:
            first, last = missing[0], missing[-1]
            line, free = accesses[first]
            groups = self.cuts.steps[rows[0] + first][0], self.cuts.steps[rows[0] + last][1]
            self._load(Buffer.ACTIVATION, groups, self.cuts.parts[part], line, free or 0)
        return accesses[0][0]

    def _weight(self, panel: int, part: int) -> int:
        """Use a part of a panel."""
        line, free = self.weights.access(self._count, panel * len(self.cuts.parts) + part)
        if free is not None:
            self._load(Buffer.WEIGHT, self.cuts.panels[panel], self.cuts.parts[part], line, free)
        return line

    def _threshold(self, panel: int) -> int:
        """Use the thresholds of a panel: return the line where those of column group 0 would be."""
        item = self._threshold_item[panel]
        groups = self.cuts.columns_of(self.cuts.thresholds[item])
        line, free = self.thresholds.access(self._count, item)
        if free is not None:
            self._load(Buffer.THRESHOLD, groups, (0, 1), line, free)
        return line - groups[0]

    def _output(self, rows: Span, chunk: int) -> tuple[int, bool]:
        """Use the output items of a chunk: return their line, and whether all panels of the chunk are done now."""
        items = [chunk * len(self.cuts.steps) + row for row in range(*rows)]
        lines = [self.outputs.access(self._count, item)[0] for item in items]
        for item in items:
            self._done[item] = self._done.get(item, 0) + 1
        low, high = self.cuts.chunks[chunk]
        return lines[0], self._done[items[0]] == high - low

    def _load(self, buffer: Buffer, groups: Span, part: Span, line: int, free: int) -> None:
        self.transfers.append(Transfer(buffer, groups, part, line, free, self._count))


def _order(geometry: Geometry, tiling: Tiling, planner: _Planner) -> Iterator[tuple[Span, int, int]]:
    """Yield (items of rows, panel, part). What does not fit is walked to and fro, to reuse the turning point."""
    cuts, group = planner.cuts, geometry.accelerator.output_line_groups
    aligned = all(high - low == 1 for low, high in cuts.chunks) or all(low % group == 0 for low, _ in cuts.panels)
    first, wide = (size // tiling.step_groups for size in (tiling.first_groups, tiling.wide_groups))
    panels = range(len(cuts.panels))
    for index, (start, stop) in enumerate(cuts.blocks):
        back = index % 2 == 1 and aligned and not planner.weights.resident
        spilled = not planner.activations.resident and (stop - start) * len(cuts.parts) > planner.activations.slots
        for turn, panel in enumerate(reversed(panels) if back else panels):
            rows = spans(start, stop, 1 if turn == len(panels) - 1 else wide if turn else first)
            for row in reversed(rows) if spilled and turn % 2 == 1 else rows:
                yield from ((row, panel, part) for part in range(len(cuts.parts)))


def _placed(transfers: list[Transfer], steps: int, lookahead: int) -> tuple[tuple[Transfer, ...], ...]:
    """Put each load as early as its slot allows, with at most `lookahead` loads before a step that needs none."""
    placed: list[list[Transfer]] = [[] for _ in range(steps)]
    for index, transfer in enumerate(transfers):
        limit = transfers[index - lookahead].need if index >= lookahead else 0
        placed[max(transfer.free, limit)].append(transfer)
    return tuple(map(tuple, placed))


def _inverse(pieces: tuple[tuple[int, int], ...]) -> list[int]:
    return [index for index, (low, high) in enumerate(pieces) for _ in range(low, high)]

"""What buffers and memory hold while a finished program runs: nothing is read before it is there or replaced early.

Part of the checker: nothing here comes from the code that makes programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from hw.arch import Accelerator
from hw.isa import Unit
from hw.program import Region
from mapping.footprint import Footprint, Positions, Rect, Where
from mapping.order import Order

_NEVER = -1


class _Space:
    """Who wrote and who read each cell last. One unit writes a space and another one reads it."""

    def __init__(self, name: str, shape: tuple[int, ...], writer: Unit, reader: Unit) -> None:
        self.name = name
        self.writer, self.reader = writer, reader
        self.written = np.full(shape, _NEVER, np.int32)
        self.read = np.full(shape, _NEVER, np.int32)


class Storage:
    """The spaces of an accelerator and a memory. Instructions are given in program order."""

    def __init__(self, accelerator: Accelerator, regions: Iterable[Region], order: Order) -> None:
        a = accelerator
        self._accelerator = accelerator
        self._order = order
        self._regions = sorted(regions, key=lambda region: region.address)
        self._buffers = {
            "activation": _Space("activation", (a.rows, a.activation_lines), Unit.LOAD, Unit.ARRAY),
            "weight": _Space("weight", (a.columns, a.weight_lines), Unit.LOAD, Unit.ARRAY),
            "threshold": _Space("threshold", (1, a.threshold_lines), Unit.LOAD, Unit.DRAIN),
            "output": _Space("output", (a.rows, a.output_lines), Unit.DRAIN, Unit.STORE),
        }
        self._memory = {
            region.name: _Space(region.name, (region.size // a.beat_bytes,), Unit.STORE, Unit.LOAD)
            for region in self._regions
            if region.access == "write"
        }
        self._defined_from = np.full((a.rows, a.output_lines), a.output_line_groups, np.int32)
        self._pending = np.zeros((a.rows, a.output_lines), np.int32)

    def touch(self, where: Where, touched: Footprint) -> None:
        """Check the next instruction against everything before it."""
        for name, rects in touched.reads:
            for rect in rects:
                self._read(where, self._buffers[name], _cells(rect), _rect_text(name, rect))
        for segment in touched.memory:
            self._segment(where, *segment)
        for name, rects in touched.writes:
            for rect in rects:
                self._write(where, self._buffers[name], _cells(rect), _rect_text(name, rect))
        for positions in touched.positions:
            self._put_positions(where, positions)
        if where.instruction.unit is Unit.STORE:
            self._take_positions(where, touched)

    def finish(self, where: Where) -> None:
        """Check that no result is left in the output buffer when the program halts."""
        bank, line = (int(n) for n in np.unravel_index(np.argmax(self._pending), self._pending.shape))
        where.require(not self._pending.any(), f"results in output line {line} of bank {bank}", "stored", "left there")

    # --- order ---------------------------------------------------------------------------------------------------

    def _read(self, where: Where, space: _Space, cells: tuple[slice, ...], text: str) -> None:
        written = space.written[cells]
        where.require(int(written.min()) > _NEVER, text, "written before being read", "empty")
        self._behind(where, int(written.max()), space.writer, f"{text} must be written before being read")
        space.read[cells] = where.index

    def _write(self, where: Where, space: _Space, cells: tuple[slice, ...], text: str) -> None:
        self._behind(where, int(space.read[cells].max()), space.reader, f"{text} must be read before being replaced")
        self._behind(where, int(space.written[cells].max()), space.writer, f"{text} must be written in order")
        space.written[cells] = where.index

    def _behind(self, where: Where, earlier: int, unit: Unit, rule: str) -> None:
        if earlier > _NEVER and not self._order.before(earlier, unit, where.index):
            raise where.error(f"{rule}; nothing makes it wait for {unit.name} instruction {earlier}")

    # --- memory --------------------------------------------------------------------------------------------------

    def _segment(self, where: Where, address: int, size: int) -> None:
        """Check one memory segment of a load or store."""
        region = self._region(where, address, size)
        storing = where.instruction.unit is Unit.STORE
        legal = ("write",) if storing else ("read", "write")
        verb = "stored to" if storing else "loaded from"
        where.require(
            region.access in legal, f"region {verb}", f"for {' or '.join(legal)}", f"{region.name} for {region.access}"
        )
        if region.access != "write":
            return
        start = (address - region.address) // self._accelerator.beat_bytes
        cells = (slice(start, start + size // self._accelerator.beat_bytes),)
        text = f"region {region.name} at {address:#x}"
        (self._write if storing else self._read)(where, self._memory[region.name], cells, text)

    def _region(self, where: Where, address: int, size: int) -> Region:
        for region in self._regions:
            if region.address <= address and address + size <= region.end:
                return region
        raise where.error(f"memory {address:#x} to {address + size:#x} must be inside one region, not outside")

    # --- positions of the output buffer --------------------------------------------------------------------------

    def _put_positions(self, where: Where, positions: Positions) -> None:
        """Write column groups: this clears the rest of the line, so results there must have been stored."""
        cells = _cells(Rect(*positions[:3]))
        first = np.zeros(positions.stop - positions.start, np.int32)
        end = np.full(positions.stop - positions.start, self._accelerator.output_line_groups, np.int32)
        first[0], end[-1] = positions.first, positions.end
        text = _rect_text("output", Rect(*positions[:3]))
        lost = bool((self._pending[cells] > first).any())
        where.require(not lost, f"results in {text}", "stored before being replaced", "lost")
        self._pending[cells] = end
        self._defined_from[cells] = np.minimum(self._defined_from[cells], first)

    def _take_positions(self, where: Where, touched: Footprint) -> None:
        for name, rects in touched.reads:
            for rect in rects:
                text = _rect_text(name, rect)
                whole = not self._defined_from[_cells(rect)].any()
                where.require(whole, text, "written from its first position", "from a later one")
                self._pending[_cells(rect)] = 0


def _cells(rect: Rect) -> tuple[slice, slice]:
    return slice(0, rect.banks), slice(rect.start, rect.stop)


def _rect_text(name: str, rect: Rect) -> str:
    lines = f"line {rect.start}" if rect.stop == rect.start + 1 else f"lines {rect.start}-{rect.stop - 1}"
    return f"{name} {lines}"


def overlapping(regions: Iterable[Region]) -> Iterator[tuple[Region, Region]]:
    """Yield the pairs of regions that overlap."""
    ordered = sorted((r for r in regions if r.size), key=lambda region: (region.address, region.end))
    for before, after in zip(ordered, ordered[1:], strict=False):
        if after.address < before.end:
            yield before, after

"""What buffers and memory hold while a finished program runs: nothing is read before it is there or replaced early.

Part of the checker: nothing here comes from the code that makes programs.

Lines that hold positions (activation, key and output) are followed bit by bit in one way more: in the activation and
key buffers a line is written from its first position on, then from where it ends or further on, until it is read; the
output buffer loses no result. Of a gather only the segment of id 0 is known. That ids are those of words that are
there cannot be seen in a program: who says how many words there are has the last of them proved to be in the region.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from hw.isa import Opcode, Unit
from hw.program import Region
from mapping.footprints.base import Box, Footprint, Put, Segments, Sizes, Where
from mapping.order import Order

_NEVER = -1

_APART = {
    "activation": ((Unit.LOAD,), (Unit.DRAIN, Unit.VECTOR, Unit.ROW)),
    "output": ((Unit.DRAIN,), (Unit.VECTOR,)),
}
"""Units whose writes to a buffer must not meet in one cycle, whatever their lines."""


class _Space:
    """The latest instruction that wrote each cell, and of each unit the latest that wrote and that read it."""

    def __init__(self, name: str, banks: int, cells: int, parts: int = 1, place: tuple[int, int] | None = None) -> None:
        """Make a space whose lines have `parts` cells; memory has the `place` of its first cell, and a cell's bytes."""
        self.name = name
        self._parts = parts
        self._place = place
        self._shape = (banks, cells)
        self.latest = self.numbers(_NEVER)
        self.written: dict[Unit, np.ndarray] = {}
        self.read: dict[Unit, np.ndarray] = {}

    def numbers(self, value: int) -> np.ndarray:
        """Return a number for each cell."""
        return np.full(self._shape, value, np.int32)

    def of(self, units: dict[Unit, np.ndarray], unit: Unit) -> np.ndarray:
        """Return the numbers of a unit, made when they are needed first."""
        if unit not in units:
            units[unit] = self.numbers(_NEVER)
        return units[unit]

    def text(self, box: Box) -> str:
        """Name the lines of some cells."""
        if self._place is not None:
            address, size = self._place
            return f"region {self.name} at {address + box.start * size:#x}"
        first, last = box.start // self._parts, (box.stop - 1) // self._parts
        return f"{self.name} line {first}" if first == last else f"{self.name} lines {first}-{last}"


class Storage:
    """The spaces of an accelerator and a memory. Instructions are given in program order."""

    def __init__(self, sizes: Sizes, regions: Iterable[Region], order: Order, vocabulary: int | None = None) -> None:
        self._beat = sizes.accelerator.beat_bytes
        self._order = order
        self._vocabulary = vocabulary
        self._regions = sorted(regions, key=lambda region: region.address)
        self._spaces = {
            name: _Space(name, sizes.banks[name], lines * sizes.parts.get(name, 1), sizes.parts.get(name, 1))
            for name, lines in sizes.lines.items()
        }
        self._memory = {
            region.name: _Space(region.name, 1, region.size // self._beat, place=(region.address, self._beat))
            for region in self._regions
            if region.access == "write"
        }
        self._line_bits = sizes.line_bits
        self._filled = {name: self._spaces[name].numbers(_NEVER) for name in ("activation", "key")}
        """Up to which bit a line was written since a write from its first position."""
        self._first = self._spaces["output"].numbers(sizes.line_bits["output"])
        """The first bit of an output line that was ever written."""
        self._pending = self._spaces["output"].numbers(0)
        """Up to which bit there are results in an output line that nobody has stored."""
        self._last: dict[str, dict[Unit, int]] = {name: {} for name in _APART}

    def touch(self, where: Where, touched: Footprint) -> None:
        """Check the next instruction against everything before it."""
        for name, box in touched.reads:
            self._read(where, self._spaces[name], box)
        if touched.together:
            self._check_together(where, touched)
        if touched.memory is not None:
            self._segments(where, touched.memory, touched.gather)
        for name in dict.fromkeys([put.space for put in touched.writes if put.space in _APART]):
            self._keep_apart(where, name)
        for put in touched.writes:
            if put.space in self._filled:
                self._fill(where, put)
            elif put.space == "output":
                self._put_results(where, put)
            self._write(where, self._spaces[put.space], put.box)
        if where.instruction.opcode is Opcode.STORE:
            self._take_results(where, touched)

    def finish(self, where: Where) -> None:
        """Check that no result is left in the output buffer when the program ends."""
        if self._pending.any():
            bank, line = (int(n) for n in np.unravel_index(np.argmax(self._pending), self._pending.shape))
            raise where.error(f"results in output line {line} of bank {bank} must be stored, not left there")

    # --- order ---------------------------------------------------------------------------------------------------

    def _read(self, where: Where, space: _Space, box: Box) -> None:
        unit = where.instruction.unit
        if _view(space.latest, box).min() == _NEVER:
            raise where.error(f"{space.text(box)} must be written before being read, not empty")
        for writer, written in space.written.items():
            latest = int(_view(written, box).max())
            if not self._order.retired_before(latest, writer, where.index):
                raise self._unordered(where, f"{space.text(box)} must be written before being read", writer, latest)
        _view(space.of(space.read, unit), box)[...] = where.index

    def _write(self, where: Where, space: _Space, box: Box) -> None:
        """Check the order of a write; what the own unit has read or written it has done with."""
        unit = where.instruction.unit
        for units, rule in ((space.read, "read before being replaced"), (space.written, "written in order")):
            for other, numbers in units.items():
                if other is not unit:
                    latest = int(_view(numbers, box).max())
                    if not self._order.retired_before(latest, other, where.index):
                        raise self._unordered(where, f"{space.text(box)} must be {rule}", other, latest)
        _view(space.of(space.written, unit), box)[...] = where.index
        _view(space.latest, box)[...] = where.index

    def _keep_apart(self, where: Where, name: str) -> None:
        unit = where.instruction.unit
        for others in _APART[name]:
            if unit in others:
                continue
            for other in others:
                latest = self._last[name].get(other, _NEVER)
                if not self._order.retired_before(latest, other, where.index):
                    rule = f"{name} buffer must not be written by {unit.name} and {other.name} at a time"
                    raise self._unordered(where, rule, other, latest)
        self._last[name][unit] = where.index

    def _unordered(self, where: Where, rule: str, unit: Unit, earlier: int) -> Exception:
        return where.error(f"{rule}; nothing makes it wait for {unit.name} instruction {earlier}")

    def _check_together(self, where: Where, touched: Footprint) -> None:
        """Check that scores and their maximum were left by one SUMS."""
        found: set[int] = set()
        for name, box in touched.reads:
            if name in ("score", "slot"):
                view = _view(self._spaces[name].latest, box)
                found |= {int(view.min()), int(view.max())}
        where.require(len(found) == 1, "scores and maxima", "those of one SUMS", f"of instructions {sorted(found)}")

    # --- memory --------------------------------------------------------------------------------------------------

    def _segments(self, where: Where, segments: Segments, gather: bool) -> None:
        """Check the memory of a load or store."""
        end = segments.end
        if gather and self._vocabulary:
            end += (self._vocabulary - 1) * segments.stride
        region = self._region(where, segments.address, end)
        storing = where.instruction.opcode is Opcode.STORE
        legal = ("write",) if storing else ("read",) if gather else ("read", "write")
        verb = "stored to" if storing else "gathered from" if gather else "loaded from"
        where.require(
            region.access in legal, f"region {verb}", f"for {' or '.join(legal)}", f"{region.name} for {region.access}"
        )
        if region.access != "write":
            return
        start, beats = (segments.address - region.address) // self._beat, segments.size // self._beat
        repeats = ((segments.number, segments.stride // self._beat),) if segments.stride else ()
        (self._write if storing else self._read)(where, self._memory[region.name], Box(1, start, beats, repeats))

    def _region(self, where: Where, address: int, end: int) -> Region:
        for region in self._regions:
            if region.address <= address and end <= region.end:
                return region
        raise where.error(f"memory {address:#x} to {end:#x} must be inside one region, not outside")

    # --- positions -----------------------------------------------------------------------------------------------

    def _fill(self, where: Where, put: Put) -> None:
        """Write positions of activation or key lines: from the first one, or behind what is there and not read yet."""
        bits, space = self._line_bits[put.space], self._spaces[put.space]
        filled = _view(self._filled[put.space], put.box)
        if put.low:
            ends, latest = filled[..., 0], _view(space.latest, put.box)[..., 0]
            begun = ends.min() >= 0 and ends.max() <= put.low
            if begun and Unit.ARRAY in space.read:
                begun = bool((_view(space.read[Unit.ARRAY], put.box)[..., 0] < latest).all())
            where.require(
                begun, space.text(put.box), "written from the first position on, in order", f"from bit {put.low}"
            )
        filled[...] = bits
        filled[..., -1] = put.high or bits

    def _put_results(self, where: Where, put: Put) -> None:
        """Write positions of output lines: this clears the rest of a line, so results there must have been stored."""
        bits = self._line_bits["output"]
        pending, first = _view(self._pending, put.box), _view(self._first, put.box)
        lost = bool((pending[..., 1:] > 0).any() or (pending[..., 0] > put.low).any())
        if lost:
            text = self._spaces["output"].text(put.box)
            raise where.error(f"results in {text} must be stored before being replaced, not lost")
        pending[...] = bits
        pending[..., -1] = put.high or bits
        first[..., 0] = np.minimum(first[..., 0], put.low)
        first[..., 1:] = 0

    def _take_results(self, where: Where, touched: Footprint) -> None:
        for _, box in touched.reads:
            whole = not _view(self._first, box).any()
            text = self._spaces["output"].text(box)
            where.require(whole, text, "written from its first position", "from a later one")
            _view(self._pending, box)[...] = 0


def _view(numbers: np.ndarray, box: Box) -> np.ndarray:
    """Return the numbers of some cells, a view: banks, repeats, cells."""
    bank, cell = numbers.strides
    shape, strides = [box.banks], [bank]
    for count, distance in box.repeats:
        shape.append(count)
        strides.append(distance * cell)
    offset = box.bank * bank + box.start * cell
    return np.ndarray((*shape, box.length), numbers.dtype, numbers, offset, (*strides, cell))


def overlapping(regions: Iterable[Region]) -> Iterator[tuple[Region, Region]]:
    """Yield the pairs of regions that overlap."""
    ordered = sorted((r for r in regions if r.size), key=lambda region: (region.address, region.end))
    for before, after in zip(ordered, ordered[1:], strict=False):
        if after.address < before.end:
            yield before, after

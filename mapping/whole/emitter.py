"""From the schedule to instructions: loads are moved forward, lines filled in, tokens set."""

from __future__ import annotations

from collections.abc import Sequence

from hw.isa import Instruction, Opcode
from mapping.builder import Access, Builder
from mapping.whole.context import Context
from mapping.whole.residence import Load
from mapping.whole.schedule import Placed, Schedule

Touched = tuple[str, int, int]
"""A buffer, the first line, and how many."""

SPACES = (
    *("activation", "weight", "key", "threshold", "sums", "score", "slot", "fixed"),
    *("scale", "level", "table", "token", "word", "embedding", "output"),
)


class Emitter:
    """Adds instructions in program order; `names` has that of the work or parcel that each one belongs to."""

    def __init__(self, c: Context) -> None:
        sizes = {space: c.size(space) for space in SPACES}
        a = c.accelerator
        beats = len(c.network.members) * a.classes * a.output_line_bits // a.port_bits
        self._builder = Builder(sizes | {"logits": beats})
        self.names: list[str] = []
        self.name = ""

    def add(
        self,
        opcode: Opcode,
        operands: dict[str, int],
        reads: Sequence[Touched] = (),
        writes: Sequence[Touched] = (),
        settles: bool = False,
    ) -> None:
        """Append an instruction that reads and writes some lines."""
        self._builder.add(opcode, operands, _accesses(reads), _accesses(writes), settles)
        self.names.append(self.name)

    def exit(self) -> None:
        """Append an EXIT."""
        self._builder.barrier(Opcode.EXIT)
        self.names.append(self.name)

    def load(self, load: Load) -> None:
        """Append the LOADs of a parcel."""
        parcel, space = load.parcel, load.parcel.buffer.name.lower()
        for index, t in enumerate(parcel.transfers):
            operands = {"buffer": parcel.buffer, "address": t.address, "line": load.line + t.offset}
            operands |= {"row_beats": t.row_beats, "segments": t.segments, "segment_beats": t.segment_beats}
            operands |= {"stride": t.stride, "gather": int(t.gather), "token": t.token}
            reads: list[Touched] = []
            if parcel.after is not None:
                reads.append(("token", parcel.after.line, parcel.after.lines))
            end = parcel.transfers[index + 1].offset if index + 1 < len(parcel.transfers) else parcel.lines
            self.add(Opcode.LOAD, operands, reads, [(space, load.line + t.offset, end - t.offset)])

    def halt(self) -> tuple[Instruction, ...]:
        """Append the HALT, which has no name, and return everything."""
        self.names.append("")
        return self._builder.halt()


def _accesses(lines: Sequence[Touched]) -> list[Access]:
    return [Access(space, start, start + count) for space, start, count in lines]


def emit(c: Context, schedule: Schedule) -> tuple[tuple[Instruction, ...], tuple[str, ...]]:
    """Return the program of a schedule, and the names of its instructions."""
    e = Emitter(c)
    loads: dict[int, list[Load]] = {}
    for load in schedule.loads:
        loads.setdefault(load.place, []).append(load)
    for index, placed in enumerate(schedule.items):
        for load in loads.get(index, ()):
            load.parcel.line = load.line
            e.name = load.parcel.name
            e.load(load)
        _fill_in(placed)
        e.name = placed.work.name
        placed.work.emit(e)
    return e.halt(), tuple(e.names)


def _fill_in(placed: Placed) -> None:
    for area, line in placed.areas.items():
        area.line = line
    for parcel, line in placed.parcels.items():
        parcel.line = line

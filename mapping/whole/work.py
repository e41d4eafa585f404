"""What the lowering of a network makes: works, the data that join them, and the parameters that they need.

Work is what one unit, or ARRAY and DRAIN together, do with one row tile: a few instructions that stand
behind each other. Lines of buffers are not known here; the schedule gives them to areas and parcels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hw.isa import Buffer, Unit

if TYPE_CHECKING:
    from mapping.whole.emitter import Emitter


@dataclass(eq=False)
class Area:
    """Lines of a buffer that data share; it is given back when all of them have been read for the last time."""

    space: str
    lines: int
    name: str
    line: int = -1
    live: int = 0


@dataclass(eq=False)
class Datum:
    """What one or more works write, and others read: one row tile of a value, or of one head of it.

    One that `replaces` another stands in its lines, and is written when the other was read for the last time.
    """

    name: str
    area: Area
    offset: int = 0
    replaces: Datum | None = None
    writers: int = 0
    users: list[Work] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.area.live += 1

    @property
    def line(self) -> int:
        """The first line of its buffer."""
        return self.area.line + self.offset


@dataclass(frozen=True)
class Transfer:
    """One LOAD of a parcel: where in memory, and how; `offset` lines behind the first line of the parcel."""

    address: int
    row_beats: int
    segments: int
    segment_beats: int
    stride: int
    offset: int = 0
    gather: bool = False
    token: int = 0


@dataclass(eq=False)
class Parcel:
    """Parameters that stand in one buffer while they are needed; `after` is a parcel that must be there before."""

    name: str
    buffer: Buffer
    lines: int
    transfers: tuple[Transfer, ...]
    after: Parcel | None = None
    line: int = -1

    @cached_property
    def space(self) -> str:
        """The name of its buffer."""
        return self.buffer.name.lower()

    @cached_property
    def beats(self) -> int:
        """Beats of memory that a load takes."""
        return sum(t.segments * t.segment_beats for t in self.transfers)


Emit = Callable[["Emitter"], None]
"""Adds the instructions of work to an emitter, when all its lines are known."""


@dataclass(eq=False)
class Work:
    """Work of a unit (ARRAY stands for ARRAY and DRAIN): what it reads and writes, and how long it takes."""

    name: str
    unit: Unit
    cycles: int
    emit: Emit
    reads: list[Datum] = field(default_factory=list)
    writes: list[Datum] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)
    after: list[Work] = field(default_factory=list, repr=False)
    turn: tuple[int, ...] = ()

    def link(self) -> Work:
        """Tell its data of this work; what it replaces must have been read by all others before."""
        for datum in self.writes:
            datum.writers += 1
            if datum.replaces is not None:
                self.after += datum.replaces.users
        for datum in dict.fromkeys(self.reads):
            datum.users.append(self)
        return self

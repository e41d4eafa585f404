"""What the lowering of a network makes: pieces of work, the data that join them, and the parameters that they need.

A piece of work is what one unit, or ARRAY and DRAIN together, do with one row tile: a few instructions that stand
behind each other. Lines of buffers are not known here; the schedule gives them to areas and blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hw.isa import Buffer, Unit


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
    """What one or more pieces of work write, and others read: one row tile of a value, or of one head of it.

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
    """One LOAD of a block: where in memory, and how; `offset` lines behind the first line of the block."""

    address: int
    row_beats: int
    segments: int
    segment_beats: int
    stride: int
    offset: int = 0
    gather: bool = False
    token: int = 0


@dataclass(eq=False)
class Block:
    """Parameters that stand in one buffer while they are needed; `after` is a block that must be there before."""

    name: str
    buffer: Buffer
    lines: int
    transfers: tuple[Transfer, ...]
    after: Block | None = None
    line: int = -1

    @property
    def beats(self) -> int:
        """Beats of memory that a load takes."""
        return sum(t.segments * t.segment_beats for t in self.transfers)


Emit = Callable[[Any], None]
"""Adds the instructions of a piece of work to an emitter, when all its lines are known."""


@dataclass(eq=False)
class Work:
    """A piece of work of a unit (ARRAY stands for ARRAY and DRAIN): what it reads and writes, and how long it takes."""

    name: str
    unit: Unit
    cycles: int
    emit: Emit
    reads: list[Datum] = field(default_factory=list)
    writes: list[Datum] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    after: list[Work] = field(default_factory=list, repr=False)

    def link(self) -> Work:
        """Tell its data of this piece of work; what it replaces must have been read by all others before."""
        for datum in self.writes:
            datum.writers += 1
            if datum.replaces is not None:
                self.after += datum.replaces.users
        for datum in dict.fromkeys(self.reads):
            datum.users.append(self)
        return self

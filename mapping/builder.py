"""Instructions with their dependency tokens: each one says what it reads and writes, the tokens follow from that.

Two instructions of different units that touch the same lines, at least one of them writing, get a token from the
earlier one's retirement to the later one's issue, unless waits that are already there imply the order. What an
instruction of LOAD or VECTOR reads of what its own unit wrote, it waits for with its own bit. Units issue and retire in
order, and a BINARIZE or SUMS retires after its MATMUL; nothing else is assumed about time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw.isa import FIELDS, OWN_WAITS, TOKEN_UNITS, UNIT_OF, Instruction, Opcode, Unit

Clock = tuple[int, ...]
"""For each unit, the latest of its instructions that is known to have retired (-1: none)."""

_NOTHING: Clock = (-1,) * len(TOKEN_UNITS)
_NAMES = {opcode: tuple(field.name for field in fields) for opcode, fields in FIELDS.items()}
_DEFAULTS = {
    opcode: {field.name: field.default for field in fields if field.default is not None}
    for opcode, fields in FIELDS.items()
}


class Access(NamedTuple):
    """The lines `start` up to `stop` of a space: a buffer, or a memory region counted in beats."""

    space: str
    start: int
    stop: int


@dataclass
class _Draft:
    """An instruction whose tokens are still being collected."""

    opcode: Opcode
    operands: tuple[int, ...]
    wait: int = 0
    signal: int = 0


class Builder:
    """Collects instructions in program order. `spaces` gives the size of each space that accesses name."""

    def __init__(self, spaces: dict[str, int]) -> None:
        self._spaces = spaces
        self._drafts: list[_Draft] = []
        self._retired: list[Clock] = []
        self._issued: list[Clock] = [_NOTHING] * len(TOKEN_UNITS)
        self._last: list[int] = [-1] * len(TOKEN_UNITS)
        self._touched: dict[tuple[str, bool], dict[Unit, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._drafts)

    def add(
        self,
        opcode: Opcode,
        operands: dict[str, int],
        reads: Sequence[Access] = (),
        writes: Sequence[Access] = (),
        settles: bool = False,
    ) -> None:
        """Append an instruction of a unit; operands with a default may be left out.

        A MATMUL with handover must be followed by its BINARIZE or SUMS. An instruction that `settles` has retired when
        the next one of its unit issues.
        """
        unit, index = UNIT_OF[opcode], len(self._drafts)
        values = _DEFAULTS[opcode] | operands
        draft = _Draft(opcode, tuple([values[name] for name in _NAMES[opcode]]))
        needs = self._needs(unit, reads, writes)
        clock = self._issued[unit]
        for producer, earlier in self._unimplied(needs, clock):
            draft.wait |= 1 << producer
            self._drafts[earlier].signal |= 1 << unit
            clock = _join(clock, self._retired[earlier])
        if unit in OWN_WAITS and self._latest(unit, reads) > clock[unit]:
            draft.wait |= 1 << unit
            clock = _join(clock, self._retired[self._last[unit]])
        self._issued[unit] = clock
        self._drafts.append(draft)
        self._retired.append(self._retirement(opcode, unit, index, clock))
        self._last[unit] = index
        if settles:
            self._issued[unit] = _join(clock, self._retired[index])
        for accesses, writing in ((reads, False), (writes, True)):
            for access in accesses:
                self._touch(access, writing, unit)[access.start : access.stop] = index

    def barrier(self, opcode: Opcode) -> None:
        """Append a FENCE or EXIT: everything before it has retired when anything behind it issues."""
        last = _join(_NOTHING, tuple(self._last))
        self._issued = [last] * len(TOKEN_UNITS)
        self._drafts.append(_Draft(opcode, ()))
        self._retired.append(last)

    def halt(self) -> tuple[Instruction, ...]:
        """Append the HALT and return the instructions. Operands are as given: the checker looks at their ranges."""
        self._drafts.append(_Draft(Opcode.HALT, ()))
        return tuple(Instruction(d.opcode, d.operands, d.wait, d.signal) for d in self._drafts)

    def _needs(self, unit: Unit, reads: Sequence[Access], writes: Sequence[Access]) -> dict[Unit, int]:
        """Return, for each other unit, its latest instruction that must have retired before this one may issue."""
        needs: dict[Unit, int] = {}
        for accesses, kinds in ((reads, (True,)), (writes, (True, False))):
            for access in accesses:
                for kind in kinds:
                    for other, lines in self._touched.get((access.space, kind), {}).items():
                        if other is not unit:
                            latest = int(np.maximum.reduce(lines[access.start : access.stop]))
                            needs[other] = max(latest, needs.get(other, -1))
        return needs

    def _latest(self, writer: Unit, reads: Sequence[Access]) -> int:
        """Return the latest instruction of a writer that wrote something of what is read."""
        latest = -1
        for access in reads:
            lines = self._touched.get((access.space, True), {}).get(writer)
            if lines is not None:
                latest = max(latest, int(np.maximum.reduce(lines[access.start : access.stop])))
        return latest

    def _unimplied(self, needs: dict[Unit, int], clock: Clock) -> list[tuple[Unit, int]]:
        """Drop what is known already, and what another of the needs implies."""
        open_needs = [(other, index) for other, index in sorted(needs.items()) if clock[other] < index]
        return [
            (other, index)
            for other, index in open_needs
            if not any(self._retired[rival][other] >= index for unit, rival in open_needs if unit != other)
        ]

    def _retirement(self, opcode: Opcode, unit: Unit, index: int, clock: Clock) -> Clock:
        """Return what is known to have retired when this instruction retires, itself included."""
        known = clock
        if self._last[unit] >= 0:
            known = _join(known, self._retired[self._last[unit]])
        if opcode in (Opcode.BINARIZE, Opcode.SUMS):
            known = _join(known, self._retired[self._last[Unit.ARRAY]])
        return (*known[:unit], index, *known[unit + 1 :])

    def _touch(self, access: Access, writing: bool, unit: Unit) -> np.ndarray:
        units = self._touched.setdefault((access.space, writing), {})
        if unit not in units:
            units[unit] = np.full(self._spaces[access.space], -1, np.int64)
        return units[unit]


def _join(one: Clock, other: Clock) -> Clock:
    return tuple(map(max, one, other))

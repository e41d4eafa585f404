"""The life of each instruction of a run: fetched, taken, at the head of its queue, issued, retired; and why it stood.

Everything follows from the retirement trace and from what the simulator records of each cycle, by the rules of
docs/machine.md, section 3. Cycles are those of the contract: a queue's head can issue from the cycle behind its push.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hw.isa import STATE_NAMES, TOKEN_UNITS, Instruction, Unit

if TYPE_CHECKING:
    from hw.arch import Accelerator
    from sim.recording import Recording

NOBODY = -1
"""The instruction that is not there: nobody takes a token, nobody is in the way."""

_BUSY = STATE_NAMES.index("busy")


class Cause(NamedTuple):
    """Why an instruction stood at the head of its queue, from cycle `start` to the one before `stop`.

    `kind` is token (of `unit`, which `instruction` gives), own (`instruction` of its own unit retires), transfers (the
    transfer queue is full; `instruction` leaves it), unit (it lets nothing in until `instruction` is far enough), or
    fence (everything before it retires, `instruction` last).
    """

    kind: str
    start: int
    stop: int
    instruction: int
    unit: Unit


@dataclass(frozen=True)
class Lives:
    """Cycles of each instruction that runs, int64: last beat of its fetch, taken by the sequencer, first at the head
    of its queue, issue, retire.

    `givers` has for each instruction and each unit that it waits for the instruction that gives the token, the latest
    of its own unit for the own bit; `takers` has those that take the tokens that it gives, NOBODY for a token that
    stays. `order` has the instructions of each unit, `left` when a LOAD or STORE leaves the transfer queue.
    """

    fetched: np.ndarray
    taken: np.ndarray
    head: np.ndarray
    issue: np.ndarray
    retire: np.ndarray
    givers: tuple[dict[Unit, int], ...]
    takers: tuple[dict[Unit, int], ...]
    order: tuple[np.ndarray, ...]
    left: dict[int, int]

    @property
    def stood(self) -> np.ndarray:
        """Cycles that each instruction stood at the head of its queue without issuing; of FENCE and HALT, to retire."""
        waited: np.ndarray = self.issue - self.head
        waited[self.order[Unit.SEQUENCER]] = (self.retire - self.issue)[self.order[Unit.SEQUENCER]]
        return waited


def live(accelerator: Accelerator, instructions: Sequence[Instruction], recording: Recording) -> Lives:
    """Return the lives of the instructions that run, which are all up to the one that ends the run."""
    count = len(instructions)
    fetches = np.flatnonzero(recording.fetched)
    fetched = fetches[accelerator.instruction_beats - 1 :: accelerator.instruction_beats][:count]
    taken = np.flatnonzero(recording.states[Unit.SEQUENCER] == _BUSY)
    issue, retire = recording.timing.issue[:count], recording.timing.retire[:count]
    units = np.array([instruction.unit for instruction in instructions])
    order = tuple(np.flatnonzero(units == unit) for unit in Unit)
    givers, takers = _pairs(instructions, order)
    return Lives(
        fetched=fetched,
        taken=taken,
        head=_heads(fetched, taken, issue, order),
        issue=issue,
        retire=retire,
        givers=givers,
        takers=takers,
        order=order,
        left=_departures(instructions, order, retire, recording.read),
    )


def _heads(fetched: np.ndarray, taken: np.ndarray, issue: np.ndarray, order: Sequence[np.ndarray]) -> np.ndarray:
    """Return the first cycle of each instruction at the head of its unit's queue, or of the instruction queue."""
    head = taken + 1
    for unit in TOKEN_UNITS:
        numbers = order[unit]
        head[numbers[1:]] = np.maximum(head[numbers[1:]], issue[numbers[:-1]] + 1)
    alone = order[Unit.SEQUENCER]
    before = np.where(alone > 0, taken[alone - 1], 0)
    head[alone] = np.maximum(fetched[alone], before) + 1
    return head


def _pairs(
    instructions: Sequence[Instruction], order: Sequence[np.ndarray]
) -> tuple[tuple[dict[Unit, int], ...], tuple[dict[Unit, int], ...]]:
    """Return who gives each token that is waited for, and who takes each that is given: they pair up in order."""
    given: dict[tuple[Unit, Unit], list[int]] = defaultdict(list)
    wanted: dict[tuple[Unit, Unit], list[int]] = defaultdict(list)
    givers: tuple[dict[Unit, int], ...] = tuple({} for _ in instructions)
    takers: tuple[dict[Unit, int], ...] = tuple({} for _ in instructions)
    for number, i in enumerate(instructions):
        for other in TOKEN_UNITS:
            if i.signal >> other & 1:
                given[i.unit, other].append(number)
                takers[number][other] = NOBODY
            if i.wait >> other & 1 and other is not i.unit:
                wanted[other, i.unit].append(number)
    for (giver, taker), numbers in wanted.items():
        for number, source in zip(numbers, given[giver, taker], strict=False):
            givers[number][giver] = source
            takers[source][taker] = number
    for unit in TOKEN_UNITS:
        for before, number in zip(order[unit], order[unit][1:], strict=False):
            if instructions[number].wait >> unit & 1:
                givers[number][unit] = int(before)
    return givers, takers


def _departures(
    instructions: Sequence[Instruction], order: Sequence[np.ndarray], retire: np.ndarray, read: np.ndarray
) -> dict[int, int]:
    """Return when each LOAD (its last beat comes) and STORE (its last beat is read) leaves its transfer queue."""
    left = {int(number): int(retire[number]) - 1 for number in order[Unit.LOAD]}
    beats, last = np.flatnonzero(read), 0
    for number in order[Unit.STORE]:
        last += instructions[number].segments * instructions[number].segment_beats
        left[int(number)] = int(beats[last - 1])
    return left


def causes(lives: Lives, accelerator: Accelerator, instructions: Sequence[Instruction], number: int) -> list[Cause]:
    """Return why an instruction stood at the head of its queue, in order; tokens may be missing together."""
    unit, head, issue = instructions[number].unit, int(lives.head[number]), int(lives.issue[number])
    if unit is Unit.SEQUENCER:
        return list(_fence(lives, number))
    found = []
    free = head
    for giver, source in lives.givers[number].items():
        ready = int(lives.retire[source]) + 1
        if ready > head:
            found.append(Cause("own" if giver is unit else "token", head, ready, source, giver))
            free = max(free, ready)
    place = int(np.searchsorted(lives.order[unit], number))
    room = place - accelerator.transfers_in_flight
    if unit in (Unit.LOAD, Unit.STORE) and room >= 0:
        blocker = int(lives.order[unit][room])
        stop = min(lives.left[blocker] + 1, issue)
        if stop > free:
            found.append(Cause("transfers", free, stop, blocker, unit))
            free = stop
    if issue > free:
        found.append(Cause("unit", free, issue, int(lives.order[unit][place - 1]), unit))
    return found


def _fence(lives: Lives, number: int) -> Iterator[Cause]:
    issue, retire = int(lives.issue[number]), int(lives.retire[number])
    if retire > issue:
        last = int(np.argmax(lives.retire[:number]))
        yield Cause("fence", issue, retire, last, Unit.SEQUENCER)

"""Instruction queue, unit queues and tokens in time: how an instruction goes from fetch to its retirement."""

from __future__ import annotations

import numpy as np

from sim.compiled import compiled
from sim.state import NEVER, OP_SIGNAL, OP_UNIT, OP_WAIT, SEQUENCER, State

_COUNTER = np.int64(255)


@compiled
def look_at_next(s: State) -> None:
    """Note the unit of the head of the instruction queue."""
    s.sequence.unit = s.table[s.sequence.taken, OP_UNIT] if s.sequence.fetched > s.sequence.taken else NEVER


@compiled
def shift(s: State) -> None:
    """Take the head off the instruction queue."""
    s.sequence.taken += 1
    s.sequence.reserved -= 1
    look_at_next(s)


@compiled
def push(s: State) -> None:
    """Take the head of the instruction queue to its unit's queue."""
    unit = s.sequence.unit
    s.queues[unit].pushed += 1
    s.sequence.inflight += 1
    _look_at_head(s, unit)
    shift(s)


@compiled
def _look_at_head(s: State, unit: int) -> None:
    """Note the head of a unit's queue and the tokens that it needs."""
    queue = s.queues[unit]
    queue.head = s.order[unit, queue.popped] if queue.pushed > queue.popped else NEVER
    queue.needs = s.table[queue.head, OP_WAIT] if queue.head != NEVER else 0


@compiled
def issue_head(s: State, unit: int, cycle: int) -> int:
    """Issue the head of a unit's queue, using up its tokens; return its index. The unit's own bit is no token."""
    index: int = s.queues[unit].head
    needs = s.queues[unit].needs
    s.issue[index] = cycle
    for producer in range(SEQUENCER):
        if producer != unit and needs >> producer & 1:
            _count(s, producer, unit, -1)
    s.queues[unit].popped += 1
    s.queues[unit].available &= ~(1 << unit)
    _look_at_head(s, unit)
    return index


@compiled
def retire_oldest(s: State, unit: int, cycle: int) -> None:
    """Retire the oldest instruction of a unit that has not retired, giving its tokens."""
    index = s.order[unit, s.queues[unit].retired]
    s.queues[unit].retired += 1
    if s.queues[unit].retired == s.queues[unit].popped:
        s.queues[unit].available |= 1 << unit
    s.sequence.inflight -= 1
    s.retire[index] = cycle
    for consumer in range(SEQUENCER):
        if s.table[index, OP_SIGNAL] >> consumer & 1:
            _count(s, unit, consumer, 1)


@compiled
def _count(s: State, producer: int, consumer: int, change: int) -> None:
    """Change a token counter, which has 8 bits, and the consumer's note of which of its counters are not 0."""
    value = (s.tokens[producer, consumer] + change) & _COUNTER
    s.tokens[producer, consumer] = value
    if value != 0:
        s.queues[consumer].available |= 1 << producer
    else:
        s.queues[consumer].available &= ~(1 << producer)

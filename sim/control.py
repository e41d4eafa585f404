"""What is not streaming: requests, issue, sequencer and retirement. `decide` reads registers, `carry_out` changes them.

The decisions of a cycle are bits of one integer, so that a cycle in which nothing is decided costs one comparison.
"""

from __future__ import annotations

from sim.channels import Port, offer_read, offer_write
from sim.compiled import compiled
from sim.queues import issue_head, push, retire_oldest, shift
from sim.state import (
    ARRAY,
    BUSY,
    DRAIN,
    EMPTY,
    ISSUE,
    LOAD,
    NEVER,
    OWNER_FETCH,
    OWNER_LOAD,
    ROW,
    SEQUENCER,
    STORE,
    TOKEN,
    VECTOR,
    WAIT,
    State,
)
from sim.steps import Passes, Steps, start_row, start_vector
from sim.units import Flow, advance_transfer, start_array, start_drain, start_transfer

FETCHES, LOADS, STORES = 1, 2, 4
"""A burst for fetch or LOAD goes to AR, a burst of STORE to AW."""

LOAD_ISSUES, ARRAY_ISSUES, DRAIN_ISSUES, STORE_ISSUES, VECTOR_ISSUES, ROW_ISSUES = 16, 32, 64, 128, 256, 8192
"""A unit issues the head of its queue."""

PUSHES, HOLDS, FENCES, HALTS = 512, 1024, 2048, 4096
"""The sequencer takes an instruction of a unit, waits with a FENCE, EXIT or HALT, takes a FENCE or an EXIT that
does not end the run, ends it."""


@compiled
def decide(s: State, port: Port, flow: Flow, steps: Steps, passes: Passes) -> int:
    """Return what is decided in a cycle.

    It notes in `rest` the state of each unit, for when it is not busy (nor, for ARRAY, DRAIN, VECTOR and ROW, waiting).
    """
    actions = _reads(s, port.ar) | _writes(s, port.aw)
    load_free = s.load.active == 0 or (actions & LOADS != 0 and s.load.final != 0)
    store_free = s.store.active == 0 or (actions & STORES != 0 and s.store.final != 0)
    load_room = s.load.level < s.config.transfers_in_flight
    store_room = s.store.level < s.config.transfers_in_flight
    actions |= _issue(s, LOAD, load_free and load_room, LOAD_ISSUES)
    actions |= _issue(s, ARRAY, s.array.active == 0 or flow.enters_last, ARRAY_ISSUES)
    actions |= _issue(s, DRAIN, s.drain.active == 0 or flow.takes_last, DRAIN_ISSUES)
    actions |= _issue(s, STORE, store_free and store_room, STORE_ISSUES)
    vector_free = s.vector.active == 0 or steps.enters_last
    settled = s.vector.late == 0 or s.queues[VECTOR].available >> VECTOR & 1 != 0
    actions |= _issue(s, VECTOR, vector_free and settled, VECTOR_ISSUES)
    actions |= _issue(s, ROW, s.row.active == 0 or passes.enters_last, ROW_ISSUES)
    if s.load.level != 0:
        s.rest[LOAD] = WAIT
    if s.store.level != 0 or s.write.selected != s.write.responded:
        s.rest[STORE] = WAIT
    return actions | _sequence(s)


@compiled
def _reads(s: State, ar: bool) -> int:
    """Return which burst the read arbiter selects."""
    if not (ar or s.read.ar_due == NEVER) or s.read.selected - s.read.done >= s.config.reads_in_flight:
        return 0
    if s.sequence.next < s.config.length and s.sequence.reserved < s.config.fetch_depth:
        return FETCHES
    return LOADS if s.load.active != 0 and s.load.held == 0 else 0


@compiled
def _writes(s: State, aw: bool) -> int:
    """Return whether STORE selects a burst."""
    if not (aw or s.write.aw_due == NEVER) or s.write.selected - s.write.responded >= s.config.writes_in_flight:
        return 0
    return STORES if s.store.active != 0 else 0


@compiled
def _issue(s: State, unit: int, free: bool, issues: int) -> int:
    """Return `issues` if the unit issues its head, which it does as soon as it is free and the tokens are there."""
    s.rest[unit] = EMPTY
    if s.queues[unit].head == NEVER:
        return 0
    if s.queues[unit].needs & ~s.queues[unit].available != 0:
        s.rest[unit] = TOKEN
        return 0
    if not free:
        return 0
    s.rest[unit] = ISSUE
    return issues


@compiled
def _sequence(s: State) -> int:
    """Return what the sequencer does with the head of the instruction queue."""
    unit = s.sequence.unit
    s.rest[SEQUENCER] = EMPTY
    if unit == NEVER:
        return 0
    if unit == SEQUENCER and s.sequence.inflight != 0:
        s.rest[SEQUENCER] = WAIT
        return HOLDS
    if unit != SEQUENCER and s.queues[unit].pushed - s.queues[unit].popped >= s.config.queue_depth:
        s.rest[SEQUENCER] = TOKEN
        return 0
    s.rest[SEQUENCER] = BUSY
    if unit != SEQUENCER:
        return PUSHES
    return HALTS if s.sequence.taken == s.config.end else FENCES


@compiled
def carry_out(s: State, cycle: int, actions: int) -> None:
    """Change the registers as decided."""
    if actions & (PUSHES | HOLDS | FENCES | HALTS):
        _advance_sequencer(s, cycle, actions)
    if actions & FETCHES:
        s.sequence.next += 1
        s.sequence.reserved += 1
        offer_read(s, cycle, OWNER_FETCH, s.config.instruction_beats, 0)
    if actions & LOADS:
        offer_read(s, cycle, OWNER_LOAD, s.load.beats, s.load.final)
        advance_transfer(s.config, s.load)
    if actions & STORES:
        offer_write(s, cycle, s.store.beats, s.store.final)
        advance_transfer(s.config, s.store)
    if actions & LOAD_ISSUES:
        start_transfer(s.config, s.load, s.table[issue_head(s, LOAD, cycle)])
    if actions & ARRAY_ISSUES:
        start_array(s.config, s.array, s.table[issue_head(s, ARRAY, cycle)])
    if actions & DRAIN_ISSUES:
        start_drain(s.config, s.drain, s.table[issue_head(s, DRAIN, cycle)])
    if actions & STORE_ISSUES:
        start_transfer(s.config, s.store, s.table[issue_head(s, STORE, cycle)])
    if actions & VECTOR_ISSUES:
        start_vector(s.vector, s.table[issue_head(s, VECTOR, cycle)])
    if actions & ROW_ISSUES:
        start_row(s.row, s.table[issue_head(s, ROW, cycle)])


@compiled
def _advance_sequencer(s: State, cycle: int, actions: int) -> None:
    """Take the head of the instruction queue, or note when a FENCE, EXIT or HALT came to it."""
    if actions & PUSHES:
        push(s)
        return
    index = s.sequence.taken
    if s.issue[index] == NEVER:
        s.issue[index] = cycle
    if actions & (FENCES | HALTS):
        s.retire[index] = cycle
        shift(s)


@compiled
def retire(s: State, cycle: int, pulses: int) -> None:
    """Retire an instruction of each unit in the mask `pulses`, after the issues of this cycle used up their tokens."""
    for unit in range(SEQUENCER):
        if pulses >> unit & 1:
            retire_oldest(s, unit, cycle)

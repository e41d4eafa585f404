"""The registers of the timing model: one numba record for each part of the machine, every field a 64-bit integer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hw.arch import Accelerator
from hw.isa import FIELDS, UNIT_OF, Destination, Instruction, Opcode, Unit
from sim.memory import MemoryProfile

NEVER = -1
"""The due cycle of something that is not scheduled, the index of an instruction that is not there."""

RING = 64
"""Bursts that a ring can hold: the largest reads_in_flight and writes_in_flight."""

UNITS, STATES = 7, 5
LOAD, ARRAY, DRAIN, STORE, VECTOR, ROW, SEQUENCER = (int(unit) for unit in Unit)
BUSY, WAIT, TOKEN, ISSUE, EMPTY = range(STATES)

BURST_BEATS, BURST_OWNER, BURST_FINAL, BURST_TIME = range(4)
"""Columns of a burst ring: its beats, its owner, whether it is its instruction's last, when its data may come back."""

OWNER_FETCH, OWNER_LOAD = range(2)

OPCODE, OP_UNIT, OP_WAIT, OP_SIGNAL, OP_A, OP_B, OP_C, OP_D, OP_E, OP_COLUMNS = range(10)
"""Columns of the instruction table; A to E are the operands that matter to time, by opcode.

Segments that are gathered all count as the first one, for none crosses a boundary, whatever its id. The words of a
MATMUL are those of all pairs of planes. VECTOR's instructions have their steps, the sets of each, and by how many
cycles their pulse is late; SOFTMAX has the steps of both passes and its levels.
"""

TO_ACTIVATION = int(Destination.ACTIVATION)

_OPERANDS: dict[Opcode, tuple[str, ...]] = {
    Opcode.LOAD: ("address", "stride", "segments", "segment_beats", "gather"),
    Opcode.STORE: ("address", "stride", "segments", "segment_beats"),
    Opcode.MATMUL: ("words", "rows", "column_groups", "handover"),
    Opcode.BINARIZE: ("rows", "column_groups", "destination"),
    Opcode.SUMS: ("rows", "column_groups"),
    Opcode.VECTOR: ("rows", "sets", "statistics"),
    Opcode.SOFTMAX: ("rows", "keys", "planes"),
    Opcode.MEAN: ("rows", "channels"),
    Opcode.CLASSIFY: ("classes", "channels"),
    Opcode.TABLE: ("rows", "channels"),
    Opcode.EXIT: (),
    Opcode.FENCE: (),
    Opcode.HALT: (),
}
_GATHER = _OPERANDS[Opcode.LOAD].index("gather")
_PLACES = {
    opcode: (int(UNIT_OF[opcode]), [[field.name for field in FIELDS[opcode]].index(name) for name in names])
    for opcode, names in _OPERANDS.items()
}


def _record(*names: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in names], align=True)


CONFIG = _record(
    *("rows", "drain_rows", "vector_lanes", "row_lanes", "last_stage", "stages"),
    *("burst_beats", "beat_bytes", "instruction_beats"),
    *("reads_in_flight", "writes_in_flight", "fetch_depth", "queue_depth", "transfers_in_flight"),
    *("latency", "write_latency", "interval", "jitter", "stall_rate", "stall_max", "seed"),
    *("length", "end", "patience", "vigilant"),
)
"""Constants of a run.

`last_stage` and `stages` are the shift and the mask of the array's pipeline word, `end` is the index of the instruction
that ends the run, `patience` bounds the cycles in which nothing happens, `vigilant` tells to evaluate everything in
every cycle (see `sim.cycle`).
"""

READ = _record("ar_due", "selected", "accepted", "done", "beat", "beats", "owner", "final", "beat_due", "bound")
"""AR register, owner queue and R channel: bursts selected, accepted by the memory and done; the burst on R, its next
beat and the cycle in which that is due, and the first cycle in which the channel allows another beat."""

WRITE = _record(
    *("aw_due", "selected", "accepted", "sent", "beat", "w_due", "w_last", "w_bound"),
    *("written", "responded", "b_due", "b_bound"),
)
"""AW and W registers, data queue and response queue: bursts selected, accepted by the memory, sent to the W register,
written and responded to; the next beat to send, the beat on W, and the next response."""

SEQUENCE = _record("next", "reserved", "fetched", "taken", "inflight", "unit")
"""Fetch and sequencer; `unit` is the unit of the head of the instruction queue, NEVER for none."""

TRANSFER = _record(
    *("active", "level", "pulse", "address", "stride", "left", "segments", "segment_beats", "beats", "final"),
    *("delay", "held"),
)
"""Request stage of LOAD or STORE: the offered burst (`beats`, `final`), what follows it, the transfer queue's level; by
how many cycles the first burst of each segment is offered later, and for how many the next one is still held back."""

COMPUTE = _record("active", "pulse", "words", "word", "tile", "handover", "pipe", "full")
"""ARRAY: words and tiles left, the pipeline (two bits for each stage) and whether the drain register is full."""

GROUPS = _record(
    *("active", "pulses", "rows", "rows_left", "groups", "group", "column_groups", "column_group"),
    *("to_activation", "writes"),
)
"""DRAIN: rows of the tile and of the rest, groups and column groups left, the delayed retirement pulses; whether the
instruction writes the activation buffer, and the delayed writes to it."""

SLICES = _record("idle", "active", "steps", "sets", "late", "pipe", "left", "pulse", "countdown")
"""VECTOR: whether nothing is in it, so that nobody needs to look; steps left, the sets of each, by how many cycles the
pulse of the latest instruction is late, the pipeline (four bits for each stage), the sets that its last stage has yet
to write, the retirement pulse, and the cycles to a late one."""

PASSES = _record("idle", "active", "steps", "second", "pause", "gap", "pipe", "pulse")
"""ROW: whether nothing is in it, as above; steps left of the pass that enters, 0 between the passes; those of the
second pass while that has not begun; the cycles between the passes, and those of them that are left once the first pass
is through; the pipeline (three bits for each stage) and the retirement pulse."""

QUEUE = _record("pushed", "popped", "retired", "head", "needs", "available")
"""A unit's queue as counts of its instructions in program order; the index of its head, NEVER for none; and as masks
the producers whose tokens the head needs and those whose tokens the unit has; the unit itself is among those it has
while none of its instructions is on its way."""


class State(NamedTuple):
    """Everything that a run reads and writes: constants, registers, the program as tables, and the results."""

    config: Any
    read: Any
    write: Any
    sequence: Any
    load: Any
    array: Any
    drain: Any
    store: Any
    vector: Any
    row: Any
    queues: Any
    tokens: Any
    rest: Any
    read_ring: Any
    write_ring: Any
    table: Any
    order: Any
    issue: Any
    retire: Any
    states: Any


def initial_state(
    accelerator: Accelerator, instructions: tuple[Instruction, ...], profile: MemoryProfile, end: int | None = None
) -> State:
    """Return everything as it is in cycle 0 of a run that the instruction `end` ends, or the last one."""
    read, write, sequence = _zero(READ), _zero(WRITE), _zero(SEQUENCE)
    read["ar_due"] = read["beat_due"] = NEVER
    write["aw_due"] = write["w_due"] = write["b_due"] = NEVER
    sequence["unit"] = NEVER
    queues = np.zeros(SEQUENCER, QUEUE)
    queues["head"] = NEVER
    vector, row = _zero(SLICES), _zero(PASSES)
    vector["idle"] = row["idle"] = 1
    queues["available"] = 1 << np.arange(SEQUENCER)
    table = instruction_table(accelerator, instructions)
    return State(
        config=config_record(accelerator, profile, len(instructions), end),
        read=read,
        write=write,
        sequence=sequence,
        load=_zero(TRANSFER),
        array=_zero(COMPUTE),
        drain=_zero(GROUPS),
        store=_zero(TRANSFER),
        vector=vector,
        row=row,
        queues=queues,
        tokens=np.zeros((SEQUENCER, SEQUENCER), np.int64),
        rest=np.full(UNITS, EMPTY, np.int64),
        read_ring=np.zeros((RING, 4), np.int64),
        write_ring=np.zeros((RING, 4), np.int64),
        table=table,
        order=unit_order(table),
        issue=np.full(len(table), NEVER, np.int64),
        retire=np.full(len(table), NEVER, np.int64),
        states=np.zeros((UNITS, STATES), np.int64),
    )


def _zero(dtype: np.dtype[np.void]) -> Any:
    return np.zeros(1, dtype)[0]


def config_record(accelerator: Accelerator, profile: MemoryProfile, length: int, end: int | None = None) -> Any:
    """Return the constants of a run of `length` instructions that the instruction `end` ends, or the last one."""
    config = _zero(CONFIG)
    for name in CONFIG.names or ():
        for source in (accelerator, profile):
            if hasattr(source, name):
                config[name] = getattr(source, name)
    config["last_stage"] = 2 * accelerator.pipeline
    config["stages"] = (1 << 2 * (accelerator.pipeline + 1)) - 1
    config["length"] = length
    config["end"] = length - 1 if end is None else end
    config["patience"] = _patience(accelerator, profile)
    return config


def _patience(accelerator: Accelerator, profile: MemoryProfile) -> int:
    """Return a bound on the cycles between two events of a run that is not stuck.

    Only the memory, the delayed pulses, the gap between ROW's passes, and the pipelines of VECTOR, with three sets in
    each stage, and of ROW schedule anything ahead, each by at most the sum of these.
    """
    memory = profile.latency + profile.write_latency + profile.interval + profile.jitter + profile.stall_max
    return memory + accelerator.pipeline + 2 * accelerator.classes + 128


def instruction_table(accelerator: Accelerator, instructions: tuple[Instruction, ...]) -> np.ndarray:
    """Return one row for each instruction, of the columns above."""
    rows = []
    for i in instructions:
        unit, places = _PLACES[i.opcode]
        operands = [i.operands[place] for place in places]
        if i.opcode is Opcode.MATMUL:
            operands[0] *= i.activation_planes * i.weight_planes
        elif i.opcode is Opcode.LOAD and operands[_GATHER]:
            operands[1] = 0
        elif i.opcode is Opcode.TABLE:
            operands = [i.rows * i.channels]
        elif i.opcode in _STEPS:
            operands = _STEPS[i.opcode](accelerator, i)
        rows.append((i.opcode.value, unit, i.wait, i.signal, *operands, *(0,) * (OP_COLUMNS - OP_A - len(operands))))
    return np.array(rows, np.int64)


def _vector_steps(accelerator: Accelerator, i: Instruction) -> list[int]:
    return [i.rows * -(-i.channels // accelerator.vector_lanes) * i.planes, i.sets, _STATISTICS_LATE * i.statistics]


def _softmax_steps(accelerator: Accelerator, i: Instruction) -> list[int]:
    slices, levels = -(-i.keys // accelerator.row_lanes), (1 << i.planes) - 1
    return [i.rows * max(slices, levels), i.rows * slices * i.planes, levels]


def _mean_steps(accelerator: Accelerator, i: Instruction) -> list[int]:
    return [i.rows * -(-i.channels // accelerator.vector_lanes), 0, 0]


def _classify_steps(accelerator: Accelerator, i: Instruction) -> list[int]:
    slices = -(-i.channels // accelerator.vector_lanes)
    return [i.classes * (slices + 1), 0, _CLASSIFY_LATE + 2 * i.classes]


_STATISTICS_LATE = 11
_CLASSIFY_LATE = 15
_STEPS = {
    Opcode.VECTOR: _vector_steps,
    Opcode.SOFTMAX: _softmax_steps,
    Opcode.MEAN: _mean_steps,
    Opcode.CLASSIFY: _classify_steps,
}


def unit_order(table: np.ndarray) -> np.ndarray:
    """Return, for each unit with a queue, the indices of its instructions, padded with zeros behind the last."""
    order = np.zeros((SEQUENCER, len(table) + 1), np.int64)
    for unit in range(SEQUENCER):
        indices = np.flatnonzero(table[:, OP_UNIT] == unit)
        order[unit, : len(indices)] = indices
    return order

"""The lowering: a network's operations, one after the other, as works for the units of an accelerator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hw.isa import Opcode, Unit, Vote
from mapping.errors import MappingError
from mapping.whole import attention, combine, contexts, copies, rows, streams
from mapping.whole.context import Context
from mapping.whole.products import matmul
from mapping.whole.work import Datum, Parcel, Work
from model.operation import Operation
from model.vote import Member

if TYPE_CHECKING:
    from mapping.whole.emitter import Emitter

LOWERINGS: dict[str, Callable[[Context, Any], None]] = {
    "embed": streams.embed,
    "normalise": streams.normalise,
    "binarize": streams.binarize,
    "matmul": matmul,
    "scores": attention.scores,
    "context": contexts.context,
    "add": combine.combine,
    "maximum": combine.combine,
    "multiply": combine.combine,
    "table": combine.table,
    "first": rows.first,
    "mean": rows.mean,
    "concatenate": copies.concatenate,
}
"""What makes work of each operation; codes, requantise and classify are made with what stands before or behind them."""

_MADE_ELSEWHERE = ("quantize", "requantise", "row_threshold", "head_threshold", "classify")


def lower(c: Context) -> None:
    """Append the work of all members, each followed by its part of the vote."""
    _refuse_what_is_missing(c)
    made: set[str] = set()
    for index, member in enumerate(c.network.members):
        operations = c.network.member_operations(member.name)
        c.needed = frozenset(o.name for o in operations)
        for operation in operations:
            if operation.name not in made:
                made.add(operation.name)
                _lower(c, operation)
        _classify(c, index, member)


def _refuse_what_is_missing(c: Context) -> None:
    """Refuse a network that no accelerator can run, or for which this one lacks units: all that it lacks at once."""
    network, a = c.network, c.accelerator
    if network.input.kind != "tokens" or not network.members:
        raise MappingError(f"network: must read tokens and have members, not read {network.input}")
    for operation in network.operations:
        if operation.op not in (*LOWERINGS, *_MADE_ELSEWHERE):
            raise c.refuse(operation, "the machine has no unit for this operation yet")
    there = {operation.op for operation in network.operations}
    missing = [
        name
        for name, value, needed in (
            ("vector.vector_lanes", a.vector_lanes, True),
            ("text.token_lines", a.token_lines, "embed" in there),
            ("buffers.key_lines", a.key_lines, "scores" in there),
            ("attention.row_lanes", a.row_lanes, "row_threshold" in there),
        )
        if needed and not value
    ]
    wanted = [f"{', '.join(missing)} must not be 0"] if missing else []
    if a.classes < network.classes:
        wanted.append(f"text.classes must be at least {network.classes}, not {a.classes}")
    if wanted:
        raise MappingError(f"{a.name}: {' and '.join(wanted)} to run this network")


def _lower(c: Context, o: Operation) -> None:
    if o.op == "quantize" and c.value(o.sources[0]).kind == "fixed":
        streams.quantize_fixed(c, o)
    elif o.op in LOWERINGS:
        LOWERINGS[o.op](c, o)


def _classify(c: Context, index: int, member: Member) -> None:
    """Append the member's CLASSIFY, its STORE and the EXIT behind it."""
    o: Any = c.operations[member.output]
    (source,) = o.sources
    a, datum = c.accelerator, rows.fixed_of(c, source).data[0]
    classes, channels = o.weights.shape
    slices = c.slices(channels)
    parcel: Parcel = c.parameters.once(
        ("classify", o.name), lambda: c.parameters.classifier(f"{o.name}.weights", o.weights, o.bias)
    )
    area = c.area("output", classes, o.name)
    kind = {"soft": Vote.SOFT, "hard": Vote.HARD, "mean": Vote.MEAN}[str(c.network.vote)]
    operands = {
        "classes": classes,
        "shift": o.shift,
        "channels": channels,
        "vote": kind,
        "vote_shift": member.shift,
        "multiplier": member.multiplier,
        "bound": member.bound if kind is Vote.SOFT else 1,
        "first": int(index == 0),
        "swing": sum(_swing(kind, m) for m in c.network.members[index + 1 :]),
    }

    def classify(e: Emitter) -> None:
        lines = {"source_line": datum.line, "scale_line": parcel.line, "output_line": area.line}
        e.add(
            Opcode.CLASSIFY,
            operands | lines,
            [(rows.SPACE, datum.line, slices), ("scale", parcel.line, parcel.lines)],
            [("output", area.line, classes)],
            settles=True,
        )

    logits = Datum(o.name, area)
    cycles = classes * (slices + 1) + 16 + 2 * classes
    vote = c.add(
        o.name, Unit.VECTOR, cycles, classify, reads=[datum], writes=[logits], parcels=[parcel], after=c.votes[-1:]
    )
    c.votes.append(vote)
    beats = classes * a.output_line_bits // a.port_bits
    address = c.logits_address + index * beats * a.beat_bytes

    def store(e: Emitter) -> None:
        transfer = {"row_beats": beats, "segments": 1, "segment_beats": beats, "stride": 0}
        place = address // a.beat_bytes
        e.add(
            Opcode.STORE,
            {"address": address, "line": area.line} | transfer,
            [("output", area.line, classes)],
            [("logits", place - c.logits_address // a.beat_bytes, beats)],
        )

    c.add(f"{o.name}.store", Unit.STORE, beats, store, reads=[logits])
    if index + 1 < len(c.network.members) and kind is not Vote.MEAN:
        c.works.append(Work(f"{member.name}.exit", Unit.SEQUENCER, 0, lambda e: e.exit()))


def _swing(kind: Vote, member: Member) -> int:
    return {Vote.SOFT: 2 * member.bound, Vote.HARD: member.multiplier, Vote.MEAN: 0}[kind]

"""What may be made smaller of a network case, one thing at a time, the boldest step first.

A reduction takes a point and yields smaller ones, each with what was changed. All that they yield is legal as data;
whether the network fits the accelerator is for the mapper to say. Every step lowers something and raises nothing, so
steps come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from hw.arch import FIELDS, AcceleratorError
from model.synthetic_network import Sketch
from sim.memory import MemoryProfile
from tests.agreement.network_point import CHOICES, COUNTS, NetworkPoint

Steps = Iterator[tuple[str, NetworkPoint]]
Reduction = Callable[[NetworkPoint], Steps]

SKETCH_ORDER = (
    *("members", "layers", "stack", "heads", "width", "inner", "classes", "bits", "attention_bits", "feed_forward"),
    *("ternary", "pooler", "pooling", "attention", "vote", "shared", "vocabulary", "types", "limit"),
)
"""The fields of a sketch, those that take away most first."""

IDEAL = MemoryProfile(latency=1, write_latency=1, interval=1, jitter=0, stall_rate=0, stall_max=1, seed=0)

ARRAY = ("rows", "columns", "word_bits", "vector_lanes", "row_lanes", "drain_rows")
QUEUES = ("fetch_depth", "queue_depth", "transfers_in_flight", "reads_in_flight", "writes_in_flight", "burst_beats")
LINES = tuple(name for name in FIELDS if name.endswith("_lines"))
OTHERS = ("score_slots", "pipeline", "code_bits", "sum_bits", "classes", "port_bits")
DIVISORS = (8, 4, 2)
"""What is too small the mapper refuses, which costs little, so the boldest comes first."""


def _lower(value: int, low: int) -> list[int]:
    """Return smaller values, the lowest first: those near it, those near the value, and a few between."""
    far = [1 << power for power in range(max(value - low, 0).bit_length())]
    return sorted({low + distance - 1 for distance in far} | {value - distance for distance in far})


def _sentence(point: NetworkPoint) -> Steps:
    """Leave tokens out: all but the first, then halves, quarters and single ones."""
    count = len(point.ids)
    size = count - 1
    while size > 0:
        for start in range(count - size, -1, -size):
            kept = [index for index in range(count) if not start <= index < start + size]
            ids, types = (tuple(part[index] for index in kept) for part in (point.ids, point.types))
            yield f"tokens {count} -> {len(kept)}", replace(point, ids=ids, types=types)
        size //= 2


def _numbers(name: str, point: NetworkPoint) -> Steps:
    """Make ids or types 0: all of them, then one at a time."""
    numbers: tuple[int, ...] = getattr(point, name)
    if any(numbers):
        yield f"{name} all 0", replace(point, **{name: (0,) * len(numbers)})
    for index, number in enumerate(numbers):
        if number and len(numbers) > 1:
            fewer = (*numbers[:index], 0, *numbers[index + 1 :])
            yield f"{name}[{index}] {number} -> 0", replace(point, **{name: fewer})


def _sketch_values(name: str, sketch: Sketch, tokens: int) -> list[Any]:
    """Return smaller values of a field of a sketch."""
    value = getattr(sketch, name)
    if name in CHOICES:
        return [] if value == "mean" and name == "vote" else list(CHOICES[name][: CHOICES[name].index(value)])
    if name == "width":
        return [heads * sketch.heads for heads in _lower(value // sketch.heads, 1)]
    low = {"limit": tokens, "classes": min(value, 2)}.get(name, COUNTS[name][0])
    return _lower(value, low)


def _sketch(name: str, point: NetworkPoint) -> Steps:
    """Lower one field of the sketch; a width follows the heads, ids and types follow what they are counted by."""
    was = getattr(point.sketch, name)
    for value in _sketch_values(name, point.sketch, len(point.ids)):
        changes: dict[str, Any] = {name: value}
        if name == "heads":
            changes["width"] = point.sketch.width // value * value
        sketch = replace(point.sketch, **changes)
        ids = tuple(min(number, sketch.vocabulary - 1) for number in point.ids)
        types = tuple(min(number, sketch.types - 1) for number in point.types)
        yield f"sketch.{name} {was} -> {value}", replace(point, sketch=sketch, ids=ids, types=types)


def _ideal(point: NetworkPoint) -> Steps:
    """Take a memory that answers at once."""
    if point.memory != IDEAL:
        yield "memory without stalls", replace(point, memory=IDEAL)


def _memory(name: str, point: NetworkPoint) -> Steps:
    """Lower one field of the memory; a seed is 0 or what it is."""
    value, low = getattr(point.memory, name), getattr(IDEAL, name)
    for smaller in _lower(value, low) if name != "seed" else [0] * (value > 0):
        yield f"memory.{name} {value} -> {smaller}", replace(point, memory=replace(point.memory, **{name: smaller}))


def _on(point: NetworkPoint, label: str, **changes: Any) -> Steps:
    """Yield the point on a changed accelerator, if there is one; what a smaller array cannot have follows it."""
    a = point.accelerator
    rows, columns, word_bits = (changes.get(name, getattr(a, name)) for name in ("rows", "columns", "word_bits"))
    following = {
        "drain_rows": min(a.drain_rows, rows, columns),
        "pipeline": min(a.pipeline, word_bits.bit_length()),
    }
    try:
        yield label, replace(point, accelerator=a.replace(**following | changes))
    except AcceleratorError:
        return


def _parameter(name: str, point: NetworkPoint) -> Steps:
    """Lower one parameter of the accelerator to its lowest value or a part of what it is: each is a build."""
    value, low = getattr(point.accelerator, name), FIELDS[name].low
    for smaller in dict.fromkeys((low, *(max(low, value // divisor) for divisor in DIVISORS))):
        if smaller < value:
            yield from _on(point, f"accelerator.{name} {value} -> {smaller}", **{name: smaller})


def _together(label: str, names: tuple[str, ...], lowest: int, divisors: tuple[int, ...], point: NetworkPoint) -> Steps:
    """Divide several parameters of the accelerator at once; none goes below the lowest value."""
    values = {name: getattr(point.accelerator, name) for name in names}
    for divisor in divisors:
        changes = {name: max(lowest, value // divisor) for name, value in values.items() if value > lowest}
        if len(changes) > 1:
            yield from _on(point, f"{label} / {divisor}", **changes)


def _counters(point: NetworkPoint) -> Steps:
    """Leave the counters out."""
    if point.accelerator.counters:
        yield from _on(point, "accelerator.counters true -> false", counters=False)


NETWORK: tuple[Reduction, ...] = (
    _sentence,
    *(partial(_sketch, name) for name in SKETCH_ORDER),
    partial(_numbers, "ids"),
    partial(_numbers, "types"),
    _ideal,
    *(partial(_memory, name) for name in asdict(IDEAL)),
)
"""What needs no other hardware."""

ACCELERATOR: tuple[Reduction, ...] = (
    *(partial(_parameter, name) for name in ARRAY),
    partial(_together, "all queues", QUEUES, 1, (256,)),
    *(partial(_parameter, name) for name in QUEUES),
    partial(_together, "lines of all buffers", LINES, 2, (64, 16, *DIVISORS)),
    *(partial(_parameter, name) for name in (*LINES, *OTHERS)),
    _counters,
)
"""What needs a build each: the array and the lanes, the queues, the buffers, the rest."""

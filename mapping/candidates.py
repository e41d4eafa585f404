"""Which tilings are worth a look: a bounded list for a layer, the most promising first by a rough estimate of cycles.

The estimate only ranks and is never reported: the mapper judges with the exact timing model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mapping.errors import MappingError
from mapping.geometry import MAX_FIELD, Geometry, ceil_div
from mapping.rings import MAX_SLOTS
from mapping.tiling import Cuts, Tiling, activation_ring, cut, weight_ring
from sim.memory import MemoryProfile


@dataclass(frozen=True, order=True)
class Candidate:
    """A legal tiling with its estimated cycles and number of instructions; sorts by the estimate."""

    cycles: int
    instructions: int
    tiling: Tiling


def candidates(geometry: Geometry, profile: MemoryProfile) -> list[Candidate]:
    """Return legal tilings, the most promising first; raise MappingError if there is none."""
    found: dict[tuple[Cuts, int, int], Candidate] = {}
    reasons: list[str] = []
    costs = _Costs.of(geometry, profile)
    for tiling in dict.fromkeys(_tilings(geometry, costs)):
        try:
            cuts = cut(geometry, tiling)
        except MappingError as error:
            reasons.append(str(error))
            continue
        same = cuts, tiling.first_groups, tiling.wide_groups if len(cuts.panels) > 2 else 0
        if same not in found:
            found[same] = _estimate(geometry, costs, tiling, cuts)
    if not found:
        raise MappingError(f"layer: must have a legal tiling on {geometry.accelerator.name}, but {reasons[-1]}")
    return sorted(found.values())


def _tilings(geometry: Geometry, costs: _Costs) -> Iterator[Tiling]:
    """Yield tilings, not all of them legal."""
    lookahead = geometry.accelerator.queue_depth
    for part in _part_sizes(geometry):
        whole = part == geometry.lines
        for panel in _panel_sizes(geometry, part) if whole else [1]:
            for step in _step_sizes(geometry, part) if whole else [1]:
                for chunk in _chunk_sizes(geometry, panel):
                    for block in _block_sizes(geometry, part, step, chunk, panel):
                        tiling = Tiling(step, step, step, block, panel, part, chunk, lookahead)
                        yield tiling
                        if whole and block >= geometry.row_groups > step:
                            yield from _widened(geometry, tiling, costs)


def _widened(geometry: Geometry, tiling: Tiling, costs: _Costs) -> Iterator[Tiling]:
    """Yield tilings with other steps in the panels before the last, for layers of which all rows are there at once."""
    step, groups = tiling.step_groups, geometry.row_groups
    growth = int(4 * groups * costs.tile / costs.column_group)
    for first in sorted({step, 2 * step, 4 * step}):
        wide = replace(tiling, first_groups=first, wide_groups=groups // step * step)
        yield wide
        if tiling.panel_groups > 1:
            yield replace(wide, ramp=max(5, min(8, growth)))


def _part_sizes(geometry: Geometry) -> list[int]:
    """Return the whole row where every buffer and operand holds it; else the largest part, and half of it."""
    accelerator = geometry.accelerator
    beats, words = MAX_FIELD // accelerator.line_beats, MAX_FIELD // accelerator.line_words
    largest = min(geometry.lines, accelerator.activation_lines, accelerator.weight_lines, beats, words)
    if largest == geometry.lines:
        return [largest]
    return sorted({largest, ceil_div(largest, 2), ceil_div(geometry.lines, ceil_div(geometry.lines, largest))})


def _panel_sizes(geometry: Geometry, part: int) -> list[int]:
    """Return panels around the balance: one row group's work on a panel lasts as long as loading a row group."""
    accelerator = geometry.accelerator
    most = min(geometry.column_groups, accelerator.weight_lines // part, accelerator.threshold_lines)
    row_group = accelerator.rows * geometry.lines * accelerator.line_beats
    balance = ceil_div(row_group, max(geometry.words, ceil_div(accelerator.rows, accelerator.drain_rows)))
    sizes = {1, most // 2, most // 3, most, *(ceil_div(balance * quarters, 4) for quarters in (2, 4, 5, 6, 8, 12, 16))}
    return sorted({min(max(size, 1), most) for size in sizes})


def _step_sizes(geometry: Geometry, part: int) -> list[int]:
    most = min(geometry.row_groups, geometry.accelerator.activation_lines // part)
    sizes = {1, 2, 4, most // 4, most // 2, most}
    return sorted({size for size in sizes if 1 <= size <= most})


def _chunk_sizes(geometry: Geometry, panel: int) -> list[int]:
    """Return the whole row, and chunks of whole lines up to half the output buffer, in panels."""
    accelerator = geometry.accelerator
    groups, line = geometry.column_groups, accelerator.output_line_groups
    unit = line // math.gcd(panel, line)
    lines_of_unit = unit * panel // line
    fit = max(1, accelerator.output_lines // 2 // lines_of_unit)
    return sorted({min(unit * count, groups) for count in (1, fit)} | {groups}, reverse=True)


def _block_sizes(geometry: Geometry, part: int, step: int, chunk: int, panel: int) -> list[int]:
    """Return all row groups, as many as the activation buffer holds, and as many as the output buffer holds."""
    accelerator, groups = geometry.accelerator, geometry.row_groups
    held = min(accelerator.activation_lines // (part * ceil_div(geometry.lines, part)), MAX_SLOTS * step)
    columns = min(chunk * panel, geometry.column_groups)
    open_rows = accelerator.output_lines // ceil_div(columns, accelerator.output_line_groups)
    sizes = set()
    for most in (groups, held, held - step, open_rows, min(held, open_rows), open_rows // 2):
        steps = max(1, min(most, groups) // step)
        even = ceil_div(groups, ceil_div(groups, steps * step))
        sizes.add(min(steps * step, ceil_div(even, step) * step))
    return sorted(sizes, reverse=True)


# --- the estimate ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Costs:
    """Cycles of the pieces that an estimate is made of."""

    beat: float
    row_group: float
    column_group: float
    tile: int
    fetch: float
    fetch_reads: float
    response: int

    @classmethod
    def of(cls, geometry: Geometry, profile: MemoryProfile) -> _Costs:
        accelerator = geometry.accelerator
        burst, latency = accelerator.burst_beats, profile.latency + profile.jitter // 2 + 4
        beat = max(profile.interval, (latency + burst) / accelerator.reads_in_flight / burst)
        row = geometry.lines * accelerator.line_beats * beat
        fetch = latency + accelerator.instruction_beats
        return cls(
            beat,
            accelerator.rows * row,
            accelerator.columns * row,
            max(geometry.words, ceil_div(accelerator.rows, accelerator.drain_rows)),
            fetch / accelerator.fetch_depth,
            max(accelerator.instruction_beats, fetch / accelerator.reads_in_flight),
            profile.write_latency + 4,
        )


def _stored_row(geometry: Geometry, costs: _Costs, cuts: Cuts) -> float:
    """Return the cycles that storing one row takes."""
    accelerator = geometry.accelerator
    beats = ceil_div(geometry.output_lines, len(cuts.chunks)) * accelerator.output_line_beats
    bursts = ceil_div(beats, accelerator.burst_beats)
    waiting = bursts * (costs.response + min(beats, accelerator.burst_beats)) / accelerator.writes_in_flight
    return len(cuts.chunks) * max(beats, waiting)


def _estimate(geometry: Geometry, costs: _Costs, tiling: Tiling, cuts: Cuts) -> Candidate:
    """Follow the first block to its second panel; then the slowest of array, loads, fetch and stores decides."""
    loaded = _Loaded.of(geometry, cuts)
    steps, stores = _step_count(tiling, cuts), len(cuts.steps) * len(cuts.chunks)
    instructions = (len(cuts.parts) + 1) * steps + loaded.items + stores + 1
    work = geometry.row_groups * geometry.column_groups * (costs.tile + len(cuts.parts) - 1)
    before, done = _beginning(geometry, tiling, cuts, costs)
    activations, weights = loaded.activations * costs.row_group, loaded.weights * costs.column_group
    rest = before + work - done + loaded.serial_activations * activations + loaded.serial_weights * weights
    stored = _stored_row(geometry, costs, cuts)
    reads = activations + weights + instructions * costs.fetch_reads
    slowest = max(rest, reads, instructions * costs.fetch, geometry.rows * stored)
    step, last = tiling.step_groups, cuts.panels[-1][1] - cuts.panels[-1][0]
    store = min(step * geometry.accelerator.rows, geometry.rows) * stored / len(cuts.chunks)
    behind = (cuts.blocks[-1][1] - cuts.blocks[-1][0] - 1) * (store - step * last * costs.tile)
    return Candidate(int(slowest + store + max(0, behind)), instructions, tiling)


def _beginning(geometry: Geometry, tiling: Tiling, cuts: Cuts, costs: _Costs) -> tuple[float, float]:
    """Return when the second panel can begin, and the array's work by then, in cycles."""
    widths = [high - low for low, high in cuts.panels]
    rows, step = min(tiling.block_groups, geometry.row_groups), min(tiling.first_groups, geometry.row_groups)
    start = widths[0] * costs.column_group + step * costs.row_group
    arrived = start + (rows - step) * (costs.row_group + 3 * costs.fetch_reads / step)
    done = rows * widths[0] * costs.tile
    ended = max(start + done, arrived + step * widths[0] * costs.tile)
    if len(widths) > 1:
        ended = max(ended, arrived + widths[1] * costs.column_group)
    return ended, done


@dataclass(frozen=True)
class _Loaded:
    """What a tiling loads: row groups and column groups, repetitions counted, and the number of loads.

    The serial ones have no second slot to arrive in while the first is used.
    """

    activations: int
    weights: int
    items: int
    serial_activations: bool
    serial_weights: bool

    @classmethod
    def of(cls, geometry: Geometry, cuts: Cuts) -> _Loaded:
        rows, columns = activation_ring(geometry, cuts), weight_ring(geometry, cuts)
        parts, steps, panels = len(cuts.parts), len(cuts.steps), len(cuts.panels)
        deepest = max(stop - start for start, stop in cuts.blocks)
        row_repeats = 1 if rows.resident or deepest * parts <= rows.slots else panels
        column_repeats = 1 if columns.resident else steps if parts > columns.slots else len(cuts.blocks)
        return cls(
            geometry.row_groups * row_repeats,
            geometry.column_groups * column_repeats,
            parts * (steps * row_repeats + panels * column_repeats) + len(cuts.thresholds),
            rows.slots == 1 and steps * parts > 1,
            columns.slots == 1 and panels * parts > 1,
        )


def _step_count(tiling: Tiling, cuts: Cuts) -> int:
    steps, inner = len(cuts.steps), max(0, len(cuts.panels) - 2)
    first = ceil_div(steps, tiling.first_groups // tiling.step_groups) if len(cuts.panels) > 1 else 0
    return steps + first + inner * ceil_div(steps, tiling.wide_groups // tiling.step_groups)

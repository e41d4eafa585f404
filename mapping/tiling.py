"""Tilings: how the tiles of a layer are grouped into steps, panels, blocks, parts and chunks, and which groupings fit.

| word | meaning |
|---|---|
| step | one MATMUL and its BINARIZE: the row groups of a step times the column groups of a panel |
| panel | column groups whose weights are loaded together |
| block | the row groups that use a panel one after the other before the next panel |
| part | a piece of K, where the buffers do not hold a whole row; then a step is one tile |
| chunk | the panels whose outputs are stored together: one piece of an output row, or all of it |

The loops are, from outside: block, panel, step of the block, part.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from mapping.errors import MappingError
from mapping.geometry import MAX_FIELD, Geometry, ceil_div
from mapping.rings import Ring

MAX_LOOKAHEAD = 128
"""More loads than this under way could give a token counter more than it holds."""

Span = tuple[int, int]


@dataclass(frozen=True, order=True)
class Tiling:
    """One way to cut a layer.

    A step has `first_groups` row groups in the first panel of a block, where it follows the arriving activations,
    `step_groups` in the last, where it hands complete rows to the stores, and `wide_groups` between. `ramp`, if not 0,
    puts small panels behind the first, which are there soon after the activations: one column group, then each time
    ramp / 4 times as many. `lookahead` is the number of loads that may stand in the program before a step that does not
    need them yet.
    """

    step_groups: int
    first_groups: int
    wide_groups: int
    block_groups: int
    panel_groups: int
    part_lines: int
    chunk_panels: int
    lookahead: int
    ramp: int = 0


@dataclass(frozen=True)
class Cuts:
    """The pieces that a tiling makes of a layer, in order, and the rings that hold them."""

    blocks: tuple[Span, ...]
    steps: tuple[Span, ...]
    panels: tuple[Span, ...]
    parts: tuple[Span, ...]
    chunks: tuple[Span, ...]
    thresholds: tuple[Span, ...]

    def columns_of(self, panels: Span) -> Span:
        """Return the column groups of consecutive panels."""
        return self.panels[panels[0]][0], self.panels[panels[1] - 1][1]


def spans(start: int, stop: int, size: int) -> list[Span]:
    """Cut start .. stop into pieces of a size, the last one smaller where it does not divide."""
    return [(low, min(low + size, stop)) for low in range(start, stop, size)]


def cut(geometry: Geometry, tiling: Tiling) -> Cuts:
    """Return the pieces of a layer, or raise MappingError where the tiling is not legal for it."""
    _check_sizes(geometry, tiling)
    panels = _panels(geometry.column_groups, tiling)
    chunks = spans(0, len(panels), tiling.chunk_panels)
    blocks: list[Span] = []
    steps: list[Span] = []
    for low, high in spans(0, geometry.row_groups, tiling.block_groups):
        inside = spans(low, high, tiling.step_groups)
        blocks.append((len(steps), len(steps) + len(inside)))
        steps += inside
    cuts = Cuts(
        tuple(blocks),
        tuple(steps),
        tuple(panels),
        tuple(spans(0, geometry.lines, tiling.part_lines)),
        tuple(chunks),
        tuple(_threshold_items(geometry, tiling, panels)),
    )
    _check_outputs(geometry, tiling, cuts)
    return cuts


def legal(geometry: Geometry, tiling: Tiling) -> bool:
    """Say whether a tiling is legal for a layer."""
    try:
        cut(geometry, tiling)
    except MappingError:
        return False
    return True


def activation_ring(geometry: Geometry, cuts: Cuts) -> Ring:
    """Return the ring of the activation buffer: item step * parts + part."""
    sizes = [(high - low) * (stop - start) for low, high in cuts.steps for start, stop in cuts.parts]
    return Ring(sizes, geometry.accelerator.activation_lines)


def weight_ring(geometry: Geometry, cuts: Cuts) -> Ring:
    """Return the ring of the weight buffer: item panel * parts + part."""
    sizes = [(high - low) * (stop - start) for low, high in cuts.panels for start, stop in cuts.parts]
    return Ring(sizes, geometry.accelerator.weight_lines)


def threshold_ring(geometry: Geometry, cuts: Cuts) -> Ring:
    """Return the ring of the threshold buffer: an item for each entry of `thresholds`."""
    sizes = [high - low for low, high in map(cuts.columns_of, cuts.thresholds)]
    return Ring(sizes, geometry.accelerator.threshold_lines)


def output_ring(geometry: Geometry, cuts: Cuts) -> Ring:
    """Return the ring of the output buffer: item chunk * steps + step."""
    lines = [chunk_lines(geometry, cuts, chunk) for chunk in cuts.chunks]
    sizes = [(high - low) * count for count in lines for low, high in cuts.steps]
    return Ring(sizes, geometry.accelerator.output_lines)


def chunk_lines(geometry: Geometry, cuts: Cuts, chunk: Span) -> int:
    """Return the output lines of one row of a chunk."""
    low, high = cuts.columns_of(chunk)
    return ceil_div(high - low, geometry.accelerator.output_line_groups)


def _panels(groups: int, tiling: Tiling) -> list[Span]:
    """Cut the column groups into panels; with a ramp the remainder is one of the small ones."""
    size = tiling.panel_groups
    if not tiling.ramp:
        return spans(0, groups, size)
    sizes = [min(size, groups)]
    grown = 1
    while grown < size and sum(sizes) + grown <= groups:
        sizes.append(grown)
        grown = max(grown + 1, grown * tiling.ramp // 4)
    whole, rest = divmod(groups - sum(sizes), size)
    ramp = sorted([*sizes[1:], rest]) if rest else sizes[1:]
    ends = [0]
    for piece in [sizes[0], *ramp, *[size] * whole]:
        ends.append(ends[-1] + piece)
    return list(pairwise(ends))


def _threshold_items(geometry: Geometry, tiling: Tiling, panels: list[Span]) -> list[Span]:
    """Return the panels whose thresholds are loaded together: few at first, then more, up to half the buffer."""
    lines = geometry.accelerator.threshold_lines
    most = len(panels) if geometry.column_groups <= lines else max(1, lines // 2 // tiling.panel_groups)
    items: list[Span] = []
    start, size = 0, 1
    while start < len(panels):
        items.append((start, min(start + size, len(panels))))
        start, size = start + size, min(2 * size, most)
    return items


def _check_sizes(geometry: Geometry, tiling: Tiling) -> None:
    accelerator = geometry.accelerator
    step, panel, part = tiling.step_groups, tiling.panel_groups, tiling.part_lines
    _expect("part_lines", part, 1, geometry.lines)
    _expect("part_lines in beats", part * accelerator.line_beats, 1, MAX_FIELD)
    _expect("part_lines in words", part * accelerator.line_words, 1, MAX_FIELD)
    most_step, most_panel = (geometry.row_groups, geometry.column_groups) if part == geometry.lines else (1, 1)
    _expect("step_groups", step, 1, most_step)
    _expect("panel_groups", panel, 1, most_panel)
    _expect("panel_groups in channels", panel * accelerator.columns, 1, MAX_FIELD)
    for name, size in (("first_groups", tiling.first_groups), ("wide_groups", tiling.wide_groups)):
        _expect(name, size, step, most_step)
        _expect(f"{name} in rows", size * accelerator.rows, 1, MAX_FIELD)
        if size % step:
            raise MappingError(f"tiling: {name} must be a multiple of step_groups ({step}), not {size}")
    _expect("ramp", tiling.ramp, 0, 4 * panel)
    _expect("block_groups", tiling.block_groups, step, max(geometry.row_groups, step))
    _expect("chunk_panels", tiling.chunk_panels, 1, geometry.column_groups)
    _expect("step_groups x part_lines", step * part, 1, accelerator.activation_lines)
    _expect("panel_groups x part_lines", panel * part, 1, accelerator.weight_lines)
    _expect("panel_groups", panel, 1, accelerator.threshold_lines)
    _expect("lookahead", tiling.lookahead, 0, MAX_LOOKAHEAD)


def _check_outputs(geometry: Geometry, tiling: Tiling, cuts: Cuts) -> None:
    accelerator = geometry.accelerator
    for chunk in cuts.chunks:
        low, high = cuts.columns_of(chunk)
        if low % accelerator.output_line_groups:
            raise MappingError(f"tiling: chunks must start at whole output lines, not at column group {low}")
        _expect("chunk in column groups", high - low, 1, MAX_FIELD)
    longest = max(chunk_lines(geometry, cuts, chunk) for chunk in cuts.chunks)
    _expect("chunk_panels in beats", longest * accelerator.output_line_beats, 1, MAX_FIELD)
    _expect("step_groups x output lines of a chunk", tiling.step_groups * longest, 1, accelerator.output_lines)
    ring = output_ring(geometry, cuts)
    largest = max(tiling.first_groups, tiling.wide_groups)
    if largest > tiling.step_groups and not (ring.resident and activation_ring(geometry, cuts).resident):
        raise MappingError(
            f"tiling: first_groups and wide_groups must be step_groups ({tiling.step_groups}) "
            f"where activations or outputs do not all fit, not {largest}"
        )
    if tiling.chunk_panels > 1 and len(cuts.panels) > 1 and not ring.resident:
        deepest = max(stop - start for start, stop in cuts.blocks)
        _expect("steps of a block with open output chunks", deepest, 1, ring.slots)


def _expect(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise MappingError(f"tiling: {what} must be from {low} to {high}, not {value}")

"""Codes as they are, at another place: products with a selection of channels, of which every sum is one bit.

The array and BINARIZE put bits where nothing else can: codes of several bits, plane by plane, into the key buffer or
turned round, heads to lines of their own, and values that are concatenated behind each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hw.isa import Opcode
from mapping.whole.context import Context, Stored
from mapping.whole.operands import Target, heads_of, operand_key, target_of
from mapping.whole.parameters import Packing
from mapping.whole.products import Panel, bits_of
from mapping.whole.rows import codes_of
from mapping.whole.work import Datum, Parcel

if TYPE_CHECKING:
    from mapping.whole.emitter import Emitter


class Copy:
    """One plane of codes: for each head where they stand and the channels of them that it takes."""

    def __init__(self, c: Context, o: Any, heads: list[tuple[Stored, np.ndarray]], plane: int) -> None:
        self._c, self._heads, self._plane = c, heads, plane
        a = c.accelerator
        step = max(1, min(a.line_groups, a.threshold_lines))
        self.panels: list[Panel] = []
        for head, (_, channels) in enumerate(heads):
            groups = c.groups(channels)
            starts = range(0, len(groups), step)
            self.panels += [Panel(tuple(groups[start : start + step]), start, head) for start in starts]
        c.check_sums(o, 2 * max(self._positions(panel)[-1] for panel in self.panels) * a.line_bits)

    def left(self, tile: int, panel: Panel) -> Datum:
        """Return the codes of a row tile that a panel is selected of."""
        return self._heads[panel.head][0].data[tile]

    def weights(self, panel: Panel) -> Parcel:
        """Return a selection; panels that select in the same way share it."""
        positions, _, lines = self._positions(panel)
        return self._c.parameters.once(
            ("selection", lines, positions.tobytes()), lambda: self._c.parameters.selection(positions, lines)
        )

    def thresholds(self, _o: Any, panel: Panel) -> Parcel:
        """Return thresholds of one for as many columns as a panel has."""
        count = len(panel.groups)
        groups = self._c.groups(np.arange(count * self._c.accelerator.columns))
        ones = np.ones(count * self._c.accelerator.columns, np.int64)
        return self._c.parameters.once(
            ("ones", count), lambda: self._c.parameters.thresholds(f"ones[{count}]", ones, 0 * ones, groups)
        )

    def matmul(self, e: Emitter, tile: int, rows: int, panel: Panel) -> None:
        """Add the MATMUL."""
        _, first, lines = self._positions(panel)
        stored, weights = self._heads[panel.head][0], self.weights(panel)
        line = stored.data[tile].line + self._plane * stored.plane_lines + first
        e.add(
            Opcode.MATMUL,
            {"unsigned": 1, "plain": 1, "first": 1, "handover": 1, "activation_line": line, "pad": 0, "rows": rows}
            | {"weight_line": weights.line, "words": lines * self._c.accelerator.line_words}
            | {"column_groups": len(panel.groups), "activation_stride": 0, "weight_stride": lines},
            [("activation", line, lines), ("weight", weights.line, len(panel.groups) * lines)],
        )

    def cycles(self, rows: int, panel: Panel) -> int:
        """About how long a tile of a panel takes."""
        lines, drain = self._positions(panel)[-1], -(-rows // self._c.accelerator.drain_rows)
        return len(panel.groups) * max(lines * self._c.accelerator.line_words, drain)

    def _positions(self, panel: Panel) -> tuple[np.ndarray, int, int]:
        """Return the bit of each column, -1 for none, from the first line that holds one; that line; how many lines."""
        line_bits, channels = self._c.accelerator.line_bits, np.concatenate(panel.groups)
        at = self._heads[panel.head][0].packing.positions()[channels]
        there = at[channels >= 0]
        first, last = int(there.min()) // line_bits, int(there.max()) // line_bits
        return np.where(channels >= 0, at - first * line_bits, -1), first, last - first + 1


def operand_of(c: Context, reader: Any, name: str) -> Stored:
    """Return an operand of attention as it stands for its reader, copied there if no product has written it there."""
    key = operand_key(c, name, reader)
    if key not in c.stored:
        flat, (heads, width) = c.stored[name, "flat"], heads_of(c, reader)
        target = target_of(c, name, reader)
        parts = [(flat, np.arange(head * width, (head + 1) * width)) for head in range(heads)]
        for plane in range(c.value(name).bits):
            bits_of(c, Copy(c, reader, parts, plane), c.operations[name], target, plane)
    return c.stored[key]


def concatenate(c: Context, o: Any) -> None:
    """`concatenate`: each source from a line of its own on."""
    widths = {c.value(source).channels for source in o.sources}
    if len(widths) > 1:
        raise c.refuse(o, f"all sources must have the same channels here, not {sorted(widths)}")
    (width,), count, lines = widths, len(o.sources), c.parameters.lines_of(*widths)
    stored = codes_of(c, o.name, Packing(count, width, lines * c.accelerator.line_bits))
    target = Target("flat", tuple(d for d in stored.data for _ in range(count)), lines, stored.plane_lines)
    parts = [(c.stored[source, "flat"], np.arange(width)) for source in o.sources]
    for plane in range(c.value(o.name).bits):
        bits_of(c, Copy(c, o, parts, plane), o, target, plane)

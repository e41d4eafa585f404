"""A picture of an accelerator: its units and buffers with their sizes, and the ways between them."""

from __future__ import annotations

import io
from typing import Any

from hw.arch import Accelerator
from tallybert.machine_graph import BUFFER, MEMORY, UNIT, machine_graph

WIDTH, HEIGHT = 3.1, 0.86
"""Of a box, in units of the grid below."""

_PLACES = {
    "sequencer": (0, 0.6),
    "load": (0, 2.7),
    "memory": (0, 4.8),
    "store": (0, 6.9),
    "activation": (4, 0),
    "weight": (4, 1.2),
    "threshold": (4, 2.4),
    "table": (4, 3.6),
    "token": (4, 4.8),
    "word": (4, 6.0),
    "embedding": (4, 7.2),
    "scale": (4, 8.4),
    "level": (4, 9.6),
    "array": (8, 0.6),
    "drain": (8, 2.4),
    "row": (8, 4.2),
    "vector": (8, 7.2),
    "key": (12, 0.6),
    "sums": (12, 2.1),
    "score": (12, 3.6),
    "output": (12, 5.4),
    "fixed": (12, 7.2),
}
_COLOURS = {MEMORY: "#d9d9d9", UNIT: "#a6cee3", BUFFER: "#fdf3d0"}
_WAYS = {"load": "#33a02c", "drain": "#1f78b4", "vector": "#e31a1c", "row": "#6a3d9a"}
"""Colours of what a unit writes; what is read is grey."""


def draw_machine(accelerator: Accelerator, form: str) -> bytes:
    """Return a picture as svg, png or pdf: the same bytes for the same accelerator."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    graph = machine_graph(accelerator)
    figure = Figure(figsize=(13, 9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(-WIDTH / 2 - 0.8, 12 + WIDTH / 2 + 0.5)
    axes.set_ylim(10.4, -0.8)
    for start, end in graph.edges:
        _way(axes, start, end)
    for name, facts in graph.nodes.items():
        _box(axes, name, facts)
    held = sum(facts["bits"] for facts in graph.nodes.values())
    title = f"{accelerator.name}: {accelerator.lanes:,} binary lanes, {held / 8192:,.0f} KiB in buffers"
    axes.set_title(f"{title}, {accelerator.clock_mhz} MHz as the target", parse_math=False, fontsize=13)
    for place, (name, colour) in enumerate([*_WAYS.items(), ("", "#888888")]):
        text = f"what {name.upper()} writes" if name else "what is read"
        axes.text(6.4 + 2.5 * (place % 3), 9.2 + 0.5 * (place // 3), f"\u2192 {text}", color=colour, fontsize=9)
    picture = io.BytesIO()
    nothing = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
    with matplotlib.rc_context({"svg.hashsalt": accelerator.name, "svg.fonttype": "none"}):
        figure.savefig(picture, format=form, metadata=nothing[form], dpi=110)
    return picture.getvalue()


def _box(axes: Any, name: str, facts: dict[str, Any]) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = _PLACES[name]
    style = "round,pad=0.02" if facts["kind"] == BUFFER else "round,pad=0.02,rounding_size=0.25"
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    fill = _COLOURS[facts["kind"]]
    axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle=style, facecolor=fill, edgecolor="#444444", zorder=3))
    title = name.upper() if facts["kind"] == UNIT else name
    axes.text(x, y - 0.16, title, ha="center", va="center", fontsize=10, weight="bold", zorder=4)
    axes.text(x, y + 0.2, facts["text"], ha="center", va="center", fontsize=7.5, zorder=4)


def _way(axes: Any, start: str, end: str) -> None:
    """Draw an arrow between the sides of two boxes that face each other, or round both where they stand in a column."""
    from matplotlib.patches import FancyArrowPatch

    (x, y), (to_x, to_y) = _PLACES[start], _PLACES[end]
    side = (to_x > x) - (to_x < x)
    reach = WIDTH / 2 + 0.06
    if side:
        begin, stop, bend = (x + side * reach, y), (to_x - side * reach, to_y), 0.0
    else:
        down = 1 if to_y > y else -1
        begin, stop, bend = (x, y + down * HEIGHT / 2), (to_x, to_y - down * HEIGHT / 2), 0.0
        if abs(to_y - y) > 3:
            begin, stop, bend = (x - reach, y), (to_x - reach, to_y), down * 0.3
    writes = start in _WAYS
    axes.add_patch(
        FancyArrowPatch(
            begin,
            stop,
            arrowstyle="-|>",
            mutation_scale=11,
            connectionstyle=f"arc3,rad={bend}",
            color=_WAYS.get(start, "#888888"),
            linewidth=1.3 if writes else 0.9,
            zorder=2,
        )
    )

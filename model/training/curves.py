"""The curves of a run: losses and dev scores over its steps, stage after stage, as one picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def draw_curves(title: str, metric: str, records: Sequence[Record]) -> bytes:
    """Return a PNG of the metrics of a run: above the losses, below the dev scores, one colour for each stage."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    losses, scores = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    start = 0
    for number, (stage, rows) in enumerate(_stages(records).items()):
        colour = f"C{number % 10}"
        steps = [start + row["step"] for row in rows]
        losses.plot(steps, [row["total"] for row in rows], color=colour, label=stage)
        checks = [(start + row["step"], row["dev"]) for row in rows if "dev" in row]
        scores.plot(*zip(*checks, strict=True), color=colour, marker="o", markersize=3)
        best = max(checks, key=lambda check: check[1])
        scores.annotate(f"{best[1]:.3f}", best, fontsize=8, color=colour, textcoords="offset points", xytext=(3, 3))
        for axes in (losses, scores):
            axes.axvline(start, color="0.85", linewidth=0.8)
        start = steps[-1]
    losses.set_title(title, parse_math=False)
    losses.set_ylabel("loss, smoothed")
    if start:
        losses.legend(fontsize=8, ncols=2)
    scores.set(xlabel="steps of all stages", ylabel=f"dev {metric}")
    for axes in (losses, scores):
        axes.grid(alpha=0.25)
    picture = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _stages(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records of each stage that has a dev score, in the order in which the stages began."""
    stages: dict[str, list[Record]] = {}
    for record in records:
        stages.setdefault(record["stage"], []).append(record)
    return {name: rows for name, rows in stages.items() if any("dev" in row for row in rows)}

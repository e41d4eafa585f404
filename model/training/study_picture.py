"""The picture of a study: a dot for each seed, beside it the mean and its interval, one column for each variant."""

from __future__ import annotations

import io
from typing import Any


def draw_study(results: dict[str, Any]) -> bytes:
    """Return a PNG of the test figures of a study."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    variants = results["variants"]
    figure = Figure(figsize=(2.5 + 1.5 * max(2, len(variants)), 5), layout="constrained")
    axes = figure.subplots()
    for place, (name, found) in enumerate(variants.items()):
        colour, values = f"C{place % 10}", found["test"]["values"]
        spread = [place - 0.15 + 0.1 * (turn % 3 - 1) / 2 for turn in range(len(values))]
        axes.plot(spread, values, "o", color=colour, alpha=0.55, markersize=6, label=name)
        mean, interval = found["test"]["mean"], found["test"]["interval"] or [found["test"]["mean"]] * 2
        reach = [[mean - interval[0]], [interval[1] - mean]]
        axes.errorbar([place + 0.15], [mean], yerr=reach, fmt="s", color=colour, capsize=5, markersize=5)
        axes.annotate(f"{mean:.4f}", (place + 0.22, mean), fontsize=8, color=colour, va="center")
    axes.set_xticks(range(len(variants)), list(variants))
    axes.set_xlim(-0.6, len(variants) - 0.2)
    seeds = len(results["seeds"])
    axes.set_title(f"{results['study']} on {results['dataset']}, {seeds} seeds", parse_math=False)
    axes.set_ylabel(f"test {results['metric']}; squares: mean and 95 % interval over seeds", fontsize=9)
    axes.grid(alpha=0.25, axis="y")
    picture = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()

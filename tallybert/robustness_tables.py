"""Tables of the verb robustness for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tallybert.report import console


def show_robustness(report: dict[str, Any]) -> None:
    """Print one member against the ensemble, level by level."""
    out, seeds = console(), len(report["seeds"])
    where = f"{report['dataset']}, {report['split']}: {report['sentences']:,} sentences"
    caption = (
        f"Means over {seeds} seeds of the disturbance, after +- half of the 95 % interval of Student's t. member: the \
mean of {report['voters']}, each alone; ensemble: their {report['vote']} vote; all with floats, before the export."
    )
    table = Table(title=f"{report['run']} on {where}", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("disturbance", no_wrap=True)
    table.add_column("level", justify="right")
    for name in ("member", "ensemble", "ensemble - member"):
        table.add_column(name, justify="right")
    clean = report["clean"]
    gain = f"{clean['ensemble'] - clean['member']:+.4f}"
    table.add_row("none", "", f"{clean['member']:.4f}", f"{clean['ensemble']:.4f}", gain)
    for kind, sweep in report["sweeps"].items():
        for point in sweep["points"]:
            row = [_mean(point["member"]), _mean(point["ensemble"]), _mean(point["difference"], "+")]
            table.add_row(kind, f"{point['level']:g}", *row)
    out.print(table)
    for kind, sweep in report["sweeps"].items():
        out.print(f"{kind}: {sweep['what']}", markup=False, soft_wrap=True)
    if report["plot"] is not None:
        out.print(f"{report['plot']}: the same as a picture", markup=False, soft_wrap=True)


def _mean(found: dict[str, Any], sign: str = "") -> str:
    if found["interval"] is None:
        return f"{found['mean']:{sign}.4f}"
    reach = found["interval"][1] - found["mean"]
    return f"{found['mean']:{sign}.4f} +-{reach:.4f}"

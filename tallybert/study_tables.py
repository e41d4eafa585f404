"""Tables of a study for people: each variant over its seeds, and who beats whom."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tallybert.report import console

OTHERS = {"float": "the shape in full precision", "tfidf": "TF-IDF", "teacher": "the teacher"}
CAPTION = "Mean over the seeds, after +- half of the 95 % interval of Student's t, sd the deviation between seeds. \
train: processor seconds of a run's students, shared stages included as if made for it alone; teacher: the same \
for the teacher and what it says. of: a step, as floats, or the network, as integers."


def show_study(report: dict[str, Any]) -> None:
    """Print what came out of a study."""
    out = console()
    out.print(_variants(report))
    if any("prefixes" in found for found in report["variants"].values()):
        out.print(_ensembles(report))
    if any(found.get("beside") for found in report["variants"].values()):
        out.print(_beside(report))
    if report["compare"]:
        out.print(_pairs(report))
    out.print(f"{report['folder']}: results.json, study.png, runs/, store/", markup=False, soft_wrap=True)


def _variants(report: dict[str, Any]) -> Table:
    title = f"{report['study']} on {report['dataset']}: {report['metric']}, {len(report['seeds'])} seeds"
    table = Table(title=title, title_justify="left", caption=CAPTION, caption_justify="left")
    table.add_column("variant")
    for name in ("test", "sd", "dev", "train", "teacher"):
        table.add_column(name, justify="right")
    table.add_column("of")
    for name, found in report["variants"].items():
        deviation = found["test"]["deviation"]
        times = (f"{found[key]['mean']:,.1f} s" for key in ("seconds", "teacher_seconds"))
        values = (_mean(found["test"]), "" if deviation is None else f"{deviation:.4f}", f"{found['dev']['mean']:.4f}")
        table.add_row(name, *values, *times, _short(found["figure"]))
    return table


def _ensembles(report: dict[str, Any]) -> Table:
    table = Table(title="test by the first N members, as integers", title_justify="left")
    known = {name: found for name, found in report["variants"].items() if "prefixes" in found}
    longest = max(len(found["prefixes"]) for found in known.values())
    table.add_column("variant")
    for name in ("one member", *(f"N = {count}" for count in range(1, longest + 1)), "members that run"):
        table.add_column(name, justify="right")
    for name, found in known.items():
        prefixes = [f"{value['mean']:.4f}" for value in found["prefixes"]]
        prefixes += [""] * (longest - len(prefixes))
        table.add_row(
            name, f"{found['mean_member']['mean']:.4f}", *prefixes, f"{found['expected_members']['mean']:.2f}"
        )
    return table


def _beside(report: dict[str, Any]) -> Table:
    title = "test, the network beside other models, seed by seed: network - other"
    table = Table(title=title, title_justify="left")
    for name in ("variant", "other"):
        table.add_column(name)
    for name in ("of the other", "difference"):
        table.add_column(name, justify="right")
    for name, found in report["variants"].items():
        for other, figures in found.get("beside", {}).items():
            table.add_row(name, OTHERS[other], _mean(figures), _mean(figures["difference"], "+"))
    return table


def _pairs(report: dict[str, Any]) -> Table:
    table = Table(title="test, seed by seed: first - second", title_justify="left")
    table.add_column("first")
    table.add_column("second")
    for name in ("difference", "seeds that agree", "dev"):
        table.add_column(name, justify="right")
    table.add_column("")
    for pair in report["compare"]:
        agree = f"{pair['agree']} of {pair['seeds']}"
        table.add_row(
            pair["first"], pair["second"], _mean(pair, "+"), agree, f"{pair['dev']['mean']:+.4f}", _verdict(pair)
        )
    return table


def _verdict(pair: dict[str, Any]) -> str:
    """Say what the interval of a difference shows."""
    if pair["interval"] is None:
        return "one seed"
    low, high = pair["interval"]
    if low <= 0 <= high:
        return "may be luck" if any(pair["values"]) else "equal"
    return f"{pair['first'] if low > 0 else pair['second']} is better"


def _short(figure: str) -> str:
    return figure.removeprefix("floats of step ").removeprefix("integers of the ")


def _mean(found: dict[str, Any], sign: str = "") -> str:
    mean = f"{found['mean']:{sign}.4f}"
    return mean if found["interval"] is None else f"{mean} +-{found['interval'][1] - found['mean']:.4f}"

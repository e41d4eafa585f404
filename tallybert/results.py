"""Tables of training and evaluation for people: what the network gets right, beside what it must be measured by."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tallybert.report import Row, console, facts

_NAMES = {"mcc": "correlation of Matthews", "f1": "F1", "macro_f1": "macro F1"}


def show_training(report: dict[str, Any]) -> None:
    """Print what came out of a training run."""
    if "stop" in report:
        _show_step(report)
        return
    rows = [
        *_own_rows(report),
        *_reference_rows(report, report, "of this run"),
        ("size", _size(report["size_bits"]), _parts(report["size_bits"])),
    ]
    out = console()
    out.print(facts(f"{report['recipe']} on {report['dataset']}: {report['examples']:,} test sentences", rows))
    out.print(f"{report['network']}: the network", markup=False, soft_wrap=True)
    out.print(f"{report['folder']}: curves.png, metrics.jsonl, report.json", markup=False, soft_wrap=True)


def _show_step(report: dict[str, Any]) -> None:
    """Print what came out of a run that stops at a step of its chain."""
    rows = [
        (_metric(report), f"{report['accuracy']:.4f}", f"of the floats of {report['precision']}, on test"),
        ("dev", f"{report['dev_accuracy']:.4f}", "the same, on dev"),
        *_recorded_references(report, "of this run"),
    ]
    out = console()
    title = (
        f"{report['recipe']} on {report['dataset']}, as far as {report['stop']}: {report['examples']:,} test sentences"
    )
    out.print(facts(title, rows))
    out.print(f"{report['folder']}: stages/, curves.png, metrics.jsonl, report.json", markup=False, soft_wrap=True)


def show_evaluation(report: dict[str, Any]) -> None:
    """Print what a network gets right."""
    same = "recorded at training"
    other = "recorded at training, on other data than this"
    rows = [
        *_own_rows(report),
        *_prefix_rows(report),
        *_reference_rows(report, report["recorded"], same if report["recorded_on_this_data"] else other),
        *_recorded_rows(report, same if report["recorded_on_this_data"] else other),
        ("size", _size(report["size_bits"]), _parts(report["size_bits"])),
    ]
    title = f"{report['network']} on {report['dataset']}: {report['examples']:,} sentences of {report['split']}"
    console().print(facts(title, rows))


def show_export(report: dict[str, Any]) -> None:
    """Print what a network that was exported again gets right."""
    rows = [
        *_own_rows(report),
        ("vote", report["vote"], ""),
        ("size", _size(report["size_bits"]), _parts(report["size_bits"])),
    ]
    console().print(facts(f"{report['network']} from {report['run']}", rows))


def show_text(report: dict[str, Any]) -> None:
    """Print what a network says of one text, member by member."""
    out = console()
    answer = report["score"] if report["class"] is None else report["label"] or f"class {report['class']}"
    cut = " (the rest is cut off)" if report["cut"] else ""
    out.print(f"{answer}", markup=False, soft_wrap=True)
    table = Table(title=f"{report['pieces']} word pieces{cut}", title_justify="left")
    table.add_column("member")
    names = report["labels"] or [str(index) for index in range(len(report["totals"]))]
    for name in names:
        table.add_column(f"logit {name}", justify="right")
    for name in names:
        table.add_column(f"vote {name}", justify="right")
    for member in report["members"]:
        table.add_row(member["name"], *map(str, (*member["logits"], *member["contribution"])))
    table.add_row("total", *([""] * len(names)), *map(str, report["totals"]), style="bold")
    out.print(table)
    count = len(report["members"])
    out.print(f"decided after {report['members_run']} of {count} members", markup=False)


def show_models(report: dict[str, Any]) -> None:
    """Print the networks that come with the package."""
    out = console()
    if not report["models"]:
        out.print("no network comes with this version; train one: tallybert train --config ci", soft_wrap=True)
        return
    table = Table(title="networks that come with the package", title_justify="left")
    for name in ("name", "data set", "members", "shape", "size", "accuracy (recorded)"):
        table.add_column(name)
    for model in report["models"]:
        accuracy = "" if model["accuracy"] is None else f"{model['accuracy']:.4f}"
        size = f"{model['bytes']:,} bytes"
        known = (model["dataset"] or "", str(model["members"]), model["shape"] or "")
        table.add_row(model["name"], *known, size, accuracy)
    out.print(table)


def _own_rows(report: dict[str, Any]) -> list[Row]:
    low, high = report["interval"]
    members = report["members"]
    rows = [
        (_metric(report), f"{report['accuracy']:.4f}", f"of the integers; 95 %: {low:.4f} to {high:.4f}"),
        ("members", str(members), ", ".join(f"{value:.4f}" for value in report["member_accuracy"])),
    ]
    if members > 1:
        rows.append(("members that run", f"{report['expected_members']:.3f}", "until the class is certain, on average"))
    if report["majority_accuracy"] is not None:
        rows.append(("most frequent class", f"{report['majority_accuracy']:.4f}", "what always saying it would get"))
    return rows


def _prefix_rows(report: dict[str, Any]) -> list[Row]:
    values = list(enumerate(report["prefix_accuracy"], 1))[:-1]
    return [(f"first {count}", f"{value:.4f}", "members alone") for count, value in values]


def _reference_rows(report: dict[str, Any], known: dict[str, Any], source: str) -> list[Row]:
    words = report["tfidf_accuracy"]
    fitted = "nothing to fit on"
    if words is not None:
        low, high = report["tfidf_difference_interval"]
        difference = f"the network is {report['tfidf_difference']:+.4f}; 95 %: {low:+.4f} to {high:+.4f}"
        fitted = f"TF-IDF and a linear model; {difference}"
    return [
        ("words alone", "none" if words is None else f"{words:.4f}", fitted),
        *_recorded_references(known, source),
    ]


def _recorded_references(known: dict[str, Any], source: str) -> list[Row]:
    rows = []
    for key, name in (("float_accuracy", "full precision"), ("teacher_accuracy", "teacher")):
        value = known.get(key)
        rows.append((name, "none" if value is None else f"{value:.4f}", "" if value is None else source))
    return rows


def _recorded_rows(report: dict[str, Any], source: str) -> list[Row]:
    value = report["recorded"].get("accuracy")
    return [] if value is None else [("accuracy", f"{value:.4f}", source)]


def _metric(report: dict[str, Any]) -> str:
    name = str(report["metric"])
    return _NAMES.get(name, name)


def _size(parts: dict[str, int]) -> str:
    return f"{sum(parts.values()) / 8192:,.1f} KiB"


def _parts(parts: dict[str, int]) -> str:
    largest = sorted(parts.items(), key=lambda part: -part[1])[:3]
    return ", ".join(f"{name} {bits / 8192:,.1f}" for name, bits in largest)

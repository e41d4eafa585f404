"""Tables of a sentence on an accelerator, for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tallybert.report import Row, console, difference_rows, duration, facts, kept_lines, memory_extras, unit_table


def show_run(report: dict[str, Any]) -> None:
    """Print what the network says, what each member said, and where the cycles went."""
    _show_answer(report)
    out = console()
    out.print(facts(f"{report['network']} on {report['accelerator']}", run_rows(report)))
    out.print(unit_table(report))


def show_comparison(report: dict[str, Any]) -> None:
    """Print what the network says, and what differs between RTL and simulator."""
    _show_answer(report)
    out = console()
    title = f"{report['network']} on {report['accelerator']}: RTL against simulator"
    same = "equal" if report["class_equal"] else "DIFFERENT"
    rows = [*difference_rows(report), ("class", same, "as the register shows it"), *run_rows(report)]
    out.print(facts(title, [*rows, ("RTL took", duration(report["rtl_seconds"]), f"on {report['simulator']}")]))
    for line in (*report["first_difference"], *kept_lines(report)):
        out.print(line, markup=False, soft_wrap=True)


def _show_answer(report: dict[str, Any]) -> None:
    out = console()
    answer = report["score"] if report["class"] is None else report["label"] or f"class {report['class']}"
    out.print(f"{answer}", markup=False, soft_wrap=True)
    cut = " (the rest is cut off)" if report["cut"] else ""
    out.print(member_table(report, f"{report['tokens']} word pieces{cut}"))


def member_table(report: dict[str, Any], title: str) -> Table:
    """Return the logits of the members that have run, and the cycles that each took."""
    table = Table(title=title, title_justify="left")
    table.add_column("member")
    count = max(len(row) for row in report["logits"].values())
    for name in report["labels"] or [str(index) for index in range(count)]:
        table.add_column(f"logit {name}", justify="right")
    table.add_column("cycles to its vote", justify="right")
    for (name, row), cycles in zip(report["logits"].items(), report["cycles_of_members"], strict=True):
        table.add_row(name, *map(str, row), f"{cycles:,}")
    return table


def run_rows(report: dict[str, Any]) -> list[Row]:
    """Return the figures of a run."""
    members, early = f"{report['members_run']} of {report['members']}", report["members_run"] < report["members"]
    return [
        ("members run", members, "until the class was certain" if early else "all of them"),
        ("cycles", f"{report['cycles']:,}", "from START to the end of the run"),
        ("time", duration(report["seconds_at_clock"]), f"at the target clock of {report['clock_mhz']} MHz"),
        ("array utilisation", f"{100 * report['utilisation']:.2f} %", "share of the cycles the array works"),
        ("bound", f"{report['bound_cycles']:,}", f"cycles that {report['bound_unit']} works, whatever the order"),
        ("reached", f"{100 * report['bound_cycles'] / report['cycles']:.2f} %", "bound by cycles; the rest is lost"),
        ("binary lanes", f"{report['lanes']:,}", "multiply-accumulates per cycle"),
        ("instructions", f"{report['instructions']:,}", "up to the end of the run"),
        ("memory", f"latency {report['memory']['latency']}", memory_extras(report["memory"])),
        ("integer reference", "equal", "logits, members and answer"),
    ]

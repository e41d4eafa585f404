"""Reports for people: the same numbers as in the JSON, as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

Row = tuple[str, str]


def show_simulation(report: dict[str, Any]) -> None:
    """Print a simulated layer: what it was, how long it took, and what each unit did meanwhile."""
    console = _console()
    console.print(_pairs(f"{report['layer']} {report['set']} on {report['accelerator']}", _simulation_rows(report)))
    console.print(_units(report))


def show_verification(report: dict[str, Any]) -> None:
    """Print a comparison of RTL and simulator: the counts of differences, and the first difference if there is one."""
    console = _console()
    title = f"{report['layer']} {report['set']} on {report['accelerator']}, RTL on {report['simulator']}"
    console.print(_pairs(title, _verification_rows(report)))
    for line in report["first_difference"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _simulation_rows(report: dict[str, Any]) -> list[Row]:
    return [
        ("cycles", f"{report['cycles']:,}"),
        ("array utilisation", f"{100 * report['utilisation']:.2f} %"),
        ("time at the clock", _duration(report["seconds_at_clock"])),
        ("instructions", f"{report['instructions']:,}"),
        ("binary lanes", f"{report['lanes']:,}"),
        ("memory", _memory(report["memory"])),
        ("outputs equal the integer reference", "yes" if report["outputs_equal_reference"] else "NO"),
        ("timing took", _duration(report["timing_seconds"])),
    ]


def _verification_rows(report: dict[str, Any]) -> list[Row]:
    return [
        ("bits different", _count(report["bits_different"])),
        ("cycles different", _count(report["cycles_different"])),
        ("checksums different", _count(report["checksums_different"])),
        ("unit states different", _count(report["states_different"])),
        ("instructions", f"{report['instructions']:,}"),
        ("cycles", f"{report['cycles']:,}"),
        ("array utilisation", f"{100 * report['utilisation']:.2f} %"),
        ("memory", _memory(report["memory"])),
        ("RTL took", _duration(report["rtl_seconds"])),
        ("simulator took", _duration(report["sim_seconds"])),
        ("build took", _duration(report["build_seconds"])),
        ("verdict", "equal" if report["ok"] else "DIFFERENT"),
    ]


def _units(report: dict[str, Any]) -> Table:
    table = Table(title="cycles by unit and state")
    table.add_column("unit")
    states = ("busy", "wait", "token", "issue", "empty")
    for name in (*states, "total"):
        table.add_column(name, justify="right")
    table.add_column("waits for")
    for unit, counts in report["units"].items():
        numbers = [counts[state] for state in states]
        table.add_row(unit, *(f"{n:,}" for n in (*numbers, sum(numbers))), counts["waits_for"])
    return table


def _pairs(title: str, rows: list[Row]) -> Table:
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _memory(memory: dict[str, int]) -> str:
    text = f"latency {memory['latency']}"
    extras = (("interval", 1), ("jitter", 0), ("stall_rate", 0))
    return text + "".join(f", {n.replace('_', ' ')} {memory[n]}" for n, usual in extras if memory[n] != usual)


def _count(value: int | None) -> str:
    return "did not finish" if value is None else f"{value:,}"


def _duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _console() -> Console:
    return Console(highlight=False)

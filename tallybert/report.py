"""Reports for people: the same numbers as in the JSON, as tables that say what they mean."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = tuple[str, str, str]

STATES = "busy: works. wait: for what the last column names. token: for data or room that another unit gives \
(sequencer: room in a queue). issue: takes an instruction. empty: has none. The five add up to the total."


def show_simulation(report: dict[str, Any]) -> None:
    """Print a simulated layer: what it was, how long it took, and what each unit did meanwhile."""
    out = console()
    out.print(facts(f"{report['layer']} {report['set']} on {report['accelerator']}", _simulation_rows(report)))
    out.print(unit_table(report))


def show_verification(report: dict[str, Any]) -> None:
    """Print a comparison of RTL and simulator: the counts of differences, the first difference, what was kept."""
    out = console()
    title = f"{report['layer']} {report['set']} on {report['accelerator']}: RTL against simulator"
    out.print(facts(title, _verification_rows(report)))
    for line in (*report["first_difference"], *kept_lines(report)):
        out.print(line, markup=False, soft_wrap=True)


def show_rtl(report: dict[str, Any]) -> None:
    """Print what an RTL folder holds."""
    out = console()
    files = report["files"]
    rows = [(name, f"{entry['size']:,} bytes", f"sha256 {entry['sha256'][:16]}...") for name, entry in files.items()]
    rows += [
        ("binary lanes", f"{report['lanes']:,}", "multiply-accumulates per cycle"),
        ("generated in", duration(report["seconds"]), "; ".join(f"{n} {v}" for n, v in report["generator"].items())),
    ]
    out.print(facts(f"RTL of {report['accelerator']['name']}", rows))
    folder = report["folder"]
    out.print(f"{folder}: the core and what drives it", markup=False, soft_wrap=True)
    out.print(f"unchanged? tallybert check {shlex.quote(folder)}", markup=False, soft_wrap=True)


def _simulation_rows(report: dict[str, Any]) -> list[Row]:
    return [
        *_run_rows(report),
        ("outputs", "equal" if report["outputs_equal_reference"] else "DIFFERENT", "to the integer reference"),
    ]


def _verification_rows(report: dict[str, Any]) -> list[Row]:
    return [
        *difference_rows(report),
        *_run_rows(report),
        ("RTL took", duration(report["rtl_seconds"]), f"on {report['simulator']}, under cocotb"),
        ("simulator took", duration(report["sim_seconds"]), "timing and values"),
        ("build took", duration(report["build_seconds"]), f"for {report['simulator']}, kept for the next time"),
    ]


def difference_rows(report: dict[str, Any]) -> list[Row]:
    """Return what differs between RTL and simulator, and the verdict."""
    states = ("not compared", "the accelerator has no counters")
    if report["counters"]:
        states = (_count(report["states_different"]), "counts of cycles by unit and state")
    return [
        ("bits different", _count(report["bits_different"]), "in the whole memory after the run"),
        ("cycles different", _count(report["cycles_different"]), "issue and retire of all instructions"),
        ("checksums different", _count(report["checksums_different"]), "of what each instruction wrote"),
        ("unit states different", *states),
        ("vote registers different", _count(report["votes_different"]), "class, members, total"),
        ("verdict", "equal" if report["ok"] else "DIFFERENT", ""),
    ]


def _run_rows(report: dict[str, Any]) -> list[Row]:
    return [
        ("cycles", f"{report['cycles']:,}", "from START to the end of HALT"),
        ("time", duration(report["seconds_at_clock"]), f"at the target clock of {report['clock_mhz']} MHz"),
        ("array utilisation", f"{100 * report['utilisation']:.2f} %", "share of the cycles the array needs"),
        ("binary lanes", f"{report['lanes']:,}", "multiply-accumulates per cycle"),
        ("instructions", f"{report['instructions']:,}", ""),
        ("memory", f"latency {report['memory']['latency']}", memory_extras(report["memory"])),
    ]


def unit_table(report: dict[str, Any]) -> Table:
    """Return what each unit did in how many cycles."""
    table = Table(title="cycles by unit and state", caption=STATES, caption_justify="left")
    table.add_column("unit")
    states = ("busy", "wait", "token", "issue", "empty")
    for name in (*states, "total"):
        table.add_column(name, justify="right")
    table.add_column("waits for")
    for unit, counts in report["units"].items():
        numbers = [counts[state] for state in states]
        table.add_row(unit, *(f"{n:,}" for n in (*numbers, sum(numbers))), counts["waits_for"])
    return table


def facts(title: str, rows: list[Row]) -> Table:
    """Return a table of names, values and notes."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for row in rows:
        table.add_row(*row)
    return table


def kept_lines(report: dict[str, Any]) -> list[str]:
    """Return where the files of a comparison are, and how to run it again."""
    if report["kept"] is None:
        return []
    folder = Path(report["kept"])
    core, case = (shlex.quote(str(path)) for path in (folder / "rtl" / "tallybert_core.v", folder / "case"))
    return [
        f"{folder}: rtl/ is the Verilog, case/ the program and what must come out, work/ the log of the RTL",
        f"again: python -m hw.bench {core} {case} --simulator {report['simulator']}",
    ]


def memory_extras(memory: dict[str, int]) -> str:
    """Return what is not usual about a memory."""
    extras = (("write_latency", 10), ("interval", 1), ("jitter", 0), ("stall_rate", 0), ("stall_max", 1))
    given = [f"{name.replace('_', ' ')} {memory[name]}" for name, usual in extras if memory[name] != usual]
    return ", ".join(given) or "in cycles; never late, never stalls"


def _count(value: int | None) -> str:
    return "did not finish" if value is None else f"{value:,}"


def duration(seconds: float) -> str:
    """Return a time with three digits, in the unit that suits it."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


class _Console(Console):
    """A console that leaves a reader that went away to the command, as print does."""

    def on_broken_pipe(self) -> None:
        """Say so."""
        raise BrokenPipeError


def console() -> Console:
    """Return the console that all reports go to."""
    return _Console(highlight=False)

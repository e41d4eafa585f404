"""A program and one of its cycles, for people: a line of figures for each entry, and what they are about behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tallybert.report import Row, console, facts, memory_extras

GAP = "  "
PROGRAM_LEGEND = (
    "issue, retire: cycles. stood: cycles at the head of its queue before it issued (of the sequencer: before it",
    "retired), and behind it what for; tokens may have been missing together.",
)
MOMENT_LEGEND = (
    "since, until: the first and the last cycle of that state. in flight: issued, not retired. queue: as at the start",
    "of the cycle, head first.",
)


def show_program(report: dict[str, Any]) -> None:
    """Print the instructions of a program."""
    _show_facts(report)
    heads = ("number", "unit", "issue", "retire", "stood", "instruction")
    _listing(heads, "rlrrrl", [(_figures(row), _words(row)) for row in report["rows"]])
    _lines(PROGRAM_LEGEND)


def show_moment(report: dict[str, Any]) -> None:
    """Print what happens in one cycle."""
    _show_facts(report)
    _lines([f"cycle {report['cycle']:,} of 0 to {report['cycles'] - 1:,}", ""])
    heads = ("unit", "state", "since", "until", "what it does, or waits for")
    _listing(heads, "llrrl", [_doing(unit, found, report["queues"]) for unit, found in report["units"].items()])
    tokens = ", ".join(f"{pair} {count}" for pair, count in report["tokens"].items())
    _lines(
        [
            f"queue of the sequencer: {_numbers(report['instruction_queue']) or 'empty'}",
            f"tokens that nobody has taken yet: {tokens or 'none'}",
            *_transfers([*report["loads"], *report["stores"]]),
            *("", *MOMENT_LEGEND),
        ]
    )


def _show_facts(report: dict[str, Any]) -> None:
    run, total = report["instructions_run"], report["instructions"]
    rows: list[Row] = [
        ("instructions", f"{run:,}", f"of {total:,}, up to the end of the run" if run < total else "all of them run"),
        ("cycles", f"{report['cycles']:,}", "from START to the end of the run"),
        ("memory", f"latency {report['memory']['latency']}", memory_extras(report["memory"])),
    ]
    console().print(facts(f"{report['program']} on {report['accelerator']}", rows))


def _listing(heads: Sequence[str], sides: str, entries: list[tuple[list[str], list[str]]]) -> None:
    """Print figures in columns, and behind them, from the last column on, one line or more of words."""
    rows = [list(heads[:-1]), *(figures for figures, _ in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads) - 1)]
    lines = [_line(heads[:-1], widths, sides) + heads[-1]]
    for figures, words in entries:
        lines.append(_line(figures, widths, sides) + words[0])
        lines += [" " * (sum(widths) + len(GAP) * len(widths)) + word for word in words[1:]]
    _lines([*lines, ""])


def _line(figures: Sequence[str], widths: Sequence[int], sides: str) -> str:
    places = zip(figures, widths, sides, strict=False)
    return "".join((f"{text:>{width}}" if side == "r" else f"{text:<{width}}") + GAP for text, width, side in places)


def _lines(lines: Iterable[str]) -> None:
    out = console()
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _numbers(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


# --- instructions -----------------------------------------------------------------------------------------------------


def _figures(row: dict[str, Any]) -> list[str]:
    numbers = (row["issue"], row["retire"])
    return [str(row["number"]), row["unit"], *(f"{n:,}" for n in numbers), f"{row['stood']:,}" if row["stood"] else ""]


def _words(row: dict[str, Any]) -> list[str]:
    title = f"{row['opcode']} {row['name']}".strip()
    why = [cause["text"] for cause in row["why"]]
    problem = f"breaks a rule: {row['problem']}" if row["problem"] else ""
    return [title, *(part for part in (row["text"], row["touched"], problem, _token_text(row), *why) if part)]


def _token_text(row: dict[str, Any]) -> str:
    """Return where tokens come from and where they go, by unit and instruction."""
    waits = [f"{unit} {number}" for unit, number in row["waits"].items()]
    signals = [unit if number is None else f"{unit} {number}" for unit, number in row["signals"].items()]
    texts = [f"waits for {', '.join(waits)}" if waits else "", f"signals {', '.join(signals)}" if signals else ""]
    return "; ".join(text for text in texts if text)


# --- a cycle ----------------------------------------------------------------------------------------------------------


def _doing(unit: str, found: dict[str, Any], queues: dict[str, list[int]]) -> tuple[list[str], list[str]]:
    owned = [
        f"{name} {_numbers(numbers)}"
        for name, numbers in (("in flight", found.get("in_flight", [])), ("queue", queues.get(unit, [])))
        if numbers
    ]
    words = [found["title"] or "", found["what"], "; ".join(owned)]
    figures = [unit, found["state"], f"{found['since']:,}", f"{found['until']:,}"]
    return figures, [word for word in words if word]


def _transfers(transfers: list[dict[str, Any]]) -> list[str]:
    return [
        f"{found['title']}: {found['beats_done']:,} of {found['beats']:,} beats, {found['what']}, "
        f"issued in {found['issue']:,}, retires in {found['retire']:,}"
        for found in transfers
    ]

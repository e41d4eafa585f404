"""Tables of counts for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tallybert.report import Row, console, facts

MIB = 1 << 20


def show_paper_counts(report: dict[str, Any]) -> None:
    """Print the papers' counts beside ours."""
    table = Table(title="counts of the papers, and ours", title_justify="left")
    table.add_column("what", no_wrap=True)
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("paper's", justify="right", no_wrap=True)
    table.add_column("source")
    for row in report["rows"]:
        paper = "" if row["paper"] is None else f"{row['paper']:g} {row['unit']}"
        table.add_row(row["what"], _number(row["ours"], row["unit"]), paper, row["source"])
    out = console()
    out.print(table)
    for row in report["rows"]:
        if row["note"]:
            out.print(f"{row['what']}: {row['note']}", markup=False, soft_wrap=True)


def show_shape_counts(report: dict[str, Any]) -> None:
    """Print the counts of a shape."""
    sizes = ", ".join(f"{name} {value:,}" for name, value in report["shape"].items())
    rows: list[Row] = [
        ("multiply-accumulates", f"{report['macs']:,}", f"of a sentence of {report['tokens']} tokens, in the layers"),
        *((f"  {name}", f"{count:,}", "") for name, count in report["products"].items()),
        *(
            (f"operations at {bits}", f"{count / 1e6:,.3f} M", "as papers count")
            for bits, count in report["flops"].items()
        ),
        ("weight bits", f"{report['weight_bits']:,}", "of the layers, one for each weight"),
        ("pooler", f"{report['pooler_bits']:,}", "weight bits, and as many multiply-accumulates"),
        ("word embedding", f"{report['embedding_bits']:,}", "bits, without scales"),
        ("parameters", f"{report['parameters']:,}", "in full precision, without the classifier"),
        ("at 32 bits", f"{report['float_bytes'] / MIB:,.2f} MiB", ""),
        (
            "at 1 bit",
            f"{report['binary_bytes'] / MIB:,.2f} MiB",
            "biases, normalisation and tables at 32 bits; no scales",
        ),
    ]
    console().print(facts(sizes, rows))


def show_network_counts(report: dict[str, Any]) -> None:
    """Print the counts of a network."""
    members, size = report["members"], sum(report["size_bits"].values())
    rows: list[Row] = [
        ("multiply-accumulates", f"{report['macs']:,}", f"of a sentence of {report['tokens']} tokens, all members"),
        *((f"  {name}", f"{count:,}", "") for name, count in report["products"].items()),
        ("weight bits", f"{report['weight_bits']:,}", "one for each binary weight"),
        ("size", f"{size / 8192:,.1f} KiB", f"{size:,} bits"),
        *((f"  {part}", f"{bits:,}", "bits") for part, bits in report["size_bits"].items()),
    ]
    for name, counts in members.items():
        rows.append((f"{name}", f"{counts['macs']:,}", f"multiply-accumulates; {counts['size_bits'] / 8192:,.1f} KiB"))
    console().print(facts(report["network"], rows))


def _number(value: float, unit: str) -> str:
    return f"{value:,} " if isinstance(value, int) else f"{value:.3f} {unit}"

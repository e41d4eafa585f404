"""Cells that are used many times: emitted once each, as modules of their own."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, ResetSignal, Signal, ValueLike


def use_cell(name: str, outputs: dict[str, Signal], inputs: dict[str, ValueLike]) -> Instance:
    """Return a cell, as an instance of its module: thousands of copies would cost minutes and megabytes."""
    ports = {f"o_{port}": value for port, value in outputs.items()}
    ports |= {f"i_{port}": value for port, value in inputs.items()}
    return Instance(name, i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)

"""Cells and banks as parts of a simulated component: the gateware names them as modules that are emitted once."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from amaranth.hdl import Module, Signal, ValueLike
from amaranth.lib.wiring import Component

from hw.gateware import array, buffers
from hw.gateware.bank import Bank


def _inside(cell: Component, output: Signal, name: str, inputs: dict[str, ValueLike]) -> Module:
    m = Module()
    m.submodules.cell = cell
    m.d.comb += output.eq(getattr(cell, name))
    m.d.comb += [getattr(cell, port).eq(value) for port, value in inputs.items()]
    return m


def put_cells_inside(monkeypatch: pytest.MonkeyPatch, cells: dict[str, Callable[[], Component]]) -> None:
    """Let the array hold its cells itself; `cells` makes one by the name of its module."""

    def instance(name: str, drained: Signal, inputs: dict[str, ValueLike]) -> Module:
        return _inside(cells[name](), drained, "drained", inputs)

    monkeypatch.setattr(array, "_instance", instance)


def put_banks_inside(monkeypatch: pytest.MonkeyPatch, make: Callable[[str], Bank]) -> None:
    """Let the buffers hold their banks themselves; `make` makes one by the name of its buffer."""

    def bank(buffer: str, lines: int, read_data: Signal, **inputs: ValueLike) -> Module:
        address_bits = (lines - 1).bit_length()
        short = {name: inputs[name][:address_bits] for name in ("write_line", "read_line")}
        return _inside(make(buffer), read_data, "read_data", inputs | short)

    monkeypatch.setattr(buffers, "use_bank", bank)


def merged(old: int, new: int, lanes: int, lane_bits: int) -> int:
    """Return a line in which the chosen lanes are new."""
    mask = 0
    for lane in range(lanes.bit_length()):
        mask |= (lanes >> lane & 1) * ((1 << lane_bits) - 1) << lane * lane_bits
    return old & ~mask | new & mask


def some_line(lines: int, random: Random) -> int:
    return random.choice([0, lines - 1, random.randrange(lines), random.randrange(min(lines, 4))])

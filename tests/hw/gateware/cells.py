"""Cells and banks as parts of a simulated component: the gateware names them as modules that are emitted once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

import pytest
from amaranth.hdl import Module, Signal, ValueLike
from amaranth.lib.wiring import Component

from hw.gateware import array, bank, row, vector
from hw.gateware.bank import Bank


def _inside(cell: Component, outputs: dict[str, Signal], inputs: dict[str, ValueLike]) -> Module:
    m = Module()
    m.submodules.cell = cell
    m.d.comb += [output.eq(getattr(cell, port)) for port, output in outputs.items()]
    m.d.comb += [getattr(cell, port).eq(value) for port, value in inputs.items()]
    return m


def put_cells_inside(monkeypatch: pytest.MonkeyPatch, cells: Mapping[str, Callable[[], Component]]) -> None:
    """Let components hold their cells themselves; `cells` makes one by the name of its module."""

    def cell(name: str, outputs: dict[str, Signal], inputs: dict[str, ValueLike]) -> Module:
        return _inside(cells[name](), outputs, inputs)

    for module in (array, bank, row, vector):
        monkeypatch.setattr(module, "use_cell", cell)


def put_banks_inside(monkeypatch: pytest.MonkeyPatch, make: Callable[[str], Bank]) -> None:
    """Let the buffers hold their banks themselves; `make` makes one by the name of its buffer."""
    buffers = ("activation", "weight", "threshold", "output", "key", "sums", "fixed", "scale", "level", "score")
    buffers += ("table", "token", "word", "embedding")
    put_cells_inside(monkeypatch, {f"tallybert_{buffer}_bank": partial(make, buffer) for buffer in buffers})


def merged(old: int, new: int, lanes: int, lane_bits: int) -> int:
    """Return a line in which the chosen lanes are new."""
    mask = 0
    for lane in range(lanes.bit_length()):
        mask |= (lanes >> lane & 1) * ((1 << lane_bits) - 1) << lane * lane_bits
    return old & ~mask | new & mask


def some_line(lines: int, random: Random) -> int:
    return random.choice([0, lines - 1, random.randrange(lines), random.randrange(min(lines, 4))])

"""The turn of a tile: rows come group by group, columns go all at once."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator


class Transposer(wiring.Component):
    """Gather the groups of a tile and show its columns in the cycle of the last one.

    In a cycle with `enable` a group is given: `tile_rows` names the rows of the tile that it holds, `rows` their bits,
    row r at r modulo `drain_rows`. With `last`, `columns` shows for each column the bits of the tile's rows, 0 for
    those that were not given, and the next group begins a tile. Latency 0, a group in each cycle.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "enable": In(1),
                "last": In(1),
                "tile_rows": In(a.rows),
                "rows": In(data.ArrayLayout(a.columns, a.drain_rows)),
                "columns": Out(data.ArrayLayout(a.rows, a.columns)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        earlier = [Signal(a.columns, name=f"row{row}") for row in range(a.rows)]
        tile = [Signal(a.columns, name=f"tile_row{row}") for row in range(a.rows)]
        for row in range(a.rows):
            m.d.comb += tile[row].eq(Mux(self.tile_rows[row], self.rows[row % a.drain_rows], earlier[row]))
        with m.If(self.enable):
            m.d.sync += [earlier[row].eq(Mux(self.last, 0, tile[row])) for row in range(a.rows)]
        m.d.comb += [self.columns[c].eq(Cat(tile[row][c] for row in range(a.rows))) for c in range(a.columns)]
        return m

"""What normalise needs of each row: made of the row's numbers, kept until the row comes again."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.gateware import row_root, row_sums
from hw.gateware.row_root import CHANNEL_BITS, DISTANCE_BITS, EPSILON_BITS, FACTOR_BITS, OFFSET_BITS, RowRoot
from hw.gateware.row_sums import RowSums

#: Cycles from the last slice of a row to its entry.
LATENCY = row_sums.LATENCY + row_root.LATENCY


class Coefficients(data.StructLayout):
    """C * R, S * R and 3 + e of a row."""

    def __init__(self) -> None:
        super().__init__({"factor": FACTOR_BITS, "offset": signed(OFFSET_BITS), "distance": DISTANCE_BITS})


class RowTable(wiring.Component):
    """Take rows slice by slice, as `RowSums` does, and hold the coefficients of each until it is given again.

    `channels` and `epsilon` must stand until the last row is `done`: LATENCY cycles after a slice with `last` and
    `end`, for one cycle. The entry is written in that cycle and can be read from the next one. An entry read with
    `read` in cycle t is on `coefficients` from t+1 until the next read.
    """

    def __init__(self, *, rows: int, lanes: int) -> None:
        self._rows, self._lanes = rows, lanes
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "end": In(1),
                "row": In(range(rows)),
                "values": In(data.ArrayLayout(signed(16), lanes)),
                "mask": In(lanes),
                "channels": In(CHANNEL_BITS),
                "epsilon": In(EPSILON_BITS),
                "done": Out(1),
                "read": In(1),
                "read_row": In(range(rows)),
                "coefficients": Out(Coefficients()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tag = Cat(self.end, self.row)
        m.submodules.sums = sums = RowSums(self._lanes, len(tag))
        m.submodules.root = root = RowRoot(len(tag))
        m.submodules.table = table = Memory(shape=Coefficients().size, depth=max(self._rows, 2), init=[])
        writer, reader = table.write_port(), table.read_port()
        entry = Signal(Coefficients())
        m.d.comb += [
            *(getattr(sums, name).eq(getattr(self, name)) for name in ("valid", "last", "values", "mask")),
            sums.tag.eq(tag),
            root.valid.eq(sums.done),
            root.tag.eq(sums.done_tag),
            *(getattr(root, name).eq(getattr(sums, name)) for name in ("total", "squares")),
            *(getattr(root, name).eq(getattr(self, name)) for name in ("channels", "epsilon")),
            *(entry[name].eq(getattr(root, name)) for name in ("factor", "offset", "distance")),
            self.done.eq(root.done & root.done_tag[0]),
            writer.en.eq(root.done),
            writer.addr.eq(root.done_tag[1:]),
            writer.data.eq(entry),
            reader.en.eq(self.read),
            reader.addr.eq(self.read_row),
            self.coefficients.eq(reader.data),
        ]
        return m

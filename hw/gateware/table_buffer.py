"""The table buffer: entries and levels of the row unit, once for each lane and once more for the levels."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.arch import Accelerator
from hw.gateware.bank import use_bank
from hw.gateware.interfaces import BeatWrite, LineRead
from hw.gateware.row_ports import TableRead


class TableBuffer(wiring.Component):
    """Copies of one bank of lines that are written alike, each with a read port of its own.

    A beat written in cycle t can be read from t+1; a line read in t is on that port's data from t+1.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "write": In(BeatWrite(a.port_bits)),
                "entries": In(TableRead(a)),
                "level": In(LineRead(1, a.table_line_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, write, entries = self._accelerator, self.write, self.entries
        beats = a.table_line_bits // a.port_bits
        lanes = Signal(beats)
        with m.If(write.enable):
            m.d.comb += lanes.eq(1 << write.lane if beats > 1 else 1)
        copies = [
            (f"lane{lane}", entries.enable, entries.lines[lane], entries.data[lane]) for lane in range(a.row_lanes)
        ]
        for name, enable, line, data in [*copies, ("level", self.level.enable, self.level.line, self.level.data[0])]:
            m.submodules[name] = use_bank(
                "table",
                a.table_lines,
                data,
                write_lanes=lanes,
                write_line=write.line,
                write_data=write.data.replicate(beats),
                read_enable=enable,
                read_line=line,
            )
        return m

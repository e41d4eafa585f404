"""The banked buffers: filled by beats and read by lines, or filled by column groups and read by beats."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import BeatWrite, LineRead


class LoadBuffer(wiring.Component):
    """Banks of lines. A beat written in cycle t can be read from t+1; a line read in t is on `data` from t+1."""

    def __init__(self, *, banks: int, lines: int, line_bits: int, port_bits: int) -> None:
        self._banks, self._lines, self._line_bits, self._port_bits = banks, lines, line_bits, port_bits
        super().__init__({
            "write": In(BeatWrite(port_bits)),
            "read": In(LineRead(banks, line_bits)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._line_bits // self._port_bits
        for bank in range(self._banks):
            memory = Memory(shape=self._line_bits, depth=self._lines, init=[])
            m.submodules[f"bank{bank}"] = memory
            writer = memory.write_port(granularity=self._port_bits)
            reader = memory.read_port()
            with m.If(self.write.enable & (self.write.bank == bank)):
                m.d.comb += writer.en.eq(1 << self.write.lane if lanes > 1 else 1)
            m.d.comb += [
                writer.addr.eq(self.write.line),
                writer.data.eq(self.write.data.replicate(lanes)),
                reader.en.eq(self.read.enable),
                reader.addr.eq(self.read.line),
                self.read.data[bank].eq(reader.data),
            ]
        return m


class OutputBuffer(wiring.Component):
    """Rows of column groups. A group written at `position` clears the higher positions of its line.

    Written in cycle t, readable from t+1; a beat read in t is on `beat` from t+1 and stays until the next read.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__({
            "write_banks": In(a.rows),
            "write_line": In(16),
            "write_position": In(16),
            "write_data": In(data.ArrayLayout(a.columns, a.drain_rows)),
            "read_enable": In(1),
            "read_bank": In(7),
            "read_line": In(16),
            "read_lane": In(8),
            "beat": Out(a.port_bits),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        groups = a.output_line_groups
        mask = Signal(groups)
        m.d.comb += mask.eq(Cat(self.write_position <= position for position in range(groups)))
        bank_held, lane_held = Signal.like(self.read_bank), Signal.like(self.read_lane)
        with m.If(self.read_enable):
            m.d.sync += [bank_held.eq(self.read_bank), lane_held.eq(self.read_lane)]
        lines = Signal(data.ArrayLayout(a.output_line_bits, a.rows))
        for bank in range(a.rows):
            memory = Memory(shape=a.output_line_bits, depth=a.output_lines, init=[])
            m.submodules[f"bank{bank}"] = memory
            writer = memory.write_port(granularity=a.columns)
            reader = memory.read_port()
            bits = self.write_data[bank % a.drain_rows]
            m.d.comb += [
                writer.en.eq(Mux(self.write_banks[bank], mask, 0)),
                writer.addr.eq(self.write_line),
                writer.data.eq(Cat(Mux(self.write_position == p, bits, 0) for p in range(groups))),
                reader.en.eq(self.read_enable & (self.read_bank == bank)),
                reader.addr.eq(self.read_line),
                lines[bank].eq(reader.data),
            ]
        line = Signal(a.output_line_bits)
        m.d.comb += [
            line.eq(lines.as_value().word_select(bank_held, a.output_line_bits)),
            self.beat.eq(line.word_select(lane_held, a.port_bits)),
        ]
        return m

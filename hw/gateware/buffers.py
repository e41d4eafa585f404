"""The banked buffers: filled by beats and read by lines, or filled by column groups and read by beats."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, ClockSignal, Instance, Module, Mux, ResetSignal, Signal, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import BeatWrite, LineRead


class Bank(wiring.Component):
    """One memory with a write port of lanes and a read port. Emitted once for all banks of a buffer.

    Written in cycle t, readable from t+1; a line read in t is on `read_data` from t+1 until the next read.
    """

    def __init__(self, *, lines: int, line_bits: int, lane_bits: int) -> None:
        self._lines, self._line_bits, self._lane_bits = lines, line_bits, lane_bits
        super().__init__(
            {
                "write_lanes": In(line_bits // lane_bits),
                "write_line": In((lines - 1).bit_length()),
                "write_data": In(line_bits),
                "read_enable": In(1),
                "read_line": In((lines - 1).bit_length()),
                "read_data": Out(line_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self._line_bits, depth=self._lines, init=[])
        writer = memory.write_port(granularity=self._lane_bits)
        reader = memory.read_port()
        m.d.comb += [
            writer.en.eq(self.write_lanes),
            writer.addr.eq(self.write_line),
            writer.data.eq(self.write_data),
            reader.en.eq(self.read_enable),
            reader.addr.eq(self.read_line),
            self.read_data.eq(reader.data),
        ]
        return m


def banks_of(accelerator: Accelerator) -> dict[str, Bank]:
    """Return the bank of each buffer under the name of its module."""
    a = accelerator
    return {
        "tallybert_activation_bank": Bank(lines=a.activation_lines, line_bits=a.line_bits, lane_bits=a.port_bits),
        "tallybert_weight_bank": Bank(lines=a.weight_lines, line_bits=a.line_bits, lane_bits=a.port_bits),
        "tallybert_threshold_bank": Bank(
            lines=a.threshold_lines, line_bits=a.threshold_line_bits, lane_bits=a.port_bits
        ),
        "tallybert_output_bank": Bank(lines=a.output_lines, line_bits=a.output_line_bits, lane_bits=a.columns),
    }


def pick(line: ValueLike, index: ValueLike, width: int) -> Value:
    """Return piece `index` of a line of equal pieces; a choice, not a shift, so its cost grows with the line only."""
    bits = Value.cast(line)
    pieces = [bits[start : start + width] for start in range(0, len(bits), width)]
    return pieces[0] if len(pieces) == 1 else Value.cast(Array(pieces)[index])


def _bank(buffer: str, lines: int, read_data: Signal, **inputs: ValueLike) -> Instance:
    address_bits = (lines - 1).bit_length()
    inputs["write_line"], inputs["read_line"] = (inputs[n][:address_bits] for n in ("write_line", "read_line"))
    ports = {f"i_{name}": value for name, value in inputs.items()}
    return Instance(
        f"tallybert_{buffer}_bank", i_clk=ClockSignal(), i_rst=ResetSignal(), o_read_data=read_data, **ports
    )


class LoadBuffer(wiring.Component):
    """Banks of lines. A beat written in cycle t can be read from t+1; a line read in t is on `data` from t+1."""

    def __init__(self, buffer: str, *, banks: int, lines: int, line_bits: int, port_bits: int) -> None:
        self._buffer, self._banks, self._lines = buffer, banks, lines
        self._line_bits, self._port_bits = line_bits, port_bits
        super().__init__(
            {
                "write": In(BeatWrite(port_bits)),
                "read": In(LineRead(banks, line_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._line_bits // self._port_bits
        for bank in range(self._banks):
            lane_mask = Signal(lanes, name=f"lane_mask{bank}")
            with m.If(self.write.enable & (self.write.bank == bank)):
                m.d.comb += lane_mask.eq(1 << self.write.lane if lanes > 1 else 1)
            m.submodules[f"bank{bank}"] = _bank(
                self._buffer,
                self._lines,
                self.read.data[bank],
                write_lanes=lane_mask,
                write_line=self.write.line,
                write_data=self.write.data.replicate(lanes),
                read_enable=self.read.enable,
                read_line=self.read.line,
            )
        return m


class OutputBuffer(wiring.Component):
    """Rows of column groups. A group written at `position` clears the higher positions of its line.

    Written in cycle t, readable from t+1; a beat read in t is on `beat` from t+1 and stays until the next read.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "write_banks": In(a.rows),
                "write_line": In(16),
                "write_position": In(16),
                "write_data": In(data.ArrayLayout(a.columns, a.drain_rows)),
                "read_enable": In(1),
                "read_bank": In(7),
                "read_line": In(16),
                "read_lane": In(8),
                "beat": Out(a.port_bits),
            }
        )

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
            bits = self.write_data[bank % a.drain_rows]
            m.submodules[f"bank{bank}"] = _bank(
                "output",
                a.output_lines,
                lines[bank],
                write_lanes=Mux(self.write_banks[bank], mask, 0),
                write_line=self.write_line,
                write_data=Cat(Mux(self.write_position == p, bits, 0) for p in range(groups)),
                read_enable=self.read_enable & (self.read_bank == bank),
                read_line=self.read_line,
            )
        line = Signal(a.output_line_bits)
        m.d.comb += [
            line.eq(Array(lines[bank] for bank in range(a.rows))[bank_held]),
            self.beat.eq(pick(line, lane_held, a.port_bits)),
        ]
        return m

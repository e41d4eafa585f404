"""The banks of the buffers: one memory each, emitted once as a module for all banks of a buffer."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Array, Instance, Module, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.cell import use_cell


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


class BankSize(NamedTuple):
    """How many lines a bank has, of how many bits, and in what pieces they can be written."""

    lines: int
    line_bits: int
    lane_bits: int


def bank_sizes(accelerator: Accelerator) -> dict[str, BankSize]:
    """Return the size of a bank of each buffer. What two writers write, they write in pieces of the narrower one."""
    a = accelerator
    activation_pieces = [a.port_bits, a.columns, *(lanes for lanes in (a.vector_lanes, a.row_lanes) if lanes)]
    sizes = {
        "activation": BankSize(a.activation_lines, a.line_bits, min(activation_pieces)),
        "weight": BankSize(a.weight_lines, a.line_bits, a.port_bits),
        "threshold": BankSize(a.threshold_lines, a.threshold_line_bits, a.port_bits),
        "output": BankSize(a.output_lines, a.output_line_bits, a.columns),
    }
    if a.key_lines:
        sizes["key"] = BankSize(a.key_lines, a.line_bits, min(a.columns, a.rows))
    if a.vector_lanes:
        sizes["sums"] = BankSize(a.sum_lines, a.sum_line_sums * a.sum_bits, a.columns * a.sum_bits)
        sizes["fixed"] = BankSize(a.fixed_lines, a.vector_lanes * 16, a.vector_lanes * 16)
        sizes["scale"] = BankSize(a.scale_lines, a.parameter_line_bits, a.port_bits)
        sizes["level"] = BankSize(a.level_lines, a.parameter_line_bits, a.port_bits)
    if a.row_lanes:
        sizes["score"] = BankSize(a.score_lines, a.score_line_sums * a.sum_bits, a.columns * a.sum_bits)
        sizes["table"] = BankSize(a.table_lines, a.table_line_bits, a.port_bits)
    if a.token_lines:
        sizes["token"] = BankSize(a.token_lines, a.token_line_bits, a.port_bits)
        sizes["word"] = BankSize(a.word_lines, a.word_line_bits, a.port_bits)
        sizes["embedding"] = BankSize(a.embedding_lines, a.embedding_line_bits, a.port_bits)
    return sizes


def banks_of(accelerator: Accelerator) -> dict[str, Bank]:
    """Return the bank of each buffer under the name of its module."""
    return {_module(buffer): Bank(**size._asdict()) for buffer, size in bank_sizes(accelerator).items()}


def use_bank(buffer: str, lines: int, read_data: Signal, **inputs: ValueLike) -> Instance:
    """Return a bank of a buffer, as an instance of the buffer's module."""
    address_bits = (lines - 1).bit_length()
    inputs["write_line"], inputs["read_line"] = (inputs[n][:address_bits] for n in ("write_line", "read_line"))
    return use_cell(_module(buffer), {"read_data": read_data}, inputs)


def pick(line: ValueLike, index: ValueLike, width: int) -> Value:
    """Return piece `index` of a line of equal pieces; a choice, not a shift, so its cost grows with the line only."""
    bits = Value.cast(line)
    pieces = [bits[start : start + width] for start in range(0, len(bits), width)]
    return pieces[0] if len(pieces) == 1 else Value.cast(Array(pieces)[index])


def _module(buffer: str) -> str:
    return f"tallybert_{buffer}_bank"

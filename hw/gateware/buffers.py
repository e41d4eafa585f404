"""The banked buffers: filled by beats of the memory or by drained groups, read by lines or by beats."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.bank import bank_sizes, pick, use_bank
from hw.gateware.interfaces import BeatWrite, GroupWrite, KeyWrite, LineRead, LineWrite, SliceWrite


def _spread(bits: ValueLike, position: Value, pieces: int) -> Value:
    """Return a line of `pieces` that holds `bits` at a position and 0 elsewhere."""
    return Cat(Mux(position == piece, bits, 0) for piece in range(pieces))


def _from(m: Module, position: Value, pieces: int, lanes: int) -> Signal:
    """Return the lanes of a line of `pieces` from a position on."""
    mask = Signal(lanes)
    m.d.comb += mask.eq(Cat((position <= piece).replicate(lanes // pieces) for piece in range(pieces)))
    return mask


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
            m.submodules[f"bank{bank}"] = use_bank(
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


class ActivationBuffer(wiring.Component):
    """Banks of lines with up to four writers: beats of the memory, drained groups, slices of the vector unit and those
    of the row unit. The first of them wins.

    What is written at `position` clears the higher positions of its line. Written in cycle t, readable from t+1; a line
    read in t is on `data` from t+1.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "write": In(BeatWrite(a.port_bits)),
                "groups": In(GroupWrite(a, a.rows)),
                **({"slices": In(SliceWrite(a))} if a.vector_lanes else {}),
                **({"row_slices": In(SliceWrite(a, a.row_lanes))} if a.row_lanes else {}),
                "read": In(LineRead(a.rows, a.line_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, write = self._accelerator, self.write
        lane_bits = bank_sizes(a)["activation"].lane_bits
        lanes = a.line_bits // lane_bits
        beat_lanes, line = Signal(lanes), Signal(16)
        chosen = [write.lane == beat for beat in range(a.line_beats)] if a.line_beats > 1 else [Const(1, 1)]
        beat = write.data.replicate(a.line_beats)
        bits_line, masks, bits = self._bits(m, lanes)
        m.d.comb += [
            beat_lanes.eq(Cat(beat.replicate(a.port_bits // lane_bits) for beat in chosen)),
            line.eq(Mux(write.enable, write.line, bits_line)),
        ]
        for bank in range(a.rows):
            m.submodules[f"bank{bank}"] = use_bank(
                "activation",
                a.activation_lines,
                self.read.data[bank],
                write_lanes=Mux(write.enable, Mux(write.bank == bank, beat_lanes, 0), masks[bank]),
                write_line=line,
                write_data=Mux(write.enable, beat, bits[bank]),
                read_enable=self.read.enable,
                read_line=self.read.line,
            )
        return m

    def _bits(self, m: Module, lanes: int) -> tuple[Value, list[Value], list[Value]]:
        """Return the line that groups or slices are written to and, for each bank, the lanes of it and their bits."""
        a, groups = self._accelerator, self.groups
        line: Value = groups.line
        of_groups = _from(m, groups.position, a.line_groups, lanes)
        masks: list[Value] = [Mux(groups.banks[bank], of_groups, 0) for bank in range(a.rows)]
        in_line = [_spread(row, groups.position, a.line_groups) for row in groups.data]
        bits: list[Value] = [in_line[bank % a.drain_rows] for bank in range(a.rows)]
        earlier = groups.banks.any()
        for name, in_a_line in self._slices():
            slices, taken, chosen, spread = getattr(self, name), Signal(), Signal(16), Signal(a.line_bits)
            mask = _from(m, slices.position, in_a_line, lanes)
            m.d.comb += [
                taken.eq(earlier),
                chosen.eq(Mux(taken, line, slices.line)),
                spread.eq(_spread(slices.data, slices.position, in_a_line)),
            ]
            masks = [Mux(taken, masks[bank], Mux(slices.banks[bank], mask, 0)) for bank in range(a.rows)]
            bits = [Mux(taken, bits[bank], spread) for bank in range(a.rows)]
            line, earlier = chosen, taken | slices.banks.any()
        return line, masks, bits

    def _slices(self) -> list[tuple[str, int]]:
        """Return the writers of slices, the first of them first, and how many slices of each stand in a line."""
        a = self._accelerator
        row = [("row_slices", a.line_row_slices)] if a.row_lanes else []
        return row + ([("slices", a.line_slices)] if a.vector_lanes else [])


class KeyBuffer(wiring.Component):
    """Banks of lines, one for each column of the array, filled by drained groups or by transposed tiles.

    What is written at a position clears the higher positions of its line. Written in cycle t, readable from t+1; a line
    read in t is on `data` from t+1.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__({"write": In(KeyWrite(a)), "read": In(LineRead(a.columns, a.line_bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, groups, transposed = self._accelerator, self.write.groups, self.write.transposed
        lanes = a.line_bits // bank_sizes(a)["key"].lane_bits
        mask = Signal(lanes)
        m.d.comb += mask.eq(
            Mux(
                transposed,
                _from(m, groups.position, a.line_row_groups, lanes),
                _from(m, groups.position, a.line_groups, lanes),
            )
        )
        for bank in range(a.columns):
            row = _spread(groups.data[bank % a.drain_rows], groups.position, a.line_groups)
            column = _spread(self.write.tile[bank], groups.position, a.line_row_groups)
            m.submodules[f"bank{bank}"] = use_bank(
                "key",
                a.key_lines,
                self.read.data[bank],
                write_lanes=Mux(groups.banks[bank], mask, 0),
                write_line=groups.line,
                write_data=Mux(transposed, column, row),
                read_enable=self.read.enable,
                read_line=self.read.line,
            )
        return m


class OutputBuffer(wiring.Component):
    """Rows of column groups. A group written at `position` clears the higher positions of its line.

    A logit fills a line of bank 0; a group that is written in the same cycle is lost.

    Written in cycle t, readable from t+1; a beat read in t is on `beat` from t+1 and stays until the next read.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "write": In(GroupWrite(a, a.rows)),
                **({"logits": In(LineWrite(32))} if a.classes else {}),
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
        mask = _from(m, self.write.position, groups, groups)
        bank_held, lane_held = Signal.like(self.read_bank), Signal.like(self.read_lane)
        with m.If(self.read_enable):
            m.d.sync += [bank_held.eq(self.read_bank), lane_held.eq(self.read_lane)]
        lines = Signal(data.ArrayLayout(a.output_line_bits, a.rows))
        write_line: Value = self.write.line
        if a.classes:
            write_line = Mux(self.logits.enable, self.logits.line, write_line)
        for bank in range(a.rows):
            bits: Value = _spread(self.write.data[bank % a.drain_rows], self.write.position, groups)
            lanes: Value = Mux(self.write.banks[bank], mask, 0)
            if a.classes:
                bits = Mux(self.logits.enable, self.logits.data, bits) if bank == 0 else bits
                lanes = Mux(self.logits.enable, (1 << groups) - 1 if bank == 0 else 0, lanes)
            m.submodules[f"bank{bank}"] = use_bank(
                "output",
                a.output_lines,
                lines[bank],
                write_lanes=lanes,
                write_line=write_line,
                write_data=bits,
                read_enable=self.read_enable & (self.read_bank == bank),
                read_line=self.read_line,
            )
        line = Signal(a.output_line_bits)
        m.d.comb += [
            line.eq(Array(lines[bank] for bank in range(a.rows))[bank_held]),
            self.beat.eq(pick(line, lane_held, a.port_bits)),
        ]
        return m


class SumsBuffer(wiring.Component):
    """Banks of lines, one for each row of a group. A group written at `position` leaves the rest of its line alone.

    Written in cycle t, readable from t+1; a line read in t is on `data` from t+1. `buffer` names its banks: those of
    the sums, or of the scores.
    """

    def __init__(self, accelerator: Accelerator, buffer: str = "sums") -> None:
        self._accelerator = a = accelerator
        self._buffer, self._size = buffer, bank_sizes(a)[buffer]
        super().__init__(
            {
                "write": In(GroupWrite(a, a.drain_rows, a.sum_bits)),
                "read": In(LineRead(a.drain_rows, self._size.line_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write, groups = self.write, self._size.line_bits // self._size.lane_bits
        here = Signal(groups)
        m.d.comb += here.eq(Cat(write.position == position for position in range(groups)))
        for bank in range(self._accelerator.drain_rows):
            m.submodules[f"bank{bank}"] = use_bank(
                self._buffer,
                self._size.lines,
                self.read.data[bank],
                write_lanes=Mux(write.banks[bank], here, 0),
                write_line=write.line,
                write_data=write.data[bank].replicate(groups),
                read_enable=self.read.enable,
                read_line=self.read.line,
            )
        return m


class FixedBuffer(wiring.Component):
    """One bank of lines of fixed numbers with two read ports: two copies that are written alike.

    Written in cycle t, readable from t+1; a line read in t is on that port's `data` from t+1.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._lines, line_bits = accelerator.fixed_lines, accelerator.vector_lanes * 16
        read = In(LineRead(1, line_bits))
        super().__init__({"write": In(LineWrite(line_bits)), "source": read, "residual": read})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, read in (("source", self.source), ("residual", self.residual)):
            m.submodules[f"{name}_bank"] = use_bank(
                "fixed",
                self._lines,
                read.data[0],
                write_lanes=self.write.enable,
                write_line=self.write.line,
                write_data=self.write.data,
                read_enable=read.enable,
                read_line=read.line,
            )
        return m

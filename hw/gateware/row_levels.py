"""The limits of a row: from the sum of its entries and the levels of the table. Arithmetic: docs/arithmetic.md, 9."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.bank import pick
from hw.gateware.delayed import delayed
from hw.gateware.interfaces import LineRead
from hw.gateware.popcount import balanced_sum
from hw.gateware.row_lane import LIMIT_BITS
from hw.gateware.row_ports import level_bits, level_count

#: Cycles from the last part of a row to its first limit; another limit comes in each cycle from then on.
LATENCY = 7

#: The sum of 1,024 entries, and a level.
TOTAL_BITS, LEVEL_BITS = 26, 22

#: A level of 1 is written as 2^20.
SCALE_BITS = 20


class RowLevels(wiring.Component):
    """Add up the entries of rows, step by step, and hold the limits that their levels make of the sums.

    In a cycle with `valid` a step of row `row` is given: `parts` are sums of its entries. With `last` in cycle t it
    ends its row, and limit k, the smallest entry that reaches level k, is on `limit` with `done` in t + LATENCY + k,
    for one cycle. It is written in that cycle and can be read from the next one. The last steps of two rows are at
    least `levels` cycles apart, and `levels` and `level_line` stand until the last limit is done.

    The limits of a row read with `read` in cycle t are on `limits` from t+1 until the next read. Reset drops the rows
    that are inside, and the next step begins a row.
    """

    def __init__(self, accelerator: Accelerator, parts: list[int]) -> None:
        self._accelerator, self._parts = accelerator, parts
        a = accelerator
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "row": In(range(a.rows)),
                "parts": In(sum(parts)),
                "levels": In(level_bits(a)),
                "level_line": In(16),
                "level": Out(LineRead(1, a.table_line_bits)),
                "done": Out(1),
                "limit": Out(LIMIT_BITS),
                "read": In(1),
                "read_row": In(range(a.rows)),
                "limits": Out(LIMIT_BITS * level_count(a)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Cycle 1: the sum of a step. Cycle 2: that of the row.
        total, ended = self._total(m)
        # Cycle 3: the line of a level.
        running, index, row, total = self._walk(m, total, ended)
        # Cycles 4 to 7: the line, the level, the product, the limit.
        levels_bits = (self._accelerator.table_line_bits // 32 - 1).bit_length()
        m.d.comb += [self.level.enable.eq(running), self.level.line.eq(self.level_line + (index >> levels_bits))]
        piece = delayed(m, index[:levels_bits], "piece")
        level = delayed(m, pick(self.level.data[0], piece, 32)[:LEVEL_BITS], "level_of_row")
        total = delayed(m, total, "total_beside_level", cycles=2)
        product = delayed(m, level * total, "product")
        upper = Signal(len(product) - SCALE_BITS + 1)
        m.d.comb += upper.eq(product[SCALE_BITS:] + product[:SCALE_BITS].any())
        highest = 1 << LIMIT_BITS - 1
        limit = delayed(m, Mux(upper > highest, highest, upper[:LIMIT_BITS]), "limit_of_row")
        behind = LATENCY - 3
        m.d.comb += [
            self.limit.eq(limit),
            self.done.eq(delayed(m, running, "done", cycles=behind, reset_less=False)),
        ]
        self._keep(m, delayed(m, Cat(index, row), "place", cycles=behind))
        return m

    def _total(self, m: Module) -> tuple[Signal, Signal]:
        """Return the sum of a row, and the cycle behind its last step."""
        starts = [sum(self._parts[:index]) for index in range(len(self._parts))]
        parts: list[Value] = [self.parts[s : s + width] for s, width in zip(starts, self._parts, strict=True)]
        of_step = delayed(m, balanced_sum(parts), "of_step")
        valid = delayed(m, self.valid, "valid_step", reset_less=False)
        last = delayed(m, self.last, "last_step")
        begins, total = Signal(init=1), Signal(TOTAL_BITS, reset_less=True)
        with m.If(valid):
            m.d.sync += [begins.eq(last), total.eq(Mux(begins, 0, total) + of_step)]
        return total, delayed(m, valid & last, "ended", reset_less=False)

    def _walk(self, m: Module, total: Signal, ended: Signal) -> tuple[Signal, Signal, Signal, Signal]:
        """Walk through the levels of a row that has ended, one per cycle."""
        row = delayed(m, self.row, "row_of_step", cycles=2)
        running, index = Signal(), Signal(range(max(level_count(self._accelerator), 2)))
        held_row, held_total = Signal.like(row, reset_less=True), Signal.like(total, reset_less=True)
        m.d.sync += index.eq(index + 1)
        with m.If(index == self.levels - 1):
            m.d.sync += running.eq(0)
        with m.If(ended):
            m.d.sync += [running.eq(1), index.eq(0), held_row.eq(row), held_total.eq(total)]
        return running, index, held_row, held_total

    def _keep(self, m: Module, place: Signal) -> None:
        """Write a limit to its row, and read the limits of another one."""
        a = self._accelerator
        count = level_count(a)
        m.submodules.memory = memory = Memory(shape=LIMIT_BITS * count, depth=max(a.rows, 2), init=[])
        writer, reader = memory.write_port(granularity=LIMIT_BITS), memory.read_port()
        index_bits = len(place) - len(self.row)
        m.d.comb += [
            writer.en.eq(Cat(self.done & (place[:index_bits] == k) for k in range(count))),
            writer.addr.eq(place[index_bits:]),
            writer.data.eq(self.limit.replicate(count)),
            reader.en.eq(self.read),
            reader.addr.eq(self.read_row),
            self.limits.eq(reader.data),
        ]

"""The score buffer: drained sums for the row unit, and the largest one of each row in each slot."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, connect, flipped

from hw.arch import Accelerator
from hw.gateware.buffers import SumsBuffer
from hw.gateware.delayed import delayed
from hw.gateware.interfaces import LineRead
from hw.gateware.row_ports import MaximaRead, ScoreWrite, maximum_line_bits

#: Cycles from the scores of a group to the one in which their maxima are written.
MAXIMA_LATENCY = 2


class ScoreBuffer(wiring.Component):
    """Banks of scores with one read port, and the maxima of their rows with another.

    Scores written in cycle t are readable from t+1, their maxima from t+1+MAXIMA_LATENCY; what is read in t is on
    `data` from t+1.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "write": In(ScoreWrite(a)),
                "scores": In(LineRead(a.drain_rows, a.score_line_sums * a.sum_bits)),
                "maxima": In(MaximaRead(a)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sums = sums = SumsBuffer(self._accelerator, "score")
        m.submodules.rows = rows = RowMaxima(self._accelerator)
        connect(m, flipped(self.write.groups), sums.write)
        connect(m, flipped(self.scores), sums.read)
        connect(m, flipped(self.write), rows.write)
        connect(m, flipped(self.maxima), rows.read)
        return m


class RowMaxima(wiring.Component):
    """Keep the largest score of each row: of its first group of columns, and then of each further one.

    What is written in cycle t is readable from t+1+MAXIMA_LATENCY; a group can come in each cycle, of the same rows as
    the one before it too. Reset drops what is on its way.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__({"write": In(ScoreWrite(a)), "read": In(MaximaRead(a))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, write = self._accelerator, self.write
        first = delayed(m, write.first, "first", cycles=MAXIMA_LATENCY)
        line = delayed(m, write.maximum_line, "line", cycles=MAXIMA_LATENCY)
        banks = delayed(m, write.groups.banks, "banks", cycles=MAXIMA_LATENCY, reset_less=False)
        for bank in range(a.drain_rows):
            largest = self._largest(m, bank)
            memory = Memory(shape=a.sum_bits, depth=max(1 << maximum_line_bits(a), 2), init=[])
            m.submodules[f"maxima{bank}"] = memory
            writer, before, reader = memory.write_port(), memory.read_port(domain="comb"), memory.read_port()
            kept = before.data.as_signed() > largest
            m.d.comb += [
                before.addr.eq(line),
                writer.en.eq(banks[bank]),
                writer.addr.eq(line),
                writer.data.eq(Mux(kept & ~first, before.data, largest)),
                reader.en.eq(self.read.enable),
                reader.addr.eq(self.read.line),
                self.read.data[bank].eq(reader.data),
            ]
        return m

    def _largest(self, m: Module, bank: int) -> Signal:
        """Return the largest of a row's scores that count, MAXIMA_LATENCY cycles later: a tree, and registers in it."""
        a = self._accelerator
        lowest = -(1 << a.sum_bits - 1)
        row = self.write.groups.data[bank]
        terms: list[Value] = []
        for column in range(a.columns):
            score = row[column * a.sum_bits : (column + 1) * a.sum_bits].as_signed()
            terms.append(Mux(self.write.columns[column], score, lowest))
        levels = (a.columns - 1).bit_length()
        for level in range(levels):
            if level == levels // 2:
                terms = [delayed(m, term, f"half{bank}") for term in terms]
            pairs = list(zip(terms[::2], terms[1::2], strict=True))
            terms = [self._larger(m, left, right) for left, right in pairs]
        cycles = MAXIMA_LATENCY - (levels > 0)
        return delayed(m, terms[0], f"largest{bank}", cycles=cycles)

    def _larger(self, m: Module, left: Value, right: Value) -> Signal:
        larger = Signal(signed(self._accelerator.sum_bits), name="larger")
        m.d.comb += larger.eq(Mux(left > right, left, right))
        return larger

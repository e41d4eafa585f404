"""The row unit: rows of scores to attention codes, softmax and binarization in one. Arithmetic: docs/arithmetic.md, 9.

Timing: docs/machine-network.md, 3.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.arch import Accelerator
from hw.gateware import row_lane
from hw.gateware.bank import pick
from hw.gateware.cell import use_cell
from hw.gateware.delayed import delayed
from hw.gateware.interfaces import Issue, LineRead, SliceWrite, Words
from hw.gateware.popcount import balanced_sum, fold32
from hw.gateware.row_lane import ENTRY_BITS, LIMIT_BITS
from hw.gateware.row_levels import RowLevels
from hw.gateware.row_ports import MaximaRead, TableRead, level_count
from hw.gateware.row_steps import RowCounter
from hw.gateware.stages import Stages

LANE_MODULE = "tallybert_row_lane"

#: The stages of the pipeline: those of a lane, and the one in which bits are written.
STAGES = row_lane.LATENCY + 1

#: The most instructions between issue and retirement: the second pass of one, the first pass of the next.
IN_FLIGHT = 2

#: So many entries are added up in the stage in which they are there; the rest of the tree follows behind the pipeline.
_PART_LANES = 8


class RowUnit(wiring.Component):
    """A pipeline of STAGES stages behind the step counter. One step enters per cycle, unless the pipeline stands still.

    A step that enters in cycle t is in the last stage in t + STAGES, if it never stops. Steps of a first pass leave it
    at once, those of a second one in the cycle in which they are written: one in which the activation buffer is not
    `taken`. Between the passes nothing enters, see `RowCounter`. The retirement pulse is one cycle after the last step
    has left. `stopped` is 1 where the pipeline does not move or a second pass may not begin yet.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "scores": Out(LineRead(a.drain_rows, a.score_line_sums * a.sum_bits)),
                "maxima": Out(MaximaRead(a)),
                "table": Out(TableRead(a)),
                "level": Out(LineRead(1, a.table_line_bits)),
                "activation": Out(SliceWrite(a, a.row_lanes)),
                "taken": In(1),
                "retire": Out(1),
                "words": Out(Words()),
                "entering": Out(1),
                "stopped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.counter = counter = RowCounter(self._accelerator)
        connect(m, counter.issue, flipped(self.issue))
        advance, leaves, second = Signal(), Signal(), Signal()
        stages = Stages(m, counter.step, advance)
        m.d.comb += [
            second.eq(stages.at(STAGES, "valid") & stages.at(STAGES, "second")),
            advance.eq(~(second & self.taken)),
            leaves.eq(advance & stages.at(STAGES, "valid")),
            counter.advance.eq(advance),
            counter.passed.eq(leaves & stages.at(STAGES, "pass_end")),
            self.entering.eq(counter.step.valid & advance),
            self.stopped.eq(~advance | counter.waiting),
        ]
        m.d.sync += self.retire.eq(leaves & stages.at(STAGES, "end"))
        m.d.comb += [
            self.scores.enable.eq(self.entering),
            self.scores.line.eq(stages.at(0, "score_line")),
            self.maxima.enable.eq(self.entering),
            self.maxima.line.eq(stages.at(0, "maximum_line")),
            self.table.enable.eq(advance),
        ]
        limits = Signal(LIMIT_BITS * level_count(self._accelerator))
        entries, bits = self._lanes(m, stages, limits, advance)
        levels = self._levels(m, stages, counter, entries, advance)
        m.d.comb += [
            limits.eq(self._used(stages, levels.limits)),
            levels.valid.eq(leaves & ~second),
        ]
        self._write(m, stages, bits, second & ~self.taken)
        m.d.comb += [
            self.words.valid.eq(levels.done | second & advance),
            self.words.fold.eq(Mux(levels.done, levels.limit, fold32(m, bits))),
            self.words.end.eq(leaves & stages.at(STAGES, "end")),
        ]
        return m

    def _lanes(self, m: Module, stages: Stages, limits: Signal, advance: Signal) -> tuple[list[Signal], Signal]:
        """Return the entries of the step in stage 5, and the bits of that in the last stage."""
        a = self._accelerator
        line, scores = Signal(a.score_line_sums * a.sum_bits), Signal(a.row_lanes * a.sum_bits)
        m.d.comb += line.eq(pick(Value.cast(self.scores.data), stages.at(1, "bank"), len(line)))
        m.d.comb += scores.eq(pick(line, stages.at(1, "piece"), len(scores)))
        maximum = Signal(a.sum_bits)
        m.d.comb += maximum.eq(pick(Value.cast(self.maxima.data), stages.at(1, "bank"), a.sum_bits))
        common = {"advance": advance, "maximum": maximum, "multiplier": stages.at(2, "multiplier")}
        common |= {name: stages.at(3, name) for name in ("shift", "last_entry", "table_line")}
        common |= {"limits": limits} | ({"plane_bit": stages.at(5, "plane_bit")} if a.code_bits > 1 else {})
        entries, bits = [], Signal(a.row_lanes)
        for lane in range(a.row_lanes):
            entry = Signal(ENTRY_BITS, name=f"entry{lane}")
            operands = {"score": scores[lane * a.sum_bits : (lane + 1) * a.sum_bits], "table": self.table.data[lane]}
            operands["counts"] = stages.at(4, "whole") | (stages.at(4, "rest") > lane)
            outputs = {"line": Signal(16, name=f"line{lane}"), "entry": entry, "bit": Signal(name=f"bit{lane}")}
            m.submodules[f"lane{lane}"] = use_cell(LANE_MODULE, outputs, common | operands)
            m.d.comb += [self.table.lines[lane].eq(outputs["line"]), bits[lane].eq(outputs["bit"])]
            entries.append(entry)
        return entries, bits

    def _levels(
        self, m: Module, stages: Stages, counter: RowCounter, entries: list[Signal], advance: Signal
    ) -> RowLevels:
        """Return what adds up rows and holds their limits; those of the step in stage 5 are read one stage before."""
        sums = [balanced_sum(list(entries[lane : lane + _PART_LANES])) for lane in range(0, len(entries), _PART_LANES)]
        parts = [delayed(m, part, "part", enable=advance) for part in sums]
        m.submodules.levels = levels = RowLevels(self._accelerator, [len(part) for part in parts])
        connect(m, levels.level, flipped(self.level))
        m.d.comb += [
            levels.last.eq(stages.at(STAGES, "row_end")),
            levels.row.eq(stages.at(STAGES, "row")),
            levels.parts.eq(Cat(parts)),
            levels.levels.eq(counter.levels),
            levels.level_line.eq(counter.level_line),
            levels.read.eq(advance),
            levels.read_row.eq(stages.at(4, "row")),
        ]
        return levels

    def _used(self, stages: Stages, limits: Value) -> Value:
        """Return the limits of the step in stage 5, those that its codes do not have out of reach."""
        if self._accelerator.code_bits == 1:
            return limits
        fields = [limits[k * LIMIT_BITS : (k + 1) * LIMIT_BITS] for k in range(level_count(self._accelerator))]
        beyond = 1 << LIMIT_BITS - 1
        return Cat(Mux(stages.at(5, "levels") > k, field, beyond) for k, field in enumerate(fields))

    def _write(self, m: Module, stages: Stages, bits: Signal, writes: Value) -> None:
        write = self.activation
        m.d.comb += [
            write.banks.eq(Cat(writes & (stages.at(STAGES, "row") == row) for row in range(self._accelerator.rows))),
            write.line.eq(stages.at(STAGES, "code_line")),
            write.position.eq(stages.at(STAGES, "position")),
            write.data.eq(bits),
        ]

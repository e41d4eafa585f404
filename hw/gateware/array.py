"""The array unit: steps a MATMUL through the pipeline to the drain register. Timing: docs/machine.md, 3.6."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, ResetSignal, Signal, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.buffers import pick
from hw.gateware.interfaces import Drain, Issue, LineRead, Words, instruction_layout
from hw.gateware.popcount import fold32
from hw.isa import Opcode

ELEMENT_MODULE = "tallybert_element"
CORRECTION_MODULE = "tallybert_correction"


class Step(data.StructLayout):
    """What travels through the pipeline with a step."""

    def __init__(self, accelerator: Accelerator) -> None:
        super().__init__(
            {
                "valid": 1,
                "first": 1,
                "hand_over": 1,
                "end": 1,
                "unsigned_set": 1,
                "pad": max(1, (accelerator.word_bits - 1).bit_length()),
                "rows": range(accelerator.rows + 1),
            }
        )


class StepCounter(wiring.Component):
    """Walk through (row tile, column group, word) of a MATMUL, one step per cycle with `advance` while active."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "advance": In(1),
                "active": Out(1),
                "activation_line": Out(16),
                "weight_line": Out(16),
                "word": Out(max(1, (a.line_words - 1).bit_length())),
                "step": Out(Step(a)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        layout = instruction_layout(Opcode.MATMUL)
        head = layout(self.issue.head)
        held = Signal(layout)
        row_line, column_line, line = Signal(16), Signal(16), Signal(16)
        rows_left, groups_left, words_left = Signal(16), Signal(16), Signal(16)
        word_end, group_end, tile_row_end, finishing = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            word_end.eq(words_left == 1),
            group_end.eq(word_end & (groups_left == 1)),
            tile_row_end.eq(rows_left <= a.rows),
            finishing.eq(self.active & self.advance & group_end & tile_row_end),
            self.issue.can_accept.eq(~self.active | finishing),
            self.activation_line.eq(row_line + line),
            self.weight_line.eq(column_line + line),
            self.step.valid.eq(self.active),
            self.step.first.eq(held.first & (words_left == held.words)),
            self.step.hand_over.eq(held.handover & word_end),
            self.step.end.eq(group_end & tile_row_end),
            self.step.unsigned_set.eq(held.unsigned),
            self.step.pad.eq(held.pad),
            self.step.rows.eq(Mux(tile_row_end, rows_left, a.rows)),
        ]
        with m.If(self.active & self.advance):
            self._next_word(m, line, words_left)
            with m.If(word_end):
                m.d.sync += [self.word.eq(0), line.eq(0), words_left.eq(held.words)]
                m.d.sync += [column_line.eq(column_line + held.weight_stride), groups_left.eq(groups_left - 1)]
            with m.If(group_end):
                m.d.sync += [column_line.eq(held.weight_line), groups_left.eq(held.column_groups)]
                m.d.sync += [row_line.eq(row_line + held.activation_stride), rows_left.eq(rows_left - a.rows)]
            with m.If(finishing):
                m.d.sync += self.active.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += [
                self.active.eq(1),
                held.eq(head),
                row_line.eq(head.activation_line),
                column_line.eq(head.weight_line),
                rows_left.eq(head.rows),
                groups_left.eq(head.column_groups),
                words_left.eq(head.words),
                line.eq(0),
                self.word.eq(0),
            ]
        return m

    def _next_word(self, m: Module, line: Signal, words_left: Signal) -> None:
        m.d.sync += words_left.eq(words_left - 1)
        if self._accelerator.line_words == 1:
            m.d.sync += line.eq(line + 1)
        else:
            m.d.sync += self.word.eq(self.word + 1)
            with m.If(self.word == self._accelerator.line_words - 1):
                m.d.sync += line.eq(line + 1)


class Array(wiring.Component):
    """The pipeline: buffers' words, processing elements, drain register.

    A step that enters in cycle t is added to the sums in cycle t + 1 + pipeline if the pipeline never stops; a finished
    tile is in the drain register one cycle later. The pipeline stops while a finished tile meets a drain register that
    stays full.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "activation": Out(LineRead(a.rows, a.line_bits)),
                "weight": Out(LineRead(a.columns, a.line_bits)),
                "drain": Out(Drain(a)),
                "retire": Out(1),
                "words": Out(Words()),
                "entering": Out(1),
                "stopped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.counter = counter = StepCounter(a)
        wiring.connect(m, counter.issue, wiring.flipped(self.issue))
        advance = Signal()
        stages = [Signal(Step(a), name=f"stage{index + 1}") for index in range(a.pipeline + 1)]
        word = Signal.like(counter.word)
        with m.If(advance):
            m.d.sync += [stages[0].eq(counter.step), word.eq(counter.word)]
            m.d.sync += [later.eq(earlier) for earlier, later in zip(stages, stages[1:], strict=False)]
        last = stages[-1]
        hand_over, end = Signal(), Signal()
        m.d.comb += [
            advance.eq(~(last.valid & last.hand_over & self.drain.full & ~self.drain.release)),
            hand_over.eq(advance & last.valid & last.hand_over),
            end.eq(advance & last.valid & last.end),
            counter.advance.eq(advance),
            self.entering.eq(counter.active & advance),
            self.stopped.eq(~advance),
            *(port.enable.eq(advance & counter.active) for port in (self.activation, self.weight)),
            self.activation.line.eq(counter.activation_line),
            self.weight.line.eq(counter.weight_line),
        ]
        m.d.sync += self.retire.eq(end)
        with m.If(hand_over):
            m.d.sync += self.drain.full.eq(1)
        with m.Elif(self.drain.release):
            m.d.sync += self.drain.full.eq(0)
        self._elements(m, advance, word, stages)
        self._trace(m, hand_over, end, last)
        return m

    def _elements(self, m: Module, advance: Signal, word: Signal, stages: list[Signal]) -> None:
        a = self._accelerator
        first, last = stages[0], stages[-1]
        common = {"advance": advance, "unsigned_set": first.unsigned_set, "add": last.valid, "first": last.first}
        common |= {"hand_over": last.valid & last.hand_over, "shift": self.drain.take}
        activations = [pick(self.activation.data[row], word, a.word_bits) for row in range(a.rows)]
        weights = [pick(self.weight.data[column], word, a.word_bits) for column in range(a.columns)]
        sums = [[Signal(a.count_bits, name=f"sum_{r}_{c}") for c in range(a.columns)] for r in range(a.rows)]
        corrections = [Signal(a.sum_bits, name=f"correction_{r}") for r in range(a.rows)]
        for r in range(a.rows):
            below = r + a.drain_rows
            inside = below < a.rows
            cell = common | {"activation": activations[r]}
            m.submodules[f"correction_{r}"] = _instance(
                CORRECTION_MODULE,
                corrections[r],
                cell | {"pad": last.pad, "drain_in": corrections[below] if inside else Const(0, a.sum_bits)},
            )
            for c in range(a.columns):
                m.submodules[f"element_{r}_{c}"] = _instance(
                    ELEMENT_MODULE,
                    sums[r][c],
                    cell | {"weight": weights[c], "drain_in": sums[below][c] if inside else Const(0, a.count_bits)},
                )
        for index in range(a.drain_rows):
            m.d.comb += [
                *(self.drain.rows[index].sums[c].eq(sums[index][c]) for c in range(a.columns)),
                self.drain.rows[index].correction.eq(corrections[index]),
            ]
        self._sums = sums

    def _trace(self, m: Module, hand_over: Signal, end: Signal, last: Signal) -> None:
        """Fold the sums as they stand in the drain register, one cycle after they were handed over."""
        valid_rows = Signal.like(last.rows)
        handed = Signal()
        m.d.sync += [handed.eq(hand_over), self.words.end.eq(end)]
        with m.If(hand_over):
            m.d.sync += valid_rows.eq(last.rows)
        fields = [Mux(valid_rows > r, total, 0) for r, row in enumerate(self._sums) for total in row]
        m.d.comb += [self.words.valid.eq(handed), self.words.fold.eq(fold32(m, Cat(*fields)))]


def _instance(name: str, drained: Signal, inputs: dict[str, ValueLike]) -> Instance:
    """Use a cell that is emitted once as a module of its own: thousands of copies would cost minutes and megabytes."""
    ports = {f"i_{port}": value for port, value in inputs.items()}
    return Instance(name, i_clk=ClockSignal(), i_rst=ResetSignal(), o_drained=drained, **ports)

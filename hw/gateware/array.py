"""The array unit: the pipeline from the buffers to the drain register. Timing: docs/machine.md, 3.6."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.bank import pick
from hw.gateware.cell import use_cell
from hw.gateware.interfaces import Drain, Issue, LineRead, Words
from hw.gateware.popcount import fold32
from hw.gateware.steps import Step, StepCounter

ELEMENT_MODULE = "tallybert_element"
CORRECTION_MODULE = "tallybert_correction"


class Array(wiring.Component):
    """The pipeline: buffers' words, processing elements, drain register.

    A step that enters in cycle t is added to the sums in cycle t + 1 + pipeline if the pipeline never stops; a finished
    tile is in the drain register one cycle later. The pipeline stops while a finished tile meets a drain register that
    stays full.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        columns = LineRead(a.columns, a.line_bits)
        super().__init__(
            {
                "issue": In(Issue()),
                "activation": Out(LineRead(a.rows, a.line_bits)),
                "weight": Out(columns),
                **({"key": Out(columns)} if a.key_lines else {}),
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
            self.activation.enable.eq(self.entering),
            self.activation.line.eq(counter.activation_line),
        ]
        m.d.sync += self.retire.eq(end)
        with m.If(hand_over):
            m.d.sync += self.drain.full.eq(1)
        with m.Elif(self.drain.release):
            m.d.sync += self.drain.full.eq(0)
        self._elements(m, advance, word, self._weights(m, counter), stages)
        self._trace(m, hand_over, end, last)
        return m

    def _weights(self, m: Module, counter: StepCounter) -> list[Value]:
        """Return the lines of the weight buffer, or of the key buffer, that stage 1 holds."""
        columns = range(self._accelerator.columns)
        ports = {"weight": self.weight, "key": self.key} if self._accelerator.key_lines else {"weight": self.weight}
        for name, port in ports.items():
            chosen = counter.keys == (name == "key") if len(ports) > 1 else 1
            m.d.comb += [port.enable.eq(self.entering & chosen), port.line.eq(counter.weight_line)]
        if len(ports) == 1:
            return [self.weight.data[column] for column in columns]
        keys = Signal()
        with m.If(self.entering):
            m.d.sync += keys.eq(counter.keys)
        return [Mux(keys, self.key.data[column], self.weight.data[column]) for column in columns]

    def _elements(
        self, m: Module, advance: Signal, word: Signal, weight_lines: list[Value], stages: list[Signal]
    ) -> None:
        a = self._accelerator
        first, last = stages[0], stages[-1]
        common = {"advance": advance, "unsigned_set": first.unsigned_set, "add": last.valid, "first": last.first}
        common |= {"hand_over": last.valid & last.hand_over, "shift": self.drain.take}
        common |= {"double": last.double, "negative": last.negative} if a.code_bits > 1 else {}
        activations = [pick(self.activation.data[row], word, a.word_bits) for row in range(a.rows)]
        weights = [pick(line, word, a.word_bits) for line in weight_lines]
        sums = [[Signal(a.count_bits, name=f"sum_{r}_{c}") for c in range(a.columns)] for r in range(a.rows)]
        corrections = [Signal(a.sum_bits, name=f"correction_{r}") for r in range(a.rows)]
        for r in range(a.rows):
            below = r + a.drain_rows
            inside = below < a.rows
            cell = common | {"activation": activations[r]}
            row = {"plain": first.plain, "pad": last.pad}
            m.submodules[f"correction_{r}"] = use_cell(
                CORRECTION_MODULE,
                {"drained": corrections[r]},
                cell | row | {"drain_in": corrections[below] if inside else Const(0, a.sum_bits)},
            )
            for c in range(a.columns):
                m.submodules[f"element_{r}_{c}"] = use_cell(
                    ELEMENT_MODULE,
                    {"drained": sums[r][c]},
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

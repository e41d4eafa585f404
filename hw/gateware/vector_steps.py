"""The steps of a VECTOR: rows, slices, planes, and the lines of each. Order: docs/machine.md, section 2."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import Issue, instruction_layout
from hw.gateware.planes import walk_planes
from hw.gateware.row_root import CHANNEL_BITS, EPSILON_BITS
from hw.isa import Opcode, Source

#: Sets of codes that an instruction can write.
SETS = 3


def slices_of(accelerator: Accelerator, channels: Value) -> Value:
    """Return in how many slices some channels are."""
    lanes = accelerator.vector_lanes
    return (channels + (lanes - 1)) >> (lanes - 1).bit_length()


#: Operands that go with each step as they are.
_FLAGS = ("maximum", "normalise", "scale", "add", "multiply", "keep", "statistics")
_CARRIED = {**dict.fromkeys(_FLAGS, 1), "sets": 2, "shift": 5}


class VectorStep(data.StructLayout):
    """What goes with a step through the pipeline.

    `row_end` marks the last slice of a row: its first `rest` lanes are valid, in any other slice all are. `bank` and
    `piece` say where in a line of the sums buffer the slice stands, `code_lines` and `position` where its codes go. Of
    codes of several `planes`, `plane_bit` is the bit that the step writes. Of embeddings, `word_line` has the scale of
    the row's word, `bits_line` and `bits_piece` its bits of the slice, `type_line` what its type adds.

    A step of a `mean`, a `classify` or a `table` that is `silent` makes no words. `begins` marks the first step of what
    is added up, `bias` the last one of a class; its weights are number `weight` of their entries. A step of a `table`
    works on number `lane` of its slice; its `scale_line` has piece 0.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        a = accelerator
        coded = {"planes": 4, "code_signed": 1, "plane_bit": range(a.code_bits)} if a.code_bits > 1 else {}
        lines = dict.fromkeys(("word_line", "bits_line", "type_line"), 16)
        text = {"from_text": 1, "bits_piece": range(a.word_line_slices), **lines} if a.token_lines else {}
        super().__init__(
            {
                "valid": 1,
                "end": 1,
                "row": range(a.rows),
                "row_end": 1,
                "rest": range(a.vector_lanes + 1),
                "from_fixed": 1,
                "bank": range(a.drain_rows),
                "piece": range(a.sum_line_sums // a.vector_lanes),
                "source_line": 16,
                "scale_line": 16,
                "add_line": 16,
                "fixed_line": 16,
                "level_line": 16,
                "code_lines": data.ArrayLayout(16, SETS),
                "position": range(a.line_slices),
                **_CARRIED,
                **coded,
                **text,
                **dict.fromkeys(("mean", "table", "silent", "begins"), 1),
                "multiplier": 16,
                "lane": range(a.vector_lanes),
                **({"classify": 1, "bias": 1, "weight": 3} if a.classes else {}),
            }
        )


class VectorCounter(wiring.Component):
    """Walk through (row, slice, plane) of a VECTOR: a step per cycle with `advance`.

    Nothing is accepted while `blocked`. `channels` and `epsilon` are those of the instruction that was issued last.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "advance": In(1),
                "blocked": In(1),
                "channels": Out(CHANNEL_BITS),
                "epsilon": Out(EPSILON_BITS),
                "step": Out(VectorStep(a)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, step = self._accelerator, self.step
        layout = instruction_layout(Opcode.VECTOR)
        head, held = layout(self.issue.head), Signal(layout)
        active, slice_done, finishing = Signal(), Signal(), Signal()
        row, rows_left, channels_left = Signal(range(a.rows)), Signal(7), Signal(CHANNEL_BITS)
        number, index = Signal(CHANNEL_BITS - 1), Signal(16)
        plane_end, plane_lines = self._walk_planes(m, (head, held), active & self.advance)
        m.d.comb += [
            slice_done.eq(active & self.advance & plane_end),
            finishing.eq(active & self.advance & step.end),
            self.issue.can_accept.eq((~active | finishing) & ~self.blocked),
            self.channels.eq(held.channels),
            self.epsilon.eq(held.epsilon),
            step.valid.eq(active),
            step.end.eq(plane_end & step.row_end & (rows_left == 1)),
            step.row.eq(row),
            step.row_end.eq(channels_left <= a.vector_lanes),
            step.rest.eq(channels_left),
            *(step[name].eq(held[name]) for name in _CARRIED),
        ]
        sum_line = self._walk_sums(m, head, number, slice_done)
        self._locate(m, held, (number, index, sum_line), plane_lines)
        if a.token_lines:
            self._walk_words(m, (head, held), (number, index), slice_done)
        with m.If(slice_done):
            m.d.sync += [number.eq(number + 1), index.eq(index + 1)]
            m.d.sync += channels_left.eq(channels_left - a.vector_lanes)
            with m.If(step.row_end):
                m.d.sync += [number.eq(0), channels_left.eq(held.channels)]
                m.d.sync += [row.eq(row + 1), rows_left.eq(rows_left - 1)]
        with m.If(finishing):
            m.d.sync += active.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += [
                active.eq(1),
                held.eq(head),
                *(register.eq(0) for register in (row, number, index)),
                rows_left.eq(head.rows),
                channels_left.eq(head.channels),
            ]
        return m

    def _walk_planes(self, m: Module, operands: tuple[data.View, data.View], moving: Value) -> tuple[Value, Value]:
        """Return whether the step's plane is the last one, and by how many lines it lies behind the first."""
        step, held, issued = self.step, operands[1], self.issue.issued
        if self._accelerator.code_bits == 1:
            return Const(1), Const(0)
        m.d.comb += [step.planes.eq(held.planes), step.code_signed.eq(held.code_signed)]
        return walk_planes(m, step.plane_bit, operands, held.code_line_1, issued=issued, moving=moving)

    def _walk_sums(self, m: Module, head: data.View, number: Signal, slice_done: Signal) -> Value:
        """Return the line of the sums buffer; the rows of a group stand in the same lines of their banks."""
        a, step = self._accelerator, self.step
        shift = (a.sum_line_sums // a.vector_lanes - 1).bit_length()
        bank, first_line, line = Signal(range(a.drain_rows)), Signal(16), Signal(16)
        m.d.comb += [line.eq(first_line + (number >> shift)), step.bank.eq(bank), step.piece.eq(number[:shift])]
        with m.If(slice_done & step.row_end):
            m.d.sync += bank.eq(bank + 1)
            with m.If(bank == a.drain_rows - 1):
                m.d.sync += [bank.eq(0), first_line.eq(line + 1)]
        with m.If(self.issue.issued):
            m.d.sync += [bank.eq(0), first_line.eq(head.source_line)]
        return line

    def _walk_words(
        self, m: Module, operands: tuple[data.View, data.View], place: tuple[Signal, Signal], slice_done: Signal
    ) -> None:
        """Give the lines of a word: its scale, then as many lines of bits as its slices fill, then the next word."""
        step, (head, held), (number, index) = self.step, operands, place
        shift = (self._accelerator.word_line_slices - 1).bit_length()
        word_line = Signal(16)
        m.d.comb += [
            step.from_text.eq(held.source == Source.EMBEDDING),
            step.word_line.eq(word_line),
            step.bits_line.eq(word_line + 1 + (number >> shift)),
            step.bits_piece.eq(number[:shift]),
            step.type_line.eq(held.scale_line + Mux(held.typed, index, number)),
        ]
        with m.If(slice_done & step.row_end):
            m.d.sync += word_line.eq(step.bits_line + 1)
        with m.If(self.issue.issued):
            m.d.sync += word_line.eq(head.source_line)

    def _locate(self, m: Module, held: data.View, place: tuple[Signal, Signal, Value], plane_lines: Value) -> None:
        """Give the lines of a slice: its `number` in the row, and its `index` in the rows one after the other."""
        step, (number, index, sum_line) = self.step, place
        shift = (self._accelerator.line_slices - 1).bit_length()
        position = Signal(17)
        from_fixed = held.source == Source.FIXED
        m.d.comb += [
            position.eq(held.code_group + number),
            step.position.eq(position[:shift]),
            step.from_fixed.eq(from_fixed),
            step.source_line.eq(Mux(from_fixed, held.source_line + index, sum_line)),
            step.scale_line.eq(held.scale_line + number),
            step.add_line.eq(held.add_line + index),
            step.fixed_line.eq(held.fixed_line + index),
            step.level_line.eq(held.level_line + number),
        ]
        bases = (held.code_line + plane_lines, held.code_line_1, held.code_line_2)
        m.d.comb += [step.code_lines[s].eq(base + (position >> shift)) for s, base in enumerate(bases)]

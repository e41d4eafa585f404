"""The steps of a SOFTMAX: two passes over rows and slices, and the lines of each. Order: docs/machine-network.md, 2."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import Issue, instruction_layout
from hw.gateware.planes import walk_planes
from hw.gateware.row_ports import group_bits, level_bits, level_count, maximum_line_bits
from hw.isa import Opcode

#: If the last step of the first pass leaves the pipeline in c, the second pass begins in c + GAP + N.
GAP = 8

KEY_BITS = 11

#: Operands that go with each step as they are.
_CARRIED = {"table_line": 16, "last_entry": 16, "multiplier": 16, "shift": 5}


class RowStep(data.StructLayout):
    """What goes with a step through the pipeline.

    `row_end` marks the last step of a row, `pass_end` that of the first pass, `end` that of the `second` one. Of a step
    that is not `whole` the first `rest` lanes are valid. `bank` and `piece` say where in a line of scores the slice
    stands, `code_line` and `position` where its codes go. Of codes of several bits, `plane_bit` is the one that the
    step writes, and `levels` how many levels they have.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        a = accelerator
        coded = {"plane_bit": range(a.code_bits), "levels": level_bits(a)} if a.code_bits > 1 else {}
        super().__init__(
            {
                "valid": 1,
                "second": 1,
                "end": 1,
                "pass_end": 1,
                "row": range(a.rows),
                "row_end": 1,
                "whole": 1,
                "rest": range(a.row_lanes),
                "bank": range(a.drain_rows),
                "piece": range(a.score_line_sums // a.row_lanes),
                "score_line": 16,
                "maximum_line": maximum_line_bits(a),
                "code_line": 16,
                "position": range(a.line_row_slices),
                **_CARRIED,
                **coded,
            }
        )


class RowCounter(wiring.Component):
    """Walk through (row, slice) of a SOFTMAX and then through (row, slice, plane): a step per cycle with `advance`.

    A row of the first pass has at least as many steps as there are levels: in those behind its slices no lane is valid.
    Behind the first pass the counter is `waiting`: if the last step of it has `passed` in cycle c, the next one is
    shown from c + GAP + the number of levels on. `level_line` and `levels` are those of the instruction that was issued
    last.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "advance": In(1),
                "passed": In(1),
                "waiting": Out(1),
                "level_line": Out(16),
                "levels": Out(level_bits(a)),
                "step": Out(RowStep(a)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, step = self._accelerator, self.step
        layout = instruction_layout(Opcode.SOFTMAX)
        head, held = layout(self.issue.head), Signal(layout)
        active, second, waiting = Signal(), Signal(), Signal()
        row, rows_left, keys_left = Signal(range(a.rows)), Signal(7), Signal(KEY_BITS)
        number, steps_left = Signal(KEY_BITS - 1), Signal(level_bits(a))
        last_slice, step_done, slice_done, row_done, finishing = (Signal() for _ in range(5))
        first_pass_done = Signal()
        plane_end, plane_lines = self._walk_planes(m, (head, held), step_done & second)
        m.d.comb += [
            last_slice.eq(keys_left <= a.row_lanes),
            step_done.eq(step.valid & self.advance),
            slice_done.eq(step_done & plane_end),
            row_done.eq(step_done & step.row_end),
            first_pass_done.eq(step_done & step.pass_end),
            finishing.eq(step_done & step.end),
            self.issue.can_accept.eq(~active | finishing),
            self.waiting.eq(active & waiting),
            self.level_line.eq(held.level_line),
            self.levels.eq((1 << held.planes) - 1),
            step.valid.eq(active & ~waiting),
            step.second.eq(second),
            step.row.eq(row),
            step.row_end.eq(last_slice & plane_end & (second | (steps_left <= 1))),
            step.pass_end.eq(step.row_end & (rows_left == 1) & ~second),
            step.end.eq(step.row_end & (rows_left == 1) & second),
            step.whole.eq(keys_left >= a.row_lanes),
            step.rest.eq(keys_left),
            *(step[name].eq(held[name]) for name in _CARRIED),
        ]
        self._walk_scores(m, (head, held), number, row_done, first_pass_done)
        self._locate(m, held, number, plane_lines)
        with m.If(slice_done):
            m.d.sync += [
                number.eq(number + ~last_slice),
                keys_left.eq(Mux(last_slice, 0, keys_left - a.row_lanes)),
                steps_left.eq(steps_left - steps_left.any()),
            ]
        with m.If(row_done):
            m.d.sync += [row.eq(row + 1), rows_left.eq(rows_left - 1)]
            m.d.sync += [number.eq(0), keys_left.eq(held.keys), steps_left.eq(self.levels)]
        with m.If(first_pass_done):
            m.d.sync += [second.eq(1), row.eq(0), rows_left.eq(held.rows)]
        with m.If(finishing):
            m.d.sync += active.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += [
                active.eq(1),
                held.eq(head),
                *(register.eq(0) for register in (second, row, number)),
                rows_left.eq(head.rows),
                keys_left.eq(head.keys),
                steps_left.eq((1 << head.planes) - 1),
            ]
        self._wait(m, waiting, first_pass_done)
        return m

    def _wait(self, m: Module, waiting: Signal, first_pass_done: Signal) -> None:
        """Wait behind the first pass until its last row has its levels."""
        countdown = Signal(range(GAP + level_count(self._accelerator)))
        with m.If(self.passed):
            m.d.sync += countdown.eq(GAP - 1 + self.levels)
        with m.Elif(countdown.any()):
            m.d.sync += countdown.eq(countdown - 1)
        with m.If(first_pass_done):
            m.d.sync += waiting.eq(1)
        with m.Elif(countdown == 1):
            m.d.sync += waiting.eq(0)

    def _walk_planes(self, m: Module, operands: tuple[data.View, data.View], moving: Value) -> tuple[Value, Value]:
        """Return whether the step is the last one of its slice, and by how many lines its plane lies behind the first.

        In the first pass each slice is one step.
        """
        step, issued = self.step, self.issue.issued
        if self._accelerator.code_bits == 1:
            return Const(1), Const(0)
        stride = operands[1].code_plane_stride
        last, lines = walk_planes(m, step.plane_bit, operands, stride, issued=issued, moving=moving)
        m.d.comb += step.levels.eq(self.levels)
        return ~step.second | last, lines

    def _walk_scores(
        self,
        m: Module,
        operands: tuple[data.View, data.View],
        number: Signal,
        row_done: Signal,
        first_pass_done: Signal,
    ) -> None:
        """Give the line of the scores and of the maxima; the rows of a group stand in the same lines of their banks."""
        a, step, (head, held) = self._accelerator, self.step, operands
        shift = (a.score_line_sums // a.row_lanes - 1).bit_length()
        bank, group, first_line = Signal(range(a.drain_rows)), Signal(group_bits(a)), Signal(16)
        m.d.comb += [
            step.score_line.eq(first_line + (number >> shift)),
            step.bank.eq(bank),
            step.piece.eq(number[:shift]),
            step.maximum_line.eq(Cat(group, held.slot)),
        ]
        with m.If(row_done):
            m.d.sync += bank.eq(bank + 1)
            with m.If(bank == a.drain_rows - 1):
                m.d.sync += [bank.eq(0), group.eq(group + 1), first_line.eq(step.score_line + 1)]
        with m.If(first_pass_done):
            m.d.sync += [bank.eq(0), group.eq(0), first_line.eq(held.score_line)]
        with m.If(self.issue.issued):
            m.d.sync += [bank.eq(0), group.eq(0), first_line.eq(head.score_line)]

    def _locate(self, m: Module, held: data.View, number: Signal, plane_lines: Value) -> None:
        """Give the line of the codes of a slice, and its place there."""
        step, position = self.step, Signal(17)
        shift = (self._accelerator.line_row_slices - 1).bit_length()
        m.d.comb += [
            position.eq(held.code_group + number),
            step.position.eq(position[:shift]),
            step.code_line.eq(held.code_line + plane_lines + (position >> shift)),
        ]

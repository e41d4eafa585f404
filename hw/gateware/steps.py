"""The steps of a MATMUL: tiles, pairs of planes, words. Order: docs/machine.md, section 2."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import Issue, instruction_layout
from hw.isa import Opcode


class Step(data.StructLayout):
    """What travels through the pipeline with a step. The signs of planes only where codes have several bits."""

    def __init__(self, accelerator: Accelerator) -> None:
        planes = {"double": 1, "negative": 1} if accelerator.code_bits > 1 else {}
        super().__init__(
            {
                "valid": 1,
                "first": 1,
                "hand_over": 1,
                "end": 1,
                "unsigned_set": 1,
                "plain": 1,
                "pad": max(1, (accelerator.word_bits - 1).bit_length()),
                "rows": range(accelerator.rows + 1),
                **planes,
            }
        )


class Pair(data.StructLayout):
    """A pair of planes: their numbers, and by how many lines they lie behind the first ones."""

    def __init__(self, accelerator: Accelerator) -> None:
        plane = range(accelerator.code_bits)
        super().__init__({"activation": plane, "weight": plane, "activation_line": 16, "weight_line": 16})


class PairCounter(wiring.Component):
    """Walk through the pairs of planes of a tile: levels of equal weight, in each the activation's plane falling.

    It stands at the pair (0, 0) and goes on in each cycle with `advance`; from the last pair to (0, 0) again. `double`
    shows the first pair of every level but the first, `following` where the next pair lies.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        super().__init__(
            {
                "advance": In(1),
                "activation_planes": In(4),
                "weight_planes": In(4),
                "activation_stride": In(16),
                "weight_stride": In(16),
                "pair": Out(Pair(accelerator)),
                "following": Out(Pair(accelerator)),
                "first": Out(1),
                "last": Out(1),
                "double": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pair, following = self.pair, self.following
        level, following_level = Signal(Pair(self._accelerator)), Signal(Pair(self._accelerator))
        level_end, fresh = Signal(), Signal()
        lowest = pair.weight + 1 == self.weight_planes
        m.d.comb += [
            level_end.eq((pair.activation == 0) | lowest),
            self.first.eq((pair.activation == 0) & (pair.weight == 0)),
            self.last.eq((pair.activation + 1 == self.activation_planes) & lowest),
            self.double.eq(fresh),
            following.activation.eq(pair.activation - 1),
            following.activation_line.eq(pair.activation_line - self.activation_stride),
            following.weight.eq(pair.weight + 1),
            following.weight_line.eq(pair.weight_line + self.weight_stride),
            following_level.eq(level),
        ]
        with m.If(level.activation + 1 == self.activation_planes):
            m.d.comb += following_level.weight.eq(level.weight + 1)
            m.d.comb += following_level.weight_line.eq(level.weight_line + self.weight_stride)
        with m.Else():
            m.d.comb += following_level.activation.eq(level.activation + 1)
            m.d.comb += following_level.activation_line.eq(level.activation_line + self.activation_stride)
        with m.If(self.last):
            m.d.comb += following.eq(0)
        with m.Elif(level_end):
            m.d.comb += following.eq(following_level)
        with m.If(self.advance):
            m.d.sync += [pair.eq(following), fresh.eq(level_end & ~self.last)]
            with m.If(level_end):
                m.d.sync += level.eq(Mux(self.last, 0, following_level.as_value()))
        return m


class StepCounter(wiring.Component):
    """Walk through (row tile, column group, pair of planes, word) of a MATMUL: a step per cycle with `advance`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        super().__init__(
            {
                "issue": In(Issue()),
                "advance": In(1),
                "active": Out(1),
                "keys": Out(1),
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
        row_line, column_line = Signal(16), Signal(16)
        activation_offset, weight_offset = Signal(16), Signal(16)
        rows_left, groups_left, words_left = Signal(16), Signal(16), Signal(16)
        moving, word_first, word_end = Signal(), Signal(), Signal()
        first_pair, last_pair = Signal(init=1), Signal(init=1)
        tile_end, group_end, tile_row_end, finishing = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            moving.eq(self.active & self.advance),
            word_first.eq(words_left == held.words),
            word_end.eq(words_left == 1),
            tile_end.eq(word_end & last_pair),
            group_end.eq(tile_end & (groups_left == 1)),
            tile_row_end.eq(rows_left <= a.rows),
            finishing.eq(moving & group_end & tile_row_end),
            self.issue.can_accept.eq(~self.active | finishing),
            self.keys.eq(held["keys"]),
            self.activation_line.eq(row_line + activation_offset),
            self.weight_line.eq(column_line + (weight_offset if a.code_bits > 1 else activation_offset)),
            self.step.valid.eq(self.active),
            self.step.first.eq(held.first & word_first & first_pair),
            self.step.hand_over.eq(held.handover & tile_end),
            self.step.end.eq(group_end & tile_row_end),
            self.step.unsigned_set.eq(held.unsigned),
            self.step.plain.eq(held.plain),
            self.step.pad.eq(held.pad),
            self.step.rows.eq(Mux(tile_row_end, rows_left, a.rows)),
        ]
        offsets: list[tuple[Signal, Value]] = [(activation_offset, Const(0))]
        if a.code_bits > 1:
            m.submodules.pairs = pairs = self._pairs(m, held, word_first)
            m.d.comb += [pairs.advance.eq(moving & word_end), first_pair.eq(pairs.first), last_pair.eq(pairs.last)]
            following = pairs.following
            offsets = [(activation_offset, following.activation_line), (weight_offset, following.weight_line)]
        with m.If(moving):
            self._next_word(m, [offset for offset, _ in offsets], words_left)
            with m.If(word_end):
                m.d.sync += [self.word.eq(0), words_left.eq(held.words)]
                m.d.sync += [offset.eq(value) for offset, value in offsets]
            with m.If(tile_end):
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
                self.word.eq(0),
                *(offset.eq(0) for offset, _ in offsets),
            ]
        return m

    def _pairs(self, m: Module, held: Signal, word_first: Signal) -> PairCounter:
        """Return the counter of pairs, and let the step double and subtract as its pair asks for."""
        pairs = PairCounter(self._accelerator)
        signs = (held.activation_negative & (pairs.pair.activation == 0)) ^ (
            held.weight_negative & (pairs.pair.weight == 0)
        )
        m.d.comb += [
            pairs.activation_planes.eq(held.activation_planes),
            pairs.weight_planes.eq(held.weight_planes),
            pairs.activation_stride.eq(held.activation_plane_stride),
            pairs.weight_stride.eq(held.weight_plane_stride),
            self.step.double.eq(word_first & pairs.double),
            self.step.negative.eq(signs),
        ]
        return pairs

    def _next_word(self, m: Module, offsets: list[Signal], words_left: Signal) -> None:
        line_end: Value = Const(1)
        m.d.sync += words_left.eq(words_left - 1)
        if self._accelerator.line_words > 1:
            m.d.sync += self.word.eq(self.word + 1)
            line_end = self.word == self._accelerator.line_words - 1
        with m.If(line_end):
            m.d.sync += [offset.eq(offset + 1) for offset in offsets]

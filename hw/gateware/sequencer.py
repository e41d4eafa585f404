"""The sequencer: instructions to the unit queues, FENCE, EXIT, HALT, errors, cycles. Timing: docs/machine.md, 3.3."""

from __future__ import annotations

from enum import IntEnum

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import INSTRUCTION_BITS, TOKEN_UNIT_COUNT, instruction_layout
from hw.gateware.popcount import balanced_sum
from hw.isa import FIELDS, UNIT_OF, Buffer, Destination, Opcode, Source, SumsDestination, Unit


class ErrorCode(IntEnum):
    NONE = 0
    ILLEGAL_INSTRUCTION = 1
    READ_ERROR = 2
    WRITE_ERROR = 3
    NO_HALT = 4
    WATCHDOG = 5


class Sequencer(wiring.Component):
    """Take at most one instruction per cycle, in program order, and push it to its unit's queue.

    FENCE, HALT and EXIT are taken when nothing is in flight; an EXIT ends the run as HALT does if the vote is `decided`
    then, and is a FENCE if it is not. `start` begins a run in that cycle (cycle 0); `clear` resets the
    units then. HALT or an error sets `hold`, which stops everything that could open a burst and stays until the next
    start. The cycle count stands from then on, and the run is done when the port is `quiet`.

    After `watchdog` cycles in a row without `progress` (0: never) the run is done in any case. A start is ignored until
    the port is quiet: what the memory still owes must not reach the next run.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        super().__init__(
            {
                "start": In(1),
                "clear": Out(1),
                "running": Out(1),
                "done": Out(1),
                "error": Out(8),
                "hold": Out(1),
                "quiet": In(1),
                "progress": In(1),
                "watchdog": In(32),
                "cycle": Out(32),
                "retired": Out(32),
                "valid": In(1),
                "instruction": In(INSTRUCTION_BITS),
                "take": Out(1),
                "exhausted": In(1),
                "decided": In(1),
                "space": In(TOKEN_UNIT_COUNT),
                "push": Out(TOKEN_UNIT_COUNT),
                "retire": In(TOKEN_UNIT_COUNT),
                "read_error": In(1),
                "write_error": In(1),
                "waiting": Out(1),
                "queue_full": Out(1),
                "retire_here": Out(1),
                "issue_cycle": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        active, legal, halt = Signal(), Signal(), Signal()
        m.d.comb += [
            active.eq(self.running & ~self.hold & self.valid),
            self.clear.eq(self.start & ~self.running & self.quiet),
        ]
        self._decode(m, active, legal, halt)
        self._run(m, halt)
        self._watch(m)
        self._fail(m, active & ~legal)
        seen, first_seen = Signal(), Signal(32)
        with m.If(self.valid & ~seen):
            m.d.sync += [seen.eq(1), first_seen.eq(self.cycle)]
        m.d.comb += self.issue_cycle.eq(seen.replicate(32) & first_seen | (~seen).replicate(32) & self.cycle)
        with m.If(self.take | self.clear):
            m.d.sync += seen.eq(0)
        return m

    def _decode(self, m: Module, active: Value, legal: Signal, halt: Signal) -> None:
        idle = Signal()
        opcode = instruction_layout(Opcode.HALT)(self.instruction).opcode
        with m.Switch(opcode):
            for code, fields in FIELDS.items():
                view = instruction_layout(code)(self.instruction)
                counts = [view[field.name] != 0 for field in fields if field.count]
                unit = UNIT_OF[code]
                with m.Case(code):
                    m.d.comb += legal.eq(_all(counts + self._needs(code, view)))
                    if unit is Unit.SEQUENCER:
                        here = active & legal
                        m.d.comb += [self.retire_here.eq(here & idle), self.waiting.eq(here & ~idle)]
                        ends = {Opcode.HALT: Const(1), Opcode.EXIT: self.decided}.get(code, Const(0))
                        m.d.comb += halt.eq(self.retire_here & ends)
                    else:
                        m.d.comb += self.push[unit].eq(active & legal & self.space[unit])
                        m.d.comb += self.queue_full.eq(active & legal & ~self.space[unit])
        in_flight = Signal(12)
        retired = balanced_sum([self.retire[unit] for unit in range(TOKEN_UNIT_COUNT)])
        m.d.comb += [self.take.eq(self.push.any() | self.retire_here), idle.eq(in_flight == 0)]
        m.d.sync += in_flight.eq(in_flight + self.push.any() - retired)
        with m.If(self.running):
            m.d.sync += self.retired.eq(self.retired + retired + self.retire_here)
        with m.If(self.clear):
            m.d.sync += [in_flight.eq(0), self.retired.eq(0)]

    def _needs(self, code: Opcode, view: data.View) -> list[Value]:
        """Return that an instruction needs nothing that this accelerator was built without."""
        a, needs = self._accelerator, []
        if code is Opcode.MATMUL:
            needs = [view[f"{operand}_planes"] <= a.code_bits for operand in ("activation", "weight")]
            needs += [] if a.key_lines else [~view["keys"]]
        if code is Opcode.BINARIZE and not a.key_lines:
            needs = [view.destination != Destination.KEY]
        if code is Opcode.VECTOR:
            needs = [view.planes <= a.code_bits]
        needs += _needs_of_rows(a, code, view)
        if not a.vector_lanes:
            needs += [Const(0)] if code is Opcode.VECTOR else []
            needs += [(view.buffer != Buffer.SCALE) & (view.buffer != Buffer.LEVEL)] if code is Opcode.LOAD else []
        return needs + self._needs_of_text(code, view) + self._needs_of_vote(code, view)

    def _needs_of_text(self, code: Opcode, view: data.View) -> list[Value]:
        """Return that an instruction needs no buffer of tokens, words or embeddings that is not there."""
        there, needs = self._accelerator.token_lines > 0, []
        if code is Opcode.LOAD:
            last = Buffer.EMBEDDING if there else Buffer.TABLE
            needs = [view.buffer <= last, *([] if there else [~view.gather])]
            needs += [] if self._accelerator.row_lanes else [view.buffer != Buffer.TABLE]
        if code is Opcode.VECTOR:
            needs = [view.source <= (Source.EMBEDDING if there else Source.FIXED)]
        return needs

    def _needs_of_vote(self, code: Opcode, view: data.View) -> list[Value]:
        """Return that an instruction needs no lanes for a mean or a table and no vote that are not there."""
        classes, needs = self._accelerator.classes, []
        if code in (Opcode.MEAN, Opcode.TABLE) and not self._accelerator.vector_lanes:
            needs = [Const(0)]
        if code is Opcode.CLASSIFY:
            needs = [view.classes <= classes]
        if code is Opcode.EXIT and not classes:
            needs = [Const(0)]
        return needs

    def _run(self, m: Module, halt: Signal) -> None:
        with m.If(self.running & ~self.hold):
            m.d.sync += self.cycle.eq(self.cycle + 1)
        with m.If(halt):
            m.d.sync += self.hold.eq(1)
        with m.If(self.running & self.hold & self.quiet):
            m.d.sync += [self.running.eq(0), self.done.eq(1)]
        with m.If(self.clear):
            m.d.sync += [self.running.eq(1), self.hold.eq(0), self.done.eq(0)]
            m.d.sync += [self.error.eq(ErrorCode.NONE), self.cycle.eq(1)]

    def _fail(self, m: Module, illegal: Value) -> None:
        failing = self.running & ~self.hold
        for happened, code in (
            (self.exhausted, ErrorCode.NO_HALT),
            (self.write_error, ErrorCode.WRITE_ERROR),
            (self.read_error, ErrorCode.READ_ERROR),
            (illegal, ErrorCode.ILLEGAL_INSTRUCTION),
        ):
            with m.If(failing & happened):
                m.d.sync += [self.hold.eq(1), self.error.eq(code)]

    def _watch(self, m: Module) -> None:
        still = Signal(32)
        m.d.sync += still.eq(still + 1)
        with m.If(~self.running | self.progress):
            m.d.sync += still.eq(0)
        with m.Elif(still + 1 == self.watchdog):
            m.d.sync += [self.running.eq(0), self.done.eq(1), self.hold.eq(1)]
            with m.If(self.error == ErrorCode.NONE):
                m.d.sync += self.error.eq(ErrorCode.WATCHDOG)


def _needs_of_rows(a: Accelerator, code: Opcode, view: data.View) -> list[Value]:
    """Return what an instruction needs of the row unit; a SUMS needs it or the vector unit, whichever it goes to."""
    needs: list[Value] = []
    if code is Opcode.SOFTMAX:
        needs = [view.planes <= a.code_bits] if a.row_lanes else [Const(0)]
    if code is Opcode.SUMS:
        needs += [] if a.vector_lanes else [view.destination == SumsDestination.SCORE]
        needs += [] if a.row_lanes else [view.destination == SumsDestination.SUMS]
    return needs


def _all(conditions: list[Value]) -> Value:
    result: Value = Value.cast(1)
    for condition in conditions:
        result = result & condition
    return result[0]

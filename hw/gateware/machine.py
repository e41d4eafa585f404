"""The whole machine, and the core: the machine without its trace port."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Instance, Module, ResetInserter, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hw.arch import Accelerator
from hw.gateware.array import Array
from hw.gateware.buffers import ActivationBuffer, FixedBuffer, KeyBuffer, LoadBuffer, OutputBuffer, SumsBuffer
from hw.gateware.drain import DrainUnit
from hw.gateware.embedding import add_text_buffers
from hw.gateware.fetch import Fetch, ReadArbiter
from hw.gateware.interfaces import queued_bits, units_of
from hw.gateware.issue import IssueQueue, TokenCounters
from hw.gateware.load import LoadUnit
from hw.gateware.ports import core_ports, trace_ports
from hw.gateware.registers import LiteBus, Registers
from hw.gateware.row import IN_FLIGHT as ROW_IN_FLIGHT
from hw.gateware.row_parts import add_row_unit
from hw.gateware.sequencer import Sequencer
from hw.gateware.store import StoreUnit
from hw.gateware.trace import StateCounters, TraceRecord, UnitTrace
from hw.gateware.vector import STAGES as VECTOR_STAGES
from hw.gateware.vector import VectorUnit
from hw.isa import OWN_WAITS, TOKEN_UNITS, Unit

CORE_MODULE = "tallybert_core"
MACHINE_MODULE = "tallybert_machine"
COMPARE_STAGES = 3


class Machine(wiring.Component):
    """Everything: AXI4 master, AXI4-Lite registers, interrupt, retirement trace. Contract: docs/machine.md."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        super().__init__({**core_ports(accelerator), **trace_ports()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.registers = registers = Registers()
        m.submodules.sequencer = sequencer = Sequencer(a)
        clear = ResetInserter(sequencer.clear)
        m.submodules.fetch = clear(fetch := Fetch(a))
        m.submodules.arbiter = clear(arbiter := ReadArbiter(a))
        m.submodules.load = clear(load := LoadUnit(a))
        m.submodules.array = clear(array := Array(a))
        m.submodules.drain = clear(drain := DrainUnit(a))
        m.submodules.store = clear(store := StoreUnit(a))
        units: dict[Unit, wiring.Component] = {
            Unit.LOAD: load,
            Unit.ARRAY: array,
            Unit.DRAIN: drain,
            Unit.STORE: store,
        }
        self._connect_registers(m, registers, sequencer)
        self._connect_fetch(m, registers, sequencer, fetch, arbiter)
        activations, outputs = self._connect_buffers(m, load, array, drain, store)
        if a.vector_lanes:
            m.submodules.vector = clear(vector := VectorUnit(a))
            units[Unit.VECTOR] = vector
            self._connect_vector(m, load, drain, vector, activations)
            if a.token_lines:
                add_text_buffers(m, a, load, vector)
            if a.classes:
                connect(m, vector.logits, outputs.logits)
                connect(m, vector.standing, registers.standing)
                m.d.comb += sequencer.decided.eq(vector.standing.outcome.decided)
        if a.row_lanes:
            units[Unit.ROW] = add_row_unit(m, a, clear, units, activations)
        if a.vector_lanes:
            earlier = [units[unit].activation.banks.any() for unit in (Unit.DRAIN, Unit.ROW) if unit in units]
            m.d.comb += vector.taken.eq(Cat(earlier).any())
        connect(m, arbiter.load, load.request)
        connect(m, array.drain, drain.drain)
        queues = self._connect_queues(m, clear, sequencer, fetch, units)
        self._connect_memory(m, arbiter, load, store)
        steps = Cat(units[unit].entering for unit in (Unit.ARRAY, Unit.VECTOR, Unit.ROW) if unit in units)
        m.d.comb += [
            store.hold.eq(sequencer.hold),
            arbiter.hold.eq(sequencer.hold),
            sequencer.quiet.eq(~arbiter.busy & ~store.busy),
            sequencer.progress.eq(self._handshake() | drain.drain.take | sequencer.take | steps.any()),
        ]
        self._count(m, registers, sequencer, units, queues)
        self._trace(m, clear, sequencer, units)
        return m

    def _in_flight(self, unit: Unit) -> int:
        """Return the most instructions that a unit can hold between issue and retirement."""
        a = self._accelerator
        return {
            Unit.LOAD: a.transfers_in_flight + 2,
            Unit.ARRAY: a.pipeline + 4,
            Unit.DRAIN: COMPARE_STAGES + 2,
            Unit.STORE: a.transfers_in_flight + a.writes_in_flight + 2,
            Unit.VECTOR: VECTOR_STAGES + 3,
            Unit.ROW: ROW_IN_FLIGHT,
        }[unit]

    def _connect_registers(self, m: Module, registers: Registers, sequencer: Sequencer) -> None:
        for name, member in LiteBus().members.items():
            inner, outer = getattr(registers.bus, name), getattr(self, f"s_axil_{name}")
            m.d.comb += inner.eq(outer) if member.flow is Out else outer.eq(inner)
        m.d.comb += [
            sequencer.start.eq(registers.start),
            sequencer.watchdog.eq(registers.watchdog),
            registers.owed.eq(~sequencer.quiet),
            self.interrupt.eq(sequencer.done),
            *(
                getattr(registers, n).eq(getattr(sequencer, n))
                for n in ("running", "done", "error", "cycle", "retired")
            ),
        ]

    def _connect_fetch(
        self, m: Module, registers: Registers, sequencer: Sequencer, fetch: Fetch, arbiter: ReadArbiter
    ) -> None:
        connect(m, arbiter.fetch, fetch.request)
        m.d.comb += [
            fetch.running.eq(sequencer.running & ~sequencer.hold),
            fetch.program.eq(registers.program),
            fetch.length.eq(registers.length),
            fetch.beat_valid.eq(arbiter.fetch_beat),
            fetch.beat.eq(self.m_axi_rdata),
            fetch.take.eq(sequencer.take),
            sequencer.valid.eq(fetch.valid),
            sequencer.instruction.eq(fetch.instruction),
            sequencer.exhausted.eq(fetch.exhausted),
        ]

    def _connect_buffers(
        self, m: Module, load: LoadUnit, array: Array, drain: DrainUnit, store: StoreUnit
    ) -> tuple[ActivationBuffer, OutputBuffer]:
        a = self._accelerator
        m.submodules.activations = activations = ActivationBuffer(a)
        m.submodules.weights = weights = LoadBuffer(
            "weight", banks=a.columns, lines=a.weight_lines, line_bits=a.line_bits, port_bits=a.port_bits
        )
        m.submodules.thresholds = thresholds = LoadBuffer(
            "threshold", banks=1, lines=a.threshold_lines, line_bits=a.threshold_line_bits, port_bits=a.port_bits
        )
        m.submodules.outputs = outputs = OutputBuffer(a)
        connect(m, load.activation, activations.write)
        connect(m, load.weight, weights.write)
        connect(m, load.threshold, thresholds.write)
        connect(m, array.activation, activations.read)
        connect(m, array.weight, weights.read)
        connect(m, drain.threshold, thresholds.read)
        connect(m, drain.output, outputs.write)
        connect(m, drain.activation, activations.groups)
        if a.key_lines:
            m.submodules.keys = keys = KeyBuffer(a)
            connect(m, drain.key, keys.write)
            connect(m, array.key, keys.read)
        for name in ("read_enable", "read_bank", "read_line", "read_lane"):
            m.d.comb += getattr(outputs, name).eq(getattr(store, name))
        m.d.comb += store.beat.eq(outputs.beat)
        return activations, outputs

    def _connect_vector(
        self, m: Module, load: LoadUnit, drain: DrainUnit, vector: VectorUnit, activations: ActivationBuffer
    ) -> None:
        a = self._accelerator
        m.submodules.sums = sums = SumsBuffer(a)
        m.submodules.fixed = fixed = FixedBuffer(a)
        for name, lines in (("scale", a.scale_lines), ("level", a.level_lines)):
            buffer = LoadBuffer(name, banks=1, lines=lines, line_bits=a.parameter_line_bits, port_bits=a.port_bits)
            m.submodules[f"{name}s"] = buffer
            connect(m, getattr(load, name), buffer.write)
            connect(m, getattr(vector, name), buffer.read)
        connect(m, drain.sums, sums.write)
        connect(m, vector.sums, sums.read)
        connect(m, vector.fixed, fixed.write)
        connect(m, vector.source, fixed.source)
        connect(m, vector.residual, fixed.residual)
        connect(m, vector.activation, activations.slices)

    def _connect_queues(
        self, m: Module, clear: ResetInserter, sequencer: Sequencer, fetch: Fetch, units: dict[Unit, wiring.Component]
    ) -> dict[Unit, IssueQueue]:
        m.submodules.tokens = clear(tokens := TokenCounters(units_of(self._accelerator)))
        queues: dict[Unit, IssueQueue] = {}
        for unit, component in units.items():
            queue = IssueQueue(
                depth=self._accelerator.queue_depth,
                in_flight=self._in_flight(unit),
                bits=queued_bits(unit, self._accelerator),
                own=unit if unit in OWN_WAITS else None,
            )
            m.submodules[f"{unit.name.lower()}_queue"] = clear(queue)
            connect(m, queue.unit, component.issue)
            m.d.comb += [
                queue.push.eq(sequencer.push[unit]),
                queue.instruction.eq(fetch.instruction),
                queue.hold.eq(sequencer.hold),
                queue.retire.eq(component.retire),
                sequencer.space[unit].eq(queue.space),
                sequencer.retire[unit].eq(component.retire),
                queue.tokens.eq(tokens.available[unit]),
                tokens.taken[unit].eq(queue.taken),
                tokens.given[unit].eq(queue.given),
            ]
            queues[unit] = queue
        return queues

    def _connect_memory(self, m: Module, arbiter: ReadArbiter, load: LoadUnit, store: StoreUnit) -> None:
        beat_size = (self._accelerator.beat_bytes - 1).bit_length()
        read, write = arbiter.channels, store.channels
        m.d.comb += [
            self.m_axi_arvalid.eq(read.ar_valid),
            read.ar_ready.eq(self.m_axi_arready),
            self.m_axi_araddr.eq(read.ar_address),
            self.m_axi_arlen.eq(read.ar_beats - 1),
            self.m_axi_rready.eq(1),
            read.r_valid.eq(self.m_axi_rvalid),
            read.r_data.eq(self.m_axi_rdata),
            read.r_last.eq(self.m_axi_rlast),
            load.beat_valid.eq(arbiter.load_beat),
            load.beat.eq(self.m_axi_rdata),
            self.m_axi_awvalid.eq(write.aw_valid),
            write.aw_ready.eq(self.m_axi_awready),
            self.m_axi_awaddr.eq(write.aw_address),
            self.m_axi_awlen.eq(write.aw_beats - 1),
            self.m_axi_wvalid.eq(write.w_valid),
            write.w_ready.eq(self.m_axi_wready),
            self.m_axi_wdata.eq(write.w_data),
            self.m_axi_wlast.eq(write.w_last),
            self.m_axi_wstrb.eq((1 << self._accelerator.beat_bytes) - 1),
            self.m_axi_bready.eq(1),
            write.b_valid.eq(self.m_axi_bvalid),
            *(port.eq(beat_size) for port in (self.m_axi_arsize, self.m_axi_awsize)),
            *(port.eq(1) for port in (self.m_axi_arburst, self.m_axi_awburst)),
        ]

    def _handshake(self) -> Value:
        """Return whether anything is transferred on the memory port."""
        channels = ("ar", "r", "aw", "w", "b")
        return Cat(getattr(self, f"m_axi_{c}valid") & getattr(self, f"m_axi_{c}ready") for c in channels).any()

    def _count(
        self,
        m: Module,
        registers: Registers,
        sequencer: Sequencer,
        units: dict[Unit, wiring.Component],
        queues: dict[Unit, IssueQueue],
    ) -> None:
        m.d.comb += [
            sequencer.read_error.eq(self.m_axi_rvalid & self.m_axi_rresp.any()),
            sequencer.write_error.eq(self.m_axi_bvalid & self.m_axi_bresp.any()),
        ]
        if not self._accelerator.counters:
            return
        m.submodules.counters = counters = StateCounters((*units, Unit.SEQUENCER))
        load, array, drain, store = (units[unit] for unit in (Unit.LOAD, Unit.ARRAY, Unit.DRAIN, Unit.STORE))
        busy_and_wait = {
            Unit.LOAD: (load.words.valid, load.pending),
            Unit.ARRAY: (array.entering, array.stopped),
            Unit.DRAIN: (drain.drain.take, drain.active),
            Unit.STORE: (store.words.valid, store.pending),
        }
        for unit in (Unit.VECTOR, Unit.ROW):
            if unit in units:
                busy_and_wait[unit] = (units[unit].entering, units[unit].stopped)
        for unit, (busy, wait) in busy_and_wait.items():
            m.d.comb += counters.states[unit].eq(Cat(busy, wait, queues[unit].lacks_token, queues[unit].unit.issued))
        m.d.comb += [
            counters.states[Unit.SEQUENCER].eq(Cat(sequencer.take, sequencer.waiting, sequencer.queue_full, 0)),
            counters.clear.eq(sequencer.clear),
            counters.enable.eq(sequencer.running & ~sequencer.hold),
            counters.select.eq(registers.counter_select),
            registers.counter.eq(counters.value),
        ]

    def _trace(
        self, m: Module, clear: ResetInserter, sequencer: Sequencer, units: dict[Unit, wiring.Component]
    ) -> None:
        records = []
        for unit in TOKEN_UNITS:
            if unit not in units:
                records.append(Signal(TraceRecord()))
                continue
            trace = UnitTrace(in_flight=self._in_flight(unit) + 2)
            m.submodules[f"{unit.name.lower()}_trace"] = clear(trace)
            connect(m, units[unit].words, trace.words)
            m.d.comb += [
                trace.cycle.eq(sequencer.cycle),
                trace.issued.eq(units[unit].issue.issued),
                trace.retire.eq(units[unit].retire),
            ]
            records.append(trace.record)
        here = Signal(TraceRecord())
        m.d.sync += [
            here.valid.eq(sequencer.retire_here),
            here.issue.eq(sequencer.issue_cycle),
            here.retire.eq(sequencer.cycle),
        ]
        records.append(here)
        for name in ("valid", "issue", "retire", "checksum"):
            m.d.comb += getattr(self, f"trace_{name}").eq(Cat(record[name] for record in records))


class Core(wiring.Component):
    """The machine with its trace port left open, so that synthesis removes what only the trace needs."""

    def __init__(self, accelerator: Accelerator) -> None:
        super().__init__(core_ports(accelerator))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports = {
            f"{'i' if member.flow is In else 'o'}_{name}": getattr(self, name)
            for name, member in self.signature.members.items()
        }
        m.submodules.machine = Instance(MACHINE_MODULE, i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)
        return m

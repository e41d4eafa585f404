"""The AXI4-Lite register block: docs/machine.md, section 5."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.gateware.interfaces import ADDRESS_BITS, Standing
from hw.isa import STATE_NAMES, Unit

ID_VALUE = 0x54424254
ID, CONTROL, STATUS, PROGRAM, LENGTH, CYCLES, RETIRED, WATCHDOG = range(0, 32, 4)
CLASS, MEMBERS, TOTAL, TOTAL_HIGH = range(0x20, 0x30, 4)
COUNTERS = 0x40
COUNTER_COUNT = len(Unit) * len(STATE_NAMES)
PATIENCE = 1 << 24
BUS_ADDRESS_BITS = 8


class LiteBus(wiring.Signature):
    """AXI4-Lite as the core (a slave) sees it, 32 bits of data."""

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": Out(BUS_ADDRESS_BITS),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(BUS_ADDRESS_BITS),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class Registers(wiring.Component):
    """Accept a write when address and data are both there and no response waits; answer it in the next cycle. Reads
    likewise.

    `start` is 1 in the cycle in which a write of 1 to CONTROL bit 0 is accepted. Byte strobes are ignored: write whole
    registers.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "bus": In(LiteBus()),
                "start": Out(1),
                "program": Out(ADDRESS_BITS),
                "length": Out(32),
                "watchdog": Out(32, init=PATIENCE),
                "running": In(1),
                "done": In(1),
                "owed": In(1),
                "error": In(8),
                "cycle": In(32),
                "retired": In(32),
                "counter_select": Out(range(COUNTER_COUNT)),
                "counter": In(32),
                "standing": In(Standing()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        write, read = Signal(), Signal()
        m.d.comb += [
            write.eq(bus.awvalid & bus.wvalid & ~bus.bvalid),
            bus.awready.eq(write),
            bus.wready.eq(write),
            read.eq(bus.arvalid & ~bus.rvalid),
            bus.arready.eq(read),
            self.start.eq(write & (bus.awaddr == CONTROL) & bus.wdata[0]),
            self.counter_select.eq((bus.araddr - COUNTERS) >> 2),
        ]
        with m.If(write):
            m.d.sync += bus.bvalid.eq(1)
            with m.If(~self.running & (bus.awaddr == PROGRAM)):
                m.d.sync += self.program.eq(bus.wdata)
            with m.If(~self.running & (bus.awaddr == LENGTH)):
                m.d.sync += self.length.eq(bus.wdata)
            with m.If(~self.running & (bus.awaddr == WATCHDOG)):
                m.d.sync += self.watchdog.eq(bus.wdata)
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(read):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(self._read())]
        with m.Elif(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        return m

    def _read(self) -> Value:
        values = {
            ID: ID_VALUE,
            STATUS: Cat(self.running, self.done, self.owed, Const(0, 5), self.error),
            PROGRAM: self.program,
            LENGTH: self.length,
            CYCLES: self.cycle,
            RETIRED: self.retired,
            WATCHDOG: self.watchdog,
            CLASS: self.standing.outcome.as_value(),
            MEMBERS: self.standing.members,
            TOTAL: self.standing.total[:32],
            TOTAL_HIGH: self.standing.total[32:],
        }
        result = Mux((self.bus.araddr >= COUNTERS) & (self.bus.araddr < COUNTERS + 4 * COUNTER_COUNT), self.counter, 0)
        for offset, value in values.items():
            result = Mux(self.bus.araddr == offset, value, result)
        return result

"""The retirement trace, and the count of cycles in each state. Both only watch: the machine does not depend on them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.gateware.interfaces import Words
from hw.isa import STATE_NAMES, Unit

CRC_POLYNOMIAL = 0xEDB88320
CRC_START = 0xFFFFFFFF
UNIT_COUNT = len(Unit)


def crc32_step(state: Value, word: Value) -> Value:
    """Return zlib's CRC-32 register after 32 more bits, as one balanced XOR per bit."""
    mixed = state ^ word
    images = [_crc32_of_bit(bit) for bit in range(32)]
    masks = [sum((image >> out & 1) << bit for bit, image in enumerate(images)) for out in range(32)]
    return Cat((mixed & mask).xor() for mask in masks)


def _crc32_of_bit(bit: int) -> int:
    value = 1 << bit
    for _ in range(32):
        value = value >> 1 ^ (CRC_POLYNOMIAL if value & 1 else 0)
    return value


class TraceRecord(data.StructLayout):
    """One retired instruction: docs/machine.md, 3.10."""

    def __init__(self) -> None:
        super().__init__({"valid": 1, "issue": 32, "retire": 32, "checksum": 32})


class UnitTrace(wiring.Component):
    """Join issue, words and retirement of a unit's instructions. A record appears two cycles after the pulse."""

    def __init__(self, *, in_flight: int) -> None:
        self._in_flight = in_flight
        super().__init__(
            {
                "cycle": In(32),
                "issued": In(1),
                "retire": In(1),
                "words": In(Words()),
                "record": Out(TraceRecord()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.issues = issues = SyncFIFO(width=32, depth=self._in_flight)
        m.submodules.checksums = checksums = SyncFIFO(width=32, depth=self._in_flight)
        crc, base, updated = Signal(32, init=CRC_START), Signal(32), Signal(32)
        retired, retired_cycle = Signal(), Signal(32)
        m.d.comb += [
            base.eq(crc),
            updated.eq(Mux(self.words.valid, crc32_step(base, self.words.fold), base)),
            issues.w_en.eq(self.issued),
            issues.w_data.eq(self.cycle),
            checksums.w_en.eq(self.words.end),
            checksums.w_data.eq(~updated),
            issues.r_en.eq(retired),
            checksums.r_en.eq(retired),
        ]
        m.d.sync += [
            crc.eq(Mux(self.words.end, CRC_START, updated)),
            retired.eq(self.retire),
            retired_cycle.eq(self.cycle),
            self.record.valid.eq(retired),
        ]
        with m.If(retired):
            m.d.sync += [
                self.record.issue.eq(issues.r_data),
                self.record.retire.eq(retired_cycle),
                self.record.checksum.eq(checksums.r_data),
            ]
        return m


class StateCounters(wiring.Component):
    """Count the cycles in each state of each of `units`. `states` are conditions by priority; the last is 'otherwise'.

    The counts of another unit are 0.
    """

    def __init__(self, units: tuple[Unit, ...] = tuple(Unit)) -> None:
        self._units = units
        conditions = data.ArrayLayout(len(STATE_NAMES) - 1, UNIT_COUNT)
        super().__init__(
            {
                "clear": In(1),
                "enable": In(1),
                "states": In(conditions),
                "select": In(range(UNIT_COUNT * len(STATE_NAMES))),
                "value": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        values = Signal(data.ArrayLayout(32, UNIT_COUNT * len(STATE_NAMES)))
        for unit in self._units:
            first = unit * len(STATE_NAMES)
            none = Value.cast(1)
            for state in range(len(STATE_NAMES)):
                condition = self.states[unit][state] if state < len(STATE_NAMES) - 1 else Value.cast(1)
                with m.If(self.enable & none & condition):
                    m.d.sync += values[first + state].eq(values[first + state] + 1)
                none = none & ~condition
            with m.If(self.clear):
                m.d.sync += [values[first + s].eq(int(s == len(STATE_NAMES) - 1)) for s in range(len(STATE_NAMES))]
        m.d.comb += self.value.eq(values[self.select])
        return m

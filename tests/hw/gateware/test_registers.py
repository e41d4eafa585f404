"""The register block over its bus: every register, both back-pressures, and the table of the contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hw.gateware import registers
from hw.gateware.interfaces import ADDRESS_BITS
from hw.gateware.registers import COUNTER_COUNT, COUNTERS, Registers
from tests.hw.gateware.clockwork import check, drive, seeded, simulate

ROOT = Path(__file__).parents[3]
INPUTS = {
    "running": 1,
    "done": 0,
    "owed": 0,
    "error": 0xA5,
    "cycle": 0x12345678,
    "retired": 0x9ABCDEF0,
    "counter": 0x0F0F0F0F,
    "standing.outcome": 0x1ABCD,
    "standing.members": 0x13572468,
    "standing.total": 0xFEDCBA9876543210,
}
OFFSETS = range(0, 256, 4)


async def write(ctx: Any, dut: Registers, offset: int, value: int) -> None:
    """Write over an idle bus and take the response in the next cycle."""
    drive(ctx, dut, {"bus.awvalid": 1, "bus.wvalid": 1, "bus.awaddr": offset, "bus.wdata": value, "bus.wstrb": 15})
    check(ctx, dut, {"bus.awready": 1, "bus.wready": 1, "bus.bvalid": 0})
    await ctx.tick()
    drive(ctx, dut, {"bus.awvalid": 0, "bus.wvalid": 0, "bus.bready": 1})
    check(ctx, dut, {"bus.bvalid": 1, "bus.bresp": 0, "bus.awready": 0})
    await ctx.tick()
    drive(ctx, dut, {"bus.bready": 0})


async def read(ctx: Any, dut: Registers, offset: int) -> int:
    """Read over an idle bus and take the answer in the next cycle."""
    drive(ctx, dut, {"bus.arvalid": 1, "bus.araddr": offset})
    check(ctx, dut, {"bus.arready": 1, "bus.rvalid": 0})
    await ctx.tick()
    drive(ctx, dut, {"bus.arvalid": 0, "bus.rready": 1})
    check(ctx, dut, {"bus.rvalid": 1, "bus.rresp": 0})
    value = int(ctx.get(dut.bus.rdata))
    await ctx.tick()
    drive(ctx, dut, {"bus.rready": 0})
    return value


def expected_reads(program: int, length: int, watchdog: int = 1 << 24) -> dict[int, int]:
    """Return what every offset reads, written down from docs/machine.md, section 5."""
    named = {0x00: 0x54424254, 0x08: 1 | 0xA5 << 8, 0x0C: program, 0x10: length, 0x14: 0x12345678, 0x18: 0x9ABCDEF0}
    named[0x1C] = watchdog
    named |= {0x20: 0x1ABCD, 0x24: 0x13572468, 0x28: 0x76543210, 0x2C: 0xFEDCBA98}
    counters = {0x40 + 20 * unit + 4 * state: 0x0F0F0F0F for unit in range(7) for state in range(5)}
    return dict.fromkeys(OFFSETS, 0) | named | counters


def test_every_offset_reads_what_the_contract_says() -> None:
    dut = Registers()

    async def process(ctx: Any) -> None:
        drive(ctx, dut, INPUTS | {"running": 0})
        await write(ctx, dut, 0x0C, 0xFEEDF00D)
        await write(ctx, dut, 0x10, 0xCAFEBABE)
        drive(ctx, dut, {"running": 1})
        check(ctx, dut, {"program": 0xFEEDF00D, "length": 0xCAFEBABE})
        for offset, value in expected_reads(0xFEEDF00D, 0xCAFEBABE).items():
            assert await read(ctx, dut, offset) == value, hex(offset)

    simulate(dut, process)


@pytest.mark.parametrize(
    ("running", "done", "owed", "status"), [(0, 0, 0, 0), (1, 0, 0, 1), (0, 1, 0, 2), (1, 0, 1, 5), (0, 1, 1, 6)]
)
def test_status(running: int, done: int, owed: int, status: int) -> None:
    dut = Registers()

    async def process(ctx: Any) -> None:
        for error in (0, 1, 4, 255):
            drive(ctx, dut, {"running": running, "done": done, "owed": owed, "error": error})
            assert await read(ctx, dut, 0x08) == status | error << 8

    simulate(dut, process)


def test_each_counter_is_selected_by_its_address() -> None:
    dut = Registers()

    async def process(ctx: Any) -> None:
        for unit in range(7):
            for state in range(5):
                drive(ctx, dut, {"bus.araddr": 0x40 + 20 * unit + 4 * state})
                check(ctx, dut, {"counter_select": 5 * unit + state})
                drive(ctx, dut, {"counter": 1000 * unit + state})
                assert await read(ctx, dut, 0x40 + 20 * unit + 4 * state) == 1000 * unit + state

    simulate(dut, process)


def test_only_program_length_and_watchdog_can_be_written() -> None:
    dut = Registers()

    async def process(ctx: Any) -> None:
        drive(ctx, dut, INPUTS | {"running": 0})
        for offset in OFFSETS:
            await write(ctx, dut, offset, 0xFFFFFFFE)
        drive(ctx, dut, {"running": 1})
        for offset in OFFSETS:
            await write(ctx, dut, offset, 0x12345678)
        for offset, value in expected_reads(0xFFFFFFFE, 0xFFFFFFFE, 0xFFFFFFFE).items():
            assert await read(ctx, dut, offset) == value, hex(offset)

    simulate(dut, process)


@pytest.mark.parametrize("value", [0, 1, 2, 0xFFFFFFFE, 0xFFFFFFFF])
def test_start_is_1_only_in_the_cycle_that_accepts_its_write(value: int) -> None:
    dut = Registers()

    async def process(ctx: Any) -> None:
        for offset in OFFSETS:
            drive(ctx, dut, {"bus.awaddr": offset, "bus.wdata": value})
            check(ctx, dut, {"start": 0})
            drive(ctx, dut, {"bus.awvalid": 1, "bus.wvalid": 0})
            check(ctx, dut, {"start": 0, "bus.awready": 0}, "the address alone is not accepted")
            drive(ctx, dut, {"bus.awvalid": 0, "bus.wvalid": 1})
            check(ctx, dut, {"start": 0, "bus.wready": 0}, "the data alone are not accepted")
            drive(ctx, dut, {"bus.awvalid": 1})
            check(ctx, dut, {"start": int(offset == 0x04 and value & 1), "bus.awready": 1, "bus.wready": 1})
            await ctx.tick()
            for _ in range(3):
                check(ctx, dut, {"start": 0, "bus.bvalid": 1, "bus.awready": 0, "bus.wready": 0}, "an answer waits")
                await ctx.tick()
            drive(ctx, dut, {"bus.awvalid": 0, "bus.wvalid": 0, "bus.bready": 1})
            await ctx.tick()
            drive(ctx, dut, {"bus.bready": 0})
            check(ctx, dut, {"bus.bvalid": 0})

    simulate(dut, process)


def test_an_answer_stays_until_it_is_taken() -> None:
    dut = Registers()

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"bus.arvalid": 1, "bus.araddr": 0x14, "cycle": 5})
        await ctx.tick()
        drive(ctx, dut, {"cycle": 6, "bus.araddr": 0})
        for _ in range(3):
            check(ctx, dut, {"bus.rvalid": 1, "bus.rdata": 5, "bus.arready": 0})
            await ctx.tick()
        drive(ctx, dut, {"bus.rready": 1})
        await ctx.tick()
        check(ctx, dut, {"bus.rvalid": 0, "bus.arready": 1}, "the next read is accepted when the answer is gone")

    simulate(dut, process)


@pytest.mark.parametrize("ready_rate", [1.0, 0.4])
def test_mixed_traffic(ready_rate: float) -> None:
    dut, random = Registers(), seeded("registers", ready_rate)

    async def process(ctx: Any) -> None:
        stored, answer, response = {0x0C: 0, 0x10: 0}, None, False
        for cycle in range(600):
            valid = {name: int(random.random() < 0.7) for name in ("aw", "w", "ar")}
            ready = {name: int(random.random() < ready_rate) for name in ("b", "r")}
            target, source, value = random.choice(OFFSETS), random.choice([0x0C, 0x10, 0]), random.getrandbits(32)
            drive(ctx, dut, {f"bus.{name}valid": bit for name, bit in valid.items()})
            drive(ctx, dut, {f"bus.{name}ready": bit for name, bit in ready.items()})
            drive(ctx, dut, {"bus.awaddr": target, "bus.araddr": source, "bus.wdata": value})
            writes, reads = valid["aw"] and valid["w"] and not response, valid["ar"] and answer is None
            state = {"bus.awready": writes, "bus.wready": writes, "bus.arready": reads, "bus.bvalid": response}
            state |= {"bus.rvalid": answer is not None, "start": writes and target == 4 and value & 1}
            state |= {"program": stored[0x0C], "length": stored[0x10]}
            check(ctx, dut, state | ({"bus.rdata": answer} if answer is not None else {}), cycle)
            answer = stored.get(source, 0x54424254) if reads else None if ready["r"] else answer
            response = bool(writes or (response and not ready["b"]))
            if writes and target in stored:
                stored[target] = value
            await ctx.tick()

    simulate(dut, process)


def test_the_vote_has_the_offsets_of_the_contract() -> None:
    text = (ROOT / "docs" / "machine-network.md").read_text().split("## 4. Registers")[1]
    offsets = {name: offset for offset, name in re.findall(r"^\| (0x[^|]*) \| (\w+) \|", text, re.MULTILINE)}
    assert offsets == {"CLASS": "0x20", "MEMBERS": "0x24", "TOTAL": "0x28, 0x2C"}
    found = (registers.CLASS, registers.MEMBERS, registers.TOTAL, registers.TOTAL_HIGH)
    assert found == (0x20, 0x24, 0x28, 0x2C)


def test_the_table_of_the_contract_has_these_offsets() -> None:
    text = (ROOT / "docs" / "machine.md").read_text().split("## 5. Registers")[1]
    rows = re.findall(r"^\| (0x[0-9A-F]{2}) \| (\w+) \|", text, re.MULTILINE)
    table = {name: int(offset, 16) for offset, name in rows}
    names = ("ID", "CONTROL", "STATUS", "PROGRAM", "LENGTH", "CYCLES", "RETIRED", "WATCHDOG")
    assert table == {name: getattr(registers, name) for name in names}
    assert re.search(r"^\| 0x40 \+ 20\*u \+ 4\*s \| COUNTERS \| R \|", text, re.MULTILINE)
    assert (COUNTERS, COUNTER_COUNT, ADDRESS_BITS) == (0x40, 35, 32)
    identity = re.search(r'ID \| R \| (0x[0-9A-F]{8}) \("TBBT"\)', text)
    assert identity is not None
    assert int(identity[1], 16) == registers.ID_VALUE == int.from_bytes(b"TBBT", "little")

"""The buffers of words and embeddings against a table, and the sums of embeddings against integers."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, Signal

from hw.arch import Accelerator
from hw.gateware.bank import Bank, bank_sizes
from hw.gateware.embedding import CopiedBuffer, text_sum
from tests.hw.gateware.cells import merged, put_banks_inside, some_line
from tests.hw.gateware.clockwork import check, drive, seeded, simulate

ENDS = (-32768, -1, 0, 1, 32767)


@pytest.mark.parametrize(("buffer", "port_bits"), [("word", 8), ("word", 32), ("embedding", 8), ("embedding", 64)])
def test_each_port_reads_what_was_written(buffer: str, port_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a = Accelerator(vector_lanes=2, port_bits=port_bits, token_lines=2, word_lines=5, embedding_lines=5)
    size, random = bank_sizes(a)[buffer], seeded("copied", buffer, port_bits)
    assert size.line_bits == {"word": max(16, port_bits), "embedding": max(32, port_bits)}[buffer]
    put_banks_inside(monkeypatch, lambda _: Bank(**size._asdict()))
    dut = CopiedBuffer(buffer, lines=5, line_bits=size.line_bits, port_bits=port_bits)

    async def process(ctx: Any) -> None:
        table, shown = [0] * 5, {"first": 0, "second": 0}
        for cycle in range(400):
            enable, line, lane = (
                random.getrandbits(1),
                some_line(5, random),
                random.randrange(size.line_bits // port_bits),
            )
            beat = random.getrandbits(port_bits)
            write = {"enable": enable, "line": line, "lane": lane, "data": beat}
            drive(ctx, dut, {f"write.{name}": value for name, value in write.items()})
            for port, held in shown.items():
                read, read_line = random.getrandbits(1), some_line(5, random)
                drive(ctx, dut, {f"{port}.enable": read, f"{port}.line": read_line})
                check(ctx, dut, {f"{port}.data": held}, cycle)
                shown[port] = table[read_line] if read else held
            if enable:
                table[line] = merged(table[line], beat << port_bits * lane, 1 << lane, port_bits)
            await ctx.tick()

    simulate(dut, process)


def test_sums_at_all_ends() -> None:
    m, random = Module(), seeded("text sum")
    bit, scale, place, kind = Signal(), Signal(16), Signal(16), Signal(16)
    total = text_sum(m, bit=bit, scale=scale, place=place, kind=kind)
    cases = [(b, s, p, k) for b in (0, 1) for s in (0, 1, 32767, 32768, 65535) for p in ENDS for k in ENDS]
    numbers = [(random.getrandbits(16), *(random.getrandbits(16) - 32768 for _ in range(2))) for _ in range(200)]
    cases += [(random.getrandbits(1), *number) for number in numbers]

    async def process(ctx: Any) -> None:
        for b, s, p, k in cases:
            for signal, value in ((bit, b), (scale, s), (place, p), (kind, k)):
                ctx.set(signal, value)
            assert ctx.get(total) == (s if b else -s) + p + k
            await ctx.tick()

    m.d.sync += Signal().eq(0)
    simulate(m, process)

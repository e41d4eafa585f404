"""The sequencer and what whole networks add: text that needs its buffers, votes that need classes, and EXIT."""

from __future__ import annotations

from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.sequencer import Sequencer
from hw.isa import Buffer, Opcode, Source, Unit
from tests.hw.gateware.clockwork import simulate
from tests.hw.gateware.test_sequencer import CLASSIFY, LOAD, MEAN, TABLE, VECTOR, number, offer, start, takes_or_stops


@pytest.mark.parametrize("token_lines", [0, 2])
def test_text_needs_its_buffers(token_lines: int) -> None:
    a = Accelerator(vector_lanes=1, token_lines=token_lines)
    for buffer in range(16):
        legal = buffer <= Buffer.LEVEL or (token_lines > 0 and Buffer.TOKEN <= buffer <= Buffer.EMBEDDING)
        takes_or_stops(Sequencer(a), number(Opcode.LOAD, **(LOAD | {"buffer": buffer})), legal)
    gather = LOAD | {"gather": 1, "token": 5, "stride": 4}
    takes_or_stops(Sequencer(a), number(Opcode.LOAD, **gather), token_lines > 0)
    for source in range(4):
        legal = source <= Source.FIXED or (token_lines > 0 and source == Source.EMBEDDING)
        takes_or_stops(Sequencer(a), number(Opcode.VECTOR, **(VECTOR | {"source": source})), legal)


@pytest.mark.parametrize("classes", [0, 1, 5])
def test_a_vote_needs_classes_and_a_mean_and_a_table_lanes(classes: int) -> None:
    a = Accelerator(vector_lanes=1, classes=classes)
    for count in {1, classes + 1, max(classes, 1), 1024}:
        takes_or_stops(Sequencer(a), number(Opcode.CLASSIFY, **(CLASSIFY | {"classes": count})), count <= classes)
    takes_or_stops(Sequencer(a), number(Opcode.EXIT), classes > 0)
    for code, operands in ((Opcode.MEAN, MEAN), (Opcode.TABLE, TABLE)):
        takes_or_stops(Sequencer(a), number(code, **operands), True)
        takes_or_stops(Sequencer(Accelerator()), number(code, **operands), False)


@pytest.mark.parametrize("decided", [0, 1])
def test_an_exit_waits_and_ends_the_run_if_the_vote_is_decided(decided: int) -> None:
    """A MEAN is in flight until cycle 4; what stands behind the EXIT is not taken, and the last read is awaited."""
    dut = Sequencer(Accelerator(vector_lanes=1, classes=2))

    async def process(ctx: Any) -> None:
        await start(ctx, dut)
        await offer(ctx, dut, number(Opcode.MEAN, **MEAN))
        await ctx.tick()
        await offer(ctx, dut, number(Opcode.EXIT))
        ctx.set(dut.quiet, 0)
        for _ in range(2):
            assert (ctx.get(dut.waiting), ctx.get(dut.take)) == (1, 0)
            await ctx.tick()
        ctx.set(dut.retire, 1 << Unit.VECTOR)
        await ctx.tick()
        ctx.set(dut.retire, 0)
        ctx.set(dut.decided, decided)
        assert [ctx.get(getattr(dut, n)) for n in ("retire_here", "cycle", "issue_cycle")] == [1, 5, 2]
        await ctx.tick()
        ctx.set(dut.decided, 0)
        await offer(ctx, dut, number(Opcode.MEAN, **MEAN))
        assert (ctx.get(dut.hold), ctx.get(dut.take)) == (decided, not decided)
        await ctx.tick().repeat(3)
        assert (ctx.get(dut.running), ctx.get(dut.done)) == (1, 0), "a burst is open"
        ctx.set(dut.quiet, 1)
        await ctx.tick()
        assert (ctx.get(dut.running), ctx.get(dut.done), ctx.get(dut.error)) == (not decided, decided, 0)
        assert not decided or (ctx.get(dut.cycle), ctx.get(dut.retired)) == (6, 2)

    simulate(dut, process)

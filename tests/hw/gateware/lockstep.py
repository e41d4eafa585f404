"""A unit with a pipeline beside its twin: random instructions as it accepts them, and what happens in which cycle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

from tests.hw.gateware.clockwork import drive, seen, simulate

Operands = dict[str, int]

#: `cycle(ctx, dut, twin, taken, issued)` runs and compares one cycle of a unit and its twin.
Cycle = Callable[[Any, Any, Any, int, Operands | None], Awaitable[None]]

#: What it means that an output is not 0.
EVENTS = {"entering": "enters", "stopped": "stands", "retire": "pulse", "words.valid": "word"}
EVENTS |= {"activation.banks": "codes", "fixed.enable": "fixed"}


async def compare(
    ctx: Any,
    dut: Any,
    twin: Any,
    cycle: Cycle,
    any_instruction: Callable[[Any, Random], tuple[Operands, int]],
    random: Random,
    *,
    cycles: int,
    taken_rate: float,
) -> None:
    """Run a unit beside its twin on random instructions.

    `any_instruction(twin, random)` returns one, and whether it waits for those before it.
    """
    for _ in range(cycles):
        taken = int(random.random() < taken_rate)
        issued, own = any_instruction(twin, random)
        issues = twin.accepts(taken) and not (own and twin.outstanding) and random.random() < 0.8
        await cycle(ctx, dut, twin, taken, issued if issues else None)
    drive(ctx, dut, {"issue.issued": 0})


def timeline(
    dut: Any, twin: Any, cycle: Cycle, program: Iterable[tuple[int, Operands]], taken: set[int], cycles: int = 90
) -> dict[str, list[int]]:
    """Issue instructions in the given cycles, or as soon after as they are accepted; the buffer is `taken` in some.

    Return in which cycles what happens.
    """
    ports = {port: event for port, event in EVENTS.items() if hasattr(dut, port.partition(".")[0])}
    events: dict[str, list[int]] = {event: [] for event in ("issued", *ports.values())}

    async def process(ctx: Any) -> None:
        waiting = list(program)
        for now in range(cycles):
            drive(ctx, dut, {"taken": int(now in taken)})
            issues = waiting and waiting[0][0] <= now and twin.accepts(int(now in taken))
            here = [event for port, event in ports.items() if seen(ctx, dut, port)] + ["issued"] * bool(issues)
            for event in here:
                events[event].append(now)
            await cycle(ctx, dut, twin, int(now in taken), waiting.pop(0)[1] if issues else None)
        assert not waiting

    simulate(dut, process)
    return events

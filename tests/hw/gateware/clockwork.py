"""Run a component in Amaranth's simulator: a process that sees one cycle at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from operator import attrgetter
from random import Random
from typing import Any

from amaranth.hdl import Elaboratable, ResetInserter, Signal, Value
from amaranth.sim import Simulator

from hw.gateware.interfaces import INSTRUCTION_BITS
from hw.isa import Opcode, make


def simulate(component: Elaboratable, process: Callable[[Any], Awaitable[None]]) -> None:
    """Run `process(ctx)` beside the component, clocked; it steps with `await ctx.tick()`."""
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()


def simulate_with_resets(component: Elaboratable, times: int, part: Callable[[Any], Awaitable[Any]]) -> None:
    """Run `part(ctx)` several times beside the component, with a reset of one cycle behind each."""
    reset = Signal()

    async def process(ctx: Any) -> None:
        for _ in range(times):
            await part(ctx)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)

    simulate(ResetInserter(reset)(component), process)


def seeded(*parts: object) -> Random:
    """Return random numbers from a seed that a failing test shows."""
    seed = " ".join(str(part) for part in parts)
    print(f"seed: {seed!r}")
    return Random(seed)


def drive(ctx: Any, component: object, inputs: Mapping[str, int]) -> None:
    """Set inputs by their dotted names."""
    for name, value in inputs.items():
        ctx.set(Value.cast(attrgetter(name)(component)), value)


def seen(ctx: Any, component: object, name: str) -> int:
    """Return an output by its dotted name, as a number."""
    return int(ctx.get(Value.cast(attrgetter(name)(component))))


def check(ctx: Any, component: object, expected: Mapping[str, int], where: object = "") -> None:
    """Compare outputs with a twin's, all of them at once."""
    found = {name: seen(ctx, component, name) for name in expected}
    assert found == {name: int(value) for name, value in expected.items()}, where


def instruction(opcode: Opcode, *, wait: int = 0, signal: int = 0, **operands: int) -> int:
    """Return an instruction as the units see it."""
    encoded = make(opcode, wait=wait, signal=signal, **operands).encode()
    return int.from_bytes(encoded, "little") % (1 << INSTRUCTION_BITS)


def fold(word: int) -> int:
    """Return the XOR of the 32-bit pieces of a word."""
    result = 0
    while word:
        result, word = result ^ word & 0xFFFFFFFF, word >> 32
    return result


def packed(numbers: Iterable[int], bits: int) -> int:
    """Return numbers as fields of a word, the first one lowest, in two's complement."""
    return sum(number % (1 << bits) << bits * index for index, number in enumerate(numbers))


def biased_words(width: int, random: Random, count: int) -> list[int]:
    """Return words of every density: popcounts are poorly tested by even bits."""
    whole = (1 << width) - 1
    single = [1 << index for index in range(width)]
    words = [0, whole, *single, *(whole ^ bit for bit in single)]
    words += [random.getrandbits(width) for _ in range(count)]
    words += [random.getrandbits(width) & random.getrandbits(width) & random.getrandbits(width) for _ in range(count)]
    words += [random.getrandbits(width) | random.getrandbits(width) | random.getrandbits(width) for _ in range(count)]
    return words


async def nothing(ctx: Any) -> None:
    """Let a cycle pass: a component that was never elaborated is a warning."""
    await ctx.tick()

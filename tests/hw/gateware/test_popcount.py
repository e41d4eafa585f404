"""The adder trees, against integers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.gateware.popcount import fold32, popcount, register_levels
from tests.hw.gateware.clockwork import biased_words, simulate


class Popcount(wiring.Component):
    """A tree alone."""

    def __init__(self, width: int, registers: int) -> None:
        self._registers = registers
        super().__init__({"enable": In(1), "bits": In(width), "count": Out(width.bit_length())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.count.eq(popcount(m, self.bits, registers=self._registers, enable=self.enable))
        m.d.sync += Signal().eq(0)
        return m


class Fold(wiring.Component):
    """A fold alone."""

    def __init__(self, width: int) -> None:
        super().__init__({"word": In(width), "fold": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.fold.eq(fold32(m, self.word))
        m.d.sync += Signal().eq(0)
        return m


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 64])
def test_popcount_counts_and_takes_its_registers(width: int) -> None:
    words = list(range(1 << width)) if width <= 8 else biased_words(width, Random(width), 40)
    for registers in range(width.bit_length() + 1):
        dut = Popcount(width, registers)

        async def process(ctx: Any, dut: Popcount = dut, registers: int = registers) -> None:
            ctx.set(dut.enable, 1)
            for index in range(len(words) + registers):
                ctx.set(dut.bits, words[index] if index < len(words) else 0)
                if index >= registers:
                    assert ctx.get(dut.count) == words[index - registers].bit_count()
                await ctx.tick()

        simulate(dut, process)


def test_popcount_holds_without_enable() -> None:
    dut = Popcount(8, 2)

    async def process(ctx: Any) -> None:
        ctx.set(dut.enable, 1)
        ctx.set(dut.bits, 0xFF)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.count) == 8
        ctx.set(dut.enable, 0)
        ctx.set(dut.bits, 0)
        await ctx.tick().repeat(5)
        assert ctx.get(dut.count) == 8

    simulate(dut, process)


@pytest.mark.parametrize("width", [1, 2, 16, 1024])
def test_registers_stand_on_different_levels(width: int) -> None:
    levels = width.bit_length()
    for registers in range(levels + 1):
        assert len(register_levels(width, registers)) == registers
    with pytest.raises(ValueError, match=f"registers must be from 0 to {levels} for {width} bits, not {levels + 1}"):
        register_levels(width, levels + 1)


@pytest.mark.parametrize("width", [1, 8, 31, 32, 33, 64, 100])
def test_fold_is_the_xor_of_32_bit_pieces(width: int) -> None:
    dut = Fold(width)
    random = Random(width)

    async def process(ctx: Any) -> None:
        for word in biased_words(width, random, 5):
            ctx.set(dut.word, word)
            expected = 0
            for start in range(0, width, 32):
                expected ^= word >> start & 0xFFFFFFFF
            assert ctx.get(dut.fold) == expected

    simulate(dut, process)

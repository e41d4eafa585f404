"""The adder trees and the array's cells, against integers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.element import ProcessingElement, RowCorrection
from hw.gateware.popcount import fold32, popcount, register_levels
from tests.hw.gateware.clockwork import simulate


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


def biased_words(width: int, random: Random, count: int) -> list[int]:
    """Return words of every density: popcounts are poorly tested by even bits."""
    whole = (1 << width) - 1
    single = [1 << index for index in range(width)]
    words = [0, whole, *single, *(whole ^ bit for bit in single)]
    words += [random.getrandbits(width) for _ in range(count)]
    words += [random.getrandbits(width) & random.getrandbits(width) & random.getrandbits(width) for _ in range(count)]
    words += [random.getrandbits(width) | random.getrandbits(width) | random.getrandbits(width) for _ in range(count)]
    return words


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


class ElementTwin:
    """What a processing element does, in integers: a queue of counts behind the product."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.counts = [0] * accelerator.pipeline
        self.total = self.drained = 0

    def step(self, accelerator: Accelerator, given: dict[str, int]) -> None:
        whole = (1 << accelerator.word_bits) - 1
        a, w = given["activation"], given["weight"]
        count = (a & w if given["unsigned_set"] else ~(a ^ w) & whole).bit_count()
        arrived = [*self.counts, count][0]
        updated = ((0 if given["first"] else self.total) + arrived) % (1 << accelerator.count_bits)
        if given["advance"] and given["hand_over"]:
            self.drained = updated
        elif given["shift"]:
            self.drained = given["drain_in"]
        if given["advance"]:
            self.total = updated if given["add"] else self.total
            self.counts = [*self.counts, count][1:]


@pytest.mark.parametrize(("word_bits", "pipeline"), [(1, 0), (1, 1), (4, 0), (16, 1), (64, 3), (64, 7)])
def test_element_equals_its_twin(word_bits: int, pipeline: int) -> None:
    accelerator = Accelerator(word_bits=word_bits, pipeline=pipeline, sum_bits=10)
    dut, twin, random = ProcessingElement(accelerator), ElementTwin(accelerator), Random(word_bits)
    words = biased_words(word_bits, random, 30)

    async def process(ctx: Any) -> None:
        for _ in range(400):
            given = {"activation": random.choice(words), "weight": random.choice(words)}
            given |= {name: random.getrandbits(1) for name in ("unsigned_set", "add", "first", "hand_over", "shift")}
            given |= {"advance": int(random.random() < 0.8), "drain_in": random.getrandbits(accelerator.count_bits)}
            for name, value in given.items():
                ctx.set(getattr(dut, name), value)
            await ctx.tick()
            twin.step(accelerator, given)
            assert ctx.get(dut.drained) == twin.drained

    simulate(dut, process)


def test_correction_counts_words_or_ones_and_starts_at_pad() -> None:
    accelerator = Accelerator(word_bits=8, pipeline=0)
    dut = RowCorrection(accelerator)

    async def process(ctx: Any) -> None:
        for name in ("advance", "add", "hand_over"):
            ctx.set(getattr(dut, name), 1)
        for unsigned_set, word, first, pad, expected in [
            (1, 0b1011, 1, 0, 3), (1, 0xFF, 0, 7, 11), (1, 0, 0, 0, 11), (0, 0b1011, 1, 5, 13), (0, 0, 0, 0, 21),
        ]:  # fmt: skip
            for name, value in (("unsigned_set", unsigned_set), ("activation", word), ("first", first), ("pad", pad)):
                ctx.set(getattr(dut, name), value)
            await ctx.tick()
            assert ctx.get(dut.drained) == expected

    simulate(dut, process)

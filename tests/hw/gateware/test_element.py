"""The array's cells, against integers."""

from __future__ import annotations

from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.element import ProcessingElement, RowCorrection
from tests.hw.gateware.clockwork import biased_words, check, drive, nothing, seeded, simulate

Numbers = dict[str, int]


class CellTwin:
    """What a cell does, in integers: a queue of counts behind the product, and a total modulo a power of two."""

    def __init__(self, accelerator: Accelerator, bits: int) -> None:
        self.counts = [0] * accelerator.pipeline
        self.modulus = 1 << bits
        self.total = self.drained = 0

    def step(self, count: int, start: int, given: Numbers) -> None:
        arrived = [*self.counts, count][0]
        base = start if given["first"] else self.total * (1 + given.get("double", 0))
        updated = (base - arrived if given.get("negative") else base + arrived) % self.modulus
        if given["advance"] and given["hand_over"]:
            self.drained = updated
        elif given["shift"]:
            self.drained = given["drain_in"]
        if given["advance"]:
            self.total = updated if given["add"] else self.total
            self.counts = [*self.counts, count][1:]


SHAPES = [(1, 0, 1), (1, 1, 8), (4, 0, 4), (4, 2, 2), (16, 1, 1), (64, 3, 8), (64, 7, 1)]


@pytest.mark.parametrize("kind", [ProcessingElement, RowCorrection])
@pytest.mark.parametrize(("word_bits", "pipeline", "code_bits"), SHAPES)
def test_cell_equals_its_twin(kind: type, word_bits: int, pipeline: int, code_bits: int) -> None:
    a = Accelerator(word_bits=word_bits, pipeline=pipeline, sum_bits=10, code_bits=code_bits)
    dut, random = kind(a), seeded("cell", kind, word_bits, pipeline, code_bits)
    is_element, whole = kind is ProcessingElement, (1 << word_bits) - 1
    words, flags = biased_words(word_bits, random, 30), ["unsigned_set", "add", "first", "hand_over", "shift"]
    flags += ["double", "negative"] if code_bits > 1 else []

    async def process(ctx: Any) -> None:
        twin = CellTwin(a, len(dut.drained))
        for cycle in range(500):
            given = {"activation": random.choice(words), "advance": int(random.random() < 0.8)}
            given |= {name: random.getrandbits(1) for name in flags} | {"first": int(random.random() < 0.2)}
            given["drain_in"] = random.getrandbits(len(dut.drained))
            signed = 0 if given["unsigned_set"] else whole
            if is_element:
                given["weight"] = random.choice([*words, given["activation"], given["activation"] ^ whole])
                both = given["activation"] & given["weight"]
                count = (both | signed & ~(given["activation"] | given["weight"])).bit_count()
                start = 0
            else:
                given |= {"plain": int(not signed and random.getrandbits(1)), "pad": random.randrange(word_bits)}
                count = 0 if given["plain"] else (given["activation"] | signed).bit_count()
                start = given["pad"]
            drive(ctx, dut, given)
            await ctx.tick()
            twin.step(count, start, given)
            if cycle > pipeline:
                check(ctx, dut, {"drained": twin.drained}, cycle)

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


def test_codes_of_one_bit_are_neither_doubled_nor_subtracted() -> None:
    for kind in (ProcessingElement, RowCorrection):
        cells = [kind(Accelerator(code_bits=bits)) for bits in (1, 2)]
        plain, coded = (set(cell.signature.members) for cell in cells)
        assert coded - plain == {"double", "negative"}
        assert plain < coded
        for cell in cells:
            simulate(cell, nothing)


def test_doubling_and_subtracting_by_hand() -> None:
    a = Accelerator(word_bits=8, pipeline=0, sum_bits=8, code_bits=2)
    element, correction = ProcessingElement(a), RowCorrection(a)

    async def process(ctx: Any, dut: Any, modulus: int) -> None:
        drive(ctx, dut, {"advance": 1, "add": 1, "hand_over": 1, "unsigned_set": 1})
        for word, first, double, negative, expected in [
            (0x07, 1, 0, 1, -3), (0x0F, 0, 0, 0, 1), (0x01, 0, 1, 0, 3), (0xFF, 0, 1, 1, -2), (0x00, 0, 1, 1, -4),
            (0x7F, 0, 1, 0, -1), (0x01, 0, 0, 0, 0), (0x00, 1, 0, 1, 0),
        ]:  # fmt: skip
            drive(ctx, dut, {"activation": word, "first": first, "double": double, "negative": negative})
            await ctx.tick()
            check(ctx, dut, {"drained": expected % modulus}, word)

    async def of_element(ctx: Any) -> None:
        drive(ctx, element, {"weight": 0xFF})
        await process(ctx, element, 1 << a.count_bits)

    async def of_correction(ctx: Any) -> None:
        await process(ctx, correction, 1 << a.sum_bits)

    simulate(element, of_element)
    simulate(correction, of_correction)

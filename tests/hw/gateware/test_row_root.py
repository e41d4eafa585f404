"""The coefficients of layer normalisation against integers: powers of four, the ends of every width, and between."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from random import Random
from typing import Any

from amaranth.hdl import ResetInserter, Signal

from hw.gateware.row_root import LATENCY, RowRoot
from tests.hw.gateware.clockwork import drive, seeded, simulate
from tests.hw.gateware.rows import inverse_root, rows

TAG_BITS = 9
EPSILON_LIMIT = 1 << 31


@dataclass(frozen=True)
class Row:
    """The sums of a row, or none in that cycle."""

    channels: int = 0
    total: int = 0
    squares: int = 0
    epsilon: int = 0
    valid: int = 1

    @property
    def variance(self) -> int:
        return self.channels * self.squares - self.total**2 + self.epsilon

    def expected(self, tag: int) -> dict[str, int]:
        """Return what comes of it; of a variance of 0 there is no distance."""
        if self.variance == 0:
            return {"done": 1, "done_tag": tag, "factor": 0, "offset": 0}
        root, e = inverse_root(self.variance)
        coefficients = {"factor": self.channels * root, "offset": self.total * root, "distance": 3 + e}
        return {"done": 1, "done_tag": tag, **coefficients}


def of_variance(variance: int) -> Row:
    """Return sums with that V: epsilon is the rest of it, and so is Q where it is more than epsilon can be."""
    channels = 1 if variance < EPSILON_LIMIT else 4096
    squares = max(0, variance - EPSILON_LIMIT + channels) // channels
    return Row(channels, 0, squares, variance - channels * squares)


def of_numbers(row: list[int], epsilon: int = 0) -> Row:
    return Row(len(row), sum(row), sum(x * x for x in row), epsilon)


def random_row(random: Random) -> Row:
    """Return sums that numbers could have: Q between what S needs at least and what 16 bits allow."""
    channels = random.choice([1, 2, 64, 768, 4095, 4096, random.randint(1, 4096)])
    largest = random.choice([1, 100, 1 << 15])
    total = random.randint(-channels * largest, channels * (largest - 1))
    least = -(-(total**2) // channels)
    squares = random.choice([least, random.randint(least, min(channels * largest**2, least + (1 << 30)))])
    return Row(channels, total, squares, random.choice([0, 1, EPSILON_LIMIT - 1, random.getrandbits(31)]))


def run(given: list[Row], random: Random) -> None:
    """Give a row in each cycle and look, LATENCY cycles later, at what came of it."""
    dut = RowRoot(TAG_BITS)
    tags = [random.getrandbits(TAG_BITS) for _ in given]

    async def process(ctx: Any) -> None:
        for cycle in range(len(given) + LATENCY):
            row = given[cycle] if cycle < len(given) else Row(valid=0)
            tag = tags[cycle] if cycle < len(given) else 0
            names = ("valid", "channels", "total", "squares", "epsilon")
            drive(ctx, dut, {name: getattr(row, name) for name in names} | {"tag": tag})
            came = given[cycle - LATENCY] if cycle >= LATENCY else Row(valid=0)
            expected = came.expected(tags[cycle - LATENCY]) if came.valid else {"done": 0}
            assert {name: ctx.get(getattr(dut, name)) for name in expected} == expected, (cycle, came)
            await ctx.tick()

    simulate(dut, process)


def test_powers_of_four_and_their_neighbours() -> None:
    given = [of_variance(4**e + step) for e in range(27) for step in (-1, 0, 1)]
    given += [of_variance(2 * 4**e + step) for e in range(1, 27) for step in (-1, 0, 1)]
    assert {row.variance for row in given} >= {0, 1, 2, 4**26 - 1, 4**26, 4**26 + 1}
    run(given, seeded("powers"))


def test_every_guess_at_both_ends() -> None:
    """V = m exactly, with m * 4^k - 1 just below it: all of the table, from the first to the last m of each entry."""
    random = seeded("guesses")
    given = []
    for index in range(64, 256):
        for m in (index << 8, (index << 8) + 255, (index << 8) + random.randrange(256)):
            given += [of_variance(m), of_variance((m << 2 * random.randrange(1, 20)) - random.getrandbits(1))]
    run(given, random)


def test_the_ends_of_every_width() -> None:
    random = seeded("ends")
    extremes = [of_numbers(row, epsilon) for row in rows(random) for epsilon in (0, 1, EPSILON_LIMIT - 1)]
    assert max(row.squares for row in extremes) == 1 << 42
    assert min(row.total for row in extremes) == -(1 << 27)
    assert max(row.variance for row in extremes) == (1 << 54) - (1 << 39) + (1 << 22) + EPSILON_LIMIT - 1
    assert 0 in {row.variance for row in extremes}
    coefficients = [row.expected(0) for row in extremes]
    assert max(c["factor"] for c in coefficients) == 1 << 27
    assert min(c["offset"] for c in coefficients) < -(1 << 41)
    run(extremes, random)


def test_random_rows_with_cycles_between_them() -> None:
    random = seeded("random rows")
    run([random_row(random) if random.random() < 0.8 else Row(valid=0) for _ in range(1500)], random)


def test_the_result_is_the_inverse_root() -> None:
    """The definition itself: R / 2^15 is 2^e / sqrt(V), to a part in 2^13."""
    random = seeded("inverse root")
    for _ in range(2000):
        variance = random.getrandbits(random.randint(1, 54)) + 1
        root, e = inverse_root(variance)
        exact = isqrt((1 << 60 + 2 * e) // variance)
        assert abs((root << 15) - exact) <= (exact >> 13) + 2


def test_a_reset_drops_what_is_inside() -> None:
    dut, reset = RowRoot(TAG_BITS), Signal()

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"valid": 1, "channels": 3, "squares": 9})
        await ctx.tick().repeat(LATENCY - 1)
        drive(ctx, dut, {"valid": 0})
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        for _ in range(LATENCY):
            assert ctx.get(dut.done) == 0
            await ctx.tick()

    simulate(ResetInserter(reset)(dut), process)

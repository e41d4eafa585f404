"""The lane of the vector unit against integers: ties, both ends of every clamp, the widest sums, and stalls."""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import Any

import pytest

from hw.gateware.row_root import FACTOR_BITS, OFFSET_BITS
from hw.gateware.vector_lane import LATENCY, VectorLane
from tests.hw.gateware.clockwork import drive, nothing, seeded, simulate
from tests.hw.gateware.rows import inverse_root, normalised, round_shift, rows, saturated

WIDTHS = [4, 15, 16, 18, 19, 31]
Step = dict[str, int]

#: The largest number of 16 bits.
FIXED = (1 << 15) - 1

#: Which input stands in which stage.
STAGES = [
    ("value", "normalise", "factor", "offset", "bit", "word_scale", "place", "kind"),
    ("distance", "text", "from_piece", "doubled"),
    ("scale", "multiplier", "addend"),
    ("shift", "limit", "unsigned_set"),
    ("add", "maximum", "residual", "collects", "turn", "first"),
]


def bits_of(sum_bits: int) -> dict[str, int]:
    """Return the width of each input, a negative one for signed ones."""
    return {
        "value": -max(sum_bits, 16), "normalise": 1, "factor": FACTOR_BITS, "offset": -OFFSET_BITS, "distance": 5,
        "scale": 1, "multiplier": -16, "addend": -32, "shift": 5, "limit": 15, "unsigned_set": 1, "add": 1,
        "residual": -16, "bit": 1, "word_scale": 16, "place": -16, "kind": -16, "text": 1, "from_piece": 1,
        "doubled": 9, "maximum": 1, "collects": 1, "turn": 1, "first": -16,
    }  # fmt: skip


def any_number(bits: int, random: Random) -> int:
    """Return a number of that width: an end, something small, or any."""
    low, high = (-(1 << -bits - 1), (1 << -bits - 1) - 1) if bits < 0 else (0, (1 << bits) - 1)
    near = [number for number in (-2, -1, 0, 1, 2) if low <= number <= high]
    of_any_size = random.randint(low, high) >> random.randrange(abs(bits))
    return random.choice([low, high, random.choice(near), random.randint(low, high), of_any_size])


def any_step(sum_bits: int, random: Random) -> Step:
    """Return any operands; a value that is normalised is a fixed number, and most are not clamped to codes.

    Few are of a TABLE.
    """
    step = {name: any_number(bits, random) for name, bits in bits_of(sum_bits).items()}
    step |= {name: int(random.random() < 0.2) for name in ("from_piece", "collects")}
    step |= {"limit": (1 << random.randrange(9)) - 1} if random.random() < 0.3 else {"limit": FIXED, "unsigned_set": 0}
    return step | {"value": any_number(-16, random)} if step["normalise"] else step


def plain(**operands: int) -> Step:
    """Return a step that passes its value, but for the operands given."""
    return dict.fromkeys(bits_of(4), 0) | {"limit": FIXED} | operands


def bounds(step: Step) -> tuple[int, int]:
    """Return the least and the largest result of the clamp of a step."""
    return (0 if step["unsigned_set"] else -step["limit"] - 1), step["limit"]


def clamped(step: Step) -> int:
    """Return what a step has in its last stage, in integers."""
    y = step["value"]
    if step["text"]:
        y = saturated((1 if step["bit"] else -1) * step["word_scale"] + step["place"] + step["kind"], 16)
    elif step["normalise"]:
        y = saturated(round_shift(step["value"] * step["factor"] - step["offset"], step["distance"]), 18)
    if step["from_piece"]:
        y = step["doubled"]
    if step["scale"]:
        low, high = bounds(step)
        y = min(max(round_shift(y * step["multiplier"] + step["addend"], step["shift"]), low), high)
    return y


def result_of(step: Step, before: int = 0) -> int:
    """Return what a step gives behind another result."""
    if step["collects"]:
        return step["first"] if step["turn"] else before
    y = clamped(step)
    if step["add"]:
        return max(y, step["residual"]) if step["maximum"] else saturated(y + step["residual"], 16)
    return y


def results_of(steps: list[Step]) -> list[int]:
    """Return what steps give one after the other; the first of them has a result of its own."""
    return list(accumulate(steps, lambda before, step: result_of(step, before), initial=0))[1:]


def run(
    sum_bits: int, steps: list[Step], random: Random, advancing: float = 1, expected: list[int] | None = None
) -> None:
    """Send steps through a lane; each stage sees its operands when it is their turn, else anything."""
    dut, widths = VectorLane(sum_bits, text=True), bits_of(sum_bits)
    stages: list[Step | None] = [None] * (LATENCY + 1)
    steps[0] |= {"collects": 0}
    waiting, due, results, cycles = list(reversed(steps)), list(reversed(results_of(steps))), [], 0

    async def process(ctx: Any) -> None:
        nonlocal stages, cycles
        stages[0] = waiting.pop()
        while any(stages):
            advance = int(random.random() < advancing)
            inputs = {"advance": advance}
            for step, names in zip(stages, STAGES, strict=False):
                use = step if step and advance else None
                inputs |= {name: use[name] if use else any_number(widths[name], random) for name in names}
            drive(ctx, dut, inputs)
            if stages[LATENCY - 1]:
                assert ctx.get(dut.clamped) == low_bits(clamped(stages[LATENCY - 1])), stages[LATENCY - 1]
            if stages[LATENCY]:
                assert ctx.get(dut.result) == due[-1], stages[LATENCY]
                results.extend([due.pop()] if advance else [])
            await ctx.tick()
            if advance:
                stages = [waiting.pop() if waiting else None, *stages[:LATENCY]]
            cycles += 1

    simulate(dut, process)
    assert results == (expected or results_of(steps))
    if advancing == 1:
        assert cycles == len(steps) + LATENCY


def low_bits(number: int) -> int:
    return (number + 32768) % 65536 - 32768


def around(targets: list[int], shift: int) -> list[int]:
    """Return the numbers that round to one of the targets or to its neighbours: ties, and one either side of them."""
    ties = [(2 * target + half << shift) >> 1 for target in targets for half in (-1, 1)]
    return [tie + step for tie in ties for step in (-1, 0, 1)]


@pytest.mark.parametrize("sum_bits", WIDTHS)
def test_random_steps(sum_bits: int) -> None:
    random = seeded("lane", sum_bits)
    run(sum_bits, [any_step(sum_bits, random) for _ in range(600)], random)


@pytest.mark.parametrize("sum_bits", [15, 31])
def test_random_steps_with_stalls(sum_bits: int) -> None:
    random = seeded("stalls", sum_bits)
    run(sum_bits, [any_step(sum_bits, random) for _ in range(300)], random, advancing=0.4)


@pytest.mark.parametrize("shift", [0, 1, 2, 15, 16, 30, 31])
def test_ties_and_the_ends_of_16_bits(shift: int) -> None:
    """Requantise: v * multiplier + addend is any number of 48 bits, so that each tie and each end is met exactly."""
    random = seeded("ties", shift)
    steps = []
    for number in around([0, -1, 5, -6, 32767, 32766, -32768, -32767], shift):
        multiplier = 32767 if abs(number) > 1 << 31 else 1
        value, addend = divmod(number, multiplier)
        steps.append(plain(value=value, scale=1, multiplier=multiplier, addend=addend, shift=shift))
        steps.append(plain(value=-value, scale=1, multiplier=-multiplier, addend=addend, shift=shift))
    assert {result_of(step) for step in steps} >= {0, 1, -1, -2, 32767, 32766, -32768, -32767}
    run(31, [step for step in steps if abs(step["value"]) < 1 << 30], random)


@pytest.mark.parametrize("distance", [0, 1, 3, 18, 29, 31])
def test_ties_and_the_ends_of_18_bits(distance: int) -> None:
    """Normalise: x * factor - offset is any number of 46 bits."""
    random = seeded("distance", distance)
    steps = []
    reach = (1 << OFFSET_BITS - 1) - 1
    for number in around([0, -1, 5, -6, 131071, 131070, -131072, -131071], distance):
        value = random.choice([0, 3, -3])
        factor = random.getrandbits(20)
        steps.append(plain(value=value, normalise=1, factor=factor, offset=value * factor - number, distance=distance))
    steps = [step for step in steps if abs(step["offset"]) <= reach]
    if distance < 29:
        assert {result_of(step) for step in steps} >= {0, 1, -1, 131071, 131070, -131072, -131071}
    run(15, steps, random)


def test_the_widest_numbers_of_each_stage() -> None:
    random = seeded("widest")
    steps = []
    for sign in (-1, 1):
        fixed, wide = -32768 if sign < 0 else 32767, -(1 << 30) if sign < 0 else (1 << 30) - 1
        for offset in (-(1 << OFFSET_BITS - 1), (1 << OFFSET_BITS - 1) - 1):
            widest = dict(value=fixed, normalise=1, factor=(1 << FACTOR_BITS) - 1, offset=offset)
            steps += [plain(**widest, distance=distance) for distance in (0, 29, 31)]
        for multiplier in (-32768, 32767):
            for addend in (-(1 << 31), (1 << 31) - 1):
                affine = dict(value=wide, scale=1, multiplier=multiplier, addend=addend)
                steps += [plain(**affine, shift=shift) for shift in (0, 30, 31)]
        steps += [
            plain(value=wide),
            plain(value=wide, add=1, residual=32767),
            plain(value=wide, add=1, residual=-32768),
        ]
    run(31, steps, random)


@pytest.mark.parametrize("unsigned_set", [0, 1])
@pytest.mark.parametrize("code_bits", range(1, 9))
def test_codes_and_both_ends_of_them(code_bits: int, unsigned_set: int) -> None:
    random = seeded("codes", code_bits, unsigned_set)
    low, high = (0, 2**code_bits - 1) if unsigned_set else (-(2**code_bits) // 2, 2**code_bits // 2 - 1)
    code = dict(scale=1, multiplier=1, limit=high, unsigned_set=unsigned_set)
    assert bounds(code) == (low, high)
    ends = [*range(low - 2, low + 3), *range(high - 2, high + 3), -32768, 32767, -65536, 65535, 0, -(1 << 30)]
    steps = [plain(**code, value=value) for value in ends] + [plain(**code, value=value, shift=1) for value in ends]
    assert {low, high} <= {result_of(step) for step in steps} <= set(range(low, high + 1))
    run(31, steps, random)
    run(31, [step | {"limit": FIXED, "unsigned_set": 0} for step in steps], random)


def test_sums_and_residuals_at_the_ends_of_16_bits() -> None:
    random = seeded("residuals")
    ends = [-32768, -32767, -1, 0, 1, 32766, 32767]
    steps = [plain(value=value, add=1, residual=residual) for value in ends for residual in ends]
    assert {result_of(step) for step in steps} >= {-32768, -32767, 0, 32766, 32767}
    run(16, steps, random)
    run(16, [step | {"add": 0} for step in steps], random)


def test_the_larger_of_two_numbers() -> None:
    random = seeded("maximum")
    ends = [-32768, -32767, -1, 0, 1, 32766, 32767]
    steps = [plain(value=value, add=1, maximum=1, residual=residual) for value in ends for residual in ends]
    assert {result_of(step) for step in steps} == set(ends)
    run(16, steps, random)
    run(16, [step | {"scale": 1, "multiplier": 1} for step in steps], random)
    run(16, [step | {"add": 0} for step in steps], random, expected=[step["value"] for step in steps])


@pytest.mark.parametrize("shift", [0, 1, 7, 8])
def test_numbers_on_a_piece(shift: int) -> None:
    """The steepest pieces and both ends of 16 bits: v is `doubled`, whatever `value` is."""
    random, steps, expected = seeded("piece", shift), [], []
    for low, high in ((-32768, 32767), (32767, -32768), (5, 6), (6, 5), (-7, -7), (0, -2)):
        for place in {0, 1, 1 << shift >> 1, (1 << shift) - 1}:
            if place < 1 << shift:
                half, odd = divmod(high - low, 2)
                piece = plain(from_piece=1, doubled=2 * place, scale=1, multiplier=half, shift=shift)
                steps.append(piece | {"addend": (low << shift) + odd * place, "value": random.randint(-9, 9)})
                expected.append(low + round_shift((high - low) * place, shift))
    run(9, steps, random, expected=expected)


def test_what_is_collected_stays_until_it_is_the_lanes_turn() -> None:
    random = seeded("collect")
    wide = -(1 << 30)
    steps = [plain(value=wide), *(plain(collects=1, turn=turn, first=first) for turn, first in (
        (0, 7), (1, -32768), (0, 9), (0, 10), (1, 32767), (1, -1), (0, 5)))]  # fmt: skip
    run(31, steps, random, expected=[wide, wide, -32768, -32768, -32768, 32767, -1, -1])


def test_a_step_without_operands_passes_the_value() -> None:
    random = seeded("pass")
    values = [-(1 << 30), (1 << 30) - 1, 0, -1, *(any_number(-31, random) for _ in range(20))]
    run(31, [plain(value=value) for value in values], random, expected=values)


def test_normalise_is_that_of_the_definition() -> None:
    """Rows through the lane with the coefficients of `RowRoot`, against (C * x - S) * R as the definition has it."""
    random = seeded("normalise")
    steps, expected = [], []
    for row in rows(random):
        epsilon = random.choice([0, 1, 5000, (1 << 31) - 1])
        variance = len(row) * sum(x * x for x in row) - sum(row) ** 2 + epsilon
        root, e = inverse_root(variance) if variance else (0, random.randrange(29))
        gain, offset, shift = random.randint(-32768, 32767), random.getrandbits(31) - (1 << 30), random.randint(1, 31)
        values = normalised(row, epsilon)
        for place in {0, len(row) - 1, *random.choices(range(len(row)), k=20)}:
            coefficients = dict(factor=len(row) * root, offset=sum(row) * root, distance=3 + e)
            steps.append(plain(value=row[place], normalise=1, **coefficients))
            expected.append(values[place])
            steps.append(steps[-1] | dict(scale=1, multiplier=gain, addend=offset, shift=shift))
            expected.append(saturated(round_shift(values[place] * gain + offset, shift), 16))
    assert {-131072, 131071, 0} <= set(expected)
    run(15, steps, random, expected=expected)


def test_embeddings_at_the_ends_of_16_bits() -> None:
    random = seeded("text")
    ends, scales = [-32768, -32767, -1, 0, 1, 32767], [0, 1, 32767, 65535]
    steps = [
        plain(text=1, bit=bit, word_scale=scale, place=place, kind=kind, value=random.choice(ends))
        for bit in (0, 1)
        for scale in scales
        for place in ends
        for kind in ends
    ]
    assert {result_of(step) for step in steps} >= {-32768, -32767, 0, 32766, 32767}
    run(9, steps, random)


def test_a_lane_without_text_has_none_of_its_ports() -> None:
    dut = VectorLane(9)
    assert "word_scale" not in dut.signature.members
    simulate(dut, nothing)

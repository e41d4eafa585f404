"""MEAN and CLASSIFY in the vector unit, among VECTORs: every number, every word and every cycle."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.vector import VectorUnit
from hw.isa import Opcode, Source, Vote
from tests.hw.gateware.clockwork import drive, fold, seeded, seen, simulate, simulate_with_resets
from tests.hw.gateware.lockstep import compare, timeline
from tests.hw.gateware.members import any_member
from tests.hw.gateware.vector_unit import BLOCK, BLOCKS, cycle_of, random_tables, random_vector, unit
from tests.hw.gateware.vectors import DEFAULTS, Operands, Scale, Tables
from tests.hw.gateware.votes import VotingTwin

ACCELERATORS = {
    "four lanes": Accelerator(rows=3, columns=4, vector_lanes=4, drain_rows=2, sum_bits=15, token_lines=2, classes=9),
    "two lanes": Accelerator(rows=4, columns=8, vector_lanes=2, drain_rows=3, sum_bits=31, code_bits=4, classes=20),
    "one lane": Accelerator(rows=1, columns=1, vector_lanes=1, word_bits=1, sum_bits=20, port_bits=8, classes=1),
    "no vote": Accelerator(rows=2, columns=2, vector_lanes=8, word_bits=8, sum_bits=9, port_bits=8, code_bits=8),
}


def any_mean(a: Accelerator, random: Random, own: int) -> Operands:
    """Return a MEAN whose rows are in a block, in which it does not write."""
    channels = random.randint(1, 3 * a.vector_lanes)
    source = random.randrange(BLOCKS) if own else 0
    mean = {"opcode": Opcode.MEAN, "channels": channels, "source_line": BLOCK * source}
    mean |= {"rows": random.randint(1, BLOCK // -(-channels // a.vector_lanes)), "shift": random.randrange(25)}
    target = random.choice([block for block in range(1, BLOCKS) if block != source])
    return mean | {"fixed_line": BLOCK * target, "multiplier": random.choice([16384, 32767, random.getrandbits(15)])}


def any_classify(a: Accelerator, random: Random, own: int, twin: VotingTwin) -> Operands:
    vote = random.choice([Vote.SOFT, Vote.HARD, Vote.MEAN])
    classes = random.choice([1, a.classes, random.randint(1, a.classes)])
    first = random.getrandbits(1)
    if not first and twin.poll.members:
        classes = len(twin.poll.totals)
    member = any_member(random, vote if classes == 1 or vote is not Vote.MEAN else Vote.SOFT)
    operands = {"opcode": Opcode.CLASSIFY, "vote_shift": member.pop("shift"), **member, "first": first}
    operands |= {"classes": classes, "channels": random.randint(1, 3 * a.vector_lanes), "shift": random.randrange(32)}
    operands |= {"source_line": BLOCK * random.randrange(BLOCKS) if own else 0, "scale_line": random.randrange(65536)}
    return operands | {"output_line": random.randrange(65536), "swing": random.choice([0, random.getrandbits(38)])}


def any_instruction(twin: VotingTwin, random: Random) -> tuple[Operands, int]:
    own, kind = int(random.random() < 0.5), random.random()
    if kind < 0.3:
        return any_mean(twin.a, random, own), own
    if kind < 0.6 and twin.a.classes:
        return any_classify(twin.a, random, own, twin), own
    return random_vector(twin, random)


class Silent(VotingTwin):
    """The twin without the words of CLASSIFYs, whose cycles are no part of the contract."""

    def outputs(self, taken: int) -> dict[str, int]:
        expected = super().outputs(taken)
        if not expected["words.valid"]:
            expected = {name: value for name, value in expected.items() if not name.startswith("words")}
        return expected


async def cycle_with_votes(ctx: Any, dut: VectorUnit, twin: Silent, taken: int, issued: Operands | None) -> None:
    """Run a cycle beside the twin; see the words and the lines of a CLASSIFY in their order, before its pulse."""
    drive(ctx, dut, {"taken": taken, "issue.issued": int(issued is not None)})
    if "words.valid" not in twin.outputs(taken) and seen(ctx, dut, "words.valid"):
        word, end = twin.said.pop(0)
        assert (seen(ctx, dut, "words.fold"), seen(ctx, dut, "words.end")) == (fold(word), end)
    if twin.a.classes and seen(ctx, dut, "logits.enable"):
        line, logit = twin.lines.pop(0)
        assert (seen(ctx, dut, "logits.line"), seen(ctx, dut, "logits.data")) == (line, logit % (1 << 32))
    if twin.voting and twin.cycle in twin.pulses and twin.cycle == twin.unblocked:
        assert not twin.said
        assert not twin.lines
        poll, names = twin.poll, ("outcome", "members", "total")
        found = [seen(ctx, dut, f"standing.{name}") for name in names]
        assert found == [poll.outcome(), poll.members, poll.total()]
    await cycle_of(ctx, dut, twin, taken, issued)


@pytest.mark.parametrize("taken_rate", [0.0, 0.5])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_unit_equals_its_twin(name: str, taken_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS[name], seeded("votes", name, taken_rate)
    dut = unit(a, monkeypatch)

    async def process(ctx: Any) -> None:
        twin = Silent(a, random_tables(a, random))
        rates = {"cycles": 900, "taken_rate": taken_rate}
        await compare(ctx, dut, twin, cycle_with_votes, any_instruction, random, **rates)
        assert len(twin.pulses) > 10

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ACCELERATORS["two lanes"], seeded("votes reset")
    dut = unit(a, monkeypatch)

    async def part(ctx: Any) -> None:
        twin, cycles = Silent(a, random_tables(a, random)), random.randrange(5, 90)
        await compare(ctx, dut, twin, cycle_with_votes, any_instruction, random, cycles=cycles, taken_rate=0.3)

    simulate_with_resets(dut, 15, part)


SMALL = Accelerator(rows=2, columns=2, vector_lanes=2, word_bits=8, sum_bits=9, drain_rows=2, classes=7)
CLASSIFY = {"opcode": Opcode.CLASSIFY, "source_line": 0, "scale_line": 0, "output_line": 5, "channels": 4, "shift": 0}
CLASSIFY |= {"vote_shift": 0, "vote": Vote.SOFT, "multiplier": 1, "bound": 9, "swing": 0, "first": 1}


def events_of(monkeypatch: pytest.MonkeyPatch, program: list[Operands], taken: set[int]) -> dict[str, list[int]]:
    """Issue instructions as soon as they are accepted."""
    twin = Silent(SMALL, random_tables(SMALL, seeded("timeline")))
    return timeline(unit(SMALL, monkeypatch), twin, cycle_with_votes, [(0, own) for own in program], taken)


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_the_pulse_of_a_classify(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slices and a bias for each class enter from 1 on; the last one leaves stage 6 in 3 * classes + 6."""
    after = DEFAULTS | {"source": Source.FIXED, "source_line": 0, "channels": 2, "rows": 1}
    events = events_of(monkeypatch, [CLASSIFY | {"classes": classes}, after], set())
    pulse = 3 * classes + 6 + 16 + 2 * classes
    assert events["issued"] == [0, pulse + 1]
    assert events["enters"] == [*range(1, 3 * classes + 1), pulse + 2]
    assert events["pulse"] == [pulse, pulse + 9]
    assert events["fixed"] == []


def test_a_classify_behind_codes_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VECTOR of one step with three sets, entered in 1, leaves stage 6 in 11; the steps behind it stand."""
    codes = DEFAULTS | {"source": Source.FIXED, "source_line": 0, "channels": 2, "rows": 1, "sets": 3}
    events = events_of(monkeypatch, [codes, CLASSIFY | {"classes": 1, "channels": 2}], {8, 9})
    assert events["issued"] == [0, 1]
    assert events["enters"] == [1, 2, 3]
    assert events["codes"] == [7, 10, 11]
    assert events["pulse"] == [12, 11 + 2 + 16 + 2]


def test_the_steps_of_a_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slices of three rows: a line is written with each third step."""
    mean = {"opcode": Opcode.MEAN, "source_line": 0, "fixed_line": 40, "multiplier": 21845, "shift": 16}
    events = events_of(monkeypatch, [mean | {"channels": 3, "rows": 3}, mean | {"channels": 1, "rows": 1}], set())
    assert events["issued"] == [0, 6]
    assert events["enters"] == list(range(1, 8))
    assert events["fixed"] == [9, 12, 13]
    assert events["pulse"] == [13, 14]


@pytest.mark.parametrize("rows", [1, 2, 3, 1023, 1024])
def test_the_mean_of_the_definition(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes at both ends and between; r and e as docs/arithmetic.md, 10, has them."""
    a, random = SMALL.replace(vector_lanes=4), seeded("means", rows)
    dut, e = unit(a, monkeypatch), (rows - 1).bit_length()
    r = ((1 << 14 + e) + rows // 2) // rows
    assert 1 << 14 <= r < 1 << 15
    lines = [[-32768, 32767, random.randint(-99, 99), random.randint(-32768, 32767)] for _ in range(rows)]
    mean = {"opcode": Opcode.MEAN, "source_line": 0, "fixed_line": rows, "multiplier": r, "shift": 14 + e}
    written: list[int] = []

    async def process(ctx: Any) -> None:
        tables = Tables([], [*lines, [0] * 4], [[Scale(0, 0)] * 4], [[[(0, 0)] * 3] * 4], [], [])
        twin = Silent(a, tables)
        await cycle_with_votes(ctx, dut, twin, 0, mean | {"channels": 4, "rows": rows})
        while twin.outstanding:
            written.extend([seen(ctx, dut, "fixed.data")] * seen(ctx, dut, "fixed.enable"))
            await cycle_with_votes(ctx, dut, twin, 0, None)

    simulate(dut, process)
    exact = [sum(line[lane] for line in lines) / rows for lane in range(4)]
    found = [(number ^ 0x8000) - 0x8000 for number in (written[0] >> 16 * lane & 0xFFFF for lane in range(4))]
    assert all(abs(mean - y) < 1.5 for mean, y in zip(exact, found, strict=True))
    assert len(written) == 1

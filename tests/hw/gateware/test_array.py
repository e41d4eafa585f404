"""The array unit: its step counter against a loop over tiles and words, its pipeline against integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.arch import Accelerator
from hw.gateware.array import CORRECTION_MODULE, ELEMENT_MODULE, Array, StepCounter
from hw.gateware.element import ProcessingElement, RowCorrection
from hw.isa import Opcode
from tests.hw.gateware.cells import put_cells_inside
from tests.hw.gateware.clockwork import check, drive, fold, instruction, seeded, simulate

ACCELERATORS = [
    Accelerator(rows=4, columns=4, word_bits=16, port_bits=64),
    Accelerator(rows=3, columns=2, word_bits=32, port_bits=32),
    Accelerator(rows=1, columns=1, word_bits=1, port_bits=256, pipeline=0),
    Accelerator(rows=64, columns=1, word_bits=128, port_bits=8),
]
Operands = dict[str, int]
Outputs = dict[str, int]


def steps_of(a: Accelerator, matmul: Operands) -> Iterator[Outputs]:
    """Return what the counter shows in each step: docs/machine.md, section 2."""
    tiles = -(-matmul["rows"] // a.rows)
    for m in range(tiles):
        for n in range(matmul["column_groups"]):
            for k in range(matmul["words"]):
                last_word = k == matmul["words"] - 1
                last_tile = m == tiles - 1 and n == matmul["column_groups"] - 1
                activation = matmul["activation_line"] + m * matmul["activation_stride"] + k // a.line_words
                weight = matmul["weight_line"] + n * matmul["weight_stride"] + k // a.line_words
                yield {
                    "activation_line": activation % 65536,
                    "weight_line": weight % 65536,
                    "word": k % a.line_words,
                    "step.valid": 1,
                    "step.first": int(matmul["first"] and k == 0),
                    "step.hand_over": int(matmul["handover"] and last_word),
                    "step.end": int(last_word and last_tile),
                    "step.unsigned_set": matmul["unsigned"],
                    "step.pad": matmul["pad"],
                    "step.rows": min(a.rows, matmul["rows"] - m * a.rows),
                }


def random_matmul(a: Accelerator, random: Random) -> Operands:
    line = random.choice([0, 1, 65535, random.randrange(65536)])
    return {
        "unsigned": random.getrandbits(1),
        "first": random.getrandbits(1),
        "handover": random.getrandbits(1),
        "activation_line": random.choice([line, random.randrange(256)]),
        "weight_line": random.choice([line, random.randrange(256)]),
        "words": random.choice([1, 2, a.line_words, a.line_words + 1, random.randint(1, 9)]),
        "pad": random.randrange(a.word_bits),
        "rows": random.choice([1, a.rows, a.rows + 1, 2 * a.rows, random.randint(1, 3 * a.rows)]),
        "column_groups": random.randint(1, 3),
        "activation_stride": random.choice([0, 1, 7, line]),
        "weight_stride": random.choice([0, 1, 7, line]),
    }


async def compare(ctx: Any, dut: StepCounter, a: Accelerator, random: Random, cycles: int, advance_rate: float) -> int:
    """Run the counter beside the steps that it must make. Return how many instructions have finished."""
    steps: list[Outputs] = []
    finished = 0
    for cycle in range(cycles):
        matmul = random_matmul(a, random)
        advance = int(random.random() < advance_rate)
        accepts = not steps or bool(advance and steps[0]["step.end"])
        issued = int(accepts and random.random() < 0.8)
        drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **matmul), "issue.issued": issued})
        drive(ctx, dut, {"advance": advance})
        state = {"active": bool(steps), "issue.can_accept": accepts, "step.valid": bool(steps)}
        check(ctx, dut, state | (steps[0] if steps else {}), cycle)
        finished += int(bool(steps) and accepts)
        steps = list(steps_of(a, matmul)) if issued else steps[advance:]
        await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0})
    return finished


@pytest.mark.parametrize("advance_rate", [1.0, 0.5])
@pytest.mark.parametrize("index", range(len(ACCELERATORS)))
def test_counter_equals_its_twin(index: int, advance_rate: float) -> None:
    a, random = ACCELERATORS[index], seeded("steps", index, advance_rate)
    dut = StepCounter(a)

    async def process(ctx: Any) -> None:
        assert await compare(ctx, dut, a, random, 400, advance_rate) > 0

    simulate(dut, process)


def test_a_reset_in_flight_leaves_nothing_behind() -> None:
    a, random = ACCELERATORS[0], seeded("steps reset")
    dut, reset = StepCounter(a), Signal()

    async def process(ctx: Any) -> None:
        for _ in range(15):
            await compare(ctx, dut, a, random, random.randrange(3, 40), 0.8)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)

    simulate(ResetInserter(reset)(dut), process)


LINES = {"activation_line": 10, "weight_line": 20, "activation_stride": 100, "weight_stride": 50}
MATMUL = {"unsigned": 0, "first": 1, "handover": 1, "pad": 3, "words": 3, "rows": 5, "column_groups": 2} | LINES


def test_order_by_hand() -> None:
    a = Accelerator(rows=4, word_bits=16, port_bits=32)
    dut = StepCounter(a)

    async def process(ctx: Any) -> None:
        drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **MATMUL), "issue.issued": 1, "advance": 1})
        check(ctx, dut, {"active": 0, "issue.can_accept": 1}, "issued in t")
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        expected = [
            *[(10, 20, 0, 4), (10, 20, 1, 4), (11, 21, 0, 4), (10, 70, 0, 4), (10, 70, 1, 4), (11, 71, 0, 4)],
            *[(110, 20, 0, 1), (110, 20, 1, 1), (111, 21, 0, 1), (110, 70, 0, 1), (110, 70, 1, 1), (111, 71, 0, 1)],
        ]
        for index, (activation, weight, word, rows) in enumerate(expected):
            step = {"activation_line": activation, "weight_line": weight, "word": word, "step.rows": rows}
            step |= {"step.first": index % 3 == 0, "step.hand_over": index % 3 == 2, "step.end": index == 11}
            check(ctx, dut, step | {"active": 1, "issue.can_accept": index == 11}, "the first step is in t+1")
            await ctx.tick()
        check(ctx, dut, {"active": 0, "step.valid": 0, "issue.can_accept": 1})

    simulate(dut, process)


def test_nothing_moves_without_advance() -> None:
    dut = StepCounter(Accelerator())

    async def process(ctx: Any) -> None:
        single = MATMUL | {"words": 1, "rows": 1, "column_groups": 1}
        drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **single), "issue.issued": 1})
        await ctx.tick()
        drive(ctx, dut, {"issue.issued": 0})
        for _ in range(4):
            check(ctx, dut, {"active": 1, "issue.can_accept": 0, "step.end": 1, "activation_line": 10})
            await ctx.tick()
        drive(ctx, dut, {"advance": 1})
        check(ctx, dut, {"issue.can_accept": 1})

    simulate(dut, process)


@dataclass
class ArrayTwin:
    """Stages, sums and drain register of docs/machine.md, 3.6, in integers."""

    a: Accelerator
    stages: list[tuple[Outputs, list[int], list[int]] | None]
    sums: list[list[int]]
    corrections: list[int]
    drained: list[tuple[list[int], int]] | None = None
    rows: int = 0
    taken: int = 0
    pulse: int = 0
    words: list[list[int]] | None = None

    def stopped(self, release: int) -> bool:
        last = self.stages[-1]
        return bool(last and last[0]["step.hand_over"] and self.drained and not release)

    def releases(self) -> bool:
        """Return whether a group that is taken now is the last of its tile."""
        return self.taken + self.a.drain_rows >= self.rows

    def shown(self) -> int:
        """Return the drain register's next rows as one number, rows beyond the last as 0."""
        a, result = self.a, 0
        for index in range(a.drain_rows):
            row = self.taken + index
            sums, correction = (self.drained or [])[row] if row < a.rows else ([0] * a.columns, 0)
            width = a.count_bits * a.columns
            number = sum(total << a.count_bits * c for c, total in enumerate(sums)) | correction << width
            result |= number << (width + a.sum_bits) * index
        return result

    def fold(self) -> int:
        flat = [total for sums in self.words or [] for total in sums]
        return fold(sum(total << self.a.count_bits * index for index, total in enumerate(flat)))

    def add(self, step: Outputs, activations: list[int], weights: list[int]) -> None:
        a, whole = self.a, (1 << self.a.word_bits) - 1
        for r, activation in enumerate(activations):
            correction = activation.bit_count() if step["step.unsigned_set"] else a.word_bits
            start = step["step.pad"] if step["step.first"] else self.corrections[r]
            self.corrections[r] = (start + correction) % (1 << a.sum_bits)
            for c, weight in enumerate(weights):
                matches = activation & weight if step["step.unsigned_set"] else ~(activation ^ weight) & whole
                held = 0 if step["step.first"] else self.sums[r][c]
                self.sums[r][c] = (held + matches.bit_count()) % (1 << a.count_bits)

    def step(self, entering: tuple[Outputs, list[int], list[int]] | None, take: int, release: int) -> None:
        moves, last = not self.stopped(release), self.stages[-1]
        self.pulse, self.words = 0, None
        self.taken += take * self.a.drain_rows
        if release:
            self.drained, self.taken = None, 0
        if not moves:
            return
        if last:
            self.add(*last)
            self.pulse = last[0]["step.end"]
            if last[0]["step.hand_over"]:
                self.rows = last[0]["step.rows"]
                self.drained = [(list(sums), c) for sums, c in zip(self.sums, self.corrections, strict=True)]
                self.words = [list(sums) for sums in self.sums[: self.rows]]
        self.stages = [entering, *self.stages[:-1]]


@cache
def content(a: Accelerator, kind: int, bank: int, line: int) -> int:
    """Return a line of a buffer: a number of any density that no other line has by chance."""
    random = Random(f"{kind} {bank} {line}")
    first, second = random.getrandbits(a.line_bits), random.getrandbits(a.line_bits)
    return random.choice([first, first & second, first | second, 0, (1 << a.line_bits) - 1])


def words_of(a: Accelerator, kind: int, banks: int, line: int, word: int) -> list[int]:
    lines = (content(a, kind, bank, line) for bank in range(banks))
    return [whole >> word * a.word_bits & (1 << a.word_bits) - 1 for whole in lines]


def lines_of(a: Accelerator, kind: int, banks: int, line: int) -> int:
    return sum(content(a, kind, bank, line) << a.line_bits * bank for bank in range(banks))


def small_matmul(a: Accelerator, random: Random) -> Operands:
    """Return a legal MATMUL on few lines; one that does not start or end a tile is one tile."""
    matmul = random_matmul(a, random) | {"activation_line": random.randrange(4), "weight_line": random.randrange(4)}
    matmul |= {"activation_stride": random.randrange(3), "weight_stride": random.randrange(3)}
    if not (matmul["first"] and matmul["handover"]):
        matmul |= {"rows": random.randint(1, a.rows), "column_groups": 1}
    return matmul | ({} if matmul["first"] and not matmul["unsigned"] else {"pad": 0})


ARRAYS = [
    Accelerator(rows=3, columns=2, word_bits=8, pipeline=0, sum_bits=8, drain_rows=2, port_bits=16),
    Accelerator(rows=2, columns=4, word_bits=4, pipeline=1, sum_bits=6, drain_rows=1, port_bits=8),
    Accelerator(rows=5, columns=1, word_bits=16, pipeline=3, sum_bits=12, drain_rows=3, port_bits=16),
    Accelerator(rows=1, columns=1, word_bits=1, pipeline=1, sum_bits=4, port_bits=8),
]


@pytest.mark.parametrize("take_rate", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("index", range(len(ARRAYS)))
def test_array_equals_its_twin(index: int, take_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ARRAYS[index], seeded("array", index, take_rate)
    put_cells_inside(
        monkeypatch, {ELEMENT_MODULE: lambda: ProcessingElement(a), CORRECTION_MODULE: lambda: RowCorrection(a)}
    )
    dut = Array(a)

    async def process(ctx: Any) -> None:
        twin = ArrayTwin(a, [None] * (a.pipeline + 1), [[0] * a.columns for _ in range(a.rows)], [0] * a.rows)
        steps: list[Outputs] = []
        lines = {"activation.data": 0, "weight.data": 0}
        retired = started = 0
        for cycle in range(350):
            take = int(twin.drained is not None and random.random() < take_rate)
            release = int(take and twin.releases())
            stopped = twin.stopped(release)
            enters = bool(steps) and not stopped
            accepts = not steps or (enters and bool(steps[0]["step.end"]))
            matmul = small_matmul(a, random) | ({} if started else {"first": 1})
            issued = int(accepts and random.random() < 0.7)
            drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **matmul), "issue.issued": issued})
            drive(ctx, dut, {"drain.take": take, "drain.release": release, **lines})
            expected = {"issue.can_accept": accepts, "entering": enters, "stopped": stopped, "retire": twin.pulse}
            expected |= {"activation.enable": enters, "weight.enable": enters, "drain.full": twin.drained is not None}
            expected |= {"words.valid": twin.words is not None, "words.end": twin.pulse}
            expected |= {"drain.rows": twin.shown()} if twin.drained else {}
            expected |= {"words.fold": twin.fold()} if twin.words else {}
            expected |= {f"{n}.line": steps[0][f"{n}_line"] for n in ("activation", "weight")} if enters else {}
            check(ctx, dut, expected, cycle)
            retired, started = retired + twin.pulse, started | issued
            entering = None
            if enters:
                at = {kind: steps[0][f"{kind}_line"] for kind in ("activation", "weight")}
                lines = {"activation.data": lines_of(a, 0, a.rows, at["activation"])}
                lines["weight.data"] = lines_of(a, 1, a.columns, at["weight"])
                word = steps[0]["word"]
                rows, columns = ((0, a.rows, at["activation"], word), (1, a.columns, at["weight"], word))
                entering = (steps[0], words_of(a, *rows), words_of(a, *columns))
            twin.step(entering, take, release)
            steps = list(steps_of(a, matmul)) if issued else steps[enters:]
            await ctx.tick()
        assert retired > 1

    simulate(dut, process)

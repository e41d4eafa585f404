"""The array unit: its pipeline against integers, and its products against codes multiplied and added up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.array import CORRECTION_MODULE, ELEMENT_MODULE, Array
from hw.gateware.element import ProcessingElement, RowCorrection
from hw.isa import Opcode
from tests.hw.gateware.cells import put_cells_inside
from tests.hw.gateware.clockwork import check, drive, fold, instruction, seeded, seen, simulate
from tests.hw.gateware.matmuls import Operands, Outputs, random_matmul, steps_of


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
        sign, double = 1 - 2 * step.get("step.negative", 0), 1 + step.get("step.double", 0)
        for r, activation in enumerate(activations):
            correction = activation.bit_count() if step["step.unsigned_set"] else a.word_bits
            correction = 0 if step["step.plain"] else correction
            start = step["step.pad"] if step["step.first"] else self.corrections[r] * double
            self.corrections[r] = (start + sign * correction) % (1 << a.sum_bits)
            for c, weight in enumerate(weights):
                matches = activation & weight if step["step.unsigned_set"] else ~(activation ^ weight) & whole
                held = 0 if step["step.first"] else self.sums[r][c] * double
                self.sums[r][c] = (held + sign * matches.bit_count()) % (1 << a.count_bits)

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
    strides = ("activation_stride", "weight_stride", "activation_plane_stride", "weight_plane_stride")
    matmul |= {name: random.randrange(3) for name in strides} | {"words": random.randint(1, 3)}
    if not (matmul["first"] and matmul["handover"]):
        matmul |= {"rows": random.randint(1, a.rows), "column_groups": 1}
    return matmul | ({} if matmul["first"] and not matmul["unsigned"] else {"pad": 0})


ARRAYS = [
    Accelerator(rows=3, columns=2, word_bits=8, pipeline=0, sum_bits=8, drain_rows=2, port_bits=16),
    Accelerator(rows=2, columns=4, word_bits=4, pipeline=1, sum_bits=6, drain_rows=1, port_bits=8),
    Accelerator(rows=5, columns=1, word_bits=16, pipeline=3, sum_bits=12, drain_rows=3, port_bits=16),
    Accelerator(rows=1, columns=1, word_bits=1, pipeline=1, sum_bits=4, port_bits=8),
    Accelerator(rows=2, columns=2, word_bits=8, pipeline=2, sum_bits=9, drain_rows=2, port_bits=16, key_lines=8),
    Accelerator(rows=3, columns=2, word_bits=4, pipeline=1, sum_bits=8, port_bits=8, code_bits=4),
    Accelerator(rows=2, columns=4, word_bits=8, pipeline=0, sum_bits=7, port_bits=16, code_bits=2, key_lines=2),
]


def inside(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> Array:
    """Return an array that holds its cells itself."""
    cells = {ELEMENT_MODULE: lambda: ProcessingElement(a), CORRECTION_MODULE: lambda: RowCorrection(a)}
    put_cells_inside(monkeypatch, cells)
    return Array(a)


@pytest.mark.parametrize("take_rate", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("index", range(len(ARRAYS)))
def test_array_equals_its_twin(index: int, take_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    a, random = ARRAYS[index], seeded("array", index, take_rate)
    dut = inside(a, monkeypatch)

    async def process(ctx: Any) -> None:
        twin = ArrayTwin(a, [None] * (a.pipeline + 1), [[0] * a.columns for _ in range(a.rows)], [0] * a.rows)
        steps: list[Outputs] = []
        kinds = ("activation", "weight", *(["key"] if a.key_lines else []))
        lines = {f"{kind}.data": 0 for kind in kinds}
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
            right = kinds[1 + steps[0]["keys"]] if enters else ""
            expected |= {f"{kind}.enable": enters and kind in ("activation", right) for kind in kinds}
            expected |= {"drain.full": twin.drained is not None}
            expected |= {"words.valid": twin.words is not None, "words.end": twin.pulse}
            expected |= {"drain.rows": twin.shown()} if twin.drained else {}
            expected |= {"words.fold": twin.fold()} if twin.words else {}
            at = {"activation": steps[0]["activation_line"], right: steps[0]["weight_line"]} if enters else {}
            expected |= {f"{kind}.line": line for kind, line in at.items()}
            check(ctx, dut, expected, cycle)
            retired, started = retired + twin.pulse, started | issued
            entering = None
            if enters:
                places = ((0, a.rows, at["activation"]), (kinds.index(right), a.columns, at[right]))
                lines |= {f"{kinds[kind]}.data": lines_of(a, kind, banks, line) for kind, banks, line in places}
                left_words, right_words = (words_of(a, *place, steps[0]["word"]) for place in places)
                entering = (steps[0], left_words, right_words)
            twin.step(entering, take, release)
            steps = list(steps_of(a, matmul)) if issued else steps[enters:]
            await ctx.tick()
        assert retired > 1

    simulate(dut, process)


# --- codes ------------------------------------------------------------------------------------------------------------


def planes_of(codes: list[int], bits: int) -> list[int]:
    """Return a row of codes as planes, that of the highest bit first; a plane is a number, code k at bit k."""
    return [sum((code >> bits - 1 - u & 1) << k for k, code in enumerate(codes)) for u in range(bits)]


def value_of(code: int, bits: int, negative: int) -> int:
    """Return what a code counts: its top bit is negative in two's complement."""
    return code - (negative << bits) * (code >> bits - 1)


def some_codes(random: Random, count: int, bits: int) -> list[int]:
    """Return codes of every density, the ends included."""
    kind = random.choice(["all", "none", "low", "any", "any", "any"])
    if kind == "any":
        return [random.getrandbits(bits) for _ in range(count)]
    return [{"all": (1 << bits) - 1, "none": 0, "low": 1 << bits - 1}[kind]] * count


async def run_tile(ctx: Any, dut: Array, a: Accelerator, matmul: Operands, tables: dict[str, list[list[int]]]) -> None:
    """Run one tile of a MATMUL on buffers that hold these rows of lines, until the drain register is full."""
    drive(ctx, dut, {"issue.head": instruction(Opcode.MATMUL, **matmul), "issue.issued": 1})
    await ctx.tick()
    drive(ctx, dut, {"issue.issued": 0})
    for _ in range(400):
        reads = {kind: seen(ctx, dut, f"{kind}.line") for kind in tables if seen(ctx, dut, f"{kind}.enable")}
        await ctx.tick()
        for kind, line in reads.items():
            drive(ctx, dut, {f"{kind}.data": sum(b[line] << a.line_bits * i for i, b in enumerate(tables[kind]))})
        if seen(ctx, dut, "drain.full"):
            return
    raise AssertionError("the tile must be handed over")


def lines_from(a: Accelerator, plane: int) -> list[int]:
    """Return two lines that hold a plane."""
    return [plane & (1 << a.line_bits) - 1, plane >> a.line_bits]


CODED = [
    Accelerator(rows=2, columns=2, word_bits=8, pipeline=2, sum_bits=20, drain_rows=2, code_bits=4, key_lines=9),
    Accelerator(rows=2, columns=4, word_bits=4, pipeline=0, sum_bits=31, drain_rows=2, code_bits=8, key_lines=18),
]


@pytest.mark.parametrize("index", range(len(CODED)))
@pytest.mark.parametrize("plain", [0, 1])
def test_products_of_codes(plain: int, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """D is the sum of products of codes with codes (twice it), or of codes with bits that mean +1 and -1."""
    a, random = CODED[index], seeded("codes", plain, index)
    dut = inside(a, monkeypatch)

    async def process(ctx: Any) -> None:
        for _ in range(30):
            p = random.choice([1, 2, a.code_bits])
            q = random.choice([1, 2, a.code_bits]) if plain else 1
            keys, inputs = random.getrandbits(1), random.randint(1, min(2 * a.line_bits, 20))
            left_sign, right_sign = random.getrandbits(1), random.getrandbits(1) & plain
            left = [some_codes(random, inputs, p) for _ in range(a.rows)]
            right = [some_codes(random, inputs, q) for _ in range(a.columns)]
            words = -(-inputs // a.word_bits)
            matmul = {"unsigned": 1, "first": 1, "handover": 1, "pad": 0, "plain": plain, "keys": keys}
            matmul |= {"activation_line": 1, "weight_line": 1, "activation_stride": 0, "weight_stride": 0}
            matmul |= {"activation_plane_stride": 2, "weight_plane_stride": 2, "words": words, "rows": a.rows}
            matmul |= {"activation_planes": p, "weight_planes": q, "column_groups": 1}
            matmul |= {"activation_negative": left_sign, "weight_negative": right_sign}
            tables = {"weight": [[0] * 20] * a.columns, "key": [[0] * 20] * a.columns}
            for kind, codes, bits in (("activation", left, p), (("weight", "key")[keys], right, q)):
                tables[kind] = [[0, *(x for n in planes_of(row, bits) for x in lines_from(a, n))] for row in codes]
            await run_tile(ctx, dut, a, matmul, tables)
            for r, row in enumerate(left):
                correction = ctx.get(dut.drain.rows[r].correction)
                for c, column in enumerate(right):
                    values = [value_of(x, p, left_sign) for x in row]
                    others = [value_of(w, q, right_sign) * 2 if plain else 2 * w - 1 for w in column]
                    expected = sum(x * w for x, w in zip(values, others, strict=True))
                    total = 2 * ctx.get(dut.drain.rows[r].sums[c]) - correction
                    assert (total - expected) % (1 << a.sum_bits) == 0, (matmul, r, c)
            drive(ctx, dut, {"drain.take": 1, "drain.release": 1})
            await ctx.tick()
            drive(ctx, dut, {"drain.take": 0, "drain.release": 0})

    simulate(dut, process)

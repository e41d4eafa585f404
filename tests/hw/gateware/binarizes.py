"""BINARIZEs and SUMSs: the groups that they take, and what they write, in the words of docs/machine.md, section 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from amaranth.hdl import Value

from hw.arch import Accelerator
from hw.gateware.drain import DrainUnit
from hw.isa import Destination, SumsDestination
from tests.hw.gateware.clockwork import fold
from tests.hw.gateware.softmaxes import maximum_line

Operands = dict[str, int]
#: A bank, its line, where in the line, and the bits that go there; what stands above them in the line is cleared, but
#: for the sums buffer.
Write = tuple[int, int, int, int]

#: What the drain unit writes: a buffer that a BINARIZE names, or the sums or the score buffer.
Port = Destination | str


@dataclass
class Group:
    """One group of drain rows: what the drain register shows, and what must come of it."""

    sums: list[list[int]]
    corrections: list[int]
    entries: list[int]
    threshold_line: int
    release: int
    end: int
    destination: Port
    bits: list[int] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    word: int = 0
    maxima: Operands = field(default_factory=dict)


def threshold_of(a: Accelerator, random: Random) -> int:
    low, high = -(1 << a.sum_bits - 1), (1 << a.sum_bits - 1) - 1
    return random.choice([low, low + 1, -1, 0, 1, high - 1, high, random.randint(low, high), random.randint(-5, 5)])


def entry_of(a: Accelerator, threshold: int, polarity: int, random: Random) -> int:
    """Return a threshold as it stands in memory; the bits between sum and polarity do not matter."""
    spare = a.threshold_entry_bits - 1 - a.sum_bits
    return threshold % (1 << a.sum_bits) | random.getrandbits(spare) << a.sum_bits | polarity << a.sum_bits + spare


def sum_near(a: Accelerator, threshold: int, correction: int, random: Random) -> int:
    """Return the number of matches that brings D = 2*sum - correction to a threshold, to a neighbour, or to an end."""
    target = threshold + random.choice([-2, -1, 0, 1, 2])
    if random.random() < 0.2:
        target = random.choice([-correction, correction, 0, random.randint(-a.max_inputs, a.max_inputs)])
    total = (target + correction) // 2
    return max(0, min(total, (a.max_inputs + correction) // 2, (1 << a.count_bits) - 1))


def groups_of(a: Accelerator, binarize: Operands, random: Random) -> Iterator[Group]:
    """Make the groups of a BINARIZE, in the order of docs/machine.md, section 2."""
    rows, columns = binarize["rows"], binarize["column_groups"]
    for m in range(-(-rows // a.rows)):
        valid = min(a.rows, rows - m * a.rows)
        for n in range(columns):
            tile: list[int] = []
            for start in range(0, valid, a.drain_rows):
                group = group_of(a, binarize, (m, n, start, valid), random)
                tile += group.bits[: valid - start]
                if not binarize["transpose"]:
                    group.writes = list(row_writes(a, binarize, (m, n, start, valid), group.bits))
                elif group.release:
                    group.writes = list(column_writes(a, binarize, m, n, tile))
                yield group


def group_of(a: Accelerator, binarize: Operands, place: tuple[int, int, int, int], random: Random) -> Group:
    m, n, start, valid = place
    thresholds = [threshold_of(a, random) for _ in range(a.columns)]
    polarities = [random.getrandbits(1) for _ in range(a.columns)]
    corrections = [random.choice([0, 1, a.max_inputs, random.randint(0, a.max_inputs)]) for _ in range(a.drain_rows)]
    sums = [[sum_near(a, threshold, c, random) for threshold in thresholds] for c in corrections]
    released = start + a.drain_rows >= valid
    last_column = n == binarize["column_groups"] - 1
    group = Group(
        sums=sums,
        corrections=corrections,
        entries=[entry_of(a, t, s, random) for t, s in zip(thresholds, polarities, strict=True)],
        threshold_line=(binarize["threshold_line"] + (0 if binarize["shared"] else n)) % 65536,
        release=int(released),
        end=int(released and last_column and (m + 1) * a.rows >= binarize["rows"]),
        destination=Destination(binarize["destination"]),
    )
    valid_columns = a.columns - (binarize["spare"] if last_column else 0)
    for index in range(a.drain_rows):
        fires = [2 * s - corrections[index] >= t for s, t in zip(sums[index], thresholds, strict=True)]
        word = sum((fire ^ polarity) << c for c, (fire, polarity) in enumerate(zip(fires, polarities, strict=True)))
        group.bits.append(word % (1 << valid_columns) if start + index < valid else 0)
    group.word = sum(bits << a.columns * index for index, bits in enumerate(group.bits))
    return group


def sums_of(a: Accelerator, sums: Operands, random: Random) -> Iterator[Group]:
    """Make the groups of a SUMS."""
    for n in range(sums["column_groups"]):
        spare = sums["spare"] if n == sums["column_groups"] - 1 else 0
        for start in range(0, sums["rows"], a.drain_rows):
            place = (0, n, start, sums["rows"])
            group = group_of(a, sums | {"threshold_line": 0, "shared": 0, "destination": 0}, place, random)
            score = sums["destination"] == SumsDestination.SCORE
            in_a_line = a.score_line_groups if score else a.sum_line_groups
            offset, position = divmod(sums["output_group"] + n, in_a_line)
            line = sums["output_line"] + start // a.drain_rows * sums["output_stride"] + offset
            group.destination, group.word = ("score" if score else "sums"), 0
            group.maxima = {"columns": (1 << a.columns - spare) - 1, "first": int(n == 0)}
            group.maxima["maximum_line"] = maximum_line(a, sums["slot"], start)
            for r in range(start, min(sums["rows"], start + a.drain_rows)):
                index = r - start
                totals = [2 * count - group.corrections[index] for count in group.sums[index]][: a.columns - spare]
                row = sum(total % (1 << a.sum_bits) << a.sum_bits * c for c, total in enumerate(totals))
                group.writes.append((r % a.drain_rows, line % 65536, position * a.columns, row))
                group.word |= row << a.columns * a.sum_bits * index
            yield group


def row_writes(
    a: Accelerator, binarize: Operands, place: tuple[int, int, int, int], bits: list[int]
) -> Iterator[Write]:
    """Return where the rows of a group go."""
    m, n, start, valid = place
    output = binarize["destination"] == Destination.OUTPUT
    offset, position = divmod(binarize["output_group"] + n, a.output_line_groups if output else a.line_groups)
    for r in range(start, min(valid, start + a.drain_rows)):
        if binarize["destination"] == Destination.KEY:
            lines, bank = divmod(binarize["output_bank"] + m * a.rows + r, a.columns)
        else:
            lines, bank = m, r
        line = binarize["output_line"] + lines * binarize["output_stride"] + offset
        yield bank, line % 65536, position * a.columns, bits[r - start]


def column_writes(a: Accelerator, binarize: Operands, m: int, n: int, tile: list[int]) -> Iterator[Write]:
    """Return where the columns of a tile go."""
    offset, position = divmod(binarize["output_group"] + m, a.line_row_groups)
    line = binarize["output_line"] + n * binarize["output_stride"] + offset
    for c in range(a.columns):
        yield c, line % 65536, position * a.rows, sum((row >> c & 1) << r for r, row in enumerate(tile))


def shown_by_drain(a: Accelerator, group: Group | None, random: Random) -> int:
    """Return the drain register's rows as one number; noise while there is no tile."""
    width = a.count_bits * a.columns + a.sum_bits
    if group is None:
        return random.getrandbits(width * a.drain_rows)
    rows = 0
    for index, (sums, correction) in enumerate(zip(group.sums, group.corrections, strict=True)):
        row = sum(total << a.count_bits * c for c, total in enumerate(sums)) | correction << a.count_bits * a.columns
        rows |= row << width * index
    return rows


def words_of(group: Group | None) -> Operands:
    """Return the words of a group that the unit took two cycles ago."""
    if group is None:
        return {"words.valid": 0, "words.end": 0}
    return {"words.valid": 1, "words.end": group.end, "words.fold": fold(group.word)}


def pieces(ctx: Any, value: Any, width: int, count: int) -> list[int]:
    number = ctx.get(Value.cast(value))
    return [number >> width * index & (1 << width) - 1 for index in range(count)]


def written(ctx: Any, dut: DrainUnit, a: Accelerator) -> dict[Port, list[Write]]:
    """Return what the unit writes in this cycle, from its ports."""
    ports: dict[Port, Any] = {Destination.OUTPUT: dut.output, Destination.ACTIVATION: dut.activation}
    ports |= {Destination.KEY: dut.key.groups} if a.key_lines else {}
    ports |= {"sums": dut.sums} if a.vector_lanes else {}
    ports |= {"score": dut.scores.groups} if a.row_lanes else {}
    result: dict[Port, list[Write]] = {destination: [] for destination in ports}
    for destination, port in ports.items():
        line, position, banks = ctx.get(port.line), ctx.get(port.position), ctx.get(port.banks)
        sum_bits = 1 if isinstance(destination, Destination) else a.sum_bits
        rows, width = pieces(ctx, port.data, a.columns * sum_bits, a.drain_rows), a.columns
        if destination is Destination.KEY and ctx.get(dut.key.transposed):
            rows, width = pieces(ctx, dut.key.tile, a.rows, a.columns), a.rows
        for bank in range(banks.bit_length()):
            if banks >> bank & 1:
                result[destination].append((bank, line, position * width, rows[bank % len(rows)]))
    return result


def random_sums(a: Accelerator, random: Random) -> Operands:
    """Return a SUMS: one row tile."""
    far = random.choice([0, 1, 65535, random.randrange(65536)])
    score = a.row_lanes and (random.getrandbits(1) or not a.vector_lanes)
    in_a_line = a.score_line_groups if score else a.sum_line_groups
    return {
        "destination": SumsDestination.SCORE if score else SumsDestination.SUMS,
        "slot": random.randrange(a.score_slots) if score else 0,
        "output_line": random.choice([far, random.randrange(64)]),
        "output_group": random.choice([0, 1, in_a_line - 1, in_a_line, far]),
        "output_stride": random.choice([0, 1, 3, far]),
        "rows": random.randint(1, a.rows),
        "column_groups": random.randint(1, 2 * min(4, in_a_line) + 1),
        "spare": random.choice([0, a.columns - 1, random.randrange(a.columns)]),
    }


def random_binarize(a: Accelerator, random: Random) -> Operands:
    far = random.choice([0, 1, 65535, random.randrange(65536)])
    destination = random.choice(list(Destination)[: 3 if a.key_lines else 2])
    transpose = int(destination is Destination.KEY and random.getrandbits(1))
    banks = range(0, a.columns, min(a.rows, a.columns))
    in_a_line = {a.output_line_groups, a.line_groups, a.line_row_groups}
    return {
        "destination": destination,
        "transpose": transpose,
        "shared": random.getrandbits(1),
        "threshold_line": random.choice([far, random.randrange(64)]),
        "output_line": random.choice([far, random.randrange(64)]),
        "output_group": random.choice([0, 1, *(groups - 1 for groups in in_a_line), random.randrange(65536)]),
        "output_stride": random.choice([0, 1, 3, far]),
        "output_bank": random.choice(banks) if destination is Destination.KEY and not transpose else 0,
        "rows": random.choice([1, a.rows, a.rows + 1, random.randint(1, 3 * a.rows)]),
        "column_groups": random.choice([1, 2, random.randint(1, 2 * min(4, a.output_line_groups) + 1)]),
        "spare": random.choice([0, a.columns - 1, random.randrange(a.columns)]),
    }

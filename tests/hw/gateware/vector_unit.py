"""The vector unit as tests run it: on tables instead of buffers, one cycle at a time, on any legal instruction."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.gateware.vector import LANE_MODULE, VectorUnit
from hw.gateware.vector_lane import vector_lane_of
from hw.isa import Opcode, Source
from tests.hw.gateware.cells import put_cells_inside
from tests.hw.gateware.clockwork import check, drive, instruction, packed, seen
from tests.hw.gateware.vectors import DEFAULTS, Operands, Scale, Tables, Twin

TEXT_PORTS = ("word_scale", "word_bits", "place", "kind")

#: Lines of fixed numbers: so many for the rows of one instruction. Block 0 is never written.
BLOCK, BLOCKS = 32, 3
THRESHOLDS = (-65536, -32769, -32768, -32767, -1, 0, 1, 2, 32766, 32767, 32768, 65535)


def unit(a: Accelerator, monkeypatch: pytest.MonkeyPatch) -> VectorUnit:
    """Return a unit that holds its lanes itself."""
    put_cells_inside(monkeypatch, {LANE_MODULE: lambda: vector_lane_of(a)})
    return VectorUnit(a)


def any_number(bits: int, random: Random) -> int:
    high = (1 << bits - 1) - 1
    return random.choice([-high - 1, high, 0, random.randint(-9, 9), random.randint(-high - 1, high)])


def random_tables(a: Accelerator, random: Random) -> Tables:
    lanes, lines = range(a.vector_lanes), range(16)
    return Tables(
        sums=[
            [[any_number(a.sum_bits, random) for _ in range(a.sum_line_sums)] for _ in range(64)]
            for _ in range(a.drain_rows)
        ],
        fixed=[[any_number(16, random) for _ in lanes] for _ in range(BLOCK * BLOCKS)],
        scales=[[Scale(any_number(16, random), any_number(32, random)) for _ in lanes] for _ in lines],
        levels=[[[(any_threshold(random), random.getrandbits(1)) for _ in range(3)] for _ in lanes] for _ in lines],
        words=[random.choice([random.getrandbits(512), 0xFFFF]) % (1 << a.word_line_bits) for _ in range(64)],
        embeddings=[[any_number(16, random) for _ in lanes] for _ in range(64)],
    )


def any_threshold(random: Random) -> int:
    return random.choice([random.choice(THRESHOLDS), random.randint(-65536, 65535)])


def line_of(a: Accelerator, tables: Tables, port: str, line: int) -> int:
    """Return a line as its buffer shows it; what does not matter is not 0."""
    if port == "sums":
        lines = [packed(bank[line % len(bank)], a.sum_bits) for bank in tables.sums]
        return packed(lines, a.sum_bits * a.sum_line_sums)
    if port in ("source", "residual"):
        return packed(tables.fixed[line % len(tables.fixed)], 16)
    if port in ("word_scale", "word_bits"):
        return tables.words[line % len(tables.words)]
    if port in ("place", "kind"):
        return packed(tables.embeddings[line % len(tables.embeddings)], 16)
    if port == "scale":
        entries = [scale.entry() for scale in tables.scales[line % len(tables.scales)]]
    else:
        entries = [
            packed([t % (1 << 17) | p << 17 for t, p in lane], 18) | 0x2AA << 54 for lane in tables.levels[line % 16]
        ]
    return packed(entries, 64)


def random_vector(twin: Twin, random: Random) -> tuple[Operands, int]:
    """Return a legal VECTOR on few lines, and whether it waits for those before it.

    Without the wait it reads nothing that another one writes.
    """
    a, own = twin.a, int(random.random() < 0.5)
    blocks = [BLOCK * random.randrange(BLOCKS) if own else 0 for _ in range(2)]
    channels = random.randint(1, min(3 * a.vector_lanes + 1, 12))
    vector = DEFAULTS | {
        "source": random.randrange(3 if a.token_lines else 2), "rows": random.randint(1, a.rows), "channels": channels,
        "scale": random.getrandbits(1), "shift": random.randrange(32), "sets": random.randrange(4),
        "add_line": blocks[1], "fixed_line": BLOCK * random.randrange(1, BLOCKS), "scale_line": random.randrange(3),
        "level_line": random.randrange(3), "code_group": random.randrange(70), "epsilon": random.choice([0, 1, 9999]),
        **{name: random.randrange(65536) for name in ("code_line", "code_line_1", "code_line_2")},
    }  # fmt: skip
    vector["source_line"] = blocks[0] if vector["source"] == Source.FIXED else random.randrange(8)
    if vector["source"] == Source.EMBEDDING:
        vector |= {"scale": 0, "typed": random.getrandbits(1), "add_line": random.randrange(65536)}
        vector |= {name: random.randrange(65536) for name in ("source_line", "scale_line")}
    held = {twin.norms[row].channels if row in twin.norms else 0 for row in range(vector["rows"])}
    if own and vector["source"] == Source.FIXED and len(held) == 1 and 0 not in held and random.random() < 0.8:
        vector |= {"normalise": 1, "channels": held.pop()}
    if vector["scale"] or (vector["source"] != Source.SUMS and not vector["normalise"]):
        vector |= {name: random.getrandbits(1) for name in ("add", "keep", "statistics")}
        vector["add"] &= vector["source"] != Source.EMBEDDING
        vector["maximum"] = vector["add"] & random.getrandbits(1)
    vector["multiply"] = vector["scale"] & ~vector["add"] & random.getrandbits(1)
    if a.code_bits > 1 and vector["scale"] and not vector["normalise"] and random.random() < 0.5:
        vector |= {"maximum": 0, "add": 0, "keep": 0, "statistics": 0, "sets": 1, "code_signed": random.getrandbits(1)}
        vector |= {"planes": random.randint(2, a.code_bits)}
    return vector, own


async def cycle_of(ctx: Any, dut: VectorUnit, twin: Twin, taken: int, issued: Operands | None) -> None:
    """Run a cycle of the unit beside its twin, and answer what it reads."""
    a = twin.a
    drive(ctx, dut, {"taken": taken, "issue.issued": issued is not None})
    if issued:
        code = Opcode(issued.get("opcode", Opcode.VECTOR))
        operands = {name: value for name, value in issued.items() if name != "opcode"}
        drive(ctx, dut, {"issue.head": instruction(code, **operands)})
    check(ctx, dut, twin.outputs(taken), twin.cycle)
    ports = [*("sums", "source", "residual", "scale", "level"), *(TEXT_PORTS if a.token_lines else ())]
    ports = [port for port in ports if seen(ctx, dut, f"{port}.enable")]
    answers = {f"{port}.data": line_of(a, twin.tables, port, seen(ctx, dut, f"{port}.line")) for port in ports}
    twin.step(taken, issued)
    await ctx.tick()
    drive(ctx, dut, answers)

"""TABLE in values: against the reference, against the contract written out step by step, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction
from sim.errors import MachineError
from sim.machine import Machine, execute
from sim.reference.operations import table as reference
from tests.sim.buffers import fill_fixed, fill_table, fixed_rows, machine, piece_entry
from tests.sim.plain_network import PlainNetwork
from tests.sim.programs import HALT, VECTOR, load, program, table, vector
from tests.sim.test_checksum import plain_checksum
from tests.sim.test_machine_errors import SMALL, message
from tests.sim.test_vector import CHANNELS, I16

SIZES = {"fixed_lines": 1024, "scale_lines": 300}
ACCELERATORS = [Accelerator(vector_lanes=lanes, **SIZES) for lanes in (1, 2, 4, 8, 16, 32, 64, 128)]
FOUR = ACCELERATORS[2]
SHIFTS = range(9)
lanes = pytest.mark.parametrize("a", ACCELERATORS, ids=lambda a: f"{a.vector_lanes} lanes")


def points_of(random: np.random.Generator) -> np.ndarray:
    """Return 257 numbers: any, few, rising, or all the way from one end to the other."""
    kinds = [
        random.integers(*I16, 257),
        random.choice([-32768, 32767], 257),
        random.integers(-9, 10, 257),
        np.sort(random.integers(*I16, 257)),
        np.resize([-32768, 32767], 257) - random.choice([0, 0, 1], 257) * np.resize([0, 1], 257),
    ]
    return kinds[int(random.integers(0, len(kinds)))]


@lanes
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("shift", SHIFTS)
def test_against_the_reference(a: Accelerator, channels: int, shift: int) -> None:
    random, m = np.random.default_rng(100 * channels + shift), machine(a)
    x = random.integers(*I16, (4, channels)) >> random.integers(0, 9 - shift, (4, channels))
    points = points_of(random)
    m.vector.fixed[:] = 5
    fill_fixed(m, x, 30)
    fill_table(m, points, shift, 9)
    m.execute(table(source_line=30, fixed_line=400, table_line=9, channels=channels, rows=4, shift=shift))
    assert (fixed_rows(m, 4, channels, 400) == reference(x, shift, points)).all()
    end = 400 + 4 * -(-channels // a.vector_lanes)
    assert (m.vector.fixed[[399, end]] == 5).all()


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("kind", ["any", "extreme"])
def test_every_number(shift: int, kind: str) -> None:
    # Sixteen rows of 4,096 channels are all numbers; pieces differ by up to 65,535, odd and even, up and down.
    random, m = np.random.default_rng(shift), machine(Accelerator(vector_lanes=128, **SIZES))
    x = np.arange(*I16).reshape(16, 4096)
    points = np.array(random.integers(*I16, 257)) if kind == "any" else np.resize([-32768, 32767, -32767], 257)
    fill_fixed(m, x)
    fill_table(m, points, shift, 1)
    m.execute(table(table_line=1, channels=4096, rows=16, shift=shift))
    assert (fixed_rows(m, 16, 4096) == reference(x, shift, points)).all()


@lanes
@pytest.mark.parametrize("shift", SHIFTS)
def test_the_ends(a: Accelerator, shift: int) -> None:
    # Below the first piece its start is what is found, above the last one what stands before its end.
    m, reach = machine(a), 128 << shift
    x = [-32768, -reach - 1, -reach, -reach + 1, -1, 0, 1, reach - 1, reach, 32767]
    numbers = np.clip([x], -32768, 32767)
    points = np.zeros(257, int)
    points[:2], points[127:130], points[255:] = [-32768, 32767], [3, -32768, 32767], [-32768, 32767]
    fill_fixed(m, numbers)
    fill_table(m, points, shift)
    m.execute(table(channels=10, shift=shift))
    found = fixed_rows(m, 1, 10)[0].tolist()
    assert found[:3] == [-32768] * 3
    assert found[5] == -32768
    assert found[7:] == [-32768 + (2 * 65535 * ((1 << shift) - 1) + (1 << shift)) // (2 << shift)] * 3
    assert found == reference(numbers, shift, points)[0].tolist()


@lanes
@pytest.mark.parametrize("difference", [65535, -65535, 65534, -65534, 1, -1, 0, 2, -2])
def test_differences(a: Accelerator, difference: int) -> None:
    # By hand: halfway, rounded up; one before the end.
    m = machine(a)
    left = -32768 if difference > 0 else 32767
    points = np.full(257, left)
    points[129:] = left + difference
    fill_fixed(m, np.array([[0, 1, 128, 255, 256]]))
    fill_table(m, points, 8)
    m.execute(table(channels=5, shift=8))
    expected = [left + (difference * n + 128) // 256 for n in (0, 1, 128, 255)] + [left + difference]
    assert fixed_rows(m, 1, 5).tolist() == [expected]


@lanes
@pytest.mark.parametrize("channels", [1, 5, 37])
def test_in_place(a: Accelerator, channels: int) -> None:
    m, points = machine(a), np.arange(257) * 7 % 257 - 99
    x = np.arange(3 * channels).reshape(3, channels) - 50
    fill_fixed(m, x, 4)
    fill_table(m, points, 1)
    m.execute(table(source_line=4, fixed_line=4, channels=channels, rows=3, shift=1))
    assert (fixed_rows(m, 3, channels, 4) == reference(x, 1, points)).all()


@lanes
def test_the_most_rows(a: Accelerator) -> None:
    m = machine(a)
    x = np.arange(64 * 3).reshape(64, 3) - 90
    fill_fixed(m, x, 1)
    fill_table(m, np.arange(257) - 128, 0)
    m.execute(table(source_line=1, fixed_line=600, channels=3, rows=64))
    assert (fixed_rows(m, 64, 3, 600) == x.clip(-128, 127)).all()


@lanes
@pytest.mark.parametrize("seed", range(8))
def test_any_instructions(a: Accelerator, seed: int) -> None:
    """Of tables of several shifts, read with any: what leaves 16 bits is refused, and leaves everything as it was."""
    random, m = np.random.default_rng(seed), machine(a)
    m.vector.fixed[:] = random.integers(*I16, m.vector.fixed.shape) >> random.integers(0, 16, m.vector.fixed.shape)
    m.buffers["scale"][:] = random.integers(0, 256, m.buffers["scale"].shape)
    shift = seed + int(random.integers(0, 2))
    fill_table(m, points_of(random), shift, 20)
    twin, done = PlainNetwork(a), 0
    twin.fixed, twin.scales = m.vector.fixed.tolist(), m.buffers["scale"][0].view("<u8")[:, : a.vector_lanes].tolist()
    for _ in range(400):
        lines = {"source_line": int(random.integers(0, 300)), "fixed_line": int(random.integers(0, 300))}
        lines["table_line"] = int(random.choice([20, 20, 20, int(random.integers(0, 40))]))
        channels = CHANNELS[int(random.integers(0, 4))]
        used = int(random.choice([shift, shift, int(random.integers(0, 9))]))
        i = table(channels=channels, rows=int(random.integers(1, 9)), shift=used, **lines)
        try:
            checksum = m.execute(i)
        except MachineError:
            continue
        assert checksum == twin.table(i), i
        if (done := done + 1) == 12:
            break
    assert done == 12
    assert (m.vector.fixed == np.array(twin.fixed)).all()


# --- programs --------------------------------------------------------------------------------------------------------


def test_checksums_by_hand() -> None:
    m = machine(FOUR)
    fill_fixed(m, np.array([[0, 1, -2, 127, 500]]))
    fill_table(m, np.arange(257) - 130, 0)
    assert m.execute(table(channels=5)) == plain_checksum([0xFFFE | 0xFFFF << 16 | 0xFFFC << 32 | 125 << 48, 125])
    assert m.execute(table(channels=2, source_line=900)) == plain_checksum([0xFFFE | 0xFFFE << 16])


def test_a_program_that_loads_its_table() -> None:
    points = np.arange(257) * 3
    image = b"".join(piece_entry(*points[j : j + 2].tolist(), 1).to_bytes(8, "little") for j in range(256))
    fetch = load(buffer=Buffer.SCALE, row_beats=4, segment_beats=256, line=2, signal=VECTOR)
    # 0 stands at the start of piece 128; 32768 in halves of a piece is beyond the last one.
    made = [fetch, table(table_line=2, shift=1, channels=3, wait=1), vector(statistics=1, channels=3, wait=VECTOR)]
    a = FOUR.replace(port_bits=64)
    assert execute(program(a, [*made, HALT], image)).checksums[1] == plain_checksum([384 | 384 << 16 | 384 << 32])


# --- refusals --------------------------------------------------------------------------------------------------------

LANES = SMALL.replace(vector_lanes=2, fixed_lines=10, scale_lines=130)


def test_vector_lanes_are_needed() -> None:
    assert message(table()) == "vector_lanes must be at least 1 for TABLE, not 0"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rows": 65}, "rows must be at most 64, not 65"),
        ({"channels": 4097}, "channels must be at most 4096, not 4097"),
        ({"shift": 9}, "shift must be at most 8, not 9"),
    ],
)
def test_operands(changes: dict[str, int], expected: str) -> None:
    assert message(table(**changes), accelerator=LANES) == expected


@pytest.mark.parametrize("apart", [1, 2, 3])
def test_a_slice_must_not_read_what_another_one_has_written(apart: int) -> None:
    # Two rows of two slices: the lines must be the same, or four apart.
    shape = {"channels": 3, "rows": 2}
    for at, line in ((0, apart), (5, 5 - apart)):
        assert message(table(source_line=line, fixed_line=at, **shape), accelerator=LANES) == (
            f"source_line must be fixed_line {at} or at least 4 lines away from it, not {line}"
        )


def test_slices_that_do_not_read_what_others_have_written() -> None:
    shape = {"channels": 3, "rows": 2}
    steps = [table(source_line=0, fixed_line=4, **shape), table(source_line=6, fixed_line=2, **shape)]
    steps += [table(source_line=5, fixed_line=5, **shape), table(source_line=0, fixed_line=1, channels=2)]
    execute(program(LANES, [*steps, HALT]))


@pytest.mark.parametrize(
    ("changes", "buffer", "lines", "found"),
    [
        ({"source_line": 10}, "fixed", 10, "10 to 10"),
        ({"source_line": 7, "channels": 3, "rows": 2}, "fixed", 10, "7 to 10"),
        ({"fixed_line": 10}, "fixed", 10, "10 to 10"),
        ({"fixed_line": 7, "channels": 3, "rows": 2}, "fixed", 10, "7 to 10"),
        ({"table_line": 3}, "scale", 130, "3 to 130"),
    ],
)
def test_lines(changes: dict[str, int], buffer: str, lines: int, found: str) -> None:
    assert message(table(**changes), accelerator=LANES) == (
        f"access must lie in the {lines} lines of the {buffer} buffer, not in lines {found}"
    )


def test_last_lines_are_legal() -> None:
    shape = {"channels": 3, "rows": 2, "shift": 8}
    execute(program(LANES, [table(source_line=6, table_line=2, **shape), table(fixed_line=6, **shape), HALT]))


def refused_piece(m: Machine, i: Instruction) -> str:
    with pytest.raises(MachineError) as caught:
        m.execute(i)
    return str(caught.value)


def test_what_leaves_16_bits() -> None:
    # Made for a shift of 3 and read with one of 0, what stands for 5,000 is 40,000.
    m = machine(FOUR)
    fill_fixed(m, np.array([[0, 1, 2, 3, 4], [0, -5, 1, 1, 1]]))
    points = np.zeros(257, int)
    points[123] = 5000
    fill_table(m, points, 3)
    expected = "pieces must give numbers of 16 bits, not 40000 in row 1, channel 1"
    assert refused_piece(m, table(channels=5, rows=2)) == expected
    m.execute(table(channels=5, rows=2, shift=3))
    points[123] = -4097
    fill_table(m, points, 3)
    fill_fixed(m, np.array([[-5]]))
    assert refused_piece(m, table()) == "pieces must give numbers of 16 bits, not -32776 in row 0, channel 0"


def test_lanes_that_are_not_valid_may_hold_anything() -> None:
    m = machine(FOUR)
    points = np.zeros(257, int)
    points[128 + 99] = 32767
    fill_fixed(m, np.array([[0]]))
    fill_table(m, points, 5)
    m.execute(table())
    assert fixed_rows(m, 1, 1).tolist() == [[0]]

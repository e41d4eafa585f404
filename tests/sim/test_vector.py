"""VECTOR in values: its steps against the reference's operations, and what they do where."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Source
from sim import reference
from sim.machine import Machine, execute
from sim.reference.integers import Codes
from sim.reference.operations import add, normalise, quantize, requantise
from tests.sim.buffers import (
    bits_of,
    code_rows,
    fill_fixed,
    fill_levels,
    fill_scales,
    fill_sums,
    fixed_rows,
    machine,
    plane,
)
from tests.sim.programs import HALT, load, program, vector
from tests.sim.test_checksum import plain_checksum

COMMON = {"activation_lines": 64, "sum_lines": 64, "fixed_lines": 512, "scale_lines": 64, "level_lines": 64}
COMMON |= {"token_lines": 64, "word_lines": 96, "embedding_lines": 320}
NARROW = Accelerator(rows=4, columns=8, port_bits=32, drain_rows=2, vector_lanes=4, code_bits=8, **COMMON)
BROAD = Accelerator(rows=3, columns=2, port_bits=16, drain_rows=2, vector_lanes=16, code_bits=8, **COMMON)
EVEN = Accelerator(rows=2, columns=16, port_bits=8, vector_lanes=16, code_bits=8, **COMMON)
ONE = Accelerator(rows=2, columns=4, word_bits=8, port_bits=8, vector_lanes=1, code_bits=8, **COMMON)
ACCELERATORS = [NARROW, BROAD, EVEN, ONE]
CHANNELS = [1, 7, 37, 48]
I16, I32 = (-(1 << 15), 1 << 15), (-(1 << 31), 1 << 31)

SUMS, FIXED = Source.SUMS, Source.FIXED
cases = pytest.mark.parametrize(("a", "channels"), [(a, c) for a in ACCELERATORS for c in CHANNELS])


def scales(m: Machine, random: np.random.Generator, channels: int, line: int) -> tuple[np.ndarray, np.ndarray]:
    """Put random scales into a machine and return multipliers and addends."""
    multipliers = random.integers(*I16, channels)
    addends = random.integers(-(1 << 24), 1 << 24, channels)
    fill_scales(m, multipliers, addends, line)
    return multipliers, addends


# --- against the reference -------------------------------------------------------------------------------------------


@cases
@pytest.mark.parametrize("shift", [0, 1, 12, 31])
def test_requantise(a: Accelerator, channels: int, shift: int) -> None:
    random, m = np.random.default_rng(shift), machine(a)
    d = random.integers(-3000, 3000, (a.rows, channels))
    residual = random.integers(*I16, (a.rows, channels))
    fill_sums(m, d, 5)
    fill_fixed(m, residual, 200)
    multipliers, addends = scales(m, random, channels, 3)
    operands = {"source": SUMS, "source_line": 5, "scale": 1, "scale_line": 3, "shift": shift, "channels": channels}
    m.execute(vector(keep=1, fixed_line=100, rows=a.rows, **operands))
    expected = requantise(d, shift, multipliers, addends)
    assert (fixed_rows(m, a.rows, channels, 100) == expected).all()
    m.execute(vector(keep=1, fixed_line=300, add=1, add_line=200, rows=a.rows, **operands))
    assert (fixed_rows(m, a.rows, channels, 300) == add(expected, residual)).all()


@cases
@pytest.mark.parametrize("epsilon", [0, 1, 12345, (1 << 31) - 1])
def test_normalise(a: Accelerator, channels: int, epsilon: int) -> None:
    random, m = np.random.default_rng(channels), machine(a)
    x = random.integers(-500, 500, (a.rows, channels)) * random.integers(1, 60, (a.rows, 1))
    fill_fixed(m, x, 10)
    multipliers, addends = scales(m, random, channels, 0)
    shape = {"channels": channels, "rows": a.rows, "source_line": 10}
    m.execute(vector(statistics=1, epsilon=epsilon, **shape))
    m.execute(vector(normalise=1, scale=1, keep=1, fixed_line=260, shift=13, **shape))
    expected = normalise(x.astype(np.int16), multipliers, addends, epsilon, 13)
    assert (fixed_rows(m, a.rows, channels, 260) == expected).all()


@cases
@pytest.mark.parametrize("sets", [1, 2, 3])
def test_binarize(a: Accelerator, channels: int, sets: int) -> None:
    random, m = np.random.default_rng(sets), machine(a)
    m.buffers["activation"][:] = 0xFF
    x = random.integers(-6, 7, (a.rows, channels))
    thresholds = random.integers(-6, 8, (sets, channels))
    thresholds[:, :3] = [-32768, 32768, 32767][:channels]
    polarity = random.integers(0, 2, (sets, channels), np.uint8)
    fill_fixed(m, x)
    fill_levels(m, thresholds, polarity, 9)
    lines = {"code_line": 3, "code_line_1": 40, "code_line_2": 20}
    m.execute(vector(sets=sets, level_line=9, channels=channels, rows=a.rows, **lines))
    for s, line in zip(range(sets), lines.values(), strict=False):
        expected = reference.binarize(x, thresholds[s], polarity[s])
        assert (code_rows(m, a.rows, channels, line) == expected).all()


@cases
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("kind", ["signed", "unsigned"])
@pytest.mark.parametrize("source", [SUMS, FIXED])
def test_quantize(a: Accelerator, channels: int, bits: int, kind: str, source: Source) -> None:
    random, m = np.random.default_rng(bits), machine(a)
    m.buffers["activation"][:] = 0xFF
    x = random.integers(-3000, 3000, (a.rows, channels))
    (fill_sums if source == SUMS else fill_fixed)(m, x, 2)
    multipliers, addends = scales(m, random, channels, 0)
    group = 1 if a.line_slices > 1 else 0
    lines = -(-(group + -(-channels // a.vector_lanes)) // a.line_slices)
    operands = {"source": source, "source_line": 2, "scale": 1, "shift": 31 - bits, "channels": channels}
    codes = {"sets": 1, "planes": bits, "code_signed": int(kind == "signed"), "code_group": group}
    m.execute(vector(rows=a.rows, code_line=4, code_line_1=lines, **operands, **codes))
    expected = quantize(x, bits, kind, 31 - bits, multipliers, addends)
    assert isinstance(expected, Codes)
    for u in range(bits):
        found = code_rows(m, a.rows, channels, 4 + u * lines, group)
        assert (found == plane(expected.numbers, bits, u)).all()
    assert bits_of(m, "activation")[: a.rows, 4, : group * a.vector_lanes].all()


def test_channels_of_a_whole_line_of_the_machine() -> None:
    # C = 4,096, half of them at each end: V is as large as it can be.
    a = NARROW.replace(vector_lanes=128, fixed_lines=128)
    m = machine(a)
    x = np.repeat([[-32768, 32767]], 2048, axis=0).reshape(1, -1)
    x = np.concatenate([x, x[:, ::-1]])
    fill_fixed(m, x)
    fill_scales(m, np.full(4096, 8), np.zeros(4096))
    shape = {"channels": 4096, "rows": 2}
    m.execute(vector(statistics=1, epsilon=(1 << 31) - 1, **shape))
    m.execute(vector(normalise=1, scale=1, keep=1, shift=3, fixed_line=64, **shape))
    expected = normalise(x.astype(np.int16), np.full(4096, 8), np.zeros(4096, int), (1 << 31) - 1, 3)
    assert (fixed_rows(m, 2, 4096, 64) == expected).all()
    assert sorted(set(expected.ravel().tolist())) == [-4096, 4096]


# --- extremes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", ACCELERATORS)
def test_saturation(a: Accelerator) -> None:
    m = machine(a)
    fill_sums(m, np.array([[(1 << 30) - 1, -(1 << 30), 1, -1, 0]]))
    fill_scales(m, np.array([-32768, -32768, 32767, 32767, 0]), np.array([-(1 << 31), (1 << 31) - 1, 0, 0, -(1 << 31)]))
    fill_fixed(m, np.array([[-32768, 32767, 32767, -32768, 5]]), 50)
    operands = {"source": SUMS, "scale": 1, "keep": 1, "channels": 5, "fixed_line": 8}
    m.execute(vector(**operands))
    assert fixed_rows(m, 1, 5, 8).tolist() == [[-32768, 32767, 32767, -32767, -32768]]
    m.execute(vector(add=1, add_line=50, **operands))
    assert fixed_rows(m, 1, 5, 8).tolist() == [[-32768, 32767, 32767, -32768, -32763]]


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("epsilon", [0, 1])
def test_a_row_without_variance(a: Accelerator, epsilon: int) -> None:
    m = machine(a)
    fill_fixed(m, np.array([[7] * 9, [-32768] * 9]))
    fill_scales(m, np.full(9, 32767), np.arange(9))
    m.execute(vector(statistics=1, channels=9, rows=2, epsilon=epsilon))
    m.execute(vector(normalise=1, scale=1, keep=1, fixed_line=30, channels=9, rows=2))
    assert fixed_rows(m, 2, 9, 30).tolist() == [list(range(9))] * 2


def test_any_row_is_0_where_the_counted_one_had_no_variance() -> None:
    m = machine(NARROW)
    fill_fixed(m, np.full((2, 9), 5))
    fill_fixed(m, np.arange(18).reshape(2, 9) * 1000, 10)
    fill_scales(m, np.full(9, 1), np.full(9, 0))
    m.execute(vector(statistics=1, channels=9, rows=2))
    m.execute(vector(normalise=1, scale=1, keep=1, source_line=10, fixed_line=30, channels=9, rows=2))
    assert not fixed_rows(m, 2, 9, 30).any()


def test_normalised_numbers_saturate_to_18_bits() -> None:
    # One of 4,096 stands out by 4,095 / sqrt(4,095) = 63.99 deviations: 32 is the most that 18 bits hold.
    a = NARROW.replace(vector_lanes=128)
    m = machine(a)
    x = np.zeros((1, 4096), int)
    x[0, 77] = 32767
    fill_fixed(m, x)
    fill_scales(m, np.full(4096, 1), np.zeros(4096))
    m.execute(vector(statistics=1, channels=4096))
    m.execute(vector(normalise=1, scale=1, keep=1, fixed_line=64, shift=3, channels=4096))
    assert fixed_rows(m, 1, 4096, 64)[0, 77] == 1 << 14
    assert normalise(x.astype(np.int16), np.full(4096, 1), np.zeros(4096, int), 0, 3)[0, 77] == 1 << 14


def test_sums_are_compared_whole() -> None:
    # Without scale a sum of 31 bits meets a threshold of 17 bits.
    a = NARROW.replace(sum_bits=31)
    m = machine(a)
    fill_sums(m, np.array([[(1 << 30) - 1, 65535, 65534, -65536, -65537, -(1 << 30)]]))
    fill_levels(m, np.array([[65535] * 3 + [-65536] * 3]), np.zeros((1, 6)))
    m.execute(vector(source=SUMS, sets=1, channels=6))
    assert code_rows(m, 1, 6, 0).tolist() == [[1, 1, 0, 1, 0, 0]]


# --- rows, statistics, lines -----------------------------------------------------------------------------------------


def test_statistics_of_a_row_stay_until_the_next() -> None:
    # The second instruction counts rows 0 and 1 anew, the statistics of row 2 are those of the first.
    m = machine(NARROW)
    x, y = np.random.default_rng(1).integers(-99, 99, (2, 3, 6))
    fill_fixed(m, x)
    fill_fixed(m, y, 20)
    fill_scales(m, np.full(6, 1000), np.zeros(6))
    m.execute(vector(statistics=1, channels=6, rows=3))
    m.execute(vector(statistics=1, channels=6, rows=2, source_line=20))
    fill_fixed(m, np.concatenate([y[:2], x[2:]]), 40)
    m.execute(vector(normalise=1, scale=1, keep=1, shift=10, channels=6, rows=3, source_line=40, fixed_line=60))
    unit, zero = np.full(6, 1000), np.zeros(6, int)
    expected = np.concatenate([normalise(part, unit, zero, 0, 10) for part in (y[:2], x[2:])])
    assert (fixed_rows(m, 3, 6, 60) == expected).all()


def test_normalise_and_statistics_in_one_instruction() -> None:
    # Normalised with what is held, counted for the next.
    m = machine(NARROW)
    x = np.random.default_rng(2).integers(-999, 999, (2, 6))
    gain, zero = np.full(6, 1000), np.zeros(6, int)
    fill_fixed(m, x)
    fill_scales(m, gain, zero)
    shape = {"channels": 6, "rows": 2}
    m.execute(vector(statistics=1, **shape))
    m.execute(vector(normalise=1, scale=1, shift=4, keep=1, fixed_line=20, statistics=1, epsilon=5, **shape))
    m.execute(vector(normalise=1, scale=1, shift=8, keep=1, source_line=20, fixed_line=40, **shape))
    once = normalise(x, gain, zero, 0, 4)
    assert (fixed_rows(m, 2, 6, 20) == once).all()
    assert (fixed_rows(m, 2, 6, 40) == normalise(once, gain, zero, 5, 8)).all()


@pytest.mark.parametrize("a", ACCELERATORS)
def test_a_step_may_replace_the_lines_that_it_reads(a: Accelerator) -> None:
    m = machine(a)
    x = np.arange(2 * 9).reshape(2, 9) - 7
    fill_fixed(m, x, 3)
    m.execute(vector(add=1, keep=1, channels=9, rows=2, source_line=3, add_line=3, fixed_line=3))
    assert (fixed_rows(m, 2, 9, 3) == 2 * x).all()


def test_lines_next_to_those_that_are_written() -> None:
    m = machine(NARROW)
    m.vector.fixed[:] = 5
    m.execute(vector(add=1, keep=1, channels=9, rows=2, source_line=0, add_line=12, fixed_line=6))
    assert (fixed_rows(m, 2, 9, 6) == 10).all()
    m.vector.fixed[6:12] = 5
    assert (m.vector.fixed == 5).all()


def test_nothing_is_written_without_keep_and_sets() -> None:
    m = machine(NARROW)
    m.vector.fixed[:] = 5
    m.buffers["activation"][:] = 0xAA
    m.execute(vector(scale=1, statistics=1, channels=9, rows=2))
    assert (m.vector.fixed == 5).all()
    assert (m.buffers["activation"] == 0xAA).all()


def test_load_fills_scales_and_levels() -> None:
    # One lane in lines of one beat of 128 bits: the entry is its lower half.
    a = ONE.replace(port_bits=128, sum_bits=16)
    m = Machine(a, np.zeros(64, np.uint8))
    scale, level = 3 | 5 << 16, (7 & 0x1FFFF) << 18
    for number, entry in enumerate((scale, level)):
        m.memory[16 * number : 16 * number + 8] = np.frombuffer(entry.to_bytes(8, "little"), np.uint8)
        m.memory[16 * number + 8 : 16 * number + 16] = 0xFF
    m.execute(load(buffer=3, line=2))
    m.execute(load(buffer=4, line=6, address=16))
    fill_fixed(m, np.array([[0], [1]]))
    lines = {"scale_line": 2, "level_line": 6, "code_line": 0, "code_line_1": 1}
    m.execute(vector(scale=1, keep=1, sets=2, rows=2, fixed_line=9, **lines))
    assert fixed_rows(m, 2, 1, 9).tolist() == [[5], [8]]
    assert bits_of(m, "activation")[:, :2, 0].tolist() == [[1, 0], [1, 1]]


def test_parameter_lines_of_several_beats() -> None:
    # Four lanes are 256 bits, eight beats of 32 bits: rows of two lines, one behind the other.
    m = Machine(NARROW, np.arange(128, dtype=np.uint8))
    m.execute(load(buffer=3, line=1, row_beats=16, segment_beats=32))
    assert m.buffers["scale"][0, 1:5].ravel().tolist() == list(range(128))


def test_a_program() -> None:
    # A scale of 2 and an addend of 9 for zero sums, and the levels 9 and 10 in sets 0 and 1.
    image = np.zeros(64, np.uint8)
    image[:32] = np.frombuffer((2 | 9 << 16).to_bytes(8, "little") * 4, np.uint8)
    image[32:] = np.frombuffer((9 | 10 << 18).to_bytes(8, "little") * 4, np.uint8)
    transfer = {"row_beats": 8, "segment_beats": 8}
    step = vector(source=SUMS, scale=1, keep=1, sets=2, code_line_1=1, channels=3)
    loads = [load(buffer=3, **transfer), load(buffer=4, address=32, **transfer)]
    result = execute(program(NARROW, [*loads, step, HALT], image.tobytes()))
    word = 9 | 9 << 16 | 9 << 32 | 0b111 << 64
    assert result.checksums[2] == plain_checksum([word])

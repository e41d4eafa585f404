"""Where the bits of BINARIZE go: by hand, and against the contract written out bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Destination, Instruction
from sim.machine import Machine
from tests.sim.buffers import bits_of, fill_thresholds, machine
from tests.sim.programs import binarize, matmul
from tests.sim.test_checksum import plain_checksum

OUTPUT, ACTIVATION, KEY = Destination

WIDE = Accelerator(rows=2, columns=8, word_bits=16, port_bits=16, key_lines=512)
SQUARE = Accelerator(rows=4, columns=4, word_bits=8, port_bits=16, key_lines=512, drain_rows=2)
TALL = Accelerator(rows=8, columns=2, word_bits=8, port_bits=16, key_lines=512, drain_rows=2)
BROAD = Accelerator(rows=4, columns=64, word_bits=16, port_bits=32, key_lines=512)
ONE = Accelerator(rows=1, columns=1, word_bits=8, port_bits=8, key_lines=512, sum_bits=10)
HIGH = Accelerator(rows=64, columns=2, word_bits=16, port_bits=32, key_lines=512, drain_rows=2)
ODD = Accelerator(rows=3, columns=4, word_bits=8, port_bits=16, drain_rows=2)


def made(a: Accelerator, bits: np.ndarray, m: Machine | None = None, **operands: int) -> Machine:
    """Execute a BINARIZE of sums that give the bits [row, column] with thresholds of 0; return the machine."""
    m = m or machine(a)
    rows, columns = bits.shape
    groups = columns // a.columns
    hand_over(m, bits, rows, groups)
    m.execute(binarize(rows=rows, column_groups=groups, **operands))
    return m


def hand_over(m: Machine, bits: np.ndarray, rows: int, groups: int) -> None:
    """Put tiles into the drain register whose D is 1 where a bit is 1, and -1 elsewhere.

    In rows that are not valid it is 1, which nobody may see.
    """
    a = m.accelerator
    m.execute(matmul(handover=1, rows=rows, column_groups=groups))
    assert m.drained is not None
    whole = np.ones((-(-rows // a.rows) * a.rows, groups * a.columns), int)
    whole[:rows] = bits
    tiles = whole.reshape(-1, a.rows, groups, a.columns).swapaxes(1, 2)
    m.drained.sums[:] = tiles
    m.drained.corrections[:] = 1


def texts(rows: np.ndarray) -> list[str]:
    """Return rows of bits as text, bit 0 first."""
    return ["".join(str(bit) for bit in row) for row in rows]


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_to_activation() -> None:
    # Lines of 16 bits, two groups of 8. Two groups from group 1 of line 3 on; the second row tile is four lines on.
    bits = np.array([[1] * 8 + [0, 1] * 4, [0] * 8 + [1] * 8, [1, 0] * 4 + [0, 0, 1, 1] * 2], bool)
    m = machine(WIDE)
    m.buffers["activation"][:] = 0xFF
    operands = {"output_line": 3, "output_group": 1, "output_stride": 4}
    found = bits_of(made(WIDE, bits, m, destination=ACTIVATION, **operands), "activation")
    ones, zeros = "1" * 8, "0" * 8
    assert texts(found[0, [3, 4, 7, 8]]) == [ones * 2, "01" * 4 + zeros, ones + "10" * 4, "00110011" + zeros]
    assert texts(found[1, [3, 4, 7, 8]]) == [ones + zeros, ones + zeros, ones * 2, ones * 2]
    assert found[:, [0, 1, 2, 5, 6, 9]].all()


def test_to_key() -> None:
    # Two rows in a tile and eight banks: keys 2 to 6 in banks 2 to 6.
    bits = np.arange(5 * 8).reshape(5, 8) % 3 == 0
    m = machine(WIDE)
    m.buffers["key"][:] = 0xFF
    found = bits_of(made(WIDE, bits, m, destination=KEY, output_line=5, output_group=1, output_bank=2), "key")
    assert texts(found[2:7, 5]) == ["1" * 8 + text for text in texts(bits.astype(int))]
    assert found[[0, 1, 7]].all() and np.delete(found, 5, axis=1).all()


def test_to_key_goes_round_the_banks() -> None:
    # Keys 6 to 10: two in banks 6 and 7, three in banks 0 to 2, three lines on.
    bits = np.arange(5 * 8).reshape(5, 8) % 5 == 0
    found = bits_of(made(WIDE, bits, destination=KEY, output_line=5, output_bank=6, output_stride=3), "key")
    assert texts(found[6:8, 5, :8]) == texts(bits[:2].astype(int))
    assert texts(found[0:3, 8, :8]) == texts(bits[2:].astype(int))
    assert found.sum() == bits.sum()


def test_to_key_from_more_rows_than_banks() -> None:
    # Eight rows in a tile and two banks: keys 0 to 9 in lines 0 to 4 of both.
    bits = np.arange(10 * 2).reshape(10, 2) % 3 == 0
    found = bits_of(made(TALL, bits, destination=KEY, output_stride=1), "key")
    assert texts(found[0, :5, :2]) == texts(bits[0::2].astype(int))
    assert texts(found[1, :5, :2]) == texts(bits[1::2].astype(int))
    assert found.sum() == bits.sum()


def test_transposed() -> None:
    # Lines of 16 bits, four row tiles of 4. Six rows: the second tile has two; column groups are three lines apart.
    bits = np.arange(6 * 8).reshape(6, 8) % 3 == 0
    m = machine(SQUARE)
    m.buffers["key"][:] = 0xFF
    operands = {"output_line": 2, "output_group": 1, "output_stride": 3}
    found = bits_of(made(SQUARE, bits, m, destination=KEY, transpose=1, **operands), "key")
    for column, row in enumerate(texts(bits.T.astype(int))):
        assert texts(found[column % 4, [2 + column // 4 * 3]]) == ["1111" + row + "00" + "0000"]
    assert np.delete(found, [2, 5], axis=1).all()


def test_transposed_into_the_next_line() -> None:
    # Tiles of 8 rows in lines of 16 bits: row tile 0 is the upper half of line 1, row tile 1 the lower half of line 2.
    bits = np.arange(11 * 2).reshape(11, 2) % 3 == 0
    m = machine(TALL)
    m.buffers["key"][:] = 0xFF
    found = bits_of(made(TALL, bits, m, destination=KEY, transpose=1, output_group=3), "key")
    for bank, row in enumerate(texts(bits.T.astype(int))):
        assert texts(found[bank, 1:4]) == ["1" * 8 + row[:8], row[8:] + "0" * 13, "1" * 16]


def test_spare_columns() -> None:
    bits = np.ones((3, 16), bool)
    for destination, name in ((OUTPUT, "output"), (ACTIVATION, "activation"), (KEY, "key")):
        found = bits_of(made(WIDE, bits, destination=destination, spare=3), name)
        assert found.reshape(-1, 16).any(axis=0).tolist() == [True] * 8 + [True] * 5 + [False] * 3


def test_spare_columns_are_zero_whatever_the_polarity() -> None:
    m = machine(SQUARE)
    fill_thresholds(m, np.full((1, 4), 100), np.ones((1, 4)))
    found = bits_of(made(SQUARE, np.ones((2, 4), bool), m, spare=1), "output")
    assert texts(found[:2, 0, :4]) == ["1110"] * 2


def test_spare_columns_when_transposed() -> None:
    m = machine(SQUARE)
    m.buffers["key"][:] = 0xFF
    found = bits_of(made(SQUARE, np.ones((2, 4), bool), m, destination=KEY, transpose=1, spare=1), "key")
    assert texts(found[:, 0]) == ["11" + "0" * 14] * 3 + ["0" * 16]


def test_shared_thresholds() -> None:
    # D is 1 or -1: 1 lets ones through, 2 nothing, -1 everything; the last column has the other polarity.
    m = machine(SQUARE)
    fill_thresholds(m, np.array([[1, 2, -1, 2], [1, 1, 1, 1]]), np.array([[0, 0, 0, 1], [0, 0, 0, 0]]))
    bits = np.array([[1, 1, 1, 1] * 2, [0, 0, 0, 0] * 2], bool)
    found = bits_of(made(SQUARE, bits, m, shared=1), "output")
    assert texts(found[:2, 0, :8]) == ["10111011", "00110011"]
    found = bits_of(made(SQUARE, bits, m), "output")
    assert texts(found[:2, 0, :8]) == ["10111111", "00110000"]


def test_shared_thresholds_of_the_last_line() -> None:
    m = machine(SQUARE)
    hand_over(m, np.ones((1, 8), bool), 1, 2)
    m.execute(binarize(column_groups=2, shared=1, threshold_line=SQUARE.threshold_lines - 1))


@pytest.mark.parametrize("transpose", [0, 1])
def test_checksums_count_what_is_valid(transpose: int) -> None:
    # Groups of two rows, four columns in each: three rows and two column groups, the last with one column to spare.
    bits = np.ones((3, 8), bool)
    m = machine(SQUARE)
    hand_over(m, bits, 3, 2)
    checksum = m.execute(binarize(rows=3, column_groups=2, destination=KEY, transpose=transpose, spare=1))
    assert checksum == plain_checksum([0xFF, 0x0F, 0x77, 0x07])


# --- bit by bit ------------------------------------------------------------------------------------------------------


class Lines:
    """The lines of a buffer as lists of bits, which are written position by position."""

    def __init__(self, bits: np.ndarray) -> None:
        self.bits = bits.copy()

    def write(self, bank: int, line: int, position: int, bits: np.ndarray) -> None:
        """Write a position, counted from a line on, and clear the higher ones of its line."""
        per_line = self.bits.shape[2] // len(bits)
        line, start = line + position // per_line, position % per_line * len(bits)
        self.bits[bank, line, start : start + len(bits)] = bits
        self.bits[bank, line, start + len(bits) :] = 0


def expected(a: Accelerator, before: np.ndarray, bits: np.ndarray, i: Instruction) -> np.ndarray:
    """Return a buffer after a BINARIZE of the bits [row, column], tile by tile and row by row."""
    lines = Lines(before)
    for m in range(-(-i.rows // a.rows)):
        for n in range(i.column_groups):
            tile = np.zeros((a.rows, a.columns), np.uint8)
            part = bits[m * a.rows : (m + 1) * a.rows, n * a.columns : (n + 1) * a.columns]
            tile[: len(part)] = part
            if n == i.column_groups - 1:
                tile[:, a.columns - i.spare :] = 0
            if i.transpose:
                for c in range(a.columns):
                    lines.write(c, i.output_line + n * i.output_stride, i.output_group + m, tile[:, c])
                continue
            for r in range(len(part)):
                bank, far = r, m
                if i.destination == KEY:
                    far, bank = divmod(i.output_bank + m * a.rows + r, a.columns)
                lines.write(bank, i.output_line + far * i.output_stride, i.output_group + n, tile[r])
    return lines.bits


def random_operands(a: Accelerator, random: np.random.Generator, to: Destination, transpose: int) -> dict[str, int]:
    """Return operands that may lie anywhere in the buffer, other row tiles or column groups on top of them included."""
    lines = {OUTPUT: a.output_lines, ACTIVATION: a.activation_lines, KEY: a.key_lines}[to]
    together = min(a.rows, a.columns)
    return {
        "destination": to,
        "transpose": transpose,
        "output_line": int(random.integers(0, lines // 4)),
        "output_group": int(random.integers(0, 12)),
        "output_stride": int(random.integers(0, 4)),
        "output_bank": int(random.integers(0, a.columns // together)) * together if to == KEY and not transpose else 0,
        "spare": int(random.integers(0, a.columns)),
    }


@pytest.mark.parametrize("a", [WIDE, SQUARE, TALL, BROAD, ONE, HIGH, ODD])
@pytest.mark.parametrize(("to", "transpose"), [(OUTPUT, 0), (ACTIVATION, 0), (KEY, 0), (KEY, 1)])
@pytest.mark.parametrize("seed", range(25))
def test_any_place(a: Accelerator, to: Destination, transpose: int, seed: int) -> None:
    if to == KEY and not a.key_lines:
        return
    random = np.random.default_rng(seed)
    rows, groups = int(random.integers(1, 3 * a.rows + 1)), int(random.integers(1, 7))
    bits = random.integers(0, 2, (rows, groups * a.columns)).astype(bool)
    m = machine(a)
    name = to.name.lower()
    m.buffers[name][:] = random.integers(0, 256, m.buffers[name].shape)
    before = bits_of(m, name)
    operands = random_operands(a, random, to, transpose)
    i = binarize(rows=rows, column_groups=groups, **operands)
    made(a, bits, m, **operands)
    assert (bits_of(m, name) == expected(a, before, bits, i)).all()

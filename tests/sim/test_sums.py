"""SUMS in values, and what the sums buffer is for: a chain from bits over fixed rows back to codes of several bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Destination, Source
from sim.machine import Machine
from sim.reference import binarize as reference_bits
from sim.reference import sums as reference_sums
from sim.reference.operations import add, matmul, normalise, quantize, requantise
from sim.tiles import Tiles
from tests.sim import programs
from tests.sim.buffers import fill, fill_fixed, fill_levels, fill_scales, fixed_rows, machine
from tests.sim.layers import up
from tests.sim.programs import vector
from tests.sim.test_chains import Layer, filled, run_layer
from tests.sim.test_checksum import plain_checksum

COMMON: dict[str, Any] = {"activation_lines": 512, "weight_lines": 512, "sum_lines": 64, "threshold_lines": 64}
COMMON |= {"fixed_lines": 512, "output_lines": 256}
NARROW = Accelerator(rows=4, columns=4, word_bits=8, port_bits=16, drain_rows=2, vector_lanes=2, code_bits=4, **COMMON)
BROAD = Accelerator(rows=3, columns=2, word_bits=8, port_bits=8, drain_rows=2, vector_lanes=8, code_bits=4, **COMMON)
EVEN = Accelerator(rows=5, columns=4, word_bits=4, port_bits=8, drain_rows=5, vector_lanes=4, code_bits=4, **COMMON)
ACCELERATORS = [NARROW, BROAD, EVEN]


def made(m: Machine, values: np.ndarray, **operands: int) -> int:
    """Execute a SUMS of the D [row, column]; return its checksum. In rows that are not valid D is 7."""
    a = m.accelerator
    rows, columns = values.shape
    groups = columns // a.columns
    m.execute(programs.matmul(handover=1, rows=rows, column_groups=groups))
    whole = np.full((a.rows, columns), 7)
    whole[:rows] = values
    tiles = whole.reshape(1, a.rows, groups, a.columns).swapaxes(1, 2)
    m.drained = Tiles(np.zeros_like(tiles), -tiles, 0)
    return m.execute(programs.sums(rows=rows, column_groups=groups, **operands))


def test_places() -> None:
    # Lines of 8 sums, four groups of 2, two banks: rows 0 and 2 in bank 0, row 1 in bank 1. From group 3 of line 1 on,
    # row 2 three lines behind row 0; the rest stays.
    m = machine(BROAD)
    m.vector.sums[:] = 55
    values = np.arange(12).reshape(3, 4) - 6
    made(m, values, output_line=1, output_group=3, output_stride=3)
    found = m.vector.sums
    assert found[0, 1:3].ravel().tolist() == [55] * 6 + [-6, -5, -4, -3] + [55] * 6
    assert found[1, 1:3].ravel().tolist() == [55] * 6 + [-2, -1, 0, 1] + [55] * 6
    assert found[0, 4:6].ravel().tolist() == [55] * 6 + [2, 3, 4, 5] + [55] * 6
    assert (np.delete(found[0], [1, 2, 4, 5], axis=0) == 55).all() and (np.delete(found[1], [1, 2], axis=0) == 55).all()


def test_positions_beyond_the_first_line() -> None:
    m = machine(BROAD)
    made(m, np.array([[1, 2]]), output_line=2, output_group=9)
    assert m.vector.sums[0, 4].tolist() == [0, 0, 1, 2, 0, 0, 0, 0]
    assert np.count_nonzero(m.vector.sums) == 2


def test_spare_columns_are_zero() -> None:
    m = machine(NARROW)
    m.vector.sums[:] = 55
    made(m, np.full((1, 8), 3), spare=3)
    assert m.vector.sums[0, :3].ravel().tolist() == [3, 3, 3, 3, 3, 0, 0, 0] + [55] * 4


def test_rows_that_are_not_valid_are_left_out() -> None:
    # Two groups of two rows, the last row of which is not valid.
    m = machine(NARROW)
    m.vector.sums[:] = 55
    made(m, np.full((3, 4), 3), output_stride=1)
    assert (m.vector.sums[:, :2] == 3).all(axis=2).tolist() == [[True, True], [True, False]]
    assert (m.vector.sums[1, 1:] == 55).all()


def test_later_groups_and_tiles_replace_earlier_ones() -> None:
    # Without a stride, rows 2 and 3 go over rows 0 and 1; with one of a line, group 1 of rows 0 and 1 over group 0 of
    # rows 2 and 3, whose turn comes before.
    values = np.arange(32).reshape(4, 8)
    m = machine(NARROW)
    made(m, values)
    assert m.vector.sums[:, :3].reshape(2, -1).tolist() == [[*row, 0, 0, 0, 0] for row in values[2:].tolist()]
    m = machine(NARROW)
    made(m, values, output_stride=1)
    first = [[*values[r, :8].tolist(), *values[r + 2, 4:].tolist()] for r in (0, 1)]
    assert m.vector.sums[:, :3].reshape(2, -1).tolist() == first


def test_checksums() -> None:
    # Three rows in groups of two, four columns with one to spare: what is not valid counts as 0.
    m = machine(NARROW)
    checksum = made(m, np.array([[3, 2, -1, 9], [1, 1, 1, 9], [-2, 0, 0, 9]]), spare=1)
    words = [3 | 2 << 15 | 0x7FFF << 30 | 1 << 60 | 1 << 75 | 1 << 90, 0x7FFE]
    assert checksum == plain_checksum(words)


def test_checksums_go_tile_by_tile() -> None:
    m = machine(EVEN.replace(drain_rows=1))
    checksum = made(m, np.arange(1, 17).reshape(2, 8))
    rows = [[1, 2, 3, 4], [9, 10, 11, 12], [5, 6, 7, 8], [13, 14, 15, 16]]
    assert checksum == plain_checksum([sum(n << 15 * c for c, n in enumerate(row)) for row in rows])


def hand_over(m: Machine, weights: np.ndarray, rows: int, line: int, **operands: int) -> dict[str, int]:
    """Multiply rows in the activation buffer with weights [N, K]; return the shape that DRAIN needs."""
    a = m.accelerator
    outputs, inputs = weights.shape
    groups, words = up(outputs, a.columns), up(inputs, a.word_bits)
    fill(m, "weight", np.pad(weights, ((0, groups * a.columns - outputs), (0, 0))))
    lines = {"activation_line": line, "weight_stride": up(inputs, a.line_bits), "words": words}
    lines |= {"pad": 0 if operands else words * a.word_bits - inputs}
    shape = {"rows": rows, "column_groups": groups}
    m.execute(programs.matmul(handover=1, **shape, **lines, **operands))
    return shape | {"spare": groups * a.columns - outputs}


def sums_of(m: Machine, rows: int, lines: int) -> np.ndarray:
    """Return rows of sums, each of so many lines, from line 0 on."""
    banks = m.accelerator.drain_rows
    return np.array([m.vector.sums[r % banks, r // banks * lines :][:lines].ravel() for r in range(rows)])


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize(("inputs", "hidden", "outputs"), [(5, 3, 6), (37, 21, 23), (64, 48, 40)])
def test_from_bits_to_bits_and_codes(a: Accelerator, inputs: int, hidden: int, outputs: int) -> None:
    random, rows = np.random.default_rng(inputs), min(a.rows, 3)
    x = random.integers(0, 2, (rows, inputs), np.uint8)
    m = filled(a, x)

    # Bits of a layer, in lines 100 on.
    layer = Layer.random(inputs, hidden, 2)
    run_layer(m, layer, rows, 0, destination=Destination.ACTIVATION, output_line=100)
    bits = layer.bits(x).astype(np.uint8)

    # Sums, scaled, with the residual of lines 400 on, kept in lines 0 on and counted.
    weights = random.integers(0, 2, (outputs, hidden), np.uint8)
    row_lines = up(outputs, a.sum_line_sums)
    m.execute(programs.sums(output_line=3, output_stride=row_lines, **hand_over(m, weights, rows, 100)))
    multipliers, addends = random.integers(-3000, 3000, outputs), random.integers(-9999, 9999, outputs)
    residual = random.integers(-300, 300, (rows, outputs))
    fill_scales(m, multipliers, addends)
    fill_fixed(m, residual, 400)
    sizes = {"channels": outputs, "rows": rows, "scale": 1}
    flags = {"statistics": 1, "keep": 1, "add": 1, "add_line": 400, "shift": 4, "epsilon": 77}
    m.execute(vector(source=Source.SUMS, source_line=3, **sizes, **flags))
    fixed = add(requantise(reference_sums(bits, weights, False), 4, multipliers, addends), residual)
    assert (fixed_rows(m, rows, outputs) == fixed).all()

    # Normalised, in lines 200 on, and the bits of three sets.
    gain, offset = random.integers(2000, 9000, outputs), random.integers(-9999, 9999, outputs)
    thresholds = random.integers(-3000, 3000, (3, outputs))
    polarity = random.integers(0, 2, (3, outputs), np.uint8)
    fill_scales(m, gain, offset)
    fill_levels(m, thresholds, polarity)
    codes = {"sets": 3, "code_line": 200, "code_line_1": 250, "code_line_2": 300}
    m.execute(vector(normalise=1, keep=1, fixed_line=200, shift=12, **sizes, **codes))
    normalised = normalise(fixed, gain, offset, 77, 12)
    assert (fixed_rows(m, rows, outputs, 200) == normalised).all()

    # A product of each set, and one of codes of four bits in lines 350 on.
    other = random.integers(0, 2, (7, outputs), np.uint8)
    for s, line in enumerate((200, 250, 300)):
        m.execute(programs.sums(output_stride=4, **hand_over(m, other, rows, line)))
        expected = reference_sums(reference_bits(normalised, thresholds[s], polarity[s]), other, False)
        assert (sums_of(m, rows, 4)[:, :7] == expected).all()
    length = up(outputs, a.line_bits)
    fill_scales(m, gain, offset)
    planes = {"planes": 4, "code_signed": 1, "sets": 1, "code_line": 350, "code_line_1": length}
    m.execute(vector(source_line=200, shift=22, **sizes, **planes))
    operands = {"unsigned": 1, "activation_planes": 4, "activation_negative": 1, "activation_plane_stride": length}
    m.execute(programs.sums(output_stride=4, **hand_over(m, other, rows, 350, **operands)))
    assert (sums_of(m, rows, 4)[:, :7] == matmul(quantize(normalised, 4, "signed", 22, gain, offset), other)).all()

"""MATMUL in values: products of codes in planes, from either buffer of weights, against integer products."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Instruction
from sim.machine import Machine
from tests.sim.buffers import fill, machine, plane
from tests.sim.programs import matmul
from tests.sim.test_checksum import plain_checksum

KEYED = Accelerator(rows=4, columns=2, word_bits=8, port_bits=16, sum_bits=31, code_bits=8, key_lines=512)
ACCELERATORS = [
    KEYED,
    Accelerator(rows=2, columns=8, word_bits=32, port_bits=32, sum_bits=31, code_bits=8, key_lines=512),
    Accelerator(rows=8, columns=2, word_bits=1, port_bits=8, sum_bits=26, code_bits=8, key_lines=512, drain_rows=2),
]


def codes(random: np.random.Generator, shape: tuple[int, int], planes: int, negative: int) -> np.ndarray:
    """Return codes, the first row all lowest, the second all highest."""
    low, high = (-(1 << planes - 1), (1 << planes - 1) - 1) if negative else (0, (1 << planes) - 1)
    result = random.integers(low, high + 1, shape)
    result[:1], result[1:2] = low, high
    return result


def product(a: Accelerator, left: np.ndarray, right: np.ndarray, apart: bool = False, **operands: int) -> Instruction:
    """Return the MATMUL of codes [row, K] and [column, K]: the planes of each tile together, or those of all apart."""
    depth = left.shape[1]
    lines = -(-depth // a.line_bits)
    result = {"unsigned": 1, "handover": 1, "activation_line": 3, "weight_line": 5, "words": -(-depth // a.word_bits)}
    result |= {"rows": len(left), "column_groups": -(-len(right) // a.columns)} | operands
    for name, rows, banks in (("activation", left, a.rows), ("weight", right, a.columns)):
        tiles, planes = -(-len(rows) // banks), result.get(f"{name}_planes", 1)
        result[f"{name}_stride"] = lines if apart else lines * planes
        result[f"{name}_plane_stride"] = lines * tiles if apart else lines
    return matmul(**result)


def place(m: Machine, i: Instruction, left: np.ndarray, right: np.ndarray) -> None:
    """Put the planes of both operands where a MATMUL reads them."""
    for u in range(i.activation_planes):
        line = i.activation_line + u * i.activation_plane_stride
        fill(m, "activation", plane(left, i.activation_planes, u), line, i.activation_stride)
    for v in range(i.weight_planes):
        line = i.weight_line + v * i.weight_plane_stride
        fill(m, "key" if i.keys else "weight", plane(right, i.weight_planes, v), line, i.weight_stride)


def results(m: Machine, i: Instruction, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Execute a MATMUL and return D [row, column]."""
    place(m, i, left, right)
    m.execute(i)
    assert m.drained is not None
    rows = m.drained.values().swapaxes(1, 2)
    return rows.reshape(rows.shape[0] * rows.shape[1], -1)[: len(left), : len(right)]


SHAPES = [(5, 3, 21), (9, 4, 64)]


@pytest.mark.parametrize("accelerator", ACCELERATORS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("planes", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("negative", "keys", "apart"), [(0, 0, False), (1, 0, True), (1, 1, False), (0, 1, True)])
def test_codes_and_signs(
    accelerator: Accelerator, shape: tuple[int, int, int], planes: int, negative: int, keys: int, apart: bool
) -> None:
    random = np.random.default_rng(planes)
    m, n, k = shape
    left, right = codes(random, (m, k), planes, negative), random.integers(0, 2, (n, k))
    i = product(accelerator, left, right, apart, activation_planes=planes, activation_negative=negative, keys=keys)
    # The K of a word that is not full are 0 in both, so that they count nothing.
    assert (results(machine(accelerator), i, left, right) == left @ (2 * right - 1).T).all()


@pytest.mark.parametrize("accelerator", ACCELERATORS)
@pytest.mark.parametrize(("p", "q"), [(1, 1), (2, 1), (1, 4), (4, 4), (3, 8), (8, 8)])
@pytest.mark.parametrize("signs", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize(("keys", "apart"), [(0, True), (1, False)])
def test_codes_and_codes(
    accelerator: Accelerator, p: int, q: int, signs: tuple[int, int], keys: int, apart: bool
) -> None:
    random = np.random.default_rng(10 * p + q)
    left, right = codes(random, (7, 40), p, signs[0]), codes(random, (5, 40), q, signs[1])
    planes = {"activation_planes": p, "weight_planes": q}
    negative = {"activation_negative": signs[0], "weight_negative": signs[1]}
    i = product(accelerator, left, right, apart, plain=1, keys=keys, **planes, **negative)
    assert (results(machine(accelerator), i, left, right) == 2 * left @ right.T).all()


def test_signs_that_count_against() -> None:
    random = np.random.default_rng(3)
    left, right = codes(random, (6, 30), 2, 1), random.integers(0, 2, (4, 30))
    i = product(KEYED, left, right, activation_planes=2, activation_negative=1, weight_negative=1)
    assert (results(machine(KEYED), i, left, right) == -(left @ (2 * right - 1).T)).all()


def test_signed_bits_of_keys() -> None:
    random = np.random.default_rng(4)
    left, right = random.integers(0, 2, (6, 30)), random.integers(0, 2, (5, 30))
    i = product(KEYED, left, right, keys=1, unsigned=0, pad=2)
    assert (results(machine(KEYED), i, left, right) == (2 * left - 1) @ (2 * right - 1).T).all()


def test_by_hand() -> None:
    # Codes -2, 1 and 3 - 4 = -1 of two planes, and 5 of three: planes 1 0 1 and 1 1 1, and 1 0 1 of the right side.
    a = KEYED.replace(rows=1, columns=1, word_bits=4)
    left, right = np.array([[-2, 1, -1]]), np.array([[5, 5, 5]])
    i = product(a, left, right, activation_planes=2, weight_planes=3, activation_negative=1, plain=1)
    assert results(machine(a), i, left, right).tolist() == [[2 * 5 * -2]]
    i = product(a, left, np.array([[1, 0, 1]]), activation_planes=2, activation_negative=1)
    assert results(machine(a), i, left, np.array([[1, 0, 1]])).tolist() == [[-2 - 1 - 1]]


def test_long_sums_are_exact() -> None:
    a = Accelerator(rows=2, columns=2, word_bits=1024, port_bits=256, sum_bits=31, code_bits=8)
    left, right = np.full((2, 8192), 255), np.full((2, 8192), 255)
    left[1, 77], right[1, 5000] = 254, 252
    i = product(a, left, right, activation_planes=8, weight_planes=8, plain=1)
    assert (results(machine(a), i, left, right) == 2 * left @ right.T).all()


def test_plain_sums_in_pieces() -> None:
    random = np.random.default_rng(5)
    left, right = random.integers(0, 2, (2, 64)), random.integers(0, 2, (2, 64))
    first = product(KEYED, left, right, plain=1, handover=0, words=4)
    m = machine(KEYED)
    place(m, first, left, right)
    m.execute(first)
    rest = {"activation_line": first.activation_line + 2, "weight_line": first.weight_line + 2}
    last = product(KEYED, left, right, plain=1, first=0, words=4, **rest)
    m.execute(last)
    assert m.drained is not None
    assert (m.drained.values()[0, 0, :2] == 2 * left @ right.T).all()


# --- checksums -------------------------------------------------------------------------------------------------------


def array_sum(left: np.ndarray, right: np.ndarray, i: Instruction) -> int:
    """Return what the array adds up for a row and a column of codes, level by level."""
    total = 0
    for level in range(i.activation_planes + i.weight_planes - 1):
        total *= 2
        for u in range(i.activation_planes - 1, -1, -1):
            v = level - u
            if 0 <= v < i.weight_planes:
                count = int((plane(left, i.activation_planes, u) & plane(right, i.weight_planes, v)).sum())
                against = (u == 0 and i.activation_negative) != (v == 0 and i.weight_negative)
                total += -count if against else count
    return total


@pytest.mark.parametrize("sum_bits", [16, 31])
@pytest.mark.parametrize(("p", "q", "plain"), [(4, 1, 0), (1, 4, 1), (4, 2, 1)])
@pytest.mark.parametrize("signs", [(0, 0), (1, 0), (1, 1)])
def test_sums_modulo_their_width(sum_bits: int, p: int, q: int, plain: int, signs: tuple[int, int]) -> None:
    a = KEYED.replace(sum_bits=sum_bits)
    random = np.random.default_rng(p)
    left, right = codes(random, (5, 30), p, signs[0]), codes(random, (2, 30), q, signs[1])
    planes = {"activation_planes": p, "weight_planes": q, "plain": plain}
    i = product(a, left, right, **planes, activation_negative=signs[0], weight_negative=signs[1])
    m = machine(a)
    place(m, i, left, right)
    words = []
    for rows in (left[:4], left[4:]):
        sums = [array_sum(row, column, i) % (1 << a.count_bits) for row in rows for column in right]
        words.append(sum(number << field * a.count_bits for field, number in enumerate(sums)))
    assert m.execute(i) == plain_checksum(words)

"""SUMS to score and SOFTMAX in values: against the reference, and against the contract written out step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hw.arch import Accelerator
from sim.errors import MachineError
from sim.machine import Machine, execute
from sim.reference.attention import row_threshold
from sim.tiles import Tiles
from tests.sim import programs
from tests.sim.buffers import bits_of, fill_entries, machine
from tests.sim.plain_softmax import PlainSoftmax
from tests.sim.programs import HALT, load, matmul, program, softmax, sums
from tests.sim.test_checksum import plain_checksum

COMMON: dict[str, Any] = {"activation_lines": 128, "score_lines": 64, "table_lines": 128, "score_slots": 3}
COMMON |= {"code_bits": 4}
NARROW = Accelerator(rows=4, columns=8, port_bits=32, drain_rows=2, row_lanes=4, **COMMON)
BROAD = Accelerator(rows=3, columns=2, port_bits=16, drain_rows=2, row_lanes=16, **COMMON)
EVEN = Accelerator(rows=5, columns=4, word_bits=4, port_bits=8, drain_rows=5, row_lanes=4, **COMMON)
ONE = Accelerator(rows=2, columns=4, word_bits=8, port_bits=64, row_lanes=1, **COMMON)
ACCELERATORS = [NARROW, BROAD, EVEN, ONE]


def scored(m: Machine, scores: np.ndarray, line: int = 0, slot: int = 0) -> int:
    """Put scores [row, key] into the score buffer with a SUMS; return its checksum.

    What is not valid is as large as can be.
    """
    a = m.accelerator
    rows, keys = scores.shape
    groups = -(-keys // a.columns)
    whole = np.full((a.rows, groups * a.columns), (1 << a.sum_bits - 1) - 1)
    whole[:rows, :keys] = scores
    tiles = whole.reshape(1, a.rows, groups, a.columns).swapaxes(1, 2)
    m.execute(matmul(handover=1, rows=rows, column_groups=groups))
    m.drained = Tiles(np.zeros_like(tiles), -tiles, 0)
    places = {"output_line": line, "output_stride": -(-keys // a.score_line_sums), "spare": groups * a.columns - keys}
    return m.execute(sums(destination=1, slot=slot, rows=rows, column_groups=groups, **places))


def codes_of(m: Machine, rows: int, keys: int, planes: int, line: int, stride: int) -> np.ndarray:
    """Return the codes in the activation buffer."""
    bits = bits_of(m, "activation")[:rows]
    found = np.zeros((rows, keys), int)
    for u in range(planes):
        plane = bits[:, line + u * stride :].reshape(rows, -1)
        end = -(-keys // m.accelerator.line_bits) * m.accelerator.line_bits
        assert not plane[:, keys:end].any()
        found += plane[:, :keys].astype(int) << planes - 1 - u
    return found


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("keys", [1, 2, 7, 16, 37])
@pytest.mark.parametrize("planes", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_row_threshold(a: Accelerator, keys: int, planes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    m = machine(a)
    for buffer in ("activation", "table"):
        m.buffers[buffer][:] = 0xFF
    scores = random.integers(-70, 71, (a.rows, keys)) // int(random.integers(1, 20))
    entries = int(random.integers(1, 60))
    table = np.array([round(65535 * 2.0 ** (-i / 5)) for i in range(entries)])
    levels = np.sort(random.integers(0, (1 << 21) // int(random.integers(1, keys + 2)) + 1, 2**planes - 1))
    multiplier, shift = ((1, 1), (9, 3), (1, 0), (65535, 15))[seed]
    scored(m, scores, 3, 2)
    fill_entries(m, "table", table, 16, 5)
    fill_entries(m, "table", levels, 32, 60)
    stride = -(-keys // a.line_bits) + 1
    operands = {"multiplier": multiplier, "shift": shift, "last_entry": entries - 1, "table_line": 5, "level_line": 60}
    places = {"score_line": 3, "slot": 2, "code_line": 7, "code_plane_stride": stride}
    m.execute(softmax(keys=keys, rows=a.rows, planes=planes, **operands, **places))
    expected = row_threshold(scores[None], planes, multiplier, shift, table, levels).numbers[0]
    assert (codes_of(m, a.rows, keys, planes, 7, stride) == expected).all()


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("seed", range(12))
def test_any_instructions(a: Accelerator, seed: int) -> None:
    random = np.random.default_rng(seed)
    m = machine(a)
    m.row.scores[:] = random.integers(-999, 1000, m.row.scores.shape)
    m.row.maxima[:] = random.integers(999, 3000, m.row.maxima.shape)
    m.row.left[:] = True
    for name in ("activation", "table"):
        m.buffers[name][:] = random.integers(0, 256, m.buffers[name].shape)
    twin = PlainSoftmax(a)
    twin.scores, twin.maxima, twin.bits = (
        m.row.scores.tolist(),
        m.row.maxima.tolist(),
        bits_of(m, "activation").tolist(),
    )
    twin.table = [int.from_bytes(line.tobytes(), "little") for line in m.buffers["table"][0]]

    def below(high: int) -> int:
        return int(random.integers(0, high))

    for _ in range(8):
        shape = {"keys": 1 + below((1, 9, 60)[below(3)]), "rows": 1 + below(a.rows), "planes": (1, 2, 4)[below(3)]}
        lines = {name: below(20) for name in ("score_line", "code_line", "code_group", "level_line", "table_line")}
        scale = {"multiplier": below(1 << below(17)), "shift": below(32), "last_entry": below(100)}
        i = softmax(code_plane_stride=below(9), slot=below(3), **shape, **lines, **scale)
        try:
            checksum = m.execute(i)
        except MachineError as error:
            assert "access must lie in" in str(error)
            continue
        assert checksum == twin.execute(i), i
    assert (bits_of(m, "activation") == np.array(twin.bits)).all()


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_one_row_by_hand() -> None:
    # M = 5; the indices are 0, 2, 0 and 1 of a table 4, 2, 1: Z = 4 + 1 + 4 + 2 = 11. A level of 2^20 * 4 / 11, rounded
    # down, asks for 4; the next one up for more than 4.
    m = machine(NARROW)
    checksum = scored(m, np.array([[5, 1, 5, 3]]))
    assert checksum == plain_checksum([5 | 1 << 15 | 5 << 30 | 3 << 45])
    fill_entries(m, "table", np.array([4, 2, 1]), 16, 0)
    fill_entries(m, "table", np.array([0, (4 << 20) // 11, (4 << 20) // 11 + 1]), 32, 9)
    checksum = m.execute(softmax(keys=4, last_entry=2, shift=1, planes=2, level_line=9, code_plane_stride=1))
    assert checksum == plain_checksum([0, 4, 5, 0b0101, 0b1010])
    assert bits_of(m, "activation")[0, :2, :4].tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]


def test_bounds_are_rounded_up_and_end_at_65536() -> None:
    m = machine(NARROW)
    scored(m, np.zeros((1, 4), int))
    fill_entries(m, "table", np.array([65535]), 16, 0)
    for level, bound in ((0, 0), (1, 1), (1 << 18, 65535), ((1 << 18) + 1, 65536), ((1 << 22) - 1, 65536)):
        fill_entries(m, "table", np.array([level | 0x3FF << 22]), 32, 9)
        assert m.execute(softmax(keys=4, level_line=9)) == plain_checksum([bound, 15 * (bound < 65536)])


def test_a_later_position_of_the_line_is_cleared() -> None:
    m = machine(NARROW)
    m.buffers["activation"][:] = 0xFF
    scored(m, np.zeros((2, 5), int))
    m.execute(softmax(keys=5, rows=2, code_line=1, code_group=9))
    bits = bits_of(m, "activation")
    assert bits[0, 2].tolist() == [1] * 4 + [1] * 5 + [0] * 23
    assert bits[1, 2].tolist() == bits[0, 2].tolist()
    assert bits[:2, [1, 3]].all() and bits[2:].all()


def test_maxima() -> None:
    # What is not valid, a column or a row, is not counted; rows that a SUMS does not have keep theirs; slots are apart.
    m = machine(NARROW)
    scored(m, np.array([[-9, -7, -8], [3, 4, 4], [-1, -2, -3]]))
    scored(m, np.array([list(range(-30, -9)), [0] * 21]), 20, 1)
    assert m.row.maxima[0].tolist() == [-7, 4, -1, 0] and m.row.left[0].tolist() == [True] * 3 + [False]
    assert m.row.maxima[1].tolist() == [-10, 0, 0, 0] and m.row.left[1].tolist() == [True] * 2 + [False] * 2
    scored(m, np.array([[2]]))
    assert m.row.maxima[0].tolist() == [2, 4, -1, 0]


def test_scores_without_vector_lanes() -> None:
    assert NARROW.vector_lanes == 0
    execute(program(NARROW, [matmul(handover=1), sums(destination=1), softmax(), HALT]))


def test_load_fills_the_table() -> None:
    m = Machine(EVEN, np.arange(16, dtype=np.uint8))
    m.execute(load(buffer=5, line=3, row_beats=4, segment_beats=16))
    assert m.buffers["table"][0, 3:7].ravel().tolist() == list(range(16))
    assert m.buffers["table"].shape[2] == 4


def test_a_program() -> None:
    # Bits of 0 against weights of 0: every score is the number of bits, and the codes are 1 where the level is 0.
    made = [matmul(handover=1, column_groups=2), sums(destination=1, column_groups=2, signal=programs.ROW)]
    result = execute(program(NARROW, [*made, softmax(keys=16, wait=programs.DRAIN), HALT]))
    assert result.checksums[2] == plain_checksum([0, 15, 15, 15, 15])

"""The value model on whole layers against the reference, and each instruction's checksum against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Buffer, Instruction, Opcode
from sim.machine import execute
from sim.reference import binarize, sums
from tests.sim import programs
from tests.sim.layers import FILLER, Layer, Placement
from tests.sim.programs import FENCE, HALT, load, matmul, program, store
from tests.sim.test_checksum import plain_checksum

BUFFERS = {"activation_lines": 4096, "weight_lines": 4096, "threshold_lines": 256, "output_lines": 512}
ACCELERATORS = [
    Accelerator(**BUFFERS),
    Accelerator(rows=3, columns=8, word_bits=64, port_bits=8, drain_rows=2, **BUFFERS),
    Accelerator(rows=1, columns=1, word_bits=1, pipeline=0, port_bits=8, **BUFFERS),
    Accelerator(rows=5, columns=2, word_bits=4, port_bits=64, drain_rows=4, **BUFFERS),
    Accelerator(rows=2, columns=64, word_bits=32, port_bits=256, sum_bits=20, **BUFFERS),
    Accelerator(rows=4, columns=16, word_bits=512, port_bits=32, sum_bits=31, **BUFFERS),
]
SHAPES = [(1, 1, 1), (7, 5, 33), (9, 70, 130)]


def random_layer(shape: tuple[int, int, int], unsigned: bool, seed: int) -> Layer:
    """Return a layer of (M, N, K) with thresholds among the sums and random polarity."""
    random = np.random.default_rng(seed)
    m, n, k = shape
    activations = random.integers(0, 2, (m, k), dtype=np.uint8)
    weights = random.integers(0, 2, (n, k), dtype=np.uint8)
    d = sums(activations, weights, unsigned)
    thresholds = random.permuted(d, axis=0)[0] + random.integers(-1, 2, n)
    return Layer(activations, weights, thresholds, random.integers(0, 2, n, dtype=np.uint8), unsigned)


def check(placement: Placement, program_: programs.Program) -> None:
    """Execute a placed layer and compare the whole memory: its output is right, what is behind it in a line is 0."""
    layer = placement.layer
    memory = execute(program_).memory
    d = sums(layer.activations, layer.weights, layer.unsigned)
    expected = binarize(d, layer.thresholds, layer.polarity)
    output = placement.output(memory)
    n = expected.shape[1]
    assert (output[:, :n] == expected).all()
    assert not output[:, placement.groups * placement.accelerator.columns :].any()
    changed = np.flatnonzero(memory != np.frombuffer(program_.image, np.uint8))
    assert changed.size == 0 or changed.min() >= placement.addresses[3]
    assert (memory[program_.address :] == np.frombuffer(program_.image, np.uint8)[program_.address :]).all()


@pytest.mark.parametrize("accelerator", ACCELERATORS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("unsigned", [False, True])
def test_layer(accelerator: Accelerator, shape: tuple[int, int, int], unsigned: bool) -> None:
    placement = Placement(accelerator, random_layer(shape, unsigned, 5))
    check(placement, placement.whole())


@pytest.mark.parametrize("accelerator", ACCELERATORS[:4])
@pytest.mark.parametrize("unsigned", [False, True])
def test_split_inputs(accelerator: Accelerator, unsigned: bool) -> None:
    placement = Placement(accelerator, random_layer((7, 9, 150), unsigned, 6))
    whole = execute(placement.whole()).memory
    for lines in {1, placement.row_lines - 1}:
        split = placement.split(lines)
        check(placement, split)
        assert (placement.output(execute(split).memory) == placement.output(whole)).all()


def biased(k: int, seed: int) -> np.ndarray:
    """Return rows of k bits with none, one, half, all but one and all of them set."""
    half = np.random.default_rng(seed).permutation(np.arange(k) % 2)
    one = (np.arange(k) == seed % k).astype(int)
    return np.array([0 * one, one, half, 1 - one, 0 * one + 1], np.uint8)


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("offset", [-1, 0, 1])
@pytest.mark.parametrize("accelerator", ACCELERATORS[:3])
def test_biased_operands(accelerator: Accelerator, offset: int, unsigned: bool) -> None:
    k = 67
    activations, weights = biased(k, 3), np.repeat(biased(k, 8), 5, axis=0)
    d = sums(activations, weights, unsigned)
    thresholds = d[np.tile(np.arange(5), 5), np.arange(25)] + offset
    placement = Placement(accelerator, Layer(activations, weights, thresholds, np.arange(25) % 2 == 1, unsigned))
    check(placement, placement.whole())


@pytest.mark.parametrize("threshold", [-(1 << 14), (1 << 14) - 1])
def test_extreme_thresholds(threshold: int) -> None:
    layer = Layer(biased(67, 3), biased(67, 8), np.full(5, threshold), np.zeros(5, np.uint8))
    placement = Placement(Accelerator(), layer)
    check(placement, placement.whole())


def test_large_layer_is_quick() -> None:
    placement = Placement(
        Accelerator(activation_lines=4096, weight_lines=8192, threshold_lines=256, output_lines=1024),
        random_layer((128, 768, 768), False, 7),
    )
    check(placement, placement.whole())


# --- checksums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port_bits", [8, 32, 256])
def test_transfer_checksums(port_bits: int) -> None:
    placement = Placement(Accelerator(port_bits=port_bits), random_layer((3, 5, 40), False, 8))
    whole = placement.whole()
    result = execute(whole)
    transfers = [(index, i) for index, i in enumerate(whole.instructions) if i.opcode in (Opcode.LOAD, Opcode.STORE)]
    for (index, i), address in zip(transfers, placement.addresses, strict=True):
        # Loads read what no instruction changes, so the memory after the run serves for both.
        beats = [address + n * port_bits // 8 for n in range(i.segments * i.segment_beats)]
        words = [int.from_bytes(result.memory[n : n + port_bits // 8].tobytes(), "little") for n in beats]
        assert result.checksums[index] == plain_checksum(words)
    assert result.checksums[-1] == 0


def matches(a: np.ndarray, w: np.ndarray, unsigned: bool) -> int:
    """Return how often both rows of bits match, padding included."""
    return int((a & w).sum()) if unsigned else int((a == w).sum())


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("accelerator", ACCELERATORS[:4])
def test_compute_checksums(accelerator: Accelerator, unsigned: bool) -> None:
    a = accelerator
    placement = Placement(a, random_layer((a.rows + 1, 2 * a.columns, 50), unsigned, 9))
    layer = placement.layer
    result = execute(placement.whole())
    depth = -(-50 // a.word_bits) * a.word_bits
    activations = np.zeros((2 * a.rows, depth), np.uint8)
    activations[: a.rows + 1, :50] = layer.activations
    weights = np.zeros((2 * a.columns, depth), np.uint8)
    weights[:, :50] = layer.weights
    bits = binarize(sums(layer.activations, layer.weights, unsigned), layer.thresholds, layer.polarity)
    sum_words, bit_words = [], []
    for m, n in ((0, 0), (0, 1), (1, 0), (1, 1)):
        valid = a.rows if m == 0 else 1
        word = 0
        for r in range(valid):
            for c in range(a.columns):
                count = matches(activations[m * a.rows + r], weights[n * a.columns + c], unsigned)
                word |= count << (r * a.columns + c) * a.count_bits
        sum_words.append(word)
        for first in range(0, valid, a.drain_rows):
            word = 0
            for r in range(first, min(valid, first + a.drain_rows)):
                for c in range(a.columns):
                    bit = int(bits[m * a.rows + r, n * a.columns + c])
                    word |= bit << (r - first) * a.columns + c
            bit_words.append(word)
    assert result.checksums[3:5].tolist() == [plain_checksum(sum_words), plain_checksum(bit_words)]


def test_no_words() -> None:
    result = execute(program(Accelerator(), [matmul(), FENCE, HALT]))
    assert result.checksums.tolist() == [0, 0, 0]
    assert result.checksums.dtype == np.uint32
    assert result.memory.dtype == np.uint8


# --- buffers ---------------------------------------------------------------------------------------------------------

WIDE = Accelerator(rows=2, columns=4, port_bits=32)


def output_after(*pairs: tuple[int, ...]) -> list[int]:
    """Return the first two output lines of WIDE's bank 0 after BINARIZEs that write ones at (group, groups, line)."""
    instructions = []
    for group, groups, line in pairs:
        shape = {"rows": 1, "column_groups": groups}
        instructions += [matmul(handover=1, **shape), programs.binarize(output_group=group, output_line=line, **shape)]
    last = store(row_beats=2, segment_beats=2)
    result = execute(program(WIDE, [*instructions, last, HALT], bytes([FILLER]) * 64))
    return [int(n) for n in result.memory[:8].view("<u4")]


def test_binarize_writes_groups_in_order() -> None:
    # All sums are the 16 matches of zeros with zeros, D = 16, thresholds 0: every bit is 1.
    assert output_after((0, 1, 0)) == [0xF, 0]
    assert output_after((0, 8, 0)) == [0xFFFFFFFF, 0]
    assert output_after((0, 9, 0)) == [0xFFFFFFFF, 0xF]
    assert output_after((3, 2, 0)) == [0xFF000, 0]
    assert output_after((8, 1, 0)) == [0, 0xF]
    assert output_after((0, 1, 1)) == [0, 0xF]
    assert output_after((9, 2, 0)) == [0, 0xFF0]


def test_binarize_clears_higher_positions_of_the_same_line() -> None:
    assert output_after((0, 16, 0), (2, 1, 0)) == [0xFFF, 0xFFFFFFFF]
    assert output_after((0, 16, 0), (2, 7, 0)) == [0xFFFFFFFF, 0xF]
    assert output_after((0, 16, 0), (0, 1, 1)) == [0xFFFFFFFF, 0xF]
    assert output_after((0, 16, 0), (8, 1, 0)) == [0xFFFFFFFF, 0xF]


def test_overlapping_row_tiles_are_written_in_order() -> None:
    # Stride 0: the second row tile, of one row, replaces what the first one wrote to bank 0, not to bank 1.
    data = np.zeros(64, np.uint8)
    data[8:12] = 0xFF
    instructions = [
        load(address=0, segments=3, segment_beats=1, stride=4),
        load(buffer=Buffer.THRESHOLD, address=32, row_beats=2, segment_beats=2),
        matmul(handover=1, rows=3, activation_stride=1),
        programs.binarize(rows=3),
        store(address=32, row_beats=1, segment_beats=2),
        HALT,
    ]
    result = execute(program(WIDE, instructions, data.tobytes()))
    assert result.memory[32:40].view("<u4").tolist() == [0, 0xF]


def test_rows_that_are_not_valid_do_not_matter() -> None:
    random = np.random.default_rng(1)
    data = random.integers(0, 256, 4096, dtype=np.uint8).tobytes()
    fill = [load(buffer=b, line=0, row_beats=beats, segment_beats=8 * beats) for b, beats in ((0, 1), (1, 1), (2, 2))]
    shape = {"rows": 3, "column_groups": 1}
    body = [matmul(handover=1, activation_stride=1, **shape), programs.binarize(output_stride=1, **shape)]
    last = store(address=4096, row_beats=1, segment_beats=3)
    results = []
    for row in (0, 64):
        # Row 3, in bank 1, is the only row of the second tile that is not valid.
        spoil = load(address=row, line=1, segment_beats=2, stride=0)
        keep = load(address=128, line=1, segment_beats=1)
        results.append(execute(program(WIDE, [*fill, spoil, keep, *body, last, HALT], data + bytes(32))))
    assert results[0].checksums[5:].tolist() == results[1].checksums[5:].tolist()


def test_stale_weights_are_read_as_they_are() -> None:
    # Only column 0 is loaded again: columns 1 to 3 still match the first weights.
    data = b"\xff\xff\x00\x00" * 4 + b"\x00\x00\x00\x00" * 4
    weights = load(buffer=Buffer.WEIGHT, segment_beats=4)
    again = load(buffer=Buffer.WEIGHT, address=16)
    instructions = [weights, again, matmul(handover=1), programs.binarize(), HALT]
    result = execute(program(WIDE, instructions, data))
    # Zero activations: 16 matches in column 0, none in the others.
    assert result.checksums[2] == plain_checksum([16])


def sums_of_lines(transfer: Instruction, data: np.ndarray, lines: int) -> list[list[int]]:
    """Return the ones in each line of WIDE's activation banks 0 and 1 after a LOAD, as unsigned sums with all ones."""
    ones = np.full(16, 0xFF, np.uint8)
    weights = load(buffer=Buffer.WEIGHT, address=len(data), segment_beats=4)
    result = []
    for line in range(lines):
        body = [matmul(unsigned=1, handover=1, rows=2, words=2, activation_line=line), programs.binarize(rows=2), HALT]
        checksum = execute(program(WIDE, [transfer, weights, *body], data.tobytes() + ones.tobytes())).checksums[2]
        counts = [(p, q) for p in range(33) for q in range(33)]
        result.append(next(list(c) for c in counts if checksum == plain_checksum([_columns(*c)])))
    return result


def _columns(first: int, second: int) -> int:
    """Return the word of a tile of WIDE in which each row has one sum in all its columns."""
    return sum((first if field < 4 else second) << 14 * field for field in range(8))


def test_load_gathers_segments() -> None:
    # Beat n of the memory has n ones. Segments of two beats, three beats apart: 1 2, 4 5, 7 8.
    data = np.array([(1 << n) - 1 for n in range(32)], "<u4").view(np.uint8)
    gather = load(address=4, segments=3, segment_beats=2, stride=12)
    assert sums_of_lines(gather, data, 3) == [[1, 2], [4, 5], [7, 8]]
    rows = load(address=4, row_beats=3, segments=3, segment_beats=2, stride=12, line=1)
    assert sums_of_lines(rows, data, 4) == [[0, 0], [1, 5], [2, 7], [4, 8]]


def test_addresses_have_32_bits() -> None:
    data = np.array([(1 << n) - 1 for n in range(32)], "<u4").view(np.uint8)
    backward = load(address=20, segments=4, stride=(1 << 32) - 4)
    assert sums_of_lines(backward, data, 2) == [[5, 4], [3, 2]]


def test_store_scatters_segments() -> None:
    # Four rows of three beats, each from two lines of two beats: rows 0 and 1 of 24 groups of ones, 2 and 3 of 18.
    narrow = Accelerator(rows=2, columns=4, word_bits=64, port_bits=32)
    compute = []
    for line, groups in ((0, 24), (2, 18)):
        shape = {"rows": 2, "column_groups": groups}
        compute += [matmul(handover=1, **shape), programs.binarize(**shape, output_line=line)]
    last = store(row_beats=3, segments=6, segment_beats=2, stride=12)
    image = bytes([FILLER]) * 96
    memory = execute(program(narrow, [*compute, last, HALT], image)).memory
    beats = memory[:72].view("<u4").reshape(6, 3)
    ones, some = 0xFFFFFFFF, 0xFF
    rows = [ones, ones, ones] * 2 + [ones, ones, some] * 2
    assert beats[:, :2].ravel().tolist() == rows
    assert set(memory[beats.nbytes :][:24].tolist()) == {FILLER}
    assert (beats[:, 2] == 0x01010101 * FILLER).all()


def test_lines_of_a_row() -> None:
    # Rows of two lines: row 2 of the LOAD is in bank 0, lines 2 and 3; word 3 of the row is the upper half of line 3.
    data = np.zeros(128, np.uint8)
    data[2 * 8 + 6] = 0x01
    stream = load(row_beats=2, segment_beats=6)
    for line, words, count in ((2, 4, 63), (3, 2, 31), (3, 1, 16), (2, 3, 48), (0, 4, 64)):
        instructions = [stream, matmul(handover=1, words=words, activation_line=line), programs.binarize(), HALT]
        result = execute(program(WIDE, instructions, data.tobytes()))
        assert result.checksums[1] == plain_checksum([sum(count << 14 * c for c in range(4))])

"""Products of what earlier products wrote: two layers, and attention from its rows to its context, as the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Destination
from sim.machine import Machine
from sim.reference import binarize as reference_bits
from sim.reference import sums as reference_sums
from sim.reference.attention import context, head_threshold, scores
from sim.reference.integers import Codes
from tests.sim.buffers import fill, fill_thresholds, machine, plane
from tests.sim.layers import up
from tests.sim.programs import binarize, matmul

COMMON = {"activation_lines": 512, "weight_lines": 512, "key_lines": 512, "threshold_lines": 64, "output_lines": 256}
ACCELERATORS = [
    Accelerator(rows=4, columns=4, word_bits=8, port_bits=16, **COMMON),
    Accelerator(rows=2, columns=16, word_bits=16, port_bits=8, drain_rows=2, **COMMON),
    Accelerator(rows=16, columns=4, word_bits=4, port_bits=8, drain_rows=4, **COMMON),
]
ACTIVATION, KEY = Destination.ACTIVATION, Destination.KEY


@dataclass(frozen=True)
class Layer:
    """Weights [N, K] and what their sums are compared with."""

    weights: np.ndarray
    thresholds: np.ndarray
    polarity: np.ndarray

    @classmethod
    def random(cls, inputs: int, outputs: int, seed: int) -> Layer:
        """Return a layer whose bits are about half ones."""
        random = np.random.default_rng(seed)
        thresholds = random.integers(-3, 4, outputs)
        return cls(random.integers(0, 2, (outputs, inputs)), thresholds, random.integers(0, 2, outputs, np.uint8))

    def bits(self, x: np.ndarray) -> np.ndarray:
        """Return the bits [M, N] of rows [M, K], as the reference makes them."""
        d = reference_sums(x.astype(np.uint8), self.weights.astype(np.uint8), False)
        bits: np.ndarray = reference_bits(d, self.thresholds, self.polarity)
        return bits


def run_layer(m: Machine, layer: Layer, rows: int, line: int, **binarized: int) -> None:
    """Compute a layer of the rows that stand in the activation buffer from a line on."""
    a = m.accelerator
    outputs, inputs = layer.weights.shape
    lines, groups = up(inputs, a.line_bits), up(outputs, a.columns)
    whole = np.zeros((groups * a.columns, inputs), np.uint8)
    whole[:outputs] = layer.weights
    fill(m, "weight", whole)
    entries = np.zeros((2, groups * a.columns), np.int64)
    entries[:, :outputs] = layer.thresholds, layer.polarity
    fill_thresholds(m, *entries.reshape(2, groups, a.columns))
    words = up(inputs, a.word_bits)
    shape = {"rows": rows, "column_groups": groups}
    strides = {"activation_stride": lines, "weight_stride": lines}
    m.execute(
        matmul(activation_line=line, words=words, pad=words * a.word_bits - inputs, handover=1, **shape, **strides)
    )
    m.execute(binarize(spare=groups * a.columns - outputs, **shape, **binarized))


def filled(a: Accelerator, x: np.ndarray) -> Machine:
    """Return a machine with rows in the activation buffer from line 0 on, and ones in every other place."""
    m = machine(a)
    for buffer in m.buffers.values():
        buffer[:] = 0xFF
    fill(m, "activation", x)
    return m


def d(m: Machine, rows: int, columns: int) -> np.ndarray:
    """Return the D [row, column] of the tiles that were handed over."""
    assert m.drained is not None
    values = m.drained.values().swapaxes(1, 2)
    return values.reshape(values.shape[0] * values.shape[1], -1)[:rows, :columns]


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("shape", [(1, 5, 3), (11, 37, 21), (17, 64, 48)])
def test_layer_behind_a_layer(a: Accelerator, shape: tuple[int, int, int]) -> None:
    rows, inputs, outputs = shape
    x = np.random.default_rng(1).integers(0, 2, (rows, inputs))
    first, second = Layer.random(inputs, outputs, 2), Layer.random(outputs, 9, 3)
    m = filled(a, x)
    run_layer(m, first, rows, 0, destination=ACTIVATION, output_line=300, output_stride=up(outputs, a.line_bits))
    run_layer(m, second, rows, 300, output_stride=up(up(9, a.columns), a.output_line_groups))
    lines = up(up(9, a.columns), a.output_line_groups)
    found = [m.buffers["output"][r % a.rows, r // a.rows * lines :][:lines] for r in range(rows)]
    bits = np.unpackbits(np.array(found).reshape(rows, -1), axis=-1, bitorder="little")
    assert (bits[:, :9] == second.bits(first.bits(x))).all()
    assert not bits[:, 9:].any()


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("rows", [1, 11, 34])
@pytest.mark.parametrize("pieces", [1, 2])
def test_keys_of_a_layer(a: Accelerator, rows: int, pieces: int) -> None:
    # In two pieces, the second one begins in the middle of the banks where the array has fewer rows than columns.
    width = 21
    x, y = np.random.default_rng(4).integers(0, 2, (2, rows, width))
    layer, lines = Layer.random(width, width, 5), up(width, a.line_bits)
    m = filled(a, x)
    cut = min(rows, a.rows) if pieces == 2 else rows
    for low, high in ((0, cut), (cut, rows)):
        if high > low:
            fill(m, "activation", y[low:high], 200)
            far, bank = divmod(low, a.columns)
            operands = {"output_line": 7 + far * lines, "output_bank": bank, "output_stride": lines}
            run_layer(m, layer, high - low, 200, destination=KEY, **operands)
    words, groups = up(width, a.word_bits), up(rows, a.columns)
    shape = {"rows": rows, "column_groups": groups, "words": words, "pad": words * a.word_bits - width}
    m.execute(matmul(keys=1, weight_line=7, handover=1, activation_stride=lines, weight_stride=lines, **shape))
    assert (d(m, rows, rows) == reference_sums(x.astype(np.uint8), layer.bits(y).astype(np.uint8), False)).all()


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize(("tokens", "heads"), [(1, 1), (7, 2), (21, 3), (33, 2)])
def test_attention(a: Accelerator, tokens: int, heads: int) -> None:
    # A head is one line wide. Queries stand in lines 100 on, keys in 0 on, values in 200 on, attention codes in 400 on.
    width = heads * a.line_bits
    x = np.random.default_rng(6).integers(0, 2, (tokens, width))
    query, key, value = (Layer.random(width, width, seed) for seed in (7, 8, 9))
    limits = np.arange(heads) * 2 - 1
    m = filled(a, x)
    token_lines = up(tokens, a.line_bits)
    run_layer(m, query, tokens, 0, destination=ACTIVATION, output_line=100, output_stride=heads)
    run_layer(m, key, tokens, 0, destination=KEY, output_stride=heads)
    run_layer(m, value, tokens, 0, destination=KEY, transpose=1, output_line=200, output_stride=token_lines)
    fill_thresholds(m, np.repeat(limits[:, None], a.columns, axis=1), np.zeros((heads, a.columns)))

    codes = {name: Codes(layer.bits(x), 1, "signed") for name, layer in (("q", query), ("k", key), ("v", value))}
    expected = scores(codes["q"], codes["k"], heads)
    attention = head_threshold(expected, limits)
    expected_context = np.split(context(attention, codes["v"]), heads, axis=1)
    head_groups, token_groups = a.line_bits // a.columns, up(tokens, a.columns)
    for head in range(heads):
        shape = {"rows": tokens, "column_groups": token_groups}
        strides = {"activation_stride": heads, "weight_stride": heads}
        lines = {"activation_line": 100 + head, "weight_line": head}
        m.execute(matmul(keys=1, handover=1, words=a.line_words, **lines, **strides, **shape))
        assert (d(m, tokens, tokens) == expected[head]).all()
        spare = token_groups * a.columns - tokens
        place = {"destination": ACTIVATION, "output_line": 400, "output_stride": token_lines}
        m.execute(binarize(shared=1, threshold_line=head, spare=spare, **place, **shape))
        lines = {"activation_line": 400, "weight_line": 200 + head * head_groups * token_lines}
        strides = {"activation_stride": token_lines, "weight_stride": token_lines}
        shape = {"rows": tokens, "column_groups": head_groups, "words": up(tokens, a.word_bits)}
        m.execute(matmul(keys=1, unsigned=1, handover=1, **lines, **strides, **shape))
        assert (d(m, tokens, a.line_bits) == expected_context[head]).all()
        m.execute(binarize(rows=tokens, column_groups=head_groups, shared=1))


@pytest.mark.parametrize("bits", [2, 4])
def test_attention_of_codes_of_several_bits(bits: int) -> None:
    # Queries, keys and values of several bits are there already, attention codes too: scores, then the context.
    a = ACCELERATORS[0].replace(code_bits=4)
    tokens, width = 11, 30
    random = np.random.default_rng(bits)
    low, high = -(1 << bits - 1), 1 << bits - 1
    q, k, v = (Codes(random.integers(low, high, (tokens, width)), bits, "signed") for _ in range(3))
    attention = Codes(random.integers(0, 2 * high, (1, tokens, tokens)), bits, "unsigned")
    for left, right, expected, signs in (
        (q.numbers, k.numbers, scores(q, k, 1)[0], (1, 1)),
        (attention.numbers[0], v.numbers.T, context(attention, v), (0, 1)),
    ):
        m = machine(a)
        row_lines = up(left.shape[1], a.line_bits)
        for u in range(bits):
            fill(m, "activation", plane(left, bits, u), 64 * u)
            fill(m, "key", plane(right, bits, u), 64 * u)
        words = up(left.shape[1], a.word_bits)
        shape = {"rows": len(left), "column_groups": up(len(right), a.columns), "words": words}
        planes = {"activation_planes": bits, "weight_planes": bits}
        planes |= {"activation_negative": signs[0], "weight_negative": signs[1]}
        strides = {"activation_plane_stride": 64, "weight_plane_stride": 64}
        strides |= {"activation_stride": row_lines, "weight_stride": row_lines}
        m.execute(matmul(unsigned=1, plain=1, keys=1, handover=1, **shape, **planes, **strides))
        assert (d(m, len(left), len(right)) == 2 * expected).all()

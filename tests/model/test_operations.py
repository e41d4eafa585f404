"""Each operation: what its fields may be."""

import numpy as np
import pytest

from model.checks import NetworkError
from model.fields import attributes, tensors
from model.operation import OPERATIONS
from tests.model.small import DEFAULTS, bits, i16, i32, make, operations


def test_the_operations_are_those_of_the_document():
    names = (
        "embed normalise binarize quantize concatenate matmul scores context row_threshold head_threshold requantise"
    )
    assert list(OPERATIONS) == [*names.split(), "add", "maximum", "multiply", "table", "first", "mean", "classify"]
    assert set(DEFAULTS) == set(OPERATIONS)


@pytest.mark.parametrize("op", OPERATIONS)
def test_the_fields_have_a_fixed_order(op):
    kind, made = OPERATIONS[op], make(op)
    given = {key: value for key, value in DEFAULTS[op].items() if key != "sources"}
    assert list(given) == [*attributes(kind), *tensors(kind)]
    assert kind(op, DEFAULTS[op]["sources"], *given.values()) == made
    assert list(made.arrays) == list(tensors(kind))
    assert all(not array.flags.writeable for array in made.arrays.values())


@pytest.mark.parametrize("op", OPERATIONS)
def test_equality_takes_every_field(op):
    made = make(op)
    assert made == make(op)
    assert hash(made) == hash(make(op))
    assert made != make(op, name="other")
    assert made != "text"
    for name, array in made.arrays.items():
        other = array.copy()
        other.flat[-1] ^= 1
        assert made != make(op, **{name: other}), name


def test_arrays_are_copied_unless_they_are_read_only():
    scales = i16(1, 2, 3, 4, 5)
    made = make("embed", scales=scales)
    scales[0] = 9
    assert made.scales.tolist() == [1, 2, 3, 4, 5]
    assert make("embed", scales=made.scales).scales is made.scales


FIELDS = [
    ("add", {"name": "a b"}, "name: must be 1 to 189 letters, digits, '_' or '.', not 'a b'"),
    ("add", {"name": "input"}, "name: must be other than 'input', which is the network's input, not 'input'"),
    ("add", {"sources": ("a",)}, "add.sources: must be 2 names, not ('a',)"),
    ("add", {"sources": "ab"}, "add.sources: must be 2 names, not 'ab'"),
    ("add", {"sources": ("a", 1)}, "add.sources: must be 2 names, not ('a', 1)"),
    ("first", {"sources": ("a", "b")}, "first.sources: must be 1 name, not ('a', 'b')"),
    ("concatenate", {"sources": ("a",)}, "concatenate.sources: must be 2 or more names, not ('a',)"),
    ("embed", {"fraction": 32}, "embed.fraction: must be an integer from 0 to 31, not 32"),
    ("embed", {"fraction": True}, "embed.fraction: must be an integer from 0 to 31, not True"),
    ("embed", {"words": bits(5, 17)}, "embed.words: must be uint8 [5, 2], not uint8 [5, 3]"),
    ("embed", {"words": bits(4, 9)}, "embed.scales: must be int16 [4], not int16 [5]"),
    ("embed", {"words": bits(5, 16) | 128}, "embed.words[0]: must be 0 in the bits after the first 9, not "),
    ("embed", {"words": [[1]]}, "embed.words: must be a numpy array, not a list"),
    ("embed", {"words": np.zeros(5, np.uint8)}, "embed.words: must be uint8 [vocabulary, channels / 8], not uint8 [5]"),
    ("embed", {"scales": i16(1, 2, -3, 4, -5)}, "embed.scales[2]: must be from 0 to 32767, not -3"),
    (
        "embed",
        {"scales": np.zeros(65537, np.int16), "words": bits(65537, 9)},
        "embed.words.shape[0]: must be an integer from 1 to 65536, not 65537",
    ),
    (
        "embed",
        {"positions": np.zeros((1025, 9), np.int16)},
        "embed.positions.shape[0]: must be an integer from 1 to 1024, not 1025",
    ),
    (
        "embed",
        {"positions": np.zeros((1, 4097), np.int16)},
        "embed.positions.shape[1]: must be an integer from 1 to 4096, not 4097",
    ),
    ("embed", {"types": np.zeros((17, 9), np.int16)}, "embed.types.shape[0]: must be an integer from 1 to 16, not 17"),
    ("embed", {"types": np.zeros((2, 8), np.int16)}, "embed.types: must be int16 [2, 9], not int16 [2, 8]"),
    ("normalise", {"epsilon": -1}, "normalise.epsilon: must be an integer from 0 to 2147483647, not -1"),
    ("normalise", {"epsilon": 1 << 31}, "normalise.epsilon: must be an integer from 0 to 2147483647, not 2147483648"),
    ("normalise", {"shift": 0}, "normalise.shift: must be an integer from 1 to 31, not 0"),
    ("normalise", {"shift": 32}, "normalise.shift: must be an integer from 1 to 31, not 32"),
    ("normalise", {"gain": i32(*range(9))}, "normalise.gain: must be int16 [channels], not int32 [9]"),
    ("normalise", {"gain": i16(*range(9)).astype(">i2")}, "normalise.gain: must be int16 [channels], not >i2 [9]"),
    ("normalise", {"offset": i32(1, 2)}, "normalise.offset: must be int32 [9], not int32 [2]"),
    (
        "binarize",
        {"set": "signd"},
        "binarize.set: must be one of signed, unsigned, not 'signd'; did you mean 'signed'?",
    ),
    ("binarize", {"polarity": np.full(9, 2, np.uint8)}, "binarize.polarity[0]: must be 0 or 1, not 2"),
    ("binarize", {"polarity": np.zeros(9, bool)}, "binarize.polarity: must be uint8 [channels], not bool [9]"),
    ("quantize", {"bits": 1}, "quantize.bits: must be one of 2, 4, 8, not 1"),
    ("quantize", {"bits": True}, "quantize.bits: must be one of 2, 4, 8, not True"),
    ("quantize", {"bits": "2"}, "quantize.bits: must be one of 2, 4, 8, not '2'"),
    ("quantize", {"bits": 2.0}, "quantize.bits: must be one of 2, 4, 8, not 2.0"),
    ("quantize", {"shift": -1}, "quantize.shift: must be an integer from 0 to 31, not -1"),
    ("matmul", {"inputs": 0}, "matmul.inputs: must be an integer from 1 to 65535, not 0"),
    ("matmul", {"inputs": 65536}, "matmul.inputs: must be an integer from 1 to 65535, not 65536"),
    ("matmul", {"outputs": 8}, "matmul.weights: must be uint8 [8, 3], not uint8 [9, 3]"),
    ("matmul", {"weights": np.zeros((9, 3), np.int8)}, "matmul.weights: must be uint8 [9, 3], not int8 [9, 3]"),
    (
        "matmul",
        {"weights": np.array([[0, 0, 0]] * 8 + [[0, 0, 4]], np.uint8)},
        "matmul.weights[8]: must be 0 in the bits after the first 18, not 4",
    ),
    ("scores", {"heads": 257}, "scores.heads: must be an integer from 1 to 256, not 257"),
    ("scores", {"heads": 0}, "scores.heads: must be an integer from 1 to 256, not 0"),
    ("row_threshold", {"bits": 3}, "row_threshold.bits: must be one of 1, 2, 4, 8, not 3"),
    ("row_threshold", {"bits": 1}, "row_threshold.levels: must be 1 level for 1-bit codes, not 3"),
    ("row_threshold", {"multiplier": -1}, "row_threshold.multiplier: must be an integer from 0 to 65535, not -1"),
    ("row_threshold", {"multiplier": 65536}, "row_threshold.multiplier: must be an integer from 0 to 65535, not 65536"),
    ("row_threshold", {"table": np.zeros(0, np.uint16)}, "row_threshold.table.shape[0]: must be an integer from 1 to "),
    (
        "row_threshold",
        {"table": np.full(65537, 65535, np.uint16)},
        "row_threshold.table.shape[0]: must be an integer from 1 to 65536, not 65537",
    ),
    ("row_threshold", {"table": np.array([65534], np.uint16)}, "row_threshold.table[0]: must be 65535, not 65534"),
    (
        "row_threshold",
        {"table": np.array([65535, 7, 8], np.uint16)},
        "row_threshold.table[2]: must be at most the entry before, not 8",
    ),
    ("row_threshold", {"levels": i32(0, 2, 1)}, "row_threshold.levels[2]: must be at least the level before, not 1"),
    ("row_threshold", {"levels": i32(-1, 2, 3)}, "row_threshold.levels[0]: must be from 0 to 2097152, not -1"),
    (
        "row_threshold",
        {"levels": i32(0, 2, (1 << 21) + 1)},
        "row_threshold.levels[2]: must be from 0 to 2097152, not 2097153",
    ),
    ("table", {"shift": 9}, "table.shift: must be an integer from 0 to 8, not 9"),
    ("table", {"entries": i16(*range(256))}, "table.entries: must be int16 [257], not int16 [256]"),
    (
        "classify",
        {"weights": np.zeros((1025, 9), np.int8)},
        "classify.weights.shape[0]: must be an integer from 1 to 1024, not 1025",
    ),
    ("classify", {"bias": i32(1)}, "classify.bias: must be int32 [3], not int32 [1]"),
]


@pytest.mark.parametrize(("op", "changes", "message"), FIELDS, ids=range(len(FIELDS)))
def test_a_wrong_field(op, changes, message):
    with pytest.raises(NetworkError) as error:
        make(op, **changes)
    assert "\n" not in str(error.value)
    if message.endswith(" "):
        assert str(error.value).startswith(message)
    else:
        assert str(error.value) == message


def test_the_smallest_and_the_largest_fields():
    make("normalise", gain=i16(-32768), offset=i32(-(1 << 31)), epsilon=0, shift=1)
    make("normalise", gain=i16(32767), offset=i32((1 << 31) - 1), epsilon=(1 << 31) - 1, shift=31)
    make("row_threshold", bits=1, table=np.full(65536, 65535, np.uint16), levels=i32(1 << 21))
    make("row_threshold", bits=8, table=np.array([65535], np.uint16), levels=np.zeros(255, np.int32))
    make(
        "embed",
        words=bits(65536, 1),
        scales=np.zeros(65536, np.int16),
        positions=i16(0)[:, None],
        types=i16(0)[:, None],
    )
    make("classify", weights=np.full((1024, 4096), -128, np.int8), bias=np.zeros(1024, np.int32))


def test_sizes():
    assert make("embed").sizes == {"fraction": 8, "vocabulary": 5, "positions": 4, "channels": 9, "types": 2}
    assert list(make("embed").size_bits()) == [
        ("embedding", 45),
        ("embedding", 80),
        ("positions", 4 * 9 * 16),
        ("positions", 2 * 9 * 16),
    ]
    assert list(make("matmul").size_bits()) == [("weights", 9 * 18)]
    assert list(make("binarize").size_bits()) == [("thresholds", 9 * 32), ("thresholds", 9)]
    assert list(make("classify").size_bits()) == [("classifier", 27 * 8), ("classifier", 96)]
    assert [part for at in operations() for part, _ in at.size_bits() if at.op == "row_threshold"] == ["tables"] * 2

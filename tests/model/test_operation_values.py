"""Each operation: what value it gives for which sources, and which sources it refuses."""

import numpy as np
import pytest

from model.checks import NetworkError
from model.values import Value, codes, tokens
from tests.model.small import bits, i16, i32, make

FIXED = Value("fixed", channels=9, rows=4, fraction=8)
SUMS = Value("sums", channels=9, rows=4, bound=40)
ONE_ROW = Value("fixed", channels=9, rows=1, fraction=8)
SIGNED, UNSIGNED = codes(9, "signed", 1, 4), codes(9, "unsigned", 1, 4)
SCORES = Value("sums", rows=4, heads=3, bound=3)
ATTENTION = Value("codes", rows=4, heads=3, set="unsigned", bits=2)

RESULTS = [
    ("embed", {}, [tokens(4)], FIXED),
    ("embed", {"fraction": 3}, [tokens(2)], Value("fixed", channels=9, rows=2, fraction=3)),
    ("normalise", {"fraction": 2}, [FIXED], Value("fixed", channels=9, rows=4, fraction=2)),
    ("binarize", {}, [FIXED], SIGNED),
    ("binarize", {"thresholds": np.full(9, 32768, np.int32)}, [FIXED], SIGNED),
    (
        "binarize",
        {"thresholds": np.full(9, -32768, np.int32), "set": "unsigned"},
        [ONE_ROW],
        codes(9, "unsigned", 1, 1),
    ),
    ("binarize", {"thresholds": np.full(9, 41, np.int32)}, [SUMS], SIGNED),
    ("binarize", {"thresholds": np.full(9, -40, np.int32)}, [SUMS], SIGNED),
    ("quantize", {}, [FIXED], codes(9, "signed", 2, 4)),
    ("quantize", {"set": "unsigned", "bits": 8}, [SUMS], codes(9, "unsigned", 8, 4)),
    ("concatenate", {"sources": ("a", "b", "c")}, [SIGNED] * 3, codes(27, "signed", 1, 4)),
    ("matmul", {}, [codes(18, "signed", 1, 4)], Value("sums", channels=9, rows=4, bound=18)),
    ("matmul", {}, [codes(18, "unsigned", 1, 4)], Value("sums", channels=9, rows=4, bound=18)),
    ("matmul", {}, [codes(18, "signed", 8, 4)], Value("sums", channels=9, rows=4, bound=18 * 128)),
    ("matmul", {}, [codes(18, "unsigned", 8, 4)], Value("sums", channels=9, rows=4, bound=18 * 255)),
    ("scores", {}, [SIGNED, SIGNED], SCORES),
    ("scores", {}, [codes(9, "signed", 4, 4), codes(9, "unsigned", 2, 4)], Value("sums", rows=4, heads=3, bound=72)),
    ("context", {}, [ATTENTION, codes(9, "signed", 2, 4)], Value("sums", channels=9, rows=4, bound=4 * 3 * 2)),
    ("row_threshold", {}, [SCORES], ATTENTION),
    ("head_threshold", {}, [SCORES], Value("codes", rows=4, heads=3, set="unsigned", bits=1)),
    (
        "head_threshold",
        {"thresholds": i32(-3, 4, 0)},
        [SCORES],
        Value("codes", rows=4, heads=3, set="unsigned", bits=1),
    ),
    ("requantise", {}, [SUMS], FIXED),
    ("add", {}, [FIXED, FIXED], FIXED),
    ("add", {}, [Value("fixed", channels=12, rows=4, fraction=8), FIXED], FIXED),
    ("maximum", {}, [FIXED, Value("fixed", channels=12, rows=4, fraction=8)], FIXED),
    ("multiply", {"fraction": 1}, [FIXED, FIXED], Value("fixed", channels=9, rows=4, fraction=1)),
    ("table", {"fraction": 0}, [FIXED], Value("fixed", channels=9, rows=4, fraction=0)),
    ("first", {}, [FIXED], ONE_ROW),
    ("first", {}, [SIGNED], codes(9, "signed", 1, 1)),
    ("mean", {}, [FIXED], ONE_ROW),
    ("mean", {}, [ONE_ROW], ONE_ROW),
    ("classify", {}, [ONE_ROW], Value("logits", channels=3, rows=1)),
]


@pytest.mark.parametrize(("op", "changes", "sources", "result"), RESULTS, ids=range(len(RESULTS)))
def test_results(op, changes, sources, result):
    assert make(op, **changes).result(sources) == result


SOURCES = [
    ("embed", {}, [FIXED], "embed.sources[0]: must be tokens, not the fixed [n, 9] with 8 fraction bits of 'input'"),
    ("embed", {}, [tokens(5)], "embed.positions: must be at least 5, the rows of the network's input, not 4"),
    ("normalise", {}, [SUMS], "normalise.sources[0]: must be fixed, not the sums [n, 9] of 'embed'"),
    (
        "normalise",
        {"gain": i16(1), "offset": i32(1)},
        [FIXED],
        "normalise.sources[0]: must be of 1 channel, not the fixed [n, 9] with 8 fraction bits of 'embed'",
    ),
    (
        "binarize",
        {},
        [SCORES],
        "binarize.sources[0]: must be fixed or sums, not the scores [3, n, n] of 'normalise'",
    ),
    ("binarize", {}, [SIGNED], "binarize.sources[0]: must be fixed or sums, not the signed 1-bit codes [n, 9] of 'n"),
    (
        "binarize",
        {"thresholds": np.array([0] * 8 + [32769], np.int32)},
        [FIXED],
        "binarize.thresholds[8]: must be from -32768 to 32768, not 32769",
    ),
    (
        "binarize",
        {"thresholds": np.array([-41] * 9, np.int32)},
        [SUMS],
        "binarize.thresholds[0]: must be from -40 to 41, not -41",
    ),
    (
        "quantize",
        {},
        [codes(3, "signed")],
        "quantize.sources[0]: must be fixed or sums, not the signed 1-bit codes [n, 3] of 'normalise'",
    ),
    (
        "concatenate",
        {},
        [SIGNED, UNSIGNED],
        "concatenate.sources[1]: must be signed 1-bit codes as 'binarize' is, not the unsigned 1-bit codes [n, 9] of '",
    ),
    (
        "concatenate",
        {"sources": ("a", "b")},
        [SIGNED, codes(9, "signed", 2, 4)],
        "concatenate.sources[1]: must be signed 1-bit codes as 'a' is, not the signed 2-bit codes [n, 9] of 'b'",
    ),
    (
        "concatenate",
        {"sources": ("a", "b", "c")},
        [SIGNED, SIGNED, FIXED],
        "concatenate.sources[2]: must be codes, not the fixed [n, 9] with 8 fraction bits of 'c'",
    ),
    (
        "concatenate",
        {"sources": ("a", "b")},
        [codes(40000, "signed")] * 2,
        "concatenate.sources: must be of at most 65535 channels together, not 80000",
    ),
    (
        "concatenate",
        {"sources": ("a", "b")},
        [SIGNED, codes(9, "signed", 1, 1)],
        "concatenate.sources[1]: must be of n rows as 'a' is, not the signed 1-bit codes [1, 9] of 'b'",
    ),
    ("matmul", {}, [SIGNED], "matmul.sources[0]: must be of 18 channels, not the signed 1-bit codes [n, 9] of 'conc"),
    (
        "matmul",
        {},
        [ATTENTION],
        "matmul.sources[0]: must be codes, not the unsigned 2-bit attention codes [3, n, n] of 'concatenate'",
    ),
    (
        "scores",
        {"heads": 2},
        [SIGNED, SIGNED],
        "scores.sources[0]: must be of channels that 2 divides, not the signed 1-bit codes [n, 9] of 'binarize'",
    ),
    (
        "scores",
        {},
        [SIGNED, codes(12, "signed", 1, 4)],
        "scores.sources[1]: must be of 9 channels, not the signed 1-bit codes [n, 12] of 'binarize'",
    ),
    (
        "scores",
        {"heads": 1},
        [codes(33026, "unsigned", 8)] * 2,
        "scores: must be of sums of at most 2147483647, which 32 bits hold, not 2147515650",
    ),
    (
        "context",
        {},
        [SIGNED, SIGNED],
        "context.sources[0]: must be attention codes, not the signed 1-bit codes [n, 9] of 'row_threshold'",
    ),
    (
        "context",
        {},
        [ATTENTION, codes(10, "signed", 1, 4)],
        "context.sources[1]: must be of channels that 3 divides, not the signed 1-bit codes [n, 10] of 'quantize'",
    ),
    ("row_threshold", {}, [SUMS], "row_threshold.sources[0]: must be scores, not the sums [n, 9] of 'scores'"),
    (
        "head_threshold",
        {"thresholds": i32(0)},
        [SCORES],
        "head_threshold.sources[0]: must be of 1 head, not the scores [3, n, n] of 'scores'",
    ),
    (
        "head_threshold",
        {"thresholds": i32(0, 5, 0)},
        [SCORES],
        "head_threshold.thresholds[1]: must be from -3 to 4, not 5",
    ),
    (
        "requantise",
        {},
        [FIXED],
        "requantise.sources[0]: must be sums, not the fixed [n, 9] with 8 fraction bits of 'con",
    ),
    (
        "add",
        {},
        [FIXED, Value("fixed", channels=9, rows=4, fraction=7)],
        "add.sources[1]: must be fixed with 8 fraction bits, not the fixed [n, 9] with 7 fraction bits of 'requantise'",
    ),
    (
        "maximum",
        {},
        [FIXED, Value("fixed", channels=9, rows=4, fraction=7)],
        "maximum.sources[1]: must be fixed with 8 fraction bits, not the fixed [n, 9] with 7 fraction bits of 'norma",
    ),
    (
        "multiply",
        {},
        [ONE_ROW, FIXED],
        "multiply.sources[1]: must be of one row as 'maximum' is, not the fixed [n, 9] with 8 fraction bits of 'add'",
    ),
    ("first", {}, [SUMS], "first.sources[0]: must be codes or fixed, not the sums [n, 9] of 'table'"),
    ("first", {}, [tokens(4)], "first.sources[0]: must be codes or fixed, not the tokens [n] of 'table'"),
    ("mean", {}, [SIGNED], "mean.sources[0]: must be fixed, not the signed 1-bit codes [n, 9] of 'table'"),
    ("mean", {}, [SUMS], "mean.sources[0]: must be fixed, not the sums [n, 9] of 'table'"),
    (
        "classify",
        {},
        [FIXED],
        "classify.sources[0]: must be of one row, as first or mean gives it, not the fixed [n, 9] with 8 fraction bits",
    ),
    (
        "classify",
        {},
        [Value("logits", channels=3)],
        "classify.sources[0]: must be fixed, not the logits [3] of 'larger'",
    ),
]


@pytest.mark.parametrize(("op", "changes", "sources", "message"), SOURCES, ids=range(len(SOURCES)))
def test_a_wrong_source(op, changes, sources, message):
    with pytest.raises(NetworkError) as error:
        make(op, **changes).result(sources)
    assert str(error.value).startswith(message) and len(str(error.value)) < len(message) + 20


def test_the_largest_sums_that_are_legal():
    made = make("scores", heads=1).result([codes(33025, "unsigned", 8)] * 2)
    assert made.bound == 33025 * 255 * 255 <= (1 << 31) - 1
    widest = make("matmul", inputs=65535, outputs=1, weights=bits(1, 65535)).result([codes(65535, "unsigned", 8)])
    assert widest.bound == 65535 * 255

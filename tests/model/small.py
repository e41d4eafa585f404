"""One small operation of each kind, and a small whole network of all of them, to be changed by the tests."""

import numpy as np

from model import synthetic
from model.bits import pack
from model.network import Member, Network
from model.operation import OPERATIONS
from model.values import tokens


def i16(*numbers):
    return np.array(numbers, np.int16)


def i32(*numbers):
    return np.array(numbers, np.int32)


def bits(rows, columns, seed=0):
    """Return packed rows of random bits."""
    return pack(synthetic.bits(f"small {seed}", rows, columns))


def draw(low, high, shape, dtype=np.int16):
    """Return random integers from low to high."""
    numbers = synthetic.words("small", int(np.prod(shape))).astype(np.int64)
    return (low + numbers % (high - low + 1)).reshape(shape).astype(dtype)


DEFAULTS = {
    "embed": {
        "sources": ("input",),
        "fraction": 8,
        "words": bits(5, 9),
        "scales": i16(100, 0, 7, 300, 32767),
        "positions": draw(-200, 200, (4, 9)),
        "types": draw(-20, 20, (2, 9)),
    },
    "normalise": {
        "sources": ("embed",),
        "fraction": 8,
        "epsilon": 1,
        "shift": 14,
        "gain": draw(500, 1500, 9),
        "offset": draw(-(1 << 20), 1 << 20, 9, np.int32),
    },
    "binarize": {
        "sources": ("normalise",),
        "set": "signed",
        "thresholds": draw(-99, 99, 9, np.int32),
        "polarity": np.array([0, 1, 0, 0, 1, 0, 0, 0, 1], np.uint8),
    },
    "quantize": {
        "sources": ("normalise",),
        "set": "signed",
        "bits": 2,
        "shift": 6,
        "multiplier": draw(-2, 2, 9),
        "addend": draw(-9, 9, 9, np.int32),
    },
    "concatenate": {"sources": ("binarize", "binarize")},
    "matmul": {"sources": ("concatenate",), "inputs": 18, "outputs": 9, "weights": bits(9, 18, 3)},
    "scores": {"sources": ("binarize", "binarize"), "heads": 3},
    "row_threshold": {
        "sources": ("scores",),
        "bits": 2,
        "multiplier": 1,
        "shift": 1,
        "table": np.array([65535, 30000, 30000, 0], np.uint16),
        "levels": i32(1 << 17, 1 << 18, 1 << 19),
    },
    "context": {"sources": ("row_threshold", "quantize")},
    "head_threshold": {"sources": ("scores",), "thresholds": i32(-1, 1, 3)},
    "requantise": {
        "sources": ("context",),
        "fraction": 8,
        "shift": 3,
        "multiplier": draw(-300, 300, 9),
        "addend": draw(-99, 99, 9, np.int32),
    },
    "add": {"sources": ("normalise", "requantise")},
    "maximum": {"sources": ("add", "normalise")},
    "multiply": {"sources": ("maximum", "add"), "fraction": 8, "shift": 8},
    "table": {"sources": ("multiply",), "fraction": 8, "shift": 2, "entries": draw(-999, 999, 257)},
    "first": {"sources": ("table",)},
    "mean": {"sources": ("table",)},
    "classify": {
        "sources": ("larger",),
        "shift": 4,
        "weights": draw(-99, 99, (3, 9), np.int8),
        "bias": i32(-1, 0, 1),
    },
}


def make(op, **changes):
    """Return the small operation of a kind, with changes."""
    return OPERATIONS[op](**{"name": op, **DEFAULTS[op], **changes})


def operations(**changes):
    """Return operations of every kind, in order; `changes` maps an op to the changes of its operation."""
    second = make("context", name="second", sources=("head_threshold", "binarize"))
    wide = make("requantise", name="wide", sources=("second",))
    third = make("requantise", name="third", sources=("matmul",))
    names = [
        "embed",
        "normalise",
        "binarize",
        "quantize",
        "concatenate",
        "matmul",
        "scores",
        "row_threshold",
        "context",
    ]
    start = [make(op, **changes.get(op, {})) for op in [*names, "head_threshold", "requantise"]]
    sums = [
        make("add", name="sum", sources=("wide", "third")),
        make("add", name="total", sources=("sum", "requantise")),
    ]
    changes.setdefault("add", {}).setdefault("sources", ("normalise", "total"))
    end = [make(op, **changes.get(op, {})) for op in ("add", "maximum", "multiply", "table", "first", "mean")]
    larger = make("maximum", name="larger", sources=("first", "mean"))
    return (*start, second, wide, third, *sums, *end, larger, make("classify", **changes.get("classify", {})))


def whole(**changes):
    """Return a network of every operation, with two members that share all of it."""
    values = {
        "operations": operations(),
        "input": tokens(4),
        "members": (Member("one", "classify", 300, 8, 1000), Member("two", "classify", 200, 8, 500)),
        "vote": "soft",
        "labels": ("bad", "so so", "good"),
        "tokenizer": b"[CLS]\n[SEP]\n",
        "provenance": {"source": "made up"},
    }
    return Network(**{**values, **changes})

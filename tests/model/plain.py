"""What the tests of torch's integer kernels share: values by hand, one operation at a time, and plain arithmetic."""

import numpy as np
import torch

from model.integer import split, units
from model.integer_kernels import float_dtype, kernel
from model.integer_layout import Batch
from model.values import Value

CPU = torch.device("cpu")


def fixed(channels, rows=4, fraction=8):
    return Value("fixed", channels=channels, rows=rows, fraction=fraction)


def sums(channels, bound, rows=4):
    return Value("sums", channels=channels, rows=rows, bound=bound)


def scores(heads, bound, rows=4):
    return Value("sums", heads=heads, rows=rows, bound=bound)


def held(value, array):
    """Return a value as the kernels hold it."""
    tensor = torch.tensor(np.asarray(array), dtype=torch.int64)
    if value.kind == "codes":
        return units(value, tensor)
    return tensor.to(torch.int32 if value.kind == "fixed" else float_dtype(value))


def compute(operation, *sources, lengths=None):
    """Return what an operation gives for pairs of a value and its rows, one sentence unless lengths are given."""
    values = [value for value, _ in sources]
    batch = Batch.of(lengths or [len(sources[0][1])], CPU)
    result = operation.result(values)
    tensor = kernel(operation, values, result, CPU)(batch, *(held(value, array) for value, array in sources))
    found = split(batch, result, tensor)
    return found[0].tolist() if lengths is None else [each.tolist() for each in found]


def round_shift(x, s):
    return (x + 2 ** (s - 1)) >> s if s else x


def sat(x, bits=16):
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, x))

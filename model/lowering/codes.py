"""Codes: what a quantizer of training becomes.

One bit is a threshold and a polarity for each channel, proved on every integer that can reach it; more bits are one
affine map. Where neither is the form of the float operations, as the dip of a gelu makes it, the value goes through a
table first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from model.binary import ElasticBinarizer
from model.integer_kernels import float_dtype, kernel
from model.lowering.builder import Builder
from model.lowering.folding import Form, Integers, NoThresholdError, count_differences, fold, prove
from model.lowering.formats import affine, fraction_for
from model.lowering.report import CodesEntry
from model.lowering.sources import Codes, Source, fixed_source, make_requantise
from model.lowering.tables import LARGEST_PIECE, entries
from model.operation import Operation
from model.operations import Binarize, Quantize, Table
from model.quantizer import UniformQuantizer

Quantizer = ElasticBinarizer | UniformQuantizer
# Fractions that a sum may get on its way to a table of 256 pieces: from pieces of 1 over +-128 to 1/64 over +-2.
_FRACTIONS = range(8, 15)
_LEAST_RANGE = 2.0**-5
# On up to so many integers codes that are no exact fold are compared with their float form, and on how many to choose
# between several ways to them.
_MOST_COMPARED = 1 << 13
_MOST_TRIED = 1 << 10


class _Made(NamedTuple):
    """Operations whose last one gives codes, and what the report says about them."""

    operations: Sequence[Operation]
    entry: CodesEntry


@torch.no_grad()
def encode(builder: Builder, name: str, source: Source, quantizer: Quantizer) -> Codes:
    """Add what a quantizer makes of a source, in integers."""
    made = _make(builder, name, source, quantizer)
    for operation in made.operations:
        builder.add(operation)
    builder.note(made.entry)
    return Codes(name, quantizer.positive_alpha().detach())


def _make(builder: Builder, name: str, source: Source, quantizer: Quantizer) -> _Made:
    if isinstance(quantizer, UniformQuantizer):
        affine_form = source.function is None or _is_absorbed(source, quantizer)
        return (_quantize if affine_form else _tabulate)(builder, name, source, quantizer)
    try:
        return _binarize(builder, name, source, quantizer)
    except NoThresholdError:
        if source.function is None:
            raise
        return _tabulate(builder, name, source, quantizer)


def _form(source: Source, quantizer: Quantizer) -> Form:
    return lambda x: quantizer.units(source.floats(x))


def _binarize(builder: Builder, name: str, source: Source, quantizer: Quantizer) -> _Made:
    form, domain, channels = _form(source, quantizer), source.domain(builder), source.channels
    folded = fold(name, domain, form, channels)
    prove(name, domain, form, folded)
    entry = CodesEntry(name, "thresholds", channels, folded.constant, 0, channels * len(domain))
    return _Made([Binarize(name, (source.name,), quantizer.set, folded.thresholds, folded.polarity)], entry)


def _quantize(builder: Builder, name: str, source: Source, quantizer: UniformQuantizer) -> _Made:
    alpha = quantizer.positive_alpha().double().item()
    beta = quantizer.beta.detach().double().expand(source.channels).numpy()
    form = affine(source.scale / alpha, (source.offset - beta) / alpha)
    operands = (quantizer.set, quantizer.bits, form.shift, form.multiplier, form.addend)
    operations = [Quantize(name, (source.name,), *operands)]
    return _Made(operations, _compare(builder, "affine", operations, source, quantizer))


def _is_absorbed(source: Source, quantizer: UniformQuantizer) -> bool:
    """Return whether the clamp of the codes does what the function does: a relu, where 0 has the lowest code."""
    zero = quantizer.units(torch.zeros(1, source.channels))
    return source.function == "relu" and bool((zero == quantizer.low).all())


def _tabulate(builder: Builder, name: str, source: Source, quantizer: Quantizer) -> _Made:
    """Return a table of the source's function and codes of its values: of all ways the one that differs least."""
    fraction = fraction_for(name, max(_range(quantizer), _LEAST_RANGE))
    fronts = list(_fronts(builder, name, source, fraction))
    # The values have one format, whatever the way to them.
    branch = builder.branch()
    for operation in fronts[0]:
        branch.add(operation)
    last = _make(branch, name, fixed_source(branch, f"{name}.values"), quantizer).operations
    ways = [[*front, *last] for front in fronts]
    best = min(ways, key=lambda way: _compare(builder, "table", way, source, quantizer, _MOST_TRIED).different)
    return _Made(best, _compare(builder, "table", best, source, quantizer))


def _fronts(builder: Builder, name: str, source: Source, fraction: int) -> Iterator[list[Operation]]:
    """Yield operations that end with a table `<name>.values` of the source's function."""
    function, target = source.function or "identity", f"{name}.values"
    value = builder.values[source.name]
    if value.kind == "fixed":
        for shift in range(LARGEST_PIECE + 1):
            points = entries(function, value.fraction, fraction, shift)
            yield [Table(target, (source.name,), fraction, shift, points)]
        return
    for before in _FRACTIONS:
        points = entries(function, before, fraction, LARGEST_PIECE)
        front = make_requantise(f"{name}.fixed", source, before)
        yield [front, Table(target, (front.name,), fraction, LARGEST_PIECE, points)]


def _range(quantizer: Quantizer) -> float:
    """Return up to what absolute value the values before a quantizer decide on a code, with a margin."""
    alpha, beta = quantizer.positive_alpha().item(), quantizer.beta.detach().abs().max().item()
    if isinstance(quantizer, UniformQuantizer):
        return beta + alpha * (max(-quantizer.low, quantizer.high) + 1)
    return 2 * (beta + (alpha / 2 if quantizer.set == "unsigned" else 0))


def _compare(
    builder: Builder,
    form: str,
    operations: Sequence[Operation],
    source: Source,
    quantizer: Quantizer,
    most: int = _MOST_COMPARED,
) -> CodesEntry:
    """Return the entry of codes that operations make of a source, compared with the float form."""
    run, domain = _runner(builder, operations, source), source.domain(builder).thinned(most)
    different = count_differences(domain, _form(source, quantizer), run, source.channels)
    ends = run(np.array([domain.low, domain.high]))
    constant = int((ends[0] == ends[1]).sum()) if form == "affine" else 0
    return CodesEntry(operations[-1].name, form, source.channels, constant, different, source.channels * len(domain))


def _runner(builder: Builder, operations: Sequence[Operation], source: Source) -> Callable[[Integers], Integers]:
    """Return a chain of operations as a function of the source's integers [any] to [any, channels]."""
    values, kernels = dict(builder.values), []
    for operation in operations:
        sources = [values[name] for name in operation.sources]
        values[operation.name] = operation.result(sources)
        kernels.append(kernel(operation, sources, values[operation.name], torch.device("cpu")))
    value = values[source.name]
    dtype = torch.int32 if value.kind == "fixed" else float_dtype(value)

    def run(x: Integers) -> Integers:
        held = torch.from_numpy(x)[:, None].expand(-1, source.channels).to(dtype)
        for function in kernels:
            held = function(None, held)
        return held.numpy().astype(np.int64)

    return run

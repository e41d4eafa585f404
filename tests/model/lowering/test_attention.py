import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from model.lowering.attention import lower_attention
from model.lowering.builder import Builder
from model.lowering.report import CodesEntry, ExponentialsEntry
from model.shape import Precision
from model.values import Value
from sim.reference import attention as reference
from tests.model.lowering.members import make_member, make_shape


def lowered(steps=2, **changes):
    """Return the attention of a member, its operations by their short names, and its builder."""
    member = make_member(make_shape(**changes), seed=5, steps=steps)
    builder = Builder(10)
    builder.values["x"] = Value("fixed", channels=24, rows=10, fraction=12)
    sums = lower_attention(builder, "a", member.layers[0].attention, "x")
    assert sums.name == "a.output"
    return member.layers[0].attention, {o.name.removeprefix("a."): o for o in builder.operations}, builder


def test_operations_follow_the_document():
    _, found, _ = lowered()
    kinds = {name: (operation.op, *operation.sources) for name, operation in found.items()}
    for part in ("query", "key", "value"):
        assert kinds[f"{part}.input"] == ("binarize", "x")
        assert kinds[part] == ("matmul", f"a.{part}.input")
        assert kinds[f"{part}.codes"] == ("binarize", f"a.{part}")
    assert kinds["scores"] == ("scores", "a.query.codes", "a.key.codes")
    assert kinds["codes"] == ("row_threshold", "a.scores")
    assert kinds["context"] == ("context", "a.codes", "a.value.codes")
    assert kinds["output.input"] == ("binarize", "a.context")
    assert kinds["output"] == ("matmul", "a.output.input")


def test_split_weights_read_their_codes_twice():
    _, found, _ = lowered(split=True)
    assert found["query.twice"].sources == ("a.query.input", "a.query.input")
    assert found["query"].inputs == 48


def test_table_and_levels_are_those_of_the_quantizers():
    attention, found, builder = lowered()
    query, key = (attention.get_submodule(f"{part}_out").positive_alpha().item() for part in ("query", "key"))
    operation = found["codes"]
    step = 2 * query * key / math.sqrt(8)
    assert (operation.multiplier, operation.shift, len(operation.table)) == (1, 1, 9)
    exact = 65535 * np.exp(-step * np.arange(9))
    assert np.abs(operation.table - exact).max() <= 0.5 + 1e-6
    quantizer = attention.codes.quantizer
    level = Fraction(quantizer.beta.item()) + Fraction(quantizer.alpha.item()) / 2
    assert operation.levels.tolist() == [min(max(math.floor(level * 2**20 + Fraction(1, 2)), 0), 2**21)]
    (entry,) = builder.noted(ExponentialsEntry)
    assert (entry.name, entry.entries) == ("a.codes", 9)
    assert entry.step == pytest.approx(step, rel=1e-12)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_codes_are_those_of_a_softmax_but_for_near_ties(bits):
    precision = Precision.uniform(1, 1, bits)
    attention, found, builder = lowered(precision=precision)
    operation, bound = found["codes"], builder.values["a.scores"].bound
    random = np.random.default_rng(bits)
    scores = random.integers(-bound // 2, bound // 2 + 1, (3, 400, 10))
    scores = 2 * (scores // 2) if bits == 1 else scores
    quantizer = attention.codes.quantizer
    with torch.no_grad():
        query, key = (attention.get_submodule(f"{part}_out").positive_alpha() for part in ("query", "key"))
        floats = torch.tensor(scores, dtype=torch.float32) * (query * key) * (1 / math.sqrt(8))
        expected = quantizer.units(floats.softmax(-1)).numpy()
    parts = (bits, operation.multiplier, operation.shift, operation.table, operation.levels)
    found_codes = reference.row_threshold(scores, *parts).numbers
    different = found_codes != expected
    assert np.abs(found_codes - expected).max() <= 1
    assert different.mean() < {1: 0.0005, 2: 0.002, 4: 0.01, 8: 0.2}[bits]


def test_boolean_attention_has_the_threshold_1():
    for few in (1, 4):
        _, found, builder = lowered(attention="boolean", precision=Precision(query_key=few))
        assert found["codes"].thresholds.tolist() == [1, 1, 1]
        entry = next(entry for entry in builder.noted(CodesEntry) if entry.name == "a.codes")
        assert (entry.form, entry.different, entry.channels) == ("thresholds", 0, 3)


@pytest.mark.parametrize("few", [1, 4])
def test_learned_thresholds_are_the_least_scores_that_fire(few):
    attention, found, builder = lowered(attention="threshold", precision=Precision(query_key=few))
    quantizer, bound = attention.codes.quantizer, builder.values["a.scores"].bound
    query, key = (attention.get_submodule(f"{part}_out").positive_alpha() for part in ("query", "key"))
    sums = torch.arange(-bound, bound + 1, 2 if few == 1 else 1)
    with torch.no_grad():
        scores = sums.float() * (query * key) * (1 / math.sqrt(8))
        fires = scores - quantizer.beta[:, 0] >= quantizer.positive_alpha() / 2  # [heads, sums]
    assert fires.shape == (3, len(sums))
    exact = (sums >= torch.tensor(found["codes"].thresholds)[:, None]).numpy()
    assert np.array_equal(exact, fires.numpy())


@pytest.mark.parametrize(("value", "attended"), [(1, 1), (2, 4)])
def test_context_folds_over_the_longest_sentence(value, attended):
    attention, found, builder = lowered(precision=Precision(value=value, attention=attended))
    bound = 10 * (2**attended - 1) * (1 if value == 1 else 2 ** (value - 1))
    assert builder.values["a.context"].bound == bound
    operation, sums = found["output.input"], torch.arange(-bound, bound + 1)
    with torch.no_grad():
        alpha = attention.get_submodule("value_out").positive_alpha()
        floats = sums[:, None].float() * alpha * attention.codes.quantizer.positive_alpha()
        expected = attention.context.units(floats.expand(-1, 24)).numpy() > 0
    found_bits = (sums[:, None].numpy() >= operation.thresholds) ^ (operation.polarity == 1)
    assert np.array_equal(found_bits, expected)

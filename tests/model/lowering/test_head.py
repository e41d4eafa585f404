import numpy as np
import pytest
import torch

from model.lowering.builder import Builder
from model.lowering.head import lower_head
from model.lowering.report import LogitsEntry
from model.values import Value
from tests.model.lowering.members import make_member, make_shape


def lowered(change=None, largest=3.0, fraction=12, **changes):
    """Return the head's operations by name, its builder and its member."""
    member = make_member(make_shape(**changes), seed=2, steps=1)
    with torch.no_grad():
        if change is not None:
            change(member.classifier)
    builder = Builder(10)
    builder.values["x"] = Value("fixed", channels=24, rows=10, fraction=fraction)
    entry = lower_head(builder, "m", member, "x", {"pooler": largest}, 1.5)
    return {operation.name: operation for operation in builder.operations}, builder, member, entry


def test_operations_follow_the_document():
    found, builder, _, entry = lowered()
    assert [operation.op for operation in found.values()] == [
        "first",
        "binarize",
        "matmul",
        "requantise",
        "table",
        "classify",
    ]
    assert entry.name == "m.logits"
    assert builder.noted(LogitsEntry) == (entry,)


@pytest.mark.parametrize(("largest", "fraction"), [(0.5, 15), (2.0, 13), (3.9, 12), (1000.0, 12)])
def test_the_pooler_has_the_format_of_its_range_up_to_where_tanh_is_flat(largest, fraction):
    found, _, _, _ = lowered(largest=largest)
    assert found["m.pooler.fixed"].fraction == fraction
    assert found["m.pooler.tanh"].fraction == 14


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_the_pooled_row_keeps_the_format_of_the_last_layer(pooling):
    found, builder, _, _ = lowered(pooling=pooling)
    row = builder.values[f"m.{pooling}"]
    assert (row.rows, row.fraction, found["m.pooler.input"].sources) == (1, 12, (f"m.{pooling}",))
    assert next(iter(found.values())).op == pooling


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("fraction", [0, 3, 12, 15])
def test_without_a_pooler_the_classifier_reads_the_pooled_row(pooling, fraction):
    found, builder, member, entry = lowered(fraction=fraction, pooling=pooling, pooler=False)
    assert [operation.op for operation in found.values()] == [pooling, "classify"]
    operation = found["m.logits"]
    assert builder.values[operation.sources[0]].fraction == fraction
    assert entry.fraction == entry.weight_fraction + fraction - operation.shift <= 16
    row = np.random.default_rng(0).integers(-32768, 32768, 24)
    wide = operation.weights.astype(np.int64) @ row + operation.bias
    logits = ((wide + (1 << operation.shift >> 1)) >> operation.shift) / 2.0**entry.fraction
    with torch.no_grad():
        exact = member.classifier(torch.tensor(row / 2.0**fraction, dtype=torch.float32)).double().numpy()
    error = np.abs(row).sum() / 2.0**fraction * 0.5 / 2.0**entry.weight_fraction
    assert np.abs(logits - (exact - exact.mean())).max() < error + 2.0**-entry.fraction


def test_logits_are_those_of_training_less_their_mean():
    found, _, member, entry = lowered()
    operation = found["m.logits"]
    pooled = np.tanh(np.random.default_rng(0).normal(size=(50, 24)))
    fixed = np.round(pooled * 2**14).astype(np.int64)
    wide = fixed @ operation.weights.T.astype(np.int64) + operation.bias
    logits = ((wide + (1 << operation.shift >> 1)) >> operation.shift) / 2**entry.fraction
    with torch.no_grad():
        exact = member.classifier(torch.tensor(fixed / 2**14, dtype=torch.float32)).double().numpy()
    exact -= exact.mean(1, keepdims=True)
    weights = np.abs(np.array(fixed) / 2**14).sum(1).max() * 0.5 / 2**entry.weight_fraction
    assert np.abs(logits - exact).max() < weights
    assert np.abs(logits - exact).mean() < 0.01
    assert entry.fraction == 16


def test_a_regression_keeps_its_mean():
    def constant(classifier):
        classifier.weight.zero_()
        classifier.bias.fill_(2.5)

    found, _, _, entry = lowered(constant, classes=1)
    operation = found["m.logits"]
    assert not operation.weights.any()
    assert operation.bias[0] / 2**operation.shift == 2.5 * 2**entry.fraction


def test_weights_fill_8_bits():
    found, _, _, entry = lowered()
    largest = int(np.abs(found["m.logits"].weights.astype(int)).max())
    assert 63 <= largest <= 127
    assert entry.weight_fraction >= 5


@pytest.mark.parametrize("pooler", [False, True])
@pytest.mark.parametrize("size", [1e-6, 1.0, 100.0, 5000.0])
def test_any_size_of_weights_and_biases_fits(size, pooler):
    def scale(classifier):
        classifier.weight.copy_(size * torch.randn(3, 24))
        classifier.bias.copy_(size * torch.randn(3))

    found, builder, member, entry = lowered(scale, fraction=6, pooler=pooler)
    operation = found["m.logits"]
    fraction = builder.values[operation.sources[0]].fraction
    reach = np.abs(operation.weights.astype(np.int64)).sum(1) * (2**14 if pooler else 2**15)
    assert (reach + np.abs(operation.bias.astype(np.int64)) >> operation.shift < 2**31).all()
    assert (fraction, entry.fraction) == (14 if pooler else 6, entry.weight_fraction + fraction - operation.shift)
    weight = member.classifier.weight.detach().double().numpy()
    weight -= weight.mean(0)
    assert np.abs(operation.weights - weight * 2.0**entry.weight_fraction).max() <= 0.5 + 1e-9


def test_no_row_saturates_a_logit_whose_bias_takes_nearly_32_bits():
    def near(classifier):
        classifier.weight.copy_(0.1 * torch.tensor([1.0, -1.0, 0.0])[:, None].expand(3, 24))
        classifier.bias.copy_(32700.0 * torch.tensor([1.0, -1.0, 0.0]))

    found, _, _, entry = lowered(near, fraction=6, pooler=False)
    operation = found["m.logits"]
    reach = np.abs(operation.weights.astype(np.int64)).sum(1) * 2**15 + np.abs(operation.bias.astype(np.int64))
    assert (operation.shift, entry.fraction) == (1, 15)
    assert (reach >> operation.shift < 2**31).all()

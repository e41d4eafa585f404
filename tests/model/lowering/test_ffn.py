import numpy as np
import pytest
import torch

from model.expression import ACTIVATIONS, COMBINATIONS
from model.lowering.builder import Builder
from model.lowering.calibrate import terms
from model.lowering.ffn import lower_block
from model.lowering.plan import plan_block
from model.lowering.report import FormatEntry, TableEntry
from model.lowering.sources import fixed_source
from model.member import FeedForwardBlock
from model.shape import FeedForward, Precision
from model.values import Value
from sim.reference.network import RUN
from tests.model.lowering.members import make_shape, threads


@threads(1)
def make_block(expression, width, **changes):
    """Return a block whose quantizers have seen the rows x, and x."""
    torch.manual_seed(len(expression))
    ffn = FeedForward(expression, width=width)
    block, x = FeedForwardBlock(make_shape(ffn=(ffn,), **changes), ffn), torch.randn(200, 24)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.3 * torch.randn_like(parameter))
        block(x)
    return block.eval(), x


@torch.no_grad()
def lower(block, x):
    """Return the operations of a block, the fixed numbers of x, and the builder."""
    values = terms(block, x)
    ranges = {node: value.abs().max().item() for node, value in values.items()}
    plan = plan_block("f", block.tree, ranges, (x + values[block.tree]).abs().max().item(), 1.2)
    builder = Builder(10)
    builder.values["x"] = Value("fixed", channels=24, rows=10, fraction=plan.residual)
    name = lower_block(builder, "f", block, plan, "x")
    assert builder.values[name].fraction == plan.residual
    return builder, name, np.round(x.numpy() * 2.0**plan.residual).astype(np.int16)


def run(builder, fixed):
    values = {"x": fixed}
    for operation in builder.operations:
        values[operation.name] = RUN[operation.op](operation, *(values[name] for name in operation.sources))
    return values


EXPRESSIONS = (
    "linear2(relu(linear1(x)))",
    "linear2(gelu(linear1(x)))",
    "tanh(linear2(gelu(linear1(x))))",
    "elu(linear2(swish(linear1(x))))",
    "sigmoid(linear2(relu(linear1(x))))",
    "leaky_relu(linear2(tanh(linear1(x))))",
    "linear2(gelu(linear1(max(x, tanh(x)))))",
    "linear2(relu(mul(linear1(x), x)))",
    "add(x, linear2(max(linear1(x), x)))",
    "mul(linear2(elu(linear1(swish(x)))), sigmoid(x))",
    "max(linear2(add(relu(linear1(x)), leaky_relu(x))), x)",
)


@pytest.mark.parametrize("width", [10, 40])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_blocks_are_those_of_training_where_no_code_differs(expression, width):
    block, x = make_block(expression, width)
    builder, name, fixed = lower(block, x)
    values = run(builder, fixed)
    with torch.no_grad():
        # Training's values for the very numbers that the network reads.
        x = torch.from_numpy(fixed) * 2.0 ** -builder.values["x"].fraction
        exact = {node.name: value for node, value in terms(block, x).items()}
        units = [
            block.get_submodule(f"{linear}_in").units(inner(block, linear, x)) for linear in ("linear1", "linear2")
        ]
    same = np.ones(len(fixed), bool)
    for linear, expected in zip(("linear1", "linear2"), units, strict=True):
        same &= (values[f"f.{linear}.input"].values == expected.numpy()).all(1)
    assert same.mean() > 0.9
    units_off = values[name] - exact[block.tree.name].numpy() * 2.0 ** builder.values[name].fraction
    assert np.abs(units_off[same]).max() <= 8


def inner(block, linear, x):
    """Return what a linear layer's quantizer reads in training."""
    node = next(node for node in block.tree.walk() if node.name == linear)
    return terms(block, x)[node.arguments[0]]


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("expression", EXPRESSIONS[:4])
def test_codes_of_more_bits_are_off_by_one_at_most(expression, bits):
    block, x = make_block(expression, 40, precision=Precision.uniform(1, 1, bits))
    builder, _, fixed = lower(block, x)
    values = run(builder, fixed)
    with torch.no_grad():
        x = torch.from_numpy(fixed) * 2.0 ** -builder.values["x"].fraction
        for linear in ("linear1", "linear2"):
            expected = block.get_submodule(f"{linear}_in").units(inner(block, linear, x)).numpy()
            assert np.abs(values[f"f.{linear}.input"].values - expected).max() <= 1


def test_monotone_activations_before_bits_leave_no_operation():
    block, x = make_block("linear2(elu(linear1(x)))", 40)
    builder, name, _ = lower(block, x)
    kinds = ["binarize", "matmul", "binarize", "matmul", "requantise"]
    assert [operation.op for operation in builder.operations] == kinds
    assert name == "f.linear2.fixed"


def test_terms_have_names_of_their_own():
    block, x = make_block("add(tanh(linear2(max(tanh(x), mul(linear1(x), x)))), x)", 40)
    builder, name, _ = lower(block, x)
    fixed = [n for n, value in builder.values.items() if value.kind == "fixed" and n != "x"]
    assert fixed == ["f.tanh", "f.linear1.fixed", "f.mul", "f.max", "f.linear2.fixed", "f.tanh2", "f.add"]
    assert name == "f.add"
    assert {entry.name for entry in builder.noted(FormatEntry)} == set(fixed)
    assert {entry.name: entry.function for entry in builder.noted(TableEntry)} == {"f.tanh": "tanh", "f.tanh2": "tanh"}


def test_a_term_that_is_used_twice_is_made_once():
    block, x = make_block("mul(add(linear2(relu(linear1(tanh(x)))), tanh(x)), x)", 40)
    builder, _, _ = lower(block, x)
    assert [operation.op for operation in builder.operations].count("table") == 1


def test_every_kind_of_term_is_tried():
    text = " ".join(EXPRESSIONS)
    assert all(name in text for name in (*ACTIVATIONS, *COMBINATIONS))


def test_a_fixed_value_stands_for_itself_over_a_power_of_two():
    builder = Builder(1)
    builder.values["x"] = Value("fixed", channels=2, rows=1, fraction=3)
    source = fixed_source(builder, "x")
    assert source.floats(torch.tensor([[4.0], [-1.0]])).tolist() == [[0.5, 0.5], [-0.125, -0.125]]
    assert (source.scale.tolist(), source.offset.tolist()) == ([0.125, 0.125], [0.0, 0.0])

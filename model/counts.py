"""Counts of a shape, by arithmetic alone: operations, parameters and bits, as the papers' tables have them.

Binary multiply-accumulates are those of one sentence; sizes in MiB (2^20 bytes) say what they leave out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model.expression import FeedForward, linear_inputs
from model.shape import Precision, Shape

MIB = 1 << 20
FLOAT_BYTES = 4
FLOP_BITS = 64


@dataclass(frozen=True)
class Product:
    """One kind of matrix product of a layer: its multiply-accumulates, and its weight bits (0 if none)."""

    name: str
    operations: int
    weights: int


@dataclass(frozen=True)
class Skeleton:
    """EfficientBERT's full-precision network around its feed-forward networks, as its released configuration has it."""

    hidden: int
    layers: int
    words: int = 128
    vocabulary: int = 30522
    positions: int = 512
    types: int = 2
    teacher: int = 768


def bert_base(precision: Precision | None = None) -> Shape:
    """Return the shape of BERT-base, with the ReLU that binary ones have."""
    given = precision or Precision()
    return Shape(30522, 2, layers=12, hidden=768, heads=12, positions=512, precision=given)


def layer_products(shape: Shape, ffn: FeedForward, tokens: int) -> Iterator[Product]:
    """Yield the products of one layer for a sentence of so many tokens."""
    width = shape.hidden
    matrix = width * width
    attention = width * tokens * tokens
    yield Product("query, key, value", 3 * matrix * tokens, 3 * matrix)
    yield Product("scores", attention, 0)
    yield Product("context", attention, 0)
    yield Product("output", matrix * tokens, matrix)
    inputs = linear_inputs(ffn.tree, width, ffn.width)
    for name, outputs in (("linear1", ffn.width), ("linear2", width)):
        weights = ffn.stack * inputs[name] * outputs
        yield Product(name, weights * tokens, weights)


def layer_operations(shape: Shape, tokens: int) -> list[int]:
    """Return the binary multiply-accumulates of each layer."""
    return [sum(product.operations for product in layer_products(shape, ffn, tokens)) for ffn in shape.ffn]


def encoder_operations(shape: Shape, tokens: int) -> int:
    """Return the binary multiply-accumulates of all layers; a pooler has hidden^2 more."""
    return sum(layer_operations(shape, tokens))


def encoder_weight_bits(shape: Shape) -> int:
    """Return the weight bits of all layers, one for each weight; a pooler has hidden^2 more."""
    return sum(product.weights for ffn in shape.ffn for product in layer_products(shape, ffn, 1))


def pooler_weights(shape: Shape) -> int:
    """Return the weights of the pooler, none without one."""
    return shape.hidden**2 if shape.pooler else 0


def embedding_bits(shape: Shape) -> int:
    """Return the bits of a binary word embedding, its scales left out."""
    return shape.vocabulary * shape.hidden


def biases(shape: Shape) -> int:
    """Return the biases of all layers and of the pooler, if there is one."""
    own = [4 * shape.hidden + ffn.stack * (ffn.width + shape.hidden) for ffn in shape.ffn]
    return sum(own) + (shape.hidden if shape.pooler else 0)


def norm_parameters(shape: Shape) -> int:
    """Return the gains and offsets of all layer normalisations, the embedding's included."""
    return 2 * shape.hidden * (1 + sum(1 + ffn.stack for ffn in shape.ffn))


def table_parameters(shape: Shape) -> int:
    """Return the entries of the position and token-type tables."""
    return (shape.positions + shape.types) * shape.hidden


def float_parameters(shape: Shape) -> int:
    """Return the parameters of the full-precision network, the classifier left out."""
    matrices = encoder_weight_bits(shape) + pooler_weights(shape)
    return embedding_bits(shape) + table_parameters(shape) + norm_parameters(shape) + matrices + biases(shape)


def float_bytes(shape: Shape) -> int:
    """Return the size of the full-precision network, the classifier left out."""
    return FLOAT_BYTES * float_parameters(shape)


def binary_bytes(shape: Shape, *, tables: bool = True, embeddings: int = 1, bias_sets: int = 1) -> float:
    """Return the size of the 1-bit network: binary matrices and words, 32-bit biases, normalisation and tables.

    Scales are left out. The papers' 13.4 MB leaves out the tables as well; BinaryBERT has two embeddings and two sets
    of biases.
    """
    bits = encoder_weight_bits(shape) + pooler_weights(shape) + embeddings * embedding_bits(shape)
    floats = bias_sets * biases(shape) + norm_parameters(shape) + (table_parameters(shape) if tables else 0)
    return bits / 8 + FLOAT_BYTES * floats


def flops(shape: Shape, tokens: int, activation_bits: int) -> float:
    """Return operations as the papers count them: 2 for each, times activation bits / 64."""
    return 2 * encoder_operations(shape, tokens) * activation_bits / FLOP_BITS


def efficientbert(skeleton: Skeleton, base: int | None = None) -> int:
    """Return the parameters of the network that EfficientBERT found, in one of its sizes.

    `base` is the width that the ratios of its feed-forward networks are taken of; hidden unless given. More layers than
    expressions repeat each expression.
    """
    width = skeleton.hidden
    found = [ffn for ffn in found_ffn(base or width) for _ in range(skeleton.layers // 6)]
    words = skeleton.vocabulary * skeleton.words + (3 * skeleton.words + 1) * width
    tables = (skeleton.positions + skeleton.types) * width + 2 * width
    fit = (width + 1) * skeleton.teacher
    attention = 4 * (width + 1) * width + 2 * width
    return words + tables + fit + skeleton.layers * attention + sum(_ffn_parameters(ffn, width) for ffn in found)


def found_ffn(base: int) -> tuple[FeedForward, ...]:
    """Return the six feed-forward networks that EfficientBERT's search found, for a base width."""
    return (
        FeedForward("tanh(linear2(gelu(linear1(x))))", 4, base // 2),
        FeedForward("elu(linear2(gelu(linear1(x))))", 2, base),
        FeedForward("sigmoid(linear2(relu(linear1(x))))", 1, base // 2),
        FeedForward("linear2(gelu(linear1(max(x, tanh(x)))))", 2, base // 2),
        FeedForward("linear2(relu(mul(linear1(x), x)))", 1, base // 2),
        FeedForward("leaky_relu(linear2(gelu(linear1(x))))", 2, base // 3),
    )


def _ffn_parameters(ffn: FeedForward, hidden: int) -> int:
    inputs = linear_inputs(ffn.tree, hidden, ffn.width)
    block = (inputs["linear1"] + 1) * ffn.width + (inputs["linear2"] + 1) * hidden + 2 * hidden
    return ffn.stack * block

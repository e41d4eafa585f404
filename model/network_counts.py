"""Counts of a network file and of a shape: multiply-accumulates of one sentence, and bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from model.counts import (
    biases,
    binary_bytes,
    embedding_bits,
    encoder_operations,
    encoder_weight_bits,
    float_bytes,
    float_parameters,
    flops,
    layer_products,
    norm_parameters,
    table_parameters,
)
from model.network import Network
from model.operation import Operation
from model.operations import Context, Matmul, Scores
from model.shape import Shape

SIGNIFICANT_BITS = (1, 2, 4)


def shape_counts(shape: Shape, tokens: int) -> dict[str, Any]:
    """Return the counts of a member of a shape that reads so many tokens."""
    products: Counter[str] = Counter()
    for ffn in shape.ffn:
        for product in layer_products(shape, ffn, tokens):
            products[product.name] += product.operations
    return {
        "tokens": tokens,
        "macs": encoder_operations(shape, tokens),
        "pooler_macs": shape.hidden**2,
        "products": dict(products),
        "flops": {f"1-1-{bits}": flops(shape, tokens, bits) for bits in SIGNIFICANT_BITS},
        "weight_bits": encoder_weight_bits(shape),
        "pooler_bits": shape.hidden**2,
        "embedding_bits": embedding_bits(shape),
        "biases": biases(shape),
        "normalisation": norm_parameters(shape),
        "tables": table_parameters(shape),
        "parameters": float_parameters(shape),
        "float_bytes": float_bytes(shape),
        "binary_bytes": binary_bytes(shape),
    }


def network_counts(network: Network, tokens: int) -> dict[str, Any]:
    """Return the counts of a network for a sentence of so many tokens: of all, and of each member by itself."""
    members = {
        member.name: {
            "macs": sum(_macs(network, network.member_operations(member.name), tokens).values()),
            "size_bits": sum(network.size_bits(member.name).values()),
        }
        for member in network.members
    }
    products = _macs(network, network.operations, tokens)
    return {
        "tokens": tokens,
        "macs": sum(products.values()),
        "products": dict(products),
        "weight_bits": network.weight_bits,
        "size_bits": network.size_bits(),
        "members": members,
    }


def _macs(network: Network, operations: Iterable[Operation], tokens: int) -> Counter[str]:
    """Return the multiply-accumulates of codes by kind; one of b bits counts once, whatever b is."""
    found: Counter[str] = Counter()
    for operation in operations:
        first = network.values[operation.sources[0]]
        rows = 1 if first.rows == 1 else tokens
        if isinstance(operation, Matmul):
            found["weights"] += rows * operation.inputs * operation.outputs
        elif isinstance(operation, Scores):
            found["scores"] += rows * rows * first.channels
        elif isinstance(operation, Context):
            found["context"] += rows * rows * network.values[operation.sources[1]].channels
    return found

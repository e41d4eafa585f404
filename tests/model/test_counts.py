"""The counts that the papers' tables rest on, each a number that was worked out by hand or stands in a table."""

import pytest

from model.counts import (
    MIB,
    Skeleton,
    bert_base,
    biases,
    binary_bytes,
    efficientbert,
    embedding_bits,
    encoder_operations,
    encoder_weight_bits,
    float_bytes,
    float_parameters,
    flops,
    found_ffn,
    layer_operations,
    layer_products,
    norm_parameters,
    table_parameters,
)
from model.expression import FeedForward
from model.shape import Shape

BERT = bert_base()


def test_the_products_of_a_layer_of_bert_base() -> None:
    found = {product.name: product.operations for product in layer_products(BERT, BERT.ffn[0], 128)}
    assert found == {
        "query, key, value": 226_492_416,
        "scores": 12_582_912,
        "context": 12_582_912,
        "output": 75_497_472,
        "linear1": 301_989_888,
        "linear2": 301_989_888,
    }
    assert layer_operations(BERT, 128) == [931_135_488] * 12
    assert encoder_operations(BERT, 128) == 11_173_625_856


def test_the_bits_and_parameters_of_bert_base() -> None:
    assert encoder_weight_bits(BERT) == 84_934_656
    assert embedding_bits(BERT) == 23_440_896
    assert (biases(BERT), norm_parameters(BERT), table_parameters(BERT)) == (83_712, 38_400, 394_752)
    assert float_parameters(BERT) == 109_482_240


def test_the_sizes_in_the_papers_tables() -> None:
    assert round(float_bytes(BERT) / MIB, 1) == 417.6
    assert round(binary_bytes(BERT, tables=False) / MIB, 2) == 13.46
    assert round(binary_bytes(BERT) / MIB, 2) == 14.96
    assert round(binary_bytes(BERT, tables=False, embeddings=2) / MIB, 2) == 16.25
    assert round(binary_bytes(BERT, tables=False, embeddings=2, bias_sets=2) / MIB, 2) == 16.57


@pytest.mark.parametrize(("bits", "expected"), [(1, 0.349), (2, 0.698), (4, 1.397)])
def test_the_flops_of_the_papers_convention(bits: int, expected: float) -> None:
    assert round(flops(BERT, 128, bits) / 1e9, 3) == expected


def test_without_a_pooler_a_matrix_and_its_biases_are_gone() -> None:
    bare = BERT.replace(pooler=False, pooling="mean")
    assert float_parameters(BERT) - float_parameters(bare) == 768 * 768 + 768
    assert binary_bytes(BERT) - binary_bytes(bare) == 768 * 768 / 8 + 4 * 768
    assert encoder_weight_bits(bare) == encoder_weight_bits(BERT)


def test_efficientbert_in_its_sizes() -> None:
    assert efficientbert(Skeleton(540, 6)) == 15_737_724
    assert efficientbert(Skeleton(360, 6)) == 9_375_144
    assert efficientbert(Skeleton(360, 12)) == 14_241_864
    assert efficientbert(Skeleton(360, 12), base=540) == 15_972_264


def test_a_product_with_x_cuts_what_linear2_reads() -> None:
    shape = Shape(100, 2, layers=1, hidden=8, heads=1, ffn=(FeedForward("linear2(relu(mul(linear1(x), x)))", 1, 4),))
    found = {product.name: product.weights for product in layer_products(shape, shape.ffn[0], 1)}
    assert (found["linear1"], found["linear2"]) == (32, 32)
    wide = Shape(100, 2, layers=1, hidden=8, heads=1, ffn=(FeedForward("linear2(relu(mul(linear1(x), x)))", 1, 16),))
    assert [p.weights for p in layer_products(wide, wide.ffn[0], 1)][-2:] == [128, 64]


def test_the_found_networks_are_in_the_space() -> None:
    assert [ffn.stack for ffn in found_ffn(540)] == [4, 2, 1, 2, 1, 2]
    assert [ffn.width for ffn in found_ffn(540)] == [270, 540, 270, 270, 270, 180]

"""The counts that the papers state, each beside ours: what a reader checks before believing the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.counts import (
    FLOAT_BYTES,
    MIB,
    Skeleton,
    bert_base,
    binary_bytes,
    efficientbert,
    embedding_bits,
    encoder_operations,
    encoder_weight_bits,
    float_bytes,
    float_parameters,
    flops,
)

TOKENS = 128
BIT, BIBERT = "BiT (2205.13016)", "BiBERT (2203.06390)"
BEBERT, EFFICIENTBERT = "BEBERT (2210.15976)", "EfficientBERT (2109.07222)"
OWN = "the shape"
REST = "the paper's has the rest of the network too"


@dataclass(frozen=True)
class Row:
    """One count: what it is of, ours, the paper's where it states one, where it stands, and what explains the rest."""

    what: str
    ours: float
    unit: str
    paper: float | None
    source: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return dict(vars(self))


def paper_rows() -> list[Row]:
    """Return every count of the papers that ours are compared with."""
    return [*_operations(), *_sizes(), *_efficientbert()]


def _operations() -> list[Row]:
    shape = bert_base()
    count = encoder_operations(shape, TOKENS)
    rows = [
        Row("BERT-base, multiply-accumulates", count, "", None, OWN, "of a sentence of 128 tokens"),
        Row("BERT-base, operations", 2 * count / 1e9, "G", 22.5, BIT, f"2 for each; {REST}"),
    ]
    for bits, paper in ((1, 0.4), (2, 0.8), (4, 1.5)):
        note = f"2 x {bits}/64 for each; {REST}"
        rows.append(
            Row(f"BERT-base at 1-1-{bits}, operations", flops(shape, TOKENS, bits) / 1e9, "G", paper, BIT, note)
        )
    return rows


def _sizes() -> list[Row]:
    shape = bert_base()
    bare = "with biases and normalisation, without scales, positions and types"
    twice = binary_bytes(shape, tables=False, embeddings=2, bias_sets=2) / MIB
    return [
        Row("BERT-base, weight bits", encoder_weight_bits(shape), "", None, OWN, "of all layers"),
        Row("BERT-base, embedding bits", embedding_bits(shape), "", None, OWN),
        Row("BERT-base, parameters", float_parameters(shape), "", None, OWN, "without the classifier"),
        Row("BERT-base at 32 bits", float_bytes(shape) / MIB, "MiB", 418, BIBERT, f"{FLOAT_BYTES} bytes for each"),
        Row("BERT-base at 1-1-1", binary_bytes(shape, tables=False) / MIB, "MiB", 13.4, BIBERT, bare),
        Row("BERT-base at 1-1-1, all", binary_bytes(shape) / MIB, "MiB", None, OWN, "with positions and types"),
        Row("BinaryBERT at 1-1-4", twice, "MiB", 16.5, BIT, "two embeddings and two sets of biases"),
        Row("BEBERT, two members", 2 * twice, "MiB", 33, BEBERT, "each a BinaryBERT at 1-1-4"),
    ]


def _efficientbert() -> list[Row]:
    plus = "of the widths that its table implies; its configuration gives 14.24"
    return [
        Row("EfficientBERT, parameters", efficientbert(Skeleton(540, 6)) / 1e6, "M", 15.7, EFFICIENTBERT),
        Row("EfficientBERT-TINY, parameters", efficientbert(Skeleton(360, 6)) / 1e6, "M", None, OWN),
        Row(
            "EfficientBERT++, parameters",
            efficientbert(Skeleton(360, 12), base=540) / 1e6,
            "M",
            16,
            "a survey",
            plus,
        ),
    ]

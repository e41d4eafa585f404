"""Small networks that read text, and the accelerator that runs them: written as files, for the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from hw.arch import Accelerator
from model.data.wordpiece import Tokenizer
from model.network import Network, write_network
from model.synthetic_network import random_network

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SMALL = Accelerator(
    name="small",
    rows=2,
    columns=2,
    word_bits=8,
    sum_bits=8,
    drain_rows=1,
    activation_lines=64,
    weight_lines=64,
    key_lines=64,
    threshold_lines=16,
    output_lines=4,
    vector_lanes=2,
    sum_lines=32,
    fixed_lines=128,
    scale_lines=64,
    level_lines=32,
    row_lanes=2,
    score_lines=32,
    table_lines=32,
    token_lines=8,
    word_lines=32,
    embedding_lines=128,
    classes=3,
    port_bits=32,
)


def tokenizer(size: int = 100) -> Tokenizer:
    """Return a tokenizer of letters, and words that are word and a number."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return Tokenizer([*pieces, *(f"word{number}" for number in range(size - len(pieces)))])


def small_network(seed: int = 1, **changes: Any) -> Network:
    """Return a made-up network of one narrow layer, with a tokenizer."""
    sketch: dict[str, Any] = dict(layers=1, width=16, heads=1, inner=16, bits=1, attention_bits=1, attention="row")
    sketch |= dict(feed_forward="plain", stack=1, ternary=False, members=2, shared=False, vote="soft", classes=2)
    sketch |= dict(vocabulary=100, types=2, limit=9, pooling="mean", pooler=False)
    return dataclasses.replace(random_network(seed, **sketch | changes), tokenizer=tokenizer().to_bytes())


def write_small_network(path: Path, seed: int = 1, **changes: Any) -> Network:
    """Write such a network and return it."""
    network = small_network(seed, **changes)
    write_network(network, path)
    return network


def write_accelerator(path: Path, **changes: Any) -> Accelerator:
    """Write the small accelerator with some changes; JSON is YAML."""
    accelerator = SMALL.replace(**changes)
    path.write_text(json.dumps(accelerator.to_dict()))
    return accelerator

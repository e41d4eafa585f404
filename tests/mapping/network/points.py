"""Small networks, small accelerators and sentences, and what a mapped network must say of them."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.arch import Accelerator
from mapping.whole.mapper import MappedNetwork, map_network
from model import operations as ops
from model.network import Network
from model.synthetic_builder import Builder, Draw
from model.synthetic_network import random_network
from model.values import tokens
from model.vote import Member
from sim.machine import execute
from sim.reference import Evaluation, evaluate

SMALL = Accelerator(
    name="small",
    rows=4,
    columns=4,
    word_bits=16,
    sum_bits=15,
    drain_rows=2,
    code_bits=4,
    activation_lines=128,
    weight_lines=256,
    key_lines=128,
    threshold_lines=32,
    output_lines=8,
    vector_lanes=8,
    sum_lines=64,
    fixed_lines=256,
    scale_lines=128,
    level_lines=64,
    row_lanes=4,
    score_lines=32,
    score_slots=2,
    table_lines=128,
    token_lines=16,
    word_lines=64,
    embedding_lines=256,
    classes=4,
    port_bits=32,
)
SKETCH = dict(
    layers=1,
    width=32,
    heads=2,
    inner=40,
    bits=1,
    attention_bits=1,
    attention="row",
    feed_forward="plain",
    stack=1,
    ternary=False,
    members=2,
    shared=False,
    vote="soft",
    classes=3,
    vocabulary=40,
    types=2,
    limit=24,
    pooling="mean",
    pooler=False,
)


@functools.cache
def network(seed: int, **changes: Any) -> Network:
    """Return a made-up network like `SKETCH`, but for some changes; its codes have one bit."""
    return random_network(seed, **{**SKETCH, **changes})


@functools.cache
def mixed(seed: int, bits: int, attention_bits: int, members: int = 1, width: int = 24) -> Network:
    """Return a network whose products read codes of several bits, attention aside, and whose last one reads one row.

    Two products read each codes of the residual stream; sums become codes at once, and fixed values again.
    """
    source = random.Random(seed)
    lengths = [1, 5, 16, 9]
    ids = [np.array([source.randrange(40) for _ in range(n)]) for n in lengths]
    types = [np.sort(np.array([source.randrange(3) for _ in range(n)])) for n in lengths]
    build = Builder(Draw(str(seed)), tokens(16), ids, types)
    voters = []
    for index in range(members):
        name = f"m{index}"
        row = _layer(build, name, bits, attention_bits, width)
        output = build.classify(f"{name}.logits", row, 3)
        largest = max(1, int(np.abs(build.columns(output)).max()))
        voters.append(Member(name, output, max(1, min(65535, (1000 << 12) // largest)), 12, 400))
    return Network(tuple(build.operations), tokens(16), tuple(voters), "soft")


def _layer(build: Builder, name: str, bits: int, attention_bits: int, width: int) -> str:
    x = build.normalise(f"{name}.start", build.embed(f"{name}.embed", 40, 16, 3, width))
    codes = build.codes(f"{name}.in", x, "signed", bits)
    made = {}
    for part in ("query", "key", "value"):
        sums = build.matmul(f"{name}.{part}", codes, width)
        made[part] = build.codes(f"{name}.{part}.out", sums, "signed", 1)
    scores = build.append(ops.Scores(f"{name}.scores", (made["query"], made["key"]), 2))
    attention = build.row_threshold(f"{name}.attention", scores, attention_bits, exact=True)
    context = build.append(ops.Context(f"{name}.context", (attention, made["value"])))
    mixture = build.codes(f"{name}.context.out", context, "signed", 1)
    fixed = build.requantise(f"{name}.fixed", build.matmul(f"{name}.output", mixture, width))
    x = build.normalise(f"{name}.middle", build.append(ops.Add(f"{name}.sum", (x, fixed))))
    inner = build.matmul(f"{name}.up", build.codes(f"{name}.up.in", x, "unsigned", bits), width + 9)
    down = build.matmul(f"{name}.down", build.codes(f"{name}.down.in", inner, "unsigned", bits), width)
    x = build.append(ops.Add(f"{name}.end", (build.requantise(f"{name}.down.fixed", down), x)))
    last = build.append(ops.First(f"{name}.row", (build.codes(f"{name}.last.in", x, "signed", 1),)))
    return build.requantise(f"{name}.last", build.matmul(f"{name}.last.sums", last, width))


@dataclass(frozen=True)
class Point:
    """A network on an accelerator, and a sentence that a seed draws."""

    network: Network
    accelerator: Accelerator
    count: int
    seed: int
    types: str = "runs"

    @property
    def sentence(self) -> tuple[list[int], list[int]]:
        """Ids and types: runs of equal types, types that change with each token, or all of type 0."""
        source = random.Random(self.seed)
        (embed, *_) = [o for o in self.network.operations if isinstance(o, ops.Embed)]
        words, kinds = embed.sizes["vocabulary"], embed.sizes["types"]
        ids = [source.randrange(words) for _ in range(self.count)]
        match self.types:
            case "runs":
                types = [random.Random(self.seed + index // 3).randrange(kinds) for index in range(self.count)]
            case "mixed":
                types = [index % kinds for index in range(self.count)]
            case _:
                types = [0] * self.count
        return ids, types

    def mapped(self) -> MappedNetwork:
        """Return the program for the sentence's types."""
        return map_network(self.accelerator, self.network, self.sentence[1])


def assert_says_what_the_reference_says(point: Point) -> Evaluation:
    """Execute a mapped network; members that have run, their logits and the answer must be those of the reference."""
    ids, types = point.sentence
    mapped = point.mapped()
    done, expected = execute(mapped.with_ids(ids)), evaluate(point.network, ids, types)
    result = done.result
    assert (point.seed, result.members) == (point.seed, expected.members_run)
    logits = [expected.logits[member.name].tolist() for member in point.network.members[: result.members]]
    assert (point.seed, mapped.logits(done.memory, result.members).tolist()) == (point.seed, logits)
    answer = result.total if point.network.vote == "mean" else result.leader
    assert (point.seed, answer) == (point.seed, expected.prediction)
    return expected


def resized(**changes: Any) -> Accelerator:
    """Return the small accelerator with some parameters changed."""
    return replace(SMALL, **changes)

"""Made-up whole networks of every kind that the format allows, and sentences for them, the same for a seed anywhere."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import operations as ops
from model.checks import nearest, require_integer
from model.network import Network
from model.synthetic_builder import FRACTION, Builder, Draw
from model.values import tokens
from model.vote import Member

FEED_FORWARDS = ("plain", "table", "multiply", "maximum", "add")
_SAMPLES = 5
_POOLINGS = {"first": ops.First, "mean": ops.Mean}

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Sketch:
    """What a made-up network is made of; `random_sketch` draws one."""

    layers: int
    width: int
    heads: int
    inner: int
    bits: int
    attention_bits: int
    attention: str
    feed_forward: str
    stack: int
    ternary: bool
    members: int
    shared: bool
    vote: str
    classes: int
    vocabulary: int
    types: int
    limit: int
    pooling: str
    pooler: bool


def random_sketch(seed: int, **fixed: Any) -> Sketch:
    """Return a sketch that the seed decides, but for what is fixed; widths are often odd."""
    require_integer("seed", seed, 0, (1 << 63) - 1)
    names = [entry.name for entry in fields(Sketch)]
    for name in fixed:
        if name not in names:
            raise TypeError(f"sketch must be of {', '.join(names)}, not {name!r}{nearest(name, names)}")
    draw = Draw(f"sketch {seed}")
    heads = int(fixed.get("heads", draw.choice((1, 1, 2, 3, 4))))
    vote = str(fixed.get("vote", draw.choice(("soft", "soft", "hard", "mean"))))
    drawn = Sketch(
        layers=draw.choice((0, 1, 1, 2, 2, 3)),
        width=heads * draw.integer(-(-16 // heads), 256 // heads // draw.choice((1, 2, 4, 4))),
        heads=heads,
        inner=draw.integer(16, 200),
        bits=draw.choice((1, 1, 1, 2, 4, 8)),
        attention_bits=draw.choice((1, 1, 1, 2, 4, 8)),
        attention=draw.choice(("row", "row", "head")),
        feed_forward=draw.choice(FEED_FORWARDS),
        stack=draw.choice((1, 1, 2)),
        ternary=draw.choice((False, False, True)),
        members=draw.choice((1, 2, 3, 4)),
        shared=draw.choice((False, True)),
        vote=vote,
        classes=1 if vote == "mean" else draw.choice((2, 2, 3, 7)),
        vocabulary=draw.integer(2, 300),
        types=draw.choice((1, 2, 2, 3)),
        limit=draw.choice((1, 5, 16, 16, 33)),
        pooling=draw.choice(tuple(_POOLINGS)),
        pooler=draw.choice((False, True)),
    )
    return replace(drawn, **fixed)


def random_network(seed: int, **fixed: Any) -> Network:
    """Return a made-up network: its sketch and everything in it are the seed's, but for what of the sketch is fixed."""
    sketch, draw = random_sketch(seed, **fixed), Draw(str(seed))
    ids, types = _sentences(draw, _SAMPLES, sketch.limit, sketch.vocabulary, sketch.types)
    build = Builder(draw, tokens(sketch.limit), ids, types)
    outputs = [_member(build, sketch, f"member{index}") for index in range(sketch.members)]
    logits = [build.columns(output) for output in outputs]
    members = tuple(
        _voter(draw, sketch.vote, f"member{index}", output, int(np.abs(own).max()))
        for index, (output, own) in enumerate(zip(outputs, logits, strict=True))
    )
    labels = tuple(f"class {index}" for index in range(sketch.classes))
    fraction = FRACTION if sketch.vote == "mean" else 0
    return Network(
        tuple(build.operations), tokens(sketch.limit), members, sketch.vote, labels, None, fraction, {"seed": str(seed)}
    )


def random_sentences(network: Network, count: int, seed: int) -> tuple[list[I64], list[I64]]:
    """Return ids and token types of sentences of all lengths that a network takes; the first has one token."""
    require_integer("count", count, 1, 1 << 20)
    draw = Draw(f"sentences {seed}")
    embeds = [at.sizes for at in network.operations if isinstance(at, ops.Embed)]
    vocabulary, types = (min(sizes[axis] for sizes in embeds) for axis in ("vocabulary", "types"))
    return _sentences(draw, count, network.limit, vocabulary, types)


def _sentences(draw: Draw, count: int, limit: int, vocabulary: int, types: int) -> tuple[list[I64], list[I64]]:
    lengths = [1, limit, *draw.integers(1, limit, count).tolist()][:count]
    ids = [draw.integers(0, vocabulary - 1, length) for length in lengths]
    return ids, [np.sort(draw.integers(0, types - 1, length)) for length in lengths]


def _member(build: Builder, sketch: Sketch, name: str) -> str:
    """Append a member, or what it does not share, and return the name of its logits."""
    home = "shared" if sketch.shared else name
    x = f"{home}.start"
    if x not in build.values:
        sizes = (sketch.vocabulary, sketch.limit + build.draw.integer(0, 3), sketch.types, sketch.width)
        build.normalise(x, build.embed(f"{home}.embed", *sizes))
    for layer in range(sketch.layers):
        x = _attention(build, sketch, f"{name}.{layer}", x)
        for index in range(sketch.stack):
            x = _feed_forward(build, sketch, f"{name}.{layer}.ffn{index}", x)
    return build.classify(f"{name}.logits", _pool(build, sketch, name, x), sketch.classes)


def _pool(build: Builder, sketch: Sketch, name: str, x: str) -> str:
    """Append what makes the one row that a classifier reads of all rows."""
    row = build.append(_POOLINGS[sketch.pooling](f"{name}.{sketch.pooling}", (x,)))
    if not sketch.pooler:
        return row
    sums = _linear(build, sketch, f"{name}.pooler", row, sketch.width)
    return build.table(f"{name}.pooler.table", build.requantise(f"{name}.pooler.fixed", sums))


def _linear(build: Builder, sketch: Sketch, name: str, source: str, outputs: int, set: str = "signed") -> str:
    """Append codes and a product with them; a ternary one reads the codes twice."""
    codes = build.codes(f"{name}.codes", source, set, sketch.bits)
    if sketch.ternary:
        codes = build.append(ops.Concatenate(f"{name}.twice", (codes, codes)))
    return build.matmul(name, codes, outputs)


def _attention(build: Builder, sketch: Sketch, name: str, x: str) -> str:
    linear = {part: _linear(build, sketch, f"{name}.{part}", x, sketch.width) for part in ("query", "key", "value")}
    sets = {"query": "signed", "key": "signed", "value": build.draw.choice(("signed", "unsigned"))}
    codes = {part: build.codes(f"{name}.{part}.out", linear[part], sets[part], sketch.bits) for part in linear}
    scores = build.append(ops.Scores(f"{name}.scores", (codes["query"], codes["key"]), sketch.heads))
    if sketch.attention == "head":
        attention = build.head_threshold(f"{name}.attention", scores)
    else:
        attention = build.row_threshold(f"{name}.attention", scores, sketch.attention_bits, exact=sketch.bits == 1)
    context = build.append(ops.Context(f"{name}.context", (attention, codes["value"])))
    return _residual(build, f"{name}.output", x, _linear(build, sketch, f"{name}.output", context, sketch.width))


def _feed_forward(build: Builder, sketch: Sketch, name: str, x: str) -> str:
    inner = _linear(build, sketch, f"{name}.up", x, sketch.inner)
    if sketch.feed_forward != "plain":
        inner = _bend(build, sketch.feed_forward, name, x, build.requantise(f"{name}.fixed", inner))
    return _residual(build, f"{name}.down", x, _linear(build, sketch, f"{name}.down", inner, sketch.width, "unsigned"))


def _bend(build: Builder, kind: str, name: str, x: str, inner: str) -> str:
    """Append what stands between the two products: a table, at times with a combination of two values."""
    bent = build.table(f"{name}.table", inner)
    match kind:
        case "multiply":
            return build.append(ops.Multiply(f"{name}.multiply", (inner, bent), FRACTION, FRACTION))
        case "maximum":
            return build.append(ops.Maximum(f"{name}.maximum", (x, bent)))
        case "add":
            return build.append(ops.Add(f"{name}.add", (bent, x)))
    return bent


def _residual(build: Builder, name: str, x: str, sums: str) -> str:
    total = build.append(ops.Add(f"{name}.sum", (x, build.requantise(f"{name}.fixed", sums))))
    return build.normalise(f"{name}.normal", total)


def _voter(draw: Draw, vote: str, name: str, output: str, largest: int) -> Member:
    """Return a member whose contribution is a number of about 10 bits, which the bound often clips."""
    if vote == "hard":
        return Member(name, output, draw.integer(1, 3))
    shift = draw.integer(10, 20)
    multiplier = min(65535, max(1, (1000 << shift) // max(largest, 1)))
    return Member(name, output, multiplier, shift, draw.choice((100, 400, 2000)))

"""MATMULs, and the steps that they ask for: docs/machine.md, section 2, as loops."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hw.arch import Accelerator

Operands = dict[str, int]
Outputs = dict[str, int]


def pairs_of(activation_planes: int, weight_planes: int) -> list[tuple[int, int]]:
    """Return the pairs of planes in their order: levels, in each the activation's plane falling."""
    levels = range(activation_planes + weight_planes - 1)
    falling = reversed(range(activation_planes))
    planes = list(falling)
    return [(u, s - u) for s in levels for u in planes if 0 <= s - u < weight_planes]


def steps_of(a: Accelerator, matmul: Operands) -> Iterator[Outputs]:
    """Return what the counter shows in each step."""
    tiles = -(-matmul["rows"] // a.rows)
    pairs = pairs_of(matmul["activation_planes"], matmul["weight_planes"])
    for m in range(tiles):
        for n in range(matmul["column_groups"]):
            last_tile = m == tiles - 1 and n == matmul["column_groups"] - 1
            for index, (u, v) in enumerate(pairs):
                earlier = sum(pairs[index - 1]) if index else 0
                for k in range(matmul["words"]):
                    last = k == matmul["words"] - 1 and index == len(pairs) - 1
                    activation = matmul["activation_line"] + m * matmul["activation_stride"]
                    activation += u * matmul["activation_plane_stride"] + k // a.line_words
                    weight = matmul["weight_line"] + n * matmul["weight_stride"]
                    weight += v * matmul["weight_plane_stride"] + k // a.line_words
                    step = {
                        "activation_line": activation % 65536,
                        "weight_line": weight % 65536,
                        "keys": matmul["keys"],
                        "word": k % a.line_words,
                        "step.valid": 1,
                        "step.first": int(matmul["first"] and k == 0 and index == 0),
                        "step.hand_over": int(matmul["handover"] and last),
                        "step.end": int(last and last_tile),
                        "step.unsigned_set": matmul["unsigned"],
                        "step.plain": matmul["plain"],
                        "step.pad": matmul["pad"],
                        "step.rows": min(a.rows, matmul["rows"] - m * a.rows),
                    }
                    if a.code_bits > 1:
                        negative = matmul["activation_negative"] * (u == 0) + matmul["weight_negative"] * (v == 0)
                        step["step.double"] = int(k == 0 and u + v > earlier)
                        step["step.negative"] = negative % 2
                    yield step


def random_matmul(a: Accelerator, random: Random) -> Operands:
    """Return a MATMUL with numbers of every size: of many words or of several tiles."""
    line, few = random.choice([0, 1, 65535, random.randrange(65536)]), random.random() < 0.4
    return random_planes(a, random) | {
        "activation_line": random.choice([line, random.randrange(256)]),
        "weight_line": random.choice([line, random.randrange(256)]),
        "words": random.choice([1, 2, random.randint(1, 9), *([a.line_words, a.line_words + 1] if few else [])]),
        "pad": random.randrange(a.word_bits),
        "rows": random.randint(1, a.rows) if few else random.choice([1, a.rows + 1, 2 * a.rows, 3 * a.rows - 1]),
        "column_groups": random.randint(1, 1 if few else 3),
        "activation_stride": random.choice([0, 1, 7, line]),
        "weight_stride": random.choice([0, 1, 7, line]),
        "activation_plane_stride": random.choice([0, 1, 5, line]),
        "weight_plane_stride": random.choice([0, 1, 5, line]),
    }


def random_planes(a: Accelerator, random: Random) -> Operands:
    """Return the operands that say what bits mean, as they may stand together."""
    planes = [1, 1, 2, 3, 4, a.code_bits]
    operands = {
        "unsigned": random.getrandbits(1),
        "first": random.getrandbits(1),
        "handover": random.getrandbits(1),
        "keys": random.getrandbits(1) if a.key_lines else 0,
        "plain": 0,
        "activation_negative": 0,
        "weight_negative": 0,
        "activation_planes": 1,
        "weight_planes": 1,
    }
    if a.code_bits > 1 and random.random() < 0.7:
        operands |= {name: random.getrandbits(1) for name in ("activation_negative", "weight_negative")}
        operands |= {f"{n}_planes": min(a.code_bits, random.choice(planes)) for n in ("activation", "weight")}
        operands |= {"unsigned": 1, "first": 1, "handover": 1}
    operands["plain"] = operands["unsigned"] & (random.getrandbits(1) | operands["weight_planes"] > 1)
    return operands

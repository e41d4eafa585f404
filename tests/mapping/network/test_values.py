"""Mapped networks on values: logits, members and answer are those of the integer reference; same input, same bytes."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Opcode
from mapping.whole.mapper import LOGITS, TOKENS, map_network
from sim.machine import execute
from sim.reference import evaluate
from tests.mapping.network.points import SMALL, Point, assert_says_what_the_reference_says, mixed, network, resized

MEAN_VOTE = {"vote": "mean", "classes": 1}
TINY_WEIGHTS = {"weight_lines": 8, "threshold_lines": 8, "scale_lines": 24, "level_lines": 12, "table_lines": 24}
ROOM = dict(activation_lines=512, key_lines=512, threshold_lines=64, sum_lines=512, fixed_lines=2048, scale_lines=512)
ROOM |= dict(level_lines=256, table_lines=256, word_lines=256, embedding_lines=2048, score_lines=256, token_lines=64)

#: seed: what differs from `SKETCH`, what differs from `SMALL`, tokens, types
PLAIN: dict[int, tuple[dict[str, Any], dict[str, Any], int, str]] = {
    1: ({}, {}, 8, "runs"),
    2: ({"layers": 2, "width": 16, "heads": 1, "inner": 24, "members": 1}, {}, 7, "mixed"),
    3: ({"vote": "hard", "members": 3, "pooling": "first"}, {"score_slots": 1}, 12, "runs"),
    4: ({**MEAN_VOTE, "shared": True}, {"vector_lanes": 2, "row_lanes": 1}, 5, "zero"),
    5: ({"attention": "head", "shared": True, "vote": "hard"}, {"rows": 1, "drain_rows": 1}, 6, "mixed"),
    6: ({"attention_bits": 2, "width": 33, "heads": 3, "inner": 17}, {"vector_lanes": 32, "row_lanes": 16}, 9, "runs"),
    7: ({"attention_bits": 4, "width": 20, "members": 1}, {"rows": 8, "drain_rows": 8, "columns": 16}, 11, "runs"),
    8: ({"width": 64, "heads": 4, "members": 1}, TINY_WEIGHTS, 8, "zero"),
    9: ({"layers": 2, "inner": 70, "members": 1, "types": 3}, {"word_bits": 64, "port_bits": 64}, 1, "runs"),
    10: ({"limit": 1, "pooling": "first"}, {"columns": 2, "key_lines": 256}, 1, "zero"),
    11: ({"width": 17, "heads": 1, "types": 1}, {"columns": 1, "drain_rows": 1, "key_lines": 512}, 3, "zero"),
    12: ({"layers": 0, "pooling": "first", "shared": True}, {"port_bits": 8, "word_bits": 8}, 15, "mixed"),
    13: ({"width": 48, "heads": 2}, {"port_bits": 128, "pipeline": 2, "queue_depth": 1}, 16, "mixed"),
    14: ({"attention_bits": 2, "width": 21, "heads": 1, "inner": 16}, {"vector_lanes": 1, **ROOM}, 17, "runs"),
}
#: seed: bits of codes, bits of attention codes, members, width, what differs from `SMALL`, tokens
PLANES: dict[int, tuple[int, int, int, int, dict[str, Any], int]] = {
    20: (2, 1, 1, 24, {}, 9),
    21: (4, 2, 1, 16, {"vector_lanes": 16, "columns": 8}, 16),
    22: (2, 4, 2, 30, {"rows": 2, "drain_rows": 1, "columns": 2, "key_lines": 256}, 5),
    23: (4, 1, 1, 18, {"weight_lines": 8, "vector_lanes": 4}, 7),
    24: (1, 1, 2, 24, {"rows": 1, "drain_rows": 1, "word_bits": 4}, 3),
    25: (2, 2, 1, 24, {}, 1),
}


@pytest.mark.parametrize("seed", PLAIN)
def test_codes_of_one_bit(seed: int) -> None:
    sketch, changes, count, types = PLAIN[seed]
    assert_says_what_the_reference_says(Point(network(seed, **sketch), resized(**changes), count, seed, types))


@pytest.mark.parametrize("seed", PLANES)
def test_codes_of_several_bits(seed: int) -> None:
    bits, attention_bits, members, width, changes, count = PLANES[seed]
    point = Point(mixed(seed, bits, attention_bits, members, width), resized(**changes), count, seed)
    assert_says_what_the_reference_says(point)


@pytest.mark.parametrize("seed", range(30, 34))
def test_random_accelerators(seed: int) -> None:
    source = random.Random(seed)
    rows, columns = source.choice([2, 4, 8]), source.choice([2, 4, 8, 16])
    accelerator = resized(
        rows=rows,
        columns=columns,
        drain_rows=1 << source.randint(0, min(rows, columns).bit_length() - 1),
        word_bits=source.choice([4, 8, 32, 64]),
        vector_lanes=source.choice([2, 4, 16, 32]),
        row_lanes=source.choice([1, 2, 8, 32]),
        port_bits=source.choice([8, 16, 64, 128]),
        weight_lines=source.choice([32, 512]),
        queue_depth=source.choice([1, 2, 8]),
        **ROOM,
    )
    count, heads = source.randint(1, 16), source.choice([1, 2, 4])
    made = network(seed, width=heads * source.randint(8, 12), heads=heads, inner=source.randint(16, 40), members=1)
    assert_says_what_the_reference_says(Point(made, accelerator, count, seed, source.choice(["runs", "mixed"])))


@pytest.mark.parametrize(("weights", "members"), [((5, 2, 1), 1), ((1, 5, 1), 2), ((1, 1, 7), 3)])
def test_members_run_until_the_class_is_certain(weights: tuple[int, ...], members: int) -> None:
    made = network(6, members=3, vote="hard", layers=0, width=16)
    voters = tuple(dataclasses.replace(m, multiplier=w) for m, w in zip(made.members, weights, strict=True))
    point = Point(dataclasses.replace(made, members=voters), SMALL, 5, 6)
    assert assert_says_what_the_reference_says(point).members_run == members


@pytest.mark.parametrize(("seed", "members"), [(7, 3), (8, 2)])
def test_soft_votes_stop_too(seed: int, members: int) -> None:
    point = Point(network(seed, members=3, width=16, inner=16, layers=0), SMALL, 5, seed)
    assert assert_says_what_the_reference_says(point).members_run == members


@pytest.mark.parametrize("count", range(1, 25))
def test_factor_of_a_mean(count: int) -> None:
    """1 / n with 14 bits behind the leading one, rounded half up."""
    instructions = map_network(SMALL, network(7, layers=0, width=16, members=1), (0,) * count).program.instructions
    (mean,) = [i for i in instructions if i.opcode is Opcode.MEAN]
    exponent = next(e for e in range(11) if 1 << e >= count)
    factor = math.floor(Fraction(1 << 14 + exponent, count) + Fraction(1, 2))
    assert (mean.shift, mean.multiplier, mean.rows) == (14 + exponent, factor, count)
    assert 1 << 14 <= factor < 1 << 15


def loads(accelerator: Accelerator, seed: int) -> tuple[Counter[tuple[int, int]], int]:
    """Return how often each address is loaded, without gathers, and how many MATMULs there are, for one layer."""
    instructions = map_network(accelerator, network(seed, width=64, heads=4, members=1), (0,) * 8).program.instructions
    read = [i for i in instructions if i.opcode is Opcode.LOAD and not i.gather]
    return Counter((i.buffer, i.address) for i in read), sum(i.opcode is Opcode.MATMUL for i in instructions)


def test_small_buffers_cut_weights_into_panels_and_load_them_again() -> None:
    roomy, products = loads(resized(weight_lines=1024, threshold_lines=512), 8)
    assert set(roomy.values()) == {1}
    tight, more = loads(resized(**TINY_WEIGHTS), 8)
    assert more > products
    assert max(tight.values()) > 1


def test_one_program_for_many_sentences() -> None:
    made = network(1)
    types = [0, 0, 1, 1, 0, 1, 1]
    mapped = map_network(SMALL, made, types)
    for seed in range(4):
        source = random.Random(seed)
        ids = [source.randrange(40) for _ in types]
        program = mapped.with_ids(ids)
        tokens = program.region(TOKENS)
        held = np.frombuffer(program.image[tokens.address : tokens.end], "<u2")
        assert held[: len(ids)].tolist() == ids and not held[len(ids) :].any()
        rest = bytearray(program.image)
        rest[tokens.address : tokens.end] = bytes(tokens.size)
        assert bytes(rest) == mapped.program.image
        done = execute(program)
        assert (seed, done.result.leader) == (seed, evaluate(made, ids, types).prediction)


def test_same_arguments_same_bytes() -> None:
    for point in (Point(network(3), SMALL, 9, 3), Point(mixed(20, 2, 1), SMALL, 6, 20)):
        first, second = point.mapped(), point.mapped()
        assert first.program == second.program
        assert first.types == tuple(point.sentence[1])
        assert first.rows == point.count


def test_regions() -> None:
    program = map_network(SMALL, network(1), (0,) * 9).program
    access = {region.name: (region.access, region.address % 4096) for region in program.regions}
    reads = {"tokens": ("read", 0), "parameters": ("read", 0)}
    assert access == {**reads, "logits": ("write", 0), "program": ("program", 0)}
    assert program.region(TOKENS).size == -(-9 // 2) * 4
    assert program.region(LOGITS).size == 2 * 3 * 4


def test_what_is_stored_is_the_logits_alone() -> None:
    point = Point(network(5, vote="mean", classes=1), SMALL, 4, 5)
    program = point.mapped().with_ids(point.sentence[0])
    done = execute(program)
    logits = program.region(LOGITS)
    before, after = bytearray(program.image), bytearray(done.memory.tobytes())
    before[logits.address : logits.end] = after[logits.address : logits.end]
    assert before == after

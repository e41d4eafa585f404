"""What tests of shrinking share: a case that is large in every way, and how to look at what may follow it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from hw.arch import Accelerator
from hw.isa import Opcode
from model.synthetic_network import Sketch
from sim.memory import MemoryProfile
from tests.agreement.network_point import NetworkPoint
from tests.agreement.networks import case_of
from tests.agreement.reductions import ACCELERATOR, NETWORK

ACCELERATOR_OF_POINT = Accelerator(
    name="whole",
    rows=4,
    columns=8,
    word_bits=8,
    drain_rows=4,
    sum_bits=12,
    code_bits=2,
    activation_lines=128,
    weight_lines=128,
    key_lines=128,
    vector_lanes=4,
    row_lanes=4,
    fixed_lines=512,
    token_lines=16,
    embedding_lines=128,
    classes=8,
)

POINT = NetworkPoint(
    seed=11,
    sketch=Sketch(
        layers=3,
        width=24,
        heads=3,
        inner=20,
        bits=1,
        attention_bits=2,
        attention="row",
        feed_forward="plain",
        stack=1,
        ternary=False,
        members=2,
        shared=False,
        vote="soft",
        classes=3,
        vocabulary=50,
        types=2,
        limit=9,
        pooling="mean",
        pooler=False,
    ),
    ids=(5, 9, 40, 7, 1),
    types=(0, 0, 0, 1, 1),
    memory=MemoryProfile(latency=20, write_latency=5, interval=2, jitter=7, stall_rate=100, stall_max=3, seed=9),
    accelerator=ACCELERATOR_OF_POINT,
)
"""Three layers, three heads, two members, five tokens, a restless memory; the mapper takes it."""


def steps(point: NetworkPoint) -> Iterator[tuple[str, NetworkPoint]]:
    """Yield all that may follow a point."""
    for reduction in (*NETWORK, *ACCELERATOR):
        yield from reduction(point)


@cache
def has_softmax(point: NetworkPoint) -> bool:
    """Map a case; a network that the mapper refuses raises."""
    return any(i.opcode is Opcode.SOFTMAX for i in case_of(point).program.instructions)

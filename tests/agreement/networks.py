"""Random networks on random accelerators: programs of the mapper for whole sentences, from a seed and a number.

A group is one accelerator, so one build; it has NETWORKS_PER_GROUP cases. What the mapper refuses is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from hw.arch import Accelerator, AcceleratorError
from mapping.errors import MappingError
from mapping.whole.mapper import map_network
from model.network import Network
from model.synthetic_network import FEED_FORWARDS, Sketch, random_network, random_sketch
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.reference import evaluate
from sim.timing import simulate
from tests.agreement.compare import ProgramCase, compare_programs
from tests.agreement.network_point import NetworkPoint
from tests.agreement.points import random_memory

NETWORKS_PER_GROUP = 4
MAX_INSTRUCTIONS, MAX_CYCLES = 600, 8_000
MAX_WORK = 200
"""Of works: what is above would not be mapped to as few instructions."""

_LAYERS = (1, 2, 1, 0)
_DRAWS = 24


@dataclass(frozen=True)
class NetworkCase(ProgramCase):
    """One sentence on a network, mapped to a program, with its memory, and the data that all of it is made from."""

    network: Network
    point: NetworkPoint

    def __str__(self) -> str:
        a, n = self.program.accelerator, self.network
        return (
            f"case {self.number}: {len(self.point.ids)} tokens, {len(n.members)} members, vote {n.vote}, "
            f"{len(n.operations)} operations, {len(self.program.instructions)} instructions "
            f"on {a.rows}x{a.columns}x{a.word_bits}, {a.vector_lanes} vector lanes, {a.row_lanes} row lanes, "
            f"port {a.port_bits}, {self.memory.to_dict()}"
        )


def case_of(point: NetworkPoint, number: int = 0) -> NetworkCase:
    """Return what a point describes; raises MappingError where the network does not fit the accelerator."""
    network = random_network(point.seed, **asdict(point.sketch))
    mapped = map_network(point.accelerator, network, point.types)
    return NetworkCase(number, mapped.with_ids(point.ids), point.memory, network, point)


def compare_networks(cases: Sequence[NetworkCase], simulator: str, cache: Path, work: Path) -> list[dict[str, Any]]:
    """Return the bench's result of each case, and in how much of the vote the simulator and the reference differ."""
    results = compare_programs(cases, simulator, cache, work)
    return [
        result | {"reference_different": len(reference_differences(case))}
        for case, result in zip(cases, results, strict=True)
    ]


def reference_differences(case: NetworkCase) -> list[str]:
    """Return what differs between the class, members and total of the simulated program and the integer reference."""
    found, expected = execute(case.program).result, evaluate(case.network, case.point.ids, case.point.types)
    total = int(expected.contributions[: expected.members_run].sum(0).max())
    answer = found.total if case.network.vote == "mean" else found.leader
    pairs = {
        "members": (found.members, expected.members_run),
        "total": (found.total, total),
        "answer": (answer, expected.prediction),
    }
    return [f"{name}: {at} in the simulator, {by} by the reference" for name, (at, by) in pairs.items() if at != by]


def random_whole_accelerator(random: Random) -> Accelerator:
    """Return a small legal accelerator with all units; every parameter varies."""
    while True:
        word_bits, rows, columns = random.choice([4, 8, 16, 32]), random.choice([1, 2, 4]), random.choice([1, 2, 4, 8])
        try:
            return Accelerator(
                name="whole",
                rows=rows,
                columns=columns,
                word_bits=word_bits,
                pipeline=random.randint(0, word_bits.bit_length()),
                sum_bits=random.choice([10, 15, 16, 20]),
                drain_rows=random.choice([n for n in (1, 2, 4) if n <= min(rows, columns)]),
                code_bits=random.choice([1, 2, 4, 8]),
                activation_lines=random.choice([128, 512]),
                weight_lines=random.choice([32, 128, 512]),
                key_lines=random.choice([128, 256]),
                threshold_lines=random.choice([32, 128]),
                output_lines=random.choice([8, 16]),
                vector_lanes=random.choice([1, 2, 4, 8]),
                sum_lines=random.choice([64, 256]),
                fixed_lines=random.choice([512, 2048]),
                scale_lines=random.choice([64, 256, 512]),
                level_lines=random.choice([64, 256]),
                row_lanes=random.choice([1, 2, 4, 8]),
                score_lines=random.choice([16, 64]),
                score_slots=random.choice([1, 2, 3]),
                table_lines=random.choice([32, 64, 256]),
                token_lines=random.choice([16, 32]),
                word_lines=random.choice([64, 128]),
                embedding_lines=random.choice([128, 512]),
                classes=random.choice([7, 8]),
                port_bits=random.choice([8, 16, 32, 64, 64]),
                burst_beats=random.choice([1, 3, 16, 64]),
                reads_in_flight=random.choice([1, 2, 8]),
                writes_in_flight=random.choice([1, 2]),
                fetch_depth=random.choice([1, 2, 4, 8]),
                queue_depth=random.choice([1, 2, 4, 8]),
                transfers_in_flight=random.choice([1, 2, 4]),
                counters=random.random() < 0.8,
            )
        except AcceleratorError:
            continue


def network_group(seed: int, number: int) -> list[NetworkCase]:
    """Return the cases of one group; the same seed and number give the same cases on every machine."""
    random = Random(f"network {seed} {number}")
    while True:
        accelerator = random_whole_accelerator(random)
        first = number * NETWORKS_PER_GROUP
        cases = [_case(random, accelerator, first + place) for place in range(NETWORKS_PER_GROUP)]
        if None not in cases:
            return [case for case in cases if case is not None]


def _case(random: Random, accelerator: Accelerator, number: int) -> NetworkCase | None:
    """Return a case that fits the accelerator, or None if a number of draws gave none."""
    for _ in range(_DRAWS):
        seed, heads = random.getrandbits(31), random.choice([1, 1, 2, 3])
        fixed = {
            "heads": heads,
            "width": heads * random.randint(-(-16 // heads), 36 // heads),
            "inner": random.randint(8, 40),
            "layers": _LAYERS[number % NETWORKS_PER_GROUP],
            "bits": random.choice([b for b in (1, 1, 2, 4, 8) if b <= accelerator.code_bits]),
            "attention_bits": random.choice([b for b in (1, 2, 4) if b <= accelerator.code_bits]),
            "feed_forward": random.choice(["plain", "plain", *FEED_FORWARDS]),
            "ternary": random.random() < 0.2,
            "pooler": random.random() < 0.4,
            "limit": random.choice([1, 5, 9, 9]),
        }
        case = _mapped(random, accelerator, seed, random_sketch(seed, **fixed), number)
        if case is not None:
            return case
    return None


def _work(sketch: Sketch, tiles: int) -> int:
    """Return about how many works a network is for a sentence of so many row tiles."""
    feed_forward = 7 + 3 * (sketch.feed_forward != "plain") + 2 * sketch.ternary
    layer = 17 + 4 * sketch.ternary + sketch.stack * feed_forward
    return sketch.members * (4 + 4 * sketch.pooler + sketch.layers * layer) * (1 + tiles)


def _mapped(random: Random, accelerator: Accelerator, seed: int, sketch: Sketch, number: int) -> NetworkCase | None:
    rows = random.choice([sketch.limit, random.randint(1, sketch.limit)])
    if _work(sketch, -(-rows // accelerator.rows)) > MAX_WORK:
        return None
    types = tuple(sorted(random.randrange(sketch.types) for _ in range(rows)))
    if random.random() < 0.5:
        types = (types[0],) * rows
    ids = tuple(random.randrange(sketch.vocabulary) for _ in range(rows))
    point = NetworkPoint(seed, sketch, ids, types, MemoryProfile(), accelerator)
    try:
        case = case_of(point, number)
    except MappingError:
        return None
    memory = random_memory(random)
    if len(case.program.instructions) > MAX_INSTRUCTIONS:
        return None
    if simulate(accelerator, case.program.instructions, memory).cycles > MAX_CYCLES:
        return None
    return replace(case, memory=memory, point=replace(point, memory=memory))

"""Random networks on random accelerators: programs of the mapper for whole sentences, from a seed and a number.

A group is one accelerator, so one build; it has NETWORKS_PER_GROUP cases. What the mapper refuses is drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hw.arch import Accelerator, AcceleratorError
from mapping.errors import MappingError
from mapping.whole.mapper import map_network
from model.network import Network
from model.operations import Embed
from model.synthetic_network import FEED_FORWARDS, random_network
from sim.timing import simulate
from tests.agreement.compare import ProgramCase
from tests.agreement.points import random_memory

NETWORKS_PER_GROUP = 4
MAX_INSTRUCTIONS, MAX_CYCLES = 800, 16_000
MAX_WORK = 200
"""Operations times row tiles, and once more: what is above would not be mapped to as few instructions."""

_LAYERS = (1, 2, 1, 0)
_DRAWS = 24


@dataclass(frozen=True)
class NetworkCase(ProgramCase):
    """One sentence on a network, mapped to a program, with its memory."""

    network: Network
    ids: tuple[int, ...]
    types: tuple[int, ...]
    sketch: str

    def __str__(self) -> str:
        a = self.program.accelerator
        return (
            f"case {self.number}: {len(self.ids)} tokens, {self.sketch}, {len(self.program.instructions)} instructions "
            f"on {a.rows}x{a.columns}x{a.word_bits}, {a.vector_lanes} vector lanes, {a.row_lanes} row lanes, "
            f"port {a.port_bits}, {self.memory.to_dict()}"
        )


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
        case = _mapped(random, accelerator, random_network(seed, **fixed), number)
        if case is not None:
            return case
    return None


def _mapped(random: Random, accelerator: Accelerator, network: Network, number: int) -> NetworkCase | None:
    embeds = [o for o in network.operations if isinstance(o, Embed)]
    rows = random.choice([network.limit, random.randint(1, network.limit)])
    kinds, words = min(o.sizes["types"] for o in embeds), min(o.sizes["vocabulary"] for o in embeds)
    tiles = -(-rows // accelerator.rows)
    if len(network.operations) * (1 + tiles) > MAX_WORK:
        return None
    types = tuple(sorted(random.randrange(kinds) for _ in range(rows)))
    if random.random() < 0.5:
        types = (types[0],) * rows
    ids = tuple(random.randrange(words) for _ in range(rows))
    try:
        mapped = map_network(accelerator, network, types)
    except MappingError:
        return None
    program, memory = mapped.with_ids(ids), random_memory(random)
    if len(program.instructions) > MAX_INSTRUCTIONS:
        return None
    if simulate(accelerator, program.instructions, memory).cycles > MAX_CYCLES:
        return None
    shapes = f"{len(network.members)} members, vote {network.vote}, {len(network.operations)} operations"
    return NetworkCase(number, program, memory, network, ids, types, shapes)

"""Random design points: an accelerator, and layers with memories to run on it, from a seed and a number.

A *group* is one accelerator, so one build; it has LAYERS_PER_GROUP cases. Case number = group * LAYERS_PER_GROUP +
index.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hw.arch import Accelerator, AcceleratorError
from hw.isa import Buffer
from sim.memory import MemoryProfile
from tests.agreement.loose_accesses import buffer_shape

LAYERS_PER_GROUP = 6
SMALL_LANES = 96
STEPS = {"icarus": 250, "verilator": 2500}
MOST_BEATS = 2000
"""To fill the buffers of an accelerator for programs of whole networks."""


@dataclass(frozen=True)
class Point:
    """One case: a layer (rows, inputs, outputs) on an accelerator, under a memory, maybe after a reset in flight."""

    number: int
    accelerator: Accelerator
    rows: int
    inputs: int
    outputs: int
    input_set: str
    memory: MemoryProfile
    seed: int
    resets: bool

    def __str__(self) -> str:
        a = self.accelerator
        return (
            f"case {self.number}: {self.rows}x{self.inputs}x{self.outputs} {self.input_set} on "
            f"{a.rows}x{a.columns}x{a.word_bits}, port {a.port_bits}, {self.memory.to_dict()}"
        )


def random_accelerator(random: Random) -> Accelerator:
    """Return a legal accelerator; every structural parameter varies, 1 and the odd included."""
    while True:
        word_bits = random.choice([1, 2, 4, 8, 16, 32, 64])
        rows = random.choice([1, 1, 2, 3, 4, 5, 7])
        port_bits = random.choice([8, 16, 32, 64, 128, 256])
        try:
            return Accelerator(
                name="random",
                rows=rows,
                columns=random.choice([1, 2, 4, 8]),
                word_bits=word_bits,
                pipeline=random.randint(0, word_bits.bit_length()),
                sum_bits=random.choice([8, 10, 13, 15, 16, 20]),
                drain_rows=random.randint(1, rows),
                code_bits=random.choice([1, 1, 2, 4, 8]),
                activation_lines=random.choice([2, 3, 4, 8, 16, 64]),
                weight_lines=random.choice([2, 3, 4, 8, 16, 64]),
                key_lines=random.choice([0, 2, 3, 8, 32]),
                threshold_lines=random.choice([2, 3, 4, 8, 32]),
                output_lines=random.choice([2, 3, 4, 8, 32]),
                vector_lanes=random.choice([0, 1, 2, 4, 8]),
                sum_lines=random.choice([2, 3, 8, 32]),
                fixed_lines=random.choice([2, 3, 8, 32, 64]),
                scale_lines=random.choice([2, 3, 8]),
                level_lines=random.choice([2, 3, 8]),
                port_bits=port_bits,
                burst_beats=random.choice([1, 2, 3, 7, 16, 64, 256]),
                reads_in_flight=random.choice([1, 2, 3, 8]),
                writes_in_flight=random.choice([1, 2, 3, 8]),
                fetch_depth=random.choice([1, 2, 3, 4, 8]),
                queue_depth=random.choice([1, 2, 3, 4, 8]),
                transfers_in_flight=random.choice([1, 2, 3, 4]),
                counters=random.random() < 0.8,
            )
        except AcceleratorError:
            continue


def random_network_accelerator(random: Random) -> Accelerator:
    """Return a legal accelerator of which most have all that whole networks need, in small sizes."""
    while True:
        base = random_accelerator(random)
        lanes = random.choice([0, 1, 2, 4, 8, 8])
        try:
            accelerator = base.replace(
                rows=random.choice([base.rows, 2, 4]),
                code_bits=random.choice([1, 2, 4, 8]),
                activation_lines=random.choice([2, 3, 4, 8, 16]),
                weight_lines=random.choice([2, 3, 4, 8, 16]),
                vector_lanes=lanes,
                fixed_lines=random.choice([2, 3, 8, 32, 64]),
                scale_lines=random.choice([2, 3, 8, 24, 40]),
                row_lanes=random.choice([0, 1, 2, 4, 8, 16, 32]),
                score_lines=random.choice([2, 3, 8, 32]),
                score_slots=random.choice([1, 2, 3, 16]),
                table_lines=random.choice([2, 5, 16, 20, 48]),
                token_lines=random.choice([0, 2, 3, 8, 32]) if lanes else 0,
                word_lines=random.choice([2, 5, 16, 40]),
                embedding_lines=random.choice([2, 5, 16, 40]),
                classes=random.choice([0, 1, 2, 3, 5, 8, 9]) if lanes else 0,
            )
        except AcceleratorError:
            continue
        if _beats_to_fill(accelerator) <= MOST_BEATS:
            return _with_room_for_a_table(accelerator, random) if lanes else accelerator


def _with_room_for_a_table(a: Accelerator, random: Random) -> Accelerator:
    """Return an accelerator whose scale buffer often holds the 256 pieces of a table, where that is not too much."""
    wide = a.replace(scale_lines=256 // a.vector_lanes + random.choice([0, 1, 5]))
    return wide if _beats_to_fill(wide) <= MOST_BEATS and random.random() < 0.7 else a


def _beats_to_fill(a: Accelerator) -> int:
    """Return the beats that load every line of every buffer."""
    shapes = [buffer_shape(a, buffer) for buffer in Buffer]
    return sum(banks * lines * beats for banks, lines, beats in shapes)


def random_memory(random: Random) -> MemoryProfile:
    """Return one of: ideal, slow, narrow, restless, or all of it at once."""
    kind = random.choice(["ideal", "slow", "narrow", "restless", "all", "all"])
    full = kind == "all"
    return MemoryProfile(
        latency=random.choice([1, 2, 5, 20, 60, 200]) if full or kind == "slow" else random.randint(1, 3),
        write_latency=random.choice([1, 2, 5, 20, 60]) if full or kind == "slow" else 1,
        interval=random.choice([1, 2, 3, 5]) if full or kind == "narrow" else 1,
        jitter=random.choice([1, 7, 50]) if full or kind == "restless" else 0,
        stall_rate=random.choice([20, 100, 256]) if full or kind == "restless" else 0,
        stall_max=random.choice([1, 3, 12]) if full or kind == "restless" else 1,
        seed=random.getrandbits(32),
    )


def random_shape(random: Random, accelerator: Accelerator, steps: int) -> tuple[int, int, int]:
    """Return rows, inputs, outputs whose products are at most about `steps` array steps."""
    a = accelerator
    longest = a.max_inputs // a.word_bits * a.word_bits
    while True:
        rows = random.choice([1, a.rows, a.rows + 1, random.randint(1, 4 * a.rows + 2)])
        inputs = random.choice([1, a.word_bits, random.randint(1, 200), random.randint(1, 40), 768, 3072])
        outputs = random.choice([1, a.columns, a.columns + 1, random.randint(1, 5 * a.columns + 3), 70])
        tiles = -(-rows // a.rows) * -(-outputs // a.columns)
        words = -(-inputs // a.word_bits)
        traffic = (rows + outputs) * inputs / a.port_bits
        if inputs <= longest and tiles * words <= steps and traffic <= steps:
            return rows, inputs, outputs


def group(seed: int, number: int) -> list[Point]:
    """Return the cases of one group; the same seed and number give the same cases on every machine."""
    random = Random(f"{seed}/{number}")
    accelerator = random_accelerator(random)
    steps = STEPS[simulator_of(accelerator)]
    return [
        Point(
            number * LAYERS_PER_GROUP + index,
            accelerator,
            *random_shape(random, accelerator, steps),
            random.choice(["signed", "unsigned"]),
            random_memory(random),
            random.getrandbits(31),
            random.random() < 0.25,
        )
        for index in range(LAYERS_PER_GROUP)
    ]


def simulator_of(accelerator: Accelerator) -> str:
    """Return the simulator that suits the size: Icarus starts at once and is slow, Verilator takes time to build."""
    return "icarus" if accelerator.lanes <= SMALL_LANES else "verilator"

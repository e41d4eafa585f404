"""Layers, activations and accelerators for the mapper's tests, from seeds; and what a mapped layer must compute."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import numpy as np

from hw.arch import Accelerator
from hw.isa import FIELDS, TOKEN_UNITS, Instruction, Unit
from hw.program import Program
from mapping.mapper import MappedLayer, outputs
from model.network import BinaryLayer
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.reference import binarize, sums

DENSITIES = (0.0, 0.02, 0.5, 0.5, 0.98, 1.0)


def bits(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Return random bits whose density differs from row to row, all-zero and all-one rows among them."""
    density = generator.choice(DENSITIES, size=(rows, 1))
    return (generator.random((rows, columns)) < density).astype(np.uint8)


def layer_and_activations(
    seed: int, tokens: int, inputs: int, outputs: int, input_set: str = "signed"
) -> tuple[BinaryLayer, np.ndarray]:
    """Return a layer whose thresholds lie on, beside and far from sums that occur, and the activations for them."""
    generator = np.random.default_rng(seed)
    activations, weights = bits(generator, tokens, inputs), bits(generator, outputs, inputs)
    occurring = sums(activations, weights, input_set == "unsigned")
    picked = occurring[generator.integers(0, tokens, outputs), np.arange(outputs)]
    thresholds = picked + generator.integers(-1, 2, outputs)
    extreme = generator.choice([-inputs, inputs + 1], size=outputs)
    thresholds = np.where(generator.random(outputs) < 0.1, extreme, thresholds).clip(-inputs, inputs + 1)
    polarity = generator.integers(0, 2, outputs).astype(np.uint8)
    packed = np.packbits(weights, axis=1, bitorder="little")
    layer = BinaryLayer("layer", inputs, outputs, input_set, packed, thresholds.astype(np.int32), polarity)
    return layer, activations


def expected(layer: BinaryLayer, activations: np.ndarray) -> np.ndarray:
    """Return the output bits by the reference."""
    occurring = sums(activations, layer.weight_bits, layer.input_set == "unsigned")
    return binarize(occurring, layer.thresholds, layer.polarity)


def assert_computes(mapped: MappedLayer, layer: BinaryLayer, activations: np.ndarray) -> None:
    """Execute a mapped layer and compare every output bit; all padding of the output rows must be 0."""
    memory = execute(mapped.program).memory
    np.testing.assert_array_equal(outputs(mapped, memory), expected(layer, activations))
    region = mapped.layout.outputs
    rows = memory[region.address : region.end].reshape(len(activations), -1)
    stored = np.unpackbits(rows, axis=1, bitorder="little")
    assert not stored[:, layer.outputs :].any()


def accelerator(source: random.Random) -> Accelerator:
    """Return a random legal accelerator, small buffers being likely."""
    rows = source.choice([1, 1, 2, 3, 4, 8])
    word_bits = source.choice([1, 2, 4, 8, 16, 32, 64])
    sum_bits = source.choice([12, 15, 16, 20])
    return Accelerator(
        rows=rows,
        columns=source.choice([1, 2, 4, 8]),
        word_bits=word_bits,
        pipeline=source.randint(0, min(3, word_bits.bit_length())),
        sum_bits=sum_bits,
        drain_rows=source.randint(1, rows),
        activation_lines=source.choice([2, 3, 4, 7, 16, 64, 256]),
        weight_lines=source.choice([2, 3, 4, 7, 16, 64, 256]),
        threshold_lines=source.choice([2, 3, 4, 7, 16, 64]),
        output_lines=source.choice([2, 3, 4, 7, 16, 64]),
        port_bits=source.choice([8, 16, 32, 64, 128, 256]),
        burst_beats=source.choice([1, 2, 7, 16, 64]),
        reads_in_flight=source.choice([1, 2, 4, 8]),
        writes_in_flight=source.choice([1, 2, 4]),
        fetch_depth=source.choice([1, 2, 4, 8]),
        queue_depth=source.choice([1, 2, 4, 8]),
        transfers_in_flight=source.choice([1, 2, 4]),
    )


def profile(source: random.Random) -> MemoryProfile:
    """Return a random memory, without stalls half of the time."""
    return MemoryProfile(
        latency=source.choice([1, 5, 20, 60]),
        write_latency=source.choice([1, 10, 40]),
        interval=source.choice([1, 1, 2]),
        jitter=source.choice([0, 0, 9]),
        stall_rate=source.choice([0, 0, 40]),
        stall_max=source.choice([1, 6]),
        seed=source.randrange(1 << 32),
    )


def changed(program: Program, instructions: list[Instruction]) -> Program:
    """Return the program with other instructions, and with regions and image that fit their number."""
    code = b"".join(instruction.encode() for instruction in instructions)
    image = program.image[: program.address] + code
    regions = tuple(
        dataclasses.replace(region, size=len(code)) if region.access == "program" else region
        for region in program.regions
    )
    return Program(program.accelerator, tuple(instructions), program.address, regions, image)


def operands(instruction: Instruction) -> dict[str, int]:
    """Return the operands of an instruction by name."""
    names = (field.name for field in FIELDS[instruction.opcode])
    return dict(zip(names, instruction.operands, strict=True))


def with_operands(instruction: Instruction, **changes: int) -> Instruction:
    """Return an instruction with some operands, or its `wait` and `signal` masks, replaced."""
    masks = {name: changes.pop(name) for name in ("wait", "signal") if name in changes}
    before = operands(instruction)
    assert set(changes) <= set(before)
    return dataclasses.replace(instruction, operands=tuple((before | changes).values()), **masks)


def tokens(instructions: Sequence[Instruction]) -> list[tuple[int, Unit, int, Unit]]:
    """Return (signalling instruction, its unit, waiting instruction, its unit) for each token, as the waits come."""
    given: dict[tuple[Unit, Unit], list[int]] = {}
    for index, instruction in enumerate(instructions):
        for other in TOKEN_UNITS:
            if instruction.signal >> other & 1:
                given.setdefault((instruction.unit, other), []).append(index)
    return [
        (given[other, instruction.unit].pop(0), other, index, instruction.unit)
        for index, instruction in enumerate(instructions)
        for other in TOKEN_UNITS
        if other is not instruction.unit and instruction.wait >> other & 1
    ]


def without_token(instructions: Sequence[Instruction], token: tuple[int, Unit, int, Unit]) -> list[Instruction]:
    """Return the instructions without one signal and the wait that takes it."""
    signaller, producer, waiter, consumer = token
    result = list(instructions)
    result[signaller] = with_operands(result[signaller], signal=result[signaller].signal & ~(1 << consumer))
    result[waiter] = with_operands(result[waiter], wait=result[waiter].wait & ~(1 << producer))
    return result

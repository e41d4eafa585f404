"""Mapped layers compute what the reference says, bit for bit, on any accelerator; and the search is fast and exact."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Opcode
from hw.program import load
from mapping.candidates import candidates
from mapping.errors import MappingError
from mapping.geometry import Geometry
from mapping.mapper import map_layer, outputs
from mapping.tiling import Tiling
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.timing import simulate
from tests.mapping.cases import (
    accelerator,
    assert_computes,
    expected,
    layer_and_activations,
    profile,
)

ROOT = Path(__file__).parents[2]
MINIMUM = {"activation_lines": 2, "weight_lines": 2, "threshold_lines": 2, "output_lines": 2}
TYPICAL = Accelerator(
    rows=8,
    columns=8,
    word_bits=64,
    pipeline=3,
    drain_rows=2,
    activation_lines=512,
    weight_lines=512,
    threshold_lines=128,
    output_lines=512,
    port_bits=64,
    reads_in_flight=8,
)
DISTANT = MemoryProfile(latency=60, write_latency=60)


def assert_maps(chosen: Accelerator, shape: tuple[int, int, int], input_set: str = "signed", seed: int = 0) -> None:
    """Map a layer of rows x inputs x outputs, execute it and compare; the timing is that of the program."""
    layer, activations = layer_and_activations(seed, *shape, input_set)
    mapped = map_layer(chosen, layer, activations)
    assert_computes(mapped, layer, activations)
    assert mapped.shape == (shape[0], shape[2])
    assert mapped.timing.cycles == simulate(chosen, mapped.program.instructions, mapped.profile).cycles


@pytest.mark.parametrize("input_set", ["signed", "unsigned"])
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (1, 40, 1), (1, 1, 40), (40, 1, 1), (4, 64, 4), (5, 65, 5), (7, 130, 9), (33, 100, 41), (16, 64, 32)],
)
def test_shapes(shape: tuple[int, int, int], input_set: str) -> None:
    assert_maps(Accelerator(), shape, input_set)


def test_bert_ffn_inputs() -> None:
    assert_maps(TYPICAL, (9, 3072, 20))
    assert_maps(TYPICAL.replace(activation_lines=30, weight_lines=20), (9, 3072, 20), "unsigned")


@pytest.mark.parametrize("input_set", ["signed", "unsigned"])
@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 1},
        {"columns": 1},
        {"word_bits": 1},
        {"rows": 1, "columns": 1, "word_bits": 1, "port_bits": 8, "pipeline": 0},
        {"rows": 3, "drain_rows": 2},
        {"port_bits": 8},
        {"port_bits": 256},
        {"word_bits": 128, "port_bits": 16},
        {"columns": 64, "port_bits": 8, "word_bits": 4},
        {"sum_bits": 16},
        {"queue_depth": 1, "transfers_in_flight": 1, "fetch_depth": 1, "reads_in_flight": 1, "writes_in_flight": 1},
    ],
    ids=str,
)
def test_accelerators(changes: dict[str, int], input_set: str) -> None:
    assert_maps(Accelerator().replace(**changes), (9, 70, 11), input_set)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 16, 5), (9, 50, 9), (3, 200, 40), (17, 33, 6)])
@pytest.mark.parametrize("port_bits", [8, 32, 64])
def test_minimum_buffers(shape: tuple[int, int, int], port_bits: int) -> None:
    assert_maps(Accelerator(port_bits=port_bits, **MINIMUM), shape)


def test_exactly_full_buffers_hold_the_layer_once() -> None:
    shape = (12, 100, 20)
    geometry = Geometry(Accelerator(), *shape, False)
    full = Accelerator(
        activation_lines=geometry.row_groups * geometry.lines,
        weight_lines=geometry.column_groups * geometry.lines,
        threshold_lines=geometry.column_groups,
        output_lines=geometry.row_groups * geometry.output_lines,
    )
    layer, activations = layer_and_activations(3, *shape)
    mapped = map_layer(full, layer, activations)
    assert_computes(mapped, layer, activations)
    loads = [i for i in mapped.program.instructions if i.opcode is Opcode.LOAD]
    beats = sum(instruction.segments * instruction.segment_beats for instruction in loads)
    regions = [mapped.program.region(name).size for name in ("activations", "weights", "thresholds")]
    assert beats * full.beat_bytes == sum(regions)
    for name in ("activation_lines", "weight_lines", "threshold_lines", "output_lines"):
        assert_maps(full.replace(**{name: max(2, getattr(full, name) - 1)}), shape)


def test_parts_of_k_continue_a_sum() -> None:
    layer, activations = layer_and_activations(4, 5, 500, 6)
    mapped = map_layer(Accelerator(activation_lines=4, weight_lines=16), layer, activations)
    assert_computes(mapped, layer, activations)
    matmuls = [i for i in mapped.program.instructions if i.opcode is Opcode.MATMUL]
    parts = len(matmuls) // 4
    assert parts == 4
    assert [(i.first, i.handover) for i in matmuls[:parts]] == [(1, 0), (0, 0), (0, 0), (0, 1)]
    assert [i.pad for i in matmuls[:parts]] == [12, 0, 0, 0]


@pytest.mark.parametrize("seed", range(24))
def test_random_layers_with_the_search(seed: int) -> None:
    source = random.Random(f"search {seed}")
    chosen = accelerator(source).replace(sum_bits=15)
    shape = source.choice([1, 2, 5, 9]), source.choice([1, 3, 17, 64, 65, 130]), source.choice([1, 2, 5, 9, 17])
    layer, activations = layer_and_activations(seed, *shape, source.choice(["signed", "unsigned"]))
    print(f"seed {seed}: {shape} {layer.input_set} on {chosen}")
    mapped = map_layer(chosen, layer, activations, profile(source))
    assert_computes(mapped, layer, activations)


@pytest.mark.parametrize("seed", range(60))
def test_random_layers_with_any_tiling(seed: int) -> None:
    source = random.Random(f"any {seed}")
    chosen = accelerator(source).replace(sum_bits=16)
    shape = source.choice([1, 5, 17, 33]), source.choice([1, 17, 64, 130, 300]), source.choice([1, 9, 17, 40])
    layer, activations = layer_and_activations(seed, *shape, source.choice(["signed", "unsigned"]))
    memory = profile(source)
    geometry = Geometry(chosen, *shape, layer.input_set == "unsigned")
    small = [candidate.tiling for candidate in candidates(geometry, memory) if candidate.instructions < 1000]
    for tiling in source.sample(small, min(2, len(small))):
        print(f"seed {seed}: {shape} {layer.input_set} {tiling} on {chosen}")
        assert_computes(map_layer(chosen, layer, activations, memory, tiling), layer, activations)


def test_a_saved_program_computes_the_same(tmp_path: Path) -> None:
    layer, activations = layer_and_activations(5, 5, 40, 9)
    mapped = map_layer(Accelerator(), layer, activations)
    mapped.program.save(tmp_path / "layer")
    memory = execute(load(tmp_path / "layer")).memory
    np.testing.assert_array_equal(outputs(mapped, memory), expected(layer, activations))
    np.testing.assert_array_equal(outputs(mapped, memory.tobytes()), expected(layer, activations))


def test_a_given_tiling_is_used() -> None:
    layer, activations = layer_and_activations(6, 9, 64, 20)
    tiling = Tiling(2, 2, 2, 2, 1, 2, 5, 3)
    mapped = map_layer(Accelerator(output_lines=8), layer, activations, tiling=tiling)
    assert mapped.tiling == tiling
    assert_computes(mapped, layer, activations)


def test_the_search_is_no_worse_than_its_first_candidate() -> None:
    layer, activations = layer_and_activations(7, 32, 256, 48)
    searched = map_layer(TYPICAL, layer, activations, DISTANT)
    first = candidates(searched.layout.geometry, DISTANT)[0].tiling
    assert searched.timing.cycles <= map_layer(TYPICAL, layer, activations, DISTANT, first).timing.cycles


@pytest.mark.parametrize(
    ("changes", "least"), [({}, 0.92), ({"word_bits": 32}, 0.96), ({"queue_depth": 8, "reads_in_flight": 16}, 0.92)]
)
def test_a_bert_layer_keeps_the_array_busy(changes: dict[str, int], least: float) -> None:
    layer, activations = layer_and_activations(8, 128, 768, 768)
    mapped = map_layer(TYPICAL.replace(**changes), layer, activations, DISTANT)
    busy = int(mapped.timing.states[1, 0])
    assert busy == mapped.layout.geometry.tile_steps
    assert mapped.utilisation == busy / mapped.timing.cycles
    assert mapped.utilisation >= least
    np.testing.assert_array_equal(outputs(mapped, execute(mapped.program).memory), expected(layer, activations))


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "import hashlib; from hw.arch import Accelerator; from mapping.mapper import map_layer; "
        "from tests.mapping.cases import layer_and_activations; "
        "mapped = map_layer(Accelerator(), *layer_and_activations(9, 20, 90, 33)); "
        "print(mapped.tiling, hashlib.sha256(mapped.program.image).hexdigest())"
    )
    found = set()
    for seed in ("0", "1", "12345"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script]
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        found.add(result.stdout.strip())
    mapped = map_layer(Accelerator(), *layer_and_activations(9, 20, 90, 33))
    assert found == {f"{mapped.tiling} {hashlib.sha256(mapped.program.image).hexdigest()}"}


def test_a_layer_that_does_not_fit_the_sums_is_refused(refused: Callable[..., str]) -> None:
    layer, activations = layer_and_activations(0, 2, 300, 2)
    message = refused(MappingError, map_layer, Accelerator(sum_bits=8), layer, activations)
    assert message == (
        "layer: inputs must be at most 126 when padded to words of 16 bits, not 304; "
        "array.sum_bits must be at least 10, not 8"
    )


def test_activations_of_another_width_are_refused(refused: Callable[..., str]) -> None:
    layer, activations = layer_and_activations(0, 2, 30, 2)
    message = refused(MappingError, map_layer, Accelerator(), layer, activations[:, :29])
    assert message == "activations must be [rows, 30] for layer layer, not [2, 29]"
    assert "not [30]" in refused(MappingError, map_layer, Accelerator(), layer, activations[0])
    message = refused(MappingError, map_layer, Accelerator(), layer, activations[:0])
    assert message == "layer: rows must be an integer of at least 1, not 0"


def test_a_tiling_that_does_not_fit_is_refused(refused: Callable[..., str]) -> None:
    layer, activations = layer_and_activations(0, 2, 30, 2)
    tiling = Tiling(2, 2, 2, 2, 1, 1, 1, 3)
    message = refused(MappingError, map_layer, Accelerator(), layer, activations, None, tiling)
    assert message == "tiling: step_groups must be from 1 to 1, not 2"

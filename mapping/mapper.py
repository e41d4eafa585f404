"""The mapper of one binary layer: tries a bounded number of tilings in the exact timing model and keeps the fastest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction
from hw.program import Program
from mapping.candidates import candidates
from mapping.checker import check
from mapping.errors import MappingError
from mapping.geometry import Geometry
from mapping.layout import Layout, assemble, place, read_outputs
from mapping.schedule import schedule
from mapping.tiling import Tiling, legal
from model.network import BinaryLayer
from sim.memory import MemoryProfile
from sim.timing import Timing, simulate

MAX_TILINGS = 16
"""Tilings that are judged by the timing model, best estimates first."""
REFINEMENTS = 2
"""How often the neighbours of the fastest one so far are tried."""
MAX_INSTRUCTIONS = 30_000
"""Instructions that a search may schedule in all; the first tiling is always tried."""


@dataclass(frozen=True)
class MappedLayer:
    """A checked program, the tiling that it was made with, and its exact timing under the profile of the search."""

    program: Program
    layout: Layout
    tiling: Tiling
    profile: MemoryProfile
    timing: Timing

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens and outputs of the result."""
        return self.layout.geometry.rows, self.layout.geometry.outputs

    @property
    def utilisation(self) -> float:
        """The least cycles that the array needs, divided by the cycles that the program takes."""
        return self.layout.geometry.tile_steps / self.timing.cycles


@dataclass(frozen=True)
class _Trial:
    tiling: Tiling
    instructions: tuple[Instruction, ...]
    timing: Timing

    @property
    def rank(self) -> tuple[int, int, Tiling]:
        """What decides between trials: cycles, then instructions, then the order of tilings."""
        return self.timing.cycles, len(self.instructions), self.tiling


def map_layer(
    accelerator: Accelerator,
    layer: BinaryLayer,
    activations: np.ndarray,
    profile: MemoryProfile | None = None,
    tiling: Tiling | None = None,
) -> MappedLayer:
    """Return a checked program that computes a layer on activation bits, uint8 [rows, inputs].

    Without a tiling, the one with the fewest cycles under the memory profile is searched for; equal arguments give
    equal bytes. Raises MappingError where the layer does not fit the accelerator.
    """
    if activations.ndim != 2 or activations.shape[1] != layer.inputs:
        raise MappingError(
            f"activations must be [rows, {layer.inputs}] for layer {layer.name}, not {list(activations.shape)}"
        )
    profile = profile or MemoryProfile()
    geometry = Geometry(accelerator, activations.shape[0], layer.inputs, layer.outputs, layer.input_set == "unsigned")
    layout = place(geometry)
    best = _search(layout, profile) if tiling is None else _try(layout, profile, tiling)
    program = assemble(layout, best.instructions, activations, layer)
    check(program)
    return MappedLayer(program, layout, best.tiling, profile, best.timing)


def outputs(mapped: MappedLayer, memory: bytes | bytearray | np.ndarray) -> np.ndarray:
    """Return the output bits, uint8 [rows, outputs], from the memory after the run."""
    return read_outputs(mapped.layout, memory)


def _search(layout: Layout, profile: MemoryProfile) -> _Trial:
    """Judge the best estimates, then the neighbours of the fastest of them."""
    trials: list[_Trial] = []
    budget = MAX_INSTRUCTIONS
    for candidate in candidates(layout.geometry, profile)[:MAX_TILINGS]:
        if not trials or candidate.instructions <= budget:
            trials.append(_try(layout, profile, candidate.tiling))
            budget -= len(trials[-1].instructions)
    for _ in range(REFINEMENTS):
        best = min(trials, key=lambda trial: trial.rank)
        for tiling in _neighbours(layout.geometry, best.tiling):
            if len(best.instructions) <= budget:
                trials.append(_try(layout, profile, tiling))
                budget -= len(trials[-1].instructions)
    return min(trials, key=lambda trial: trial.rank)


def _neighbours(geometry: Geometry, tiling: Tiling) -> Iterator[Tiling]:
    """Yield legal tilings that differ in one thing: the lookahead, or one column group more or less in a panel."""
    depth = geometry.accelerator.queue_depth
    changes = [{"lookahead": number} for number in (1, depth // 2, depth + geometry.accelerator.transfers_in_flight)]
    changes += [{"panel_groups": tiling.panel_groups + number} for number in (-1, 1)]
    for change in changes:
        neighbour = replace(tiling, **change)
        if neighbour != tiling and legal(geometry, neighbour):
            yield neighbour


def _try(layout: Layout, profile: MemoryProfile, tiling: Tiling) -> _Trial:
    instructions = schedule(layout, tiling)
    return _Trial(tiling, instructions, simulate(layout.geometry.accelerator, instructions, profile))

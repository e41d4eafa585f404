"""What the verbs do: a layer mapped, simulated, generated as RTL, verified. Each function returns a plain report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.arch import Accelerator
from hw.isa import STATE_NAMES, UNIT_NAMES
from tallybert.hardware import Say, compare_with_rtl, in_folder, write_program_case
from tallybert.keeping import NOTHING, Kept, keep

if TYPE_CHECKING:
    import numpy as np

    from mapping.mapper import MappedLayer
    from model.network import BinaryLayer
    from sim.machine import Execution
    from sim.memory import MemoryProfile
    from sim.timing import Timing

WAITS_FOR = {"load": "memory", "array": "drain", "drain": "array", "store": "memory"}
WAITS_FOR |= {"vector": "codes", "row": "codes, levels", "sequencer": "fence"}
DEMO_LAYER = (16, 64, 48)


class ResultError(AssertionError):
    """The simulator and the integer reference disagree: a fault of tallybert, never of the input."""


@dataclass(frozen=True)
class Workload:
    """A layer and the activation bits, uint8 [rows, inputs], that it runs on."""

    layer: BinaryLayer
    activations: np.ndarray

    @property
    def shape(self) -> str:
        """Rows, inputs and outputs, as on the command line."""
        return f"{len(self.activations)}x{self.layer.inputs}x{self.layer.outputs}"


@dataclass(frozen=True)
class Simulation:
    """A mapped layer with its values: everything that the simulator says of it. `outputs` is uint8 [rows, outputs]."""

    mapped: MappedLayer
    execution: Execution
    outputs: np.ndarray
    mapping_seconds: float
    timing_seconds: float
    values_seconds: float


def random_workload(rows: int, inputs: int, outputs: int, input_set: str, seed: int) -> Workload:
    """Return a made-up layer and density-biased activations, the same for a seed everywhere."""
    from model.synthetic import random_layer

    return layer_workload(random_layer(inputs, outputs, input_set, seed), rows, seed)


def layer_workload(layer: BinaryLayer, rows: int, seed: int) -> Workload:
    """Return a given layer with made-up activations."""
    from model.bits import unpack
    from model.synthetic import random_activations

    return Workload(layer, unpack(random_activations(rows, layer.inputs, seed), layer.inputs))


def run_simulation(accelerator: Accelerator, work: Workload, memory: MemoryProfile, say: Say) -> Simulation:
    """Map a layer, time it, execute it on values, and hold the result against the integer reference."""
    from mapping.mapper import map_layer, outputs
    from model.bits import unpack
    from sim import reference
    from sim.machine import execute
    from sim.timing import simulate

    say(f"mapping {work.shape} onto {accelerator.name}")
    started = time.perf_counter()
    mapped = map_layer(accelerator, work.layer, work.activations, memory)
    mapped_at = time.perf_counter()
    simulate(accelerator, mapped.program.instructions, memory)
    timed_at = time.perf_counter()
    say(f"executing {len(mapped.program.instructions)} instructions on values")
    execution = execute(mapped.program)
    finished = time.perf_counter()
    layer = work.layer
    sums = reference.sums(work.activations, unpack(layer.weights, layer.inputs), layer.input_set == "unsigned")
    expected = reference.binarize(sums, layer.thresholds, layer.polarity)
    found = outputs(mapped, execution.memory)
    if not (found == expected).all():
        raise ResultError(
            f"{work.shape} on {accelerator.name}: the simulated outputs differ from the integer reference"
        )
    return Simulation(mapped, execution, found, mapped_at - started, timed_at - mapped_at, finished - timed_at)


def simulate(
    accelerator: Accelerator, work: Workload, *, memory: MemoryProfile, say: Say, kept: Kept = NOTHING
) -> dict[str, Any]:
    """Simulate a layer and return cycles, utilisation, and what each unit did in them, and where what is kept is."""
    done = run_simulation(accelerator, work, memory, say)
    seconds = (done.mapping_seconds, done.timing_seconds, done.values_seconds)
    say("mapping took {:.3g} s, timing {:.3g} s, values {:.3g} s".format(*seconds))
    report = simulation_report(accelerator, work, memory, done)
    if not kept:
        return report
    program, timing, title = done.mapped.program, done.mapped.timing, f"{work.shape} on {accelerator.name}"
    return {**report, **keep(kept, program, timing, done.execution, memory, say, title=title)}


def simulation_report(
    accelerator: Accelerator, work: Workload, memory: MemoryProfile, done: Simulation
) -> dict[str, Any]:
    """Return the report of a simulation that was run."""
    timing = done.mapped.timing
    return {
        **_workload_report(accelerator, work, memory),
        "outputs_equal_reference": True,
        "instructions": len(done.mapped.program.instructions),
        **_cycle_report(accelerator, done),
        "units": states_report(timing),
        "tiling": str(done.mapped.tiling),
    }


def rtl(accelerator: Accelerator, folder: Path, *, say: Say) -> dict[str, Any]:
    """Write the RTL folder and return its manifest."""
    from hw.gateware.bundle import write_bundle

    say(f"generating the RTL of {accelerator.name} ({accelerator.lanes} binary lanes)")
    started = time.perf_counter()
    manifest = write_bundle(accelerator, folder)
    return {"folder": str(folder), "seconds": round(time.perf_counter() - started, 3), **manifest}


def verify(
    accelerator: Accelerator,
    work: Workload,
    *,
    memory: MemoryProfile,
    simulator: str,
    keep: Path | None,
    say: Say,
) -> dict[str, Any]:
    """Run the same program on RTL and simulator and return how many bits and cycles differ."""
    return in_folder(keep, simulator, lambda folder: _verify_in(folder, accelerator, work, memory, simulator, say))


def demo(folder: Path, *, say: Say) -> dict[str, Any]:
    """Take the default layer to the nano accelerator and verify it there, keeping every file."""
    from hw.config import load_accelerator
    from sim.memory import MemoryProfile

    work = random_workload(*DEMO_LAYER, "signed", 0)
    return verify(load_accelerator("nano"), work, memory=MemoryProfile(), simulator="verilator", keep=folder, say=say)


def write_case(folder: Path, done: Simulation, memory: MemoryProfile, reset_at: int | None = None) -> None:
    """Write the simulation of a layer as a case for the bench."""
    write_program_case(folder, done.mapped.program, done.mapped.timing, done.execution, memory, reset_at)


def _verify_in(
    folder: Path, accelerator: Accelerator, work: Workload, memory: MemoryProfile, simulator: str, say: Say
) -> dict[str, Any]:
    done = run_simulation(accelerator, work, memory, say)
    program, timing = done.mapped.program, done.mapped.timing
    return {
        **_workload_report(accelerator, work, memory),
        **compare_with_rtl(folder, program, timing, done.execution, memory, simulator, say),
        "instructions": len(program.instructions),
        **_cycle_report(accelerator, done),
        "sim_seconds": round(done.timing_seconds + done.values_seconds, 4),
        "timing_seconds": round(done.timing_seconds, 6),
        "mapping_seconds": round(done.mapping_seconds, 4),
    }


def _workload_report(accelerator: Accelerator, work: Workload, memory: MemoryProfile) -> dict[str, Any]:
    return {
        "accelerator": accelerator.name,
        "lanes": accelerator.lanes,
        "layer": work.shape,
        "set": work.layer.input_set,
        "memory": memory.to_dict(),
    }


def _cycle_report(accelerator: Accelerator, done: Simulation) -> dict[str, Any]:
    cycles = done.mapped.timing.cycles
    return {
        "cycles": cycles,
        "utilisation": round(done.mapped.utilisation, 6),
        "clock_mhz": accelerator.clock_mhz,
        "seconds_at_clock": cycles / (accelerator.clock_mhz * 1e6),
    }


def states_report(timing: Timing) -> dict[str, Any]:
    """Return what each unit that was built did in how many cycles."""
    return {
        unit: {"waits_for": WAITS_FOR[unit], **_states(timing.states[index])}
        for index, unit in enumerate(UNIT_NAMES)
        if timing.states[index].any()
    }


def _states(row: Any) -> dict[str, int]:
    return {state: int(count) for state, count in zip(STATE_NAMES, row, strict=True)}

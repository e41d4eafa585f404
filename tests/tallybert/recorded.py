"""Runs with every cycle recorded, on which explanations and timelines are tested."""

from __future__ import annotations

from functools import cache

from hw.arch import Accelerator
from hw.isa import Instruction, Unit
from hw.program import Program
from sim.machine import execute
from sim.memory import MemoryProfile
from sim.recording import Recording, record_run
from tallybert.activity import Activity, activities
from tallybert.flow import random_workload
from tallybert.lives import Lives, live
from tallybert.playback import Playback, play
from tests.agreement.chain import chained_program
from tests.sim.test_timing_random import PROFILES, random_case

TINY_ACCELERATOR = Accelerator(
    name="tiny",
    rows=2,
    columns=2,
    word_bits=4,
    sum_bits=8,
    activation_lines=8,
    weight_lines=8,
    threshold_lines=4,
    output_lines=4,
    burst_beats=4,
)
RESTLESS = PROFILES[-1]
PROFILE_IDS = ["quick", "usual", "slow", "jitter"]
Case = tuple[Accelerator, list[Instruction], Recording, Lives, dict[Unit, Activity]]


@cache
def random_run(seed: int, profile: MemoryProfile) -> Case:
    """Return a random program, and what is known of its run."""
    accelerator, instructions = random_case(seed)
    recording = record_run(accelerator, instructions, profile)
    lives = live(accelerator, instructions, recording)
    return accelerator, instructions, recording, lives, activities(recording, lives, instructions)


@cache
def chain(profile: MemoryProfile = PROFILES[1]) -> Playback:
    """Return a run of the program in which every unit waits for another one, which an EXIT ends."""
    program = chained_program()
    return play(program, profile, execute(program).end)


@cache
def layer(profile: MemoryProfile = PROFILES[1]) -> Playback:
    """Return a run of a layer of 8x24x10 on the tiny accelerator."""
    return play(layer_program(), profile)


@cache
def layer_program() -> Program:
    """Return the program of that layer."""
    from mapping.mapper import map_layer

    work = random_workload(8, 24, 10, "signed", 0)
    return map_layer(TINY_ACCELERATOR, work.layer, work.activations).program

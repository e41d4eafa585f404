"""Random VECTORs, one behind the other, against the contract written out step by step."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from sim.errors import MachineError
from sim.machine import Machine
from tests.sim.buffers import bits_of, machine
from tests.sim.plain_vector import PlainVector
from tests.sim.programs import vector
from tests.sim.test_vector import ACCELERATORS, CHANNELS, I16


def plain_twin(m: Machine) -> PlainVector:
    """Return the buffers of a machine as the plain form holds them."""
    twin = PlainVector(m.accelerator)
    twin.sums, twin.fixed = m.vector.sums.tolist(), m.vector.fixed.tolist()
    twin.bits = bits_of(m, "activation").tolist()
    for name in ("scale", "level"):
        entries = m.buffers[name][0].view("<u8")[:, : m.accelerator.vector_lanes].tolist()
        setattr(twin, name + "s", entries)
    twin.words = [int.from_bytes(line.tobytes(), "little") for line in m.buffers["word"][0]]
    twin.embedding = m.buffers["embedding"][0].view("<i2")[:, : m.accelerator.vector_lanes].tolist()
    return twin


def random_machine(a: Accelerator, random: np.random.Generator) -> Machine:
    """Return a machine whose buffers are full of random numbers."""
    m = machine(a)
    m.vector.sums[:] = random.integers(-3000, 3000, m.vector.sums.shape)
    m.vector.fixed[:] = random.integers(*I16, m.vector.fixed.shape) >> random.integers(0, 16, m.vector.fixed.shape)
    for name in ("activation", "scale", "level", "word", "embedding"):
        m.buffers[name][:] = random.integers(0, 256, m.buffers[name].shape)
    return m


def random_operands(a: Accelerator, random: np.random.Generator, channels: int) -> dict[str, int]:
    """Return operands of a VECTOR that may break rules, with lines of codes that may overlap each other."""
    flags = {name: int(random.integers(0, 2)) for name in ("source", "scale", "add", "keep", "statistics", "normalise")}
    flags |= {"maximum": flags["add"] & int(random.integers(0, 2)), "multiply": int(random.integers(0, 2))}
    if random.integers(0, 3) == 0:
        flags |= {
            "planes": int(random.integers(2, 9)),
            "sets": 1,
            "scale": 1,
            "code_signed": int(random.integers(0, 2)),
        }
        flags |= dict.fromkeys(("add", "maximum", "keep", "statistics", "normalise"), 0)
    else:
        if random.integers(0, 3) == 0:
            flags |= {"source": 2, "typed": int(random.integers(0, 2))}
            flags |= dict.fromkeys(("scale", "add", "normalise", "maximum", "multiply"), 0)
        flags["sets"] = int(random.integers(0, 4))
    places = {name: int(random.integers(0, 12)) for name in ("code_line", "code_line_1", "code_line_2", "code_group")}
    lines = {name: int(random.integers(0, 8)) for name in ("source_line", "scale_line", "level_line")}
    lines |= {name: int(random.integers(0, 300)) for name in ("fixed_line", "add_line")}
    sizes = {"channels": channels, "rows": int(random.integers(1, a.rows + 1)), "shift": int(random.integers(0, 32))}
    return {"epsilon": int(random.integers(0, 1 << 31)), **flags, **places, **lines, **sizes}


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("seed", range(15))
def test_any_instructions(a: Accelerator, seed: int) -> None:
    random = np.random.default_rng(seed)
    m = random_machine(a, random)
    twin = plain_twin(m)
    executed = 0
    while executed < 12:
        i = vector(**random_operands(a, random, CHANNELS[seed % 4] if random.integers(0, 4) else 11))
        try:
            checksum = m.execute(i)
        except MachineError:
            continue
        executed += 1
        assert checksum == twin.execute(i), i
    assert (m.vector.fixed == np.array(twin.fixed)).all()
    assert (bits_of(m, "activation") == np.array(twin.bits)).all()

"""A sentence on the accelerator: read, mapped, run on values and in time, and held against the integer reference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.arch import Accelerator
from hw.isa import Opcode, Unit
from tallybert import keeping
from tallybert.flow import ResultError, states_report
from tallybert.hardware import Say, compare_with_rtl, in_folder
from tallybert.keeping import Kept
from tallybert.options import CommandError

if TYPE_CHECKING:
    import numpy as np

    from hw.program import Program
    from mapping.whole.mapper import MappedNetwork
    from model.network import Network
    from sim.machine import Execution
    from sim.memory import MemoryProfile
    from sim.timing import Timing


_CLASS = 0xFFFF


@dataclass(frozen=True)
class Reading:
    """A text as a network reads it. `cut`: it has more pieces than the network can read."""

    text: str
    pair: str | None
    ids: tuple[int, ...]
    types: tuple[int, ...]
    cut: bool


@dataclass(frozen=True)
class Run:
    """One sentence on the simulated accelerator: the program, its values, its time, and what it says."""

    network: Network
    reading: Reading
    mapped: MappedNetwork
    program: Program
    execution: Execution
    timing: Timing
    logits: np.ndarray
    seconds: dict[str, float]


def read_network_file(path: Path) -> Network:
    """Return a network that can read text, refusing what cannot."""
    from model.data.errors import DataError
    from model.network import read_network
    from model.reading import tokenizer_of

    network = read_network(path)
    try:
        tokenizer_of(network)
    except DataError as error:
        raise CommandError(f"{path}: {error}") from None
    return network


def read_text(network: Network, text: str, pair: str | None) -> Reading:
    """Return a text as the network reads it."""
    from model.data.text import check_text
    from model.reading import encode_texts, is_cut

    check_text(text)
    pairs = None if pair is None else [check_text(pair, "second text")]
    encoded = encode_texts(network, [text], pairs)
    ids, types = ([int(number) for number in numbers[0]] for numbers in (encoded.ids, encoded.types))
    return Reading(text, pair, tuple(ids), tuple(types), is_cut(network, text, pair))


def run_sentence(network: Network, accelerator: Accelerator, reading: Reading, memory: MemoryProfile, say: Say) -> Run:
    """Map a network for a text and run it; raise a ResultError where it does not give what the reference gives."""
    from mapping.errors import MappingError
    from mapping.whole.mapper import map_network
    from sim.machine import execute
    from sim.timing import simulate

    say(f"mapping the network for {len(reading.ids)} tokens onto {accelerator.name}")
    started = time.perf_counter()
    try:
        mapped = map_network(accelerator, network, reading.types)
    except MappingError as error:
        say("looking for the smallest preset that can")
        raise MappingError(f"{error}; {_advice(network, reading.types, accelerator)}") from None
    program = mapped.with_ids(reading.ids)
    mapped_at = time.perf_counter()
    say(f"executing {len(program.instructions)} instructions on values")
    execution = execute(program)
    executed_at = time.perf_counter()
    timing = simulate(accelerator, program.instructions, memory, execution.end)
    timed_at = time.perf_counter()
    logits = mapped.logits(execution.memory, execution.result.members)
    run = Run(
        network,
        reading,
        mapped,
        program,
        execution,
        timing,
        logits,
        {
            "mapping": mapped_at - started,
            "values": executed_at - mapped_at,
            "timing": timed_at - executed_at,
        },
    )
    _compare_with_reference(run)
    return run


def _advice(network: Network, types: Sequence[int], refused: Accelerator) -> str:
    """Say which preset is the smallest that can run a network."""
    from hw.config import load_accelerator, presets
    from mapping.errors import MappingError
    from mapping.whole.mapper import map_network

    for name in presets():
        accelerator = load_accelerator(name)
        if accelerator != refused:
            with suppress(MappingError):
                map_network(accelerator, network, types)
                return f"the smallest preset that can is {name}"
    return "no preset can"


def _compare_with_reference(run: Run) -> None:
    """Check logits, members and answer against the slow integer reference."""
    from sim.reference import evaluate

    found, vote = evaluate(run.network, run.reading.ids, run.reading.types), run.execution.result
    expected = [found.logits[member.name] for member in run.network.members[: vote.members]]
    same = vote.members == found.members_run and (run.logits == expected).all()
    answer = vote.total if run.network.vote == "mean" else vote.leader
    if not same or answer != found.prediction:
        where = f"{run.reading.text!r} on {run.program.accelerator.name}"
        raise ResultError(f"{where}: the simulated accelerator differs from the integer reference")


def report(path: Path, run: Run, memory: MemoryProfile) -> dict[str, Any]:
    """Return what a run says, as numbers."""
    network, accelerator, vote = run.network, run.program.accelerator, run.execution.result
    mean = network.vote == "mean"
    cycles, (bound_unit, bound) = run.timing.cycles, bound_of(run.timing)
    return {
        "network": str(path),
        "digest": network.digest,
        "accelerator": accelerator.name,
        "text": run.reading.text,
        "text2": run.reading.pair,
        "tokens": len(run.reading.ids),
        "cut": run.reading.cut,
        "class": None if mean else vote.leader,
        "label": network.labels[vote.leader] if network.labels and not mean else None,
        "score": vote.total / (1 << network.fraction) if mean else None,
        "labels": list(network.labels),
        "total": vote.total,
        "logits": {m.name: row.tolist() for m, row in zip(network.members, run.logits, strict=False)},
        "members": len(network.members),
        "members_run": vote.members,
        "equal_to_reference": True,
        "cycles": cycles,
        "cycles_of_members": _member_cycles(run),
        "utilisation": round(int(run.timing.states[Unit.ARRAY, 0]) / cycles, 6),
        "bound_unit": bound_unit,
        "bound_cycles": bound,
        "clock_mhz": accelerator.clock_mhz,
        "seconds_at_clock": cycles / (accelerator.clock_mhz * 1e6),
        "instructions": run.execution.end + 1,
        "lanes": accelerator.lanes,
        "memory": memory.to_dict(),
        "units": states_report(run.timing),
        "seconds": {name: round(seconds, 4) for name, seconds in run.seconds.items()},
    }


def bound_of(timing: Timing) -> tuple[str, int]:
    """Return the unit that works in the most cycles and in how many: no order of these instructions takes fewer."""
    worked = timing.states[:, 0]
    unit = Unit(int(worked.argmax()))
    return unit.name.lower(), int(worked[unit])


def keep_run(kept: Kept, path: Path, run: Run, memory: MemoryProfile, say: Say) -> dict[str, str]:
    """Write what is to be kept of a run and return where it is."""
    if not kept:
        return {}
    title = f"{path.stem} on {run.program.accelerator.name}: {run.reading.text}"
    names = run.mapped.names
    return keeping.keep(kept, run.program, run.timing, run.execution, memory, say, title=title, names=names)


def verify(
    path: Path,
    network: Network,
    accelerator: Accelerator,
    reading: Reading,
    *,
    memory: MemoryProfile,
    simulator: str,
    keep: Path | None,
    say: Say,
) -> dict[str, Any]:
    """Run a text on RTL and simulator and return what it says, and how many bits and cycles differ."""

    def work(folder: Path) -> dict[str, Any]:
        run = run_sentence(network, accelerator, reading, memory, say)
        names = run.mapped.names if keep else ()
        compared = compare_with_rtl(folder, run.program, run.timing, run.execution, memory, simulator, say, names)
        seen = compared["rtl_vote"]
        same = seen is not None and seen[0] & _CLASS == run.execution.result.leader
        return {**report(path, run, memory), **compared, "class_equal": same}

    return in_folder(keep, simulator, work)


def _member_cycles(run: Run) -> list[int]:
    """Return the cycles from one member's vote to the next."""
    instructions = run.program.instructions[: run.execution.end + 1]
    votes = [int(run.timing.retire[n]) for n, i in enumerate(instructions) if i.opcode is Opcode.CLASSIFY]
    return [after - before for before, after in zip([0, *votes], votes, strict=False)]

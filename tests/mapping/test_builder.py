"""Tokens that follow from what instructions read and write."""

from __future__ import annotations

from hw.isa import Opcode
from mapping.builder import Access, Builder
from tests.mapping.cases import operands
from tests.sim import programs
from tests.sim.programs import ARRAY, DRAIN, LOAD, STORE, VECTOR

SPACES = {"activation": 8, "weight": 8, "threshold": 8, "output": 8, "results": 16, "token": 8, "fixed": 8}


class Shorthand:
    """A builder whose instructions are given by what they touch."""

    def __init__(self) -> None:
        self.builder = Builder(SPACES)

    def load(self, space: str, start: int, stop: int, reads: tuple[Access, ...] = ()) -> None:
        """Load some lines."""
        self.builder.add(Opcode.LOAD, operands(programs.load()), reads, (Access(space, start, stop),))

    def compute(self, line: int, output: int) -> None:
        """Read an activation, a weight and a threshold line, write an output line."""
        reads = (Access("activation", line, line + 1), Access("weight", line, line + 1))
        self.builder.add(Opcode.MATMUL, operands(programs.matmul(handover=1)), reads)
        written = (Access("output", output, output + 1),)
        read = (Access("threshold", line, line + 1),)
        self.builder.add(Opcode.BINARIZE, operands(programs.binarize()), read, written)

    def store(self, output: int, beat: int) -> None:
        """Store an output line to a beat of the region."""
        reads = (Access("output", output, output + 1),)
        self.builder.add(Opcode.STORE, operands(programs.store()), reads, (Access("results", beat, beat + 1),))

    def vector(self, line: int, fixed: int | None = None, settles: bool = False) -> None:
        """Read a fixed line, and write one."""
        written = () if fixed is None else (Access("fixed", fixed, fixed + 1),)
        reads = (Access("fixed", line, line + 1),)
        self.builder.add(Opcode.VECTOR, operands(programs.vector()), reads, written, settles)

    def masks(self) -> list[tuple[str, int, int]]:
        """Return (opcode, wait, signal) of each instruction."""
        return [(i.opcode.name, i.wait, i.signal) for i in self.builder.halt()]


def test_one_tile_waits_for_its_loads_once() -> None:
    built = Shorthand()
    for space in ("activation", "weight", "threshold"):
        built.load(space, 0, 1)
    built.compute(0, 0)
    built.store(0, 0)
    assert built.masks() == [
        ("LOAD", 0, 0),
        ("LOAD", 0, ARRAY),
        ("LOAD", 0, DRAIN),
        ("MATMUL", LOAD, 0),
        ("BINARIZE", LOAD, STORE),
        ("STORE", DRAIN, 0),
        ("HALT", 0, 0),
    ]


def test_what_is_known_already_is_not_waited_for_again() -> None:
    built = Shorthand()
    for space in ("threshold", "weight", "activation"):
        built.load(space, 0, 2)
    for line in (0, 1, 0):
        built.compute(line, line)
    assert [wait for _, wait, _ in built.masks()] == [0, 0, 0, LOAD, LOAD, 0, 0, 0, 0, 0]


def test_a_replaced_line_waits_for_its_last_reader() -> None:
    built = Shorthand()
    for space in ("activation", "weight", "threshold"):
        built.load(space, 0, 2)
    built.compute(0, 0)
    built.compute(1, 1)
    built.load("weight", 0, 1)
    built.load("weight", 1, 2)
    masks = built.masks()
    assert masks[3] == ("MATMUL", LOAD, LOAD)
    assert masks[5] == ("MATMUL", 0, LOAD)
    assert masks[7:9] == [("LOAD", ARRAY, 0), ("LOAD", ARRAY, 0)]


def test_a_binarize_that_is_waited_for_implies_its_matmul() -> None:
    built = Shorthand()
    for space in ("activation", "weight", "threshold"):
        built.load(space, 0, 1)
    built.compute(0, 0)
    built.load("threshold", 0, 1)
    built.load("weight", 0, 1)
    masks = built.masks()
    assert masks[3] == ("MATMUL", LOAD, 0)
    assert masks[5:7] == [("LOAD", DRAIN, 0), ("LOAD", 0, 0)]


def test_a_need_that_another_need_implies_gets_no_token() -> None:
    built = Shorthand()
    for space in ("activation", "weight", "threshold"):
        built.load(space, 0, 1)
    built.compute(0, 0)
    built.store(0, 0)
    built.builder.add(
        Opcode.LOAD,
        operands(programs.load()),
        (Access("results", 0, 1),),
        (Access("activation", 0, 1), Access("threshold", 0, 1)),
    )
    assert built.masks()[6] == ("LOAD", STORE, 0)


def test_an_output_line_waits_for_its_store() -> None:
    built = Shorthand()
    for space in ("activation", "weight", "threshold"):
        built.load(space, 0, 1)
    built.compute(0, 0)
    built.store(0, 0)
    built.compute(0, 0)
    masks = built.masks()
    assert masks[5] == ("STORE", DRAIN, DRAIN)
    assert masks[7] == ("BINARIZE", STORE, 0)


def test_memory_is_waited_for_beat_by_beat() -> None:
    built = Shorthand()
    for space in ("activation", "weight", "threshold"):
        built.load(space, 0, 1)
    built.compute(0, 0)
    built.store(0, 3)
    built.load("activation", 5, 6, (Access("results", 4, 8),))
    built.load("activation", 6, 7, (Access("results", 2, 4),))
    built.store(0, 2)
    masks = built.masks()
    assert masks[5] == ("STORE", DRAIN, LOAD)
    assert masks[6:8] == [("LOAD", 0, 0), ("LOAD", STORE, STORE)]
    assert masks[8] == ("STORE", LOAD, 0)


def test_a_unit_waits_for_what_it_reads_of_its_own() -> None:
    built = Shorthand()
    built.load("token", 0, 1)
    built.load("weight", 0, 1)
    built.load("activation", 0, 1, (Access("token", 0, 1),))
    built.load("activation", 1, 2, (Access("token", 0, 1),))
    assert [wait for _, wait, _ in built.masks()] == [0, 0, LOAD, 0, 0]


def test_a_unit_does_not_wait_for_what_it_replaces_of_its_own() -> None:
    built = Shorthand()
    built.vector(0, 1)
    built.vector(2, 1)
    built.vector(2, 2)
    built.vector(1)
    assert [wait for _, wait, _ in built.masks()] == [0, 0, 0, VECTOR, 0]


def test_an_own_wait_is_for_all_earlier_ones() -> None:
    built = Shorthand()
    built.vector(0, 1)
    built.vector(0, 2)
    built.vector(1, 3)
    built.vector(2, 4)
    built.vector(3)
    assert [wait for _, wait, _ in built.masks()] == [0, 0, VECTOR, 0, VECTOR, 0]


def test_what_settles_is_not_waited_for() -> None:
    built = Shorthand()
    built.vector(0, 1, settles=True)
    built.vector(1, 2)
    built.vector(2)
    assert [wait for _, wait, _ in built.masks()] == [0, 0, VECTOR, 0]


def test_what_settles_has_no_order_for_other_units() -> None:
    built = Shorthand()
    built.vector(0, 1, settles=True)
    built.load("fixed", 1, 2)
    assert built.masks() == [("VECTOR", 0, LOAD), ("LOAD", VECTOR, 0), ("HALT", 0, 0)]


def test_what_is_in_order_before_it_settles_is_known_behind_it() -> None:
    built = Shorthand()
    built.load("fixed", 0, 1)
    built.vector(0, 1, settles=True)
    built.vector(0, 2)
    assert [(wait, signal) for _, wait, signal in built.masks()] == [(0, VECTOR), (LOAD, 0), (0, 0), (0, 0)]


def test_behind_a_barrier_nothing_waits() -> None:
    built = Shorthand()
    for space in ("activation", "weight", "threshold"):
        built.load(space, 0, 1)
    built.vector(0, 1)
    built.builder.barrier(Opcode.FENCE)
    built.compute(0, 0)
    built.builder.barrier(Opcode.EXIT)
    built.store(0, 0)
    built.vector(1)
    built.load("weight", 0, 1)
    masks = built.masks()
    assert [name for name, _, _ in masks][4:8:3] == ["FENCE", "EXIT"]
    assert all(wait == signal == 0 for _, wait, signal in masks)


def test_a_barrier_is_in_the_length() -> None:
    built = Shorthand()
    built.load("weight", 0, 1)
    built.builder.barrier(Opcode.EXIT)
    assert len(built.builder) == 2

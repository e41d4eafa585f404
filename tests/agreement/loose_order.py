"""The order of a loose program: tokens, waits for the own unit and FENCEs, exactly where something would go wrong else.

Everything that nothing holds back overlaps. Beside the tokens that are needed there are others, at random.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hw.arch import Accelerator
from hw.isa import OWN_WAITS, TOKEN_UNITS, Instruction, Opcode, Unit, make
from tests.agreement.loose_accesses import Accesses, accesses

_FENCE_RATE, _TOKEN_RATE, _OWN_RATE = 0.1, 0.15, 0.15


class Order:
    """The instructions so far. `known[v][u]`: the last one of v that has retired before u issues its next one."""

    def __init__(self, accelerator: Accelerator, random: Random) -> None:
        self.a = accelerator
        self.random = random
        self.instructions: list[Instruction] = []
        self.accesses: list[Accesses] = []
        self.of_unit: dict[Unit, list[int]] = {unit: [] for unit in Unit}
        self.known = {v: dict.fromkeys(TOKEN_UNITS, -1) for v in TOKEN_UNITS}

    def obstacles(self, i: Instruction) -> int:
        """Return how many units an instruction would have to wait for."""
        return len(self._needed(i.unit, accesses(self.a, i)))

    def add(self, i: Instruction, together: bool = False) -> None:
        """Add an instruction behind what it needs; `together` with the one before nothing may come between."""
        needed = self._needed(i.unit, accesses(self.a, i))
        if needed and not together and self.random.random() < _FENCE_RATE:
            self.fence(make(Opcode.FENCE))
            needed = {}
        for producer, index in (self._at_random(i, together) | needed).items():
            if producer is not i.unit:
                self.instructions[index] = self._signals(index, i.unit)
            i = replace(i, wait=i.wait | 1 << producer)
            self.known[producer][i.unit] = index
        self._append(i)

    def fence(self, i: Instruction) -> None:
        """Add a FENCE, an EXIT or a HALT: all before it has retired."""
        last = len(self.instructions)
        self.known = {v: dict.fromkeys(TOKEN_UNITS, last) for v in TOKEN_UNITS}
        self._append(i)

    def _append(self, i: Instruction) -> None:
        self.of_unit[i.unit].append(len(self.instructions))
        self.instructions.append(i)
        self.accesses.append(accesses(self.a, i))

    def _signals(self, index: int, unit: Unit) -> Instruction:
        producer = self.instructions[index]
        return replace(producer, signal=producer.signal | 1 << unit)

    def _needed(self, unit: Unit, found: Accesses) -> dict[Unit, int]:
        """Return the last instruction of each unit that must have retired before one with these accesses."""
        reads, writes = found
        needed = {}
        for producer in TOKEN_UNITS:
            for index in reversed(self.of_unit[producer]):
                if index <= self.known[producer][unit]:
                    break
                read, written = self.accesses[index]
                if producer is unit:
                    conflict = unit in OWN_WAITS and not written.isdisjoint(reads)
                else:
                    conflict = not (
                        written.isdisjoint(reads) and written.isdisjoint(writes) and read.isdisjoint(writes)
                    )
                if conflict:
                    needed[producer] = self.of_unit[unit][-1] if producer is unit else index
                    break
        return needed

    def _at_random(self, i: Instruction, together: bool) -> dict[Unit, int]:
        """Return more to wait for; none of what ends only with the instruction itself."""
        chosen = {}
        for producer in TOKEN_UNITS:
            rate = _TOKEN_RATE if producer is not i.unit else _OWN_RATE * (i.unit in OWN_WAITS)
            indices = [index for index in self.of_unit[producer][-3:] if index > self.known[producer][i.unit]]
            if together and producer is Unit.ARRAY:
                indices = [index for index in indices if index < len(self.instructions) - 1]
            if indices and self.random.random() < rate:
                chosen[producer] = indices[-1] if producer is i.unit else self.random.choice(indices)
        return chosen

"""Which instructions of a finished program are known to have retired when another one issues.

Part of the checker: nothing here comes from the code that makes programs. Used are: each unit issues and retires in
order; the n-th wait of one unit for another takes the n-th token that the other gives it; FENCE and EXIT wait for
everything before them; an own bit waits for all earlier ones of its unit; a BINARIZE or SUMS retires after its MATMUL;
behind a VECTOR with `statistics` or a CLASSIFY its unit accepts nothing before that one has retired.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import permutations

from hw.isa import TOKEN_UNITS, Instruction, Opcode, Unit
from mapping.errors import CheckError

MAX_TOKENS = 255
"""What a token counter of 8 bits holds."""

Clock = list[int]
"""For each unit, the latest of its instructions that is known to have retired (-1: none)."""


class Order:
    """The proved order: `issued[i]` is what is known when instruction i issues, `retired[i]` when it retires."""

    def __init__(self, instructions: Sequence[Instruction], drains: dict[int, int], queue_depth: int) -> None:
        """Prove the order; `drains` gives the MATMUL of each BINARIZE and SUMS.

        Raises CheckError where tokens are not sound.
        """
        self._instructions = instructions
        self._members = _members(instructions)
        self._given, self._taken = _tokens(instructions)
        tokens = self._paired()
        self.issued: list[Clock] = []
        self.retired: list[Clock] = []
        self._follow(tokens, drains)
        for producer, consumer in permutations(TOKEN_UNITS, 2):
            self._check_level(producer, consumer, queue_depth)

    def retired_before(self, earlier: int, unit: Unit, later: int) -> bool:
        """Say whether an earlier instruction of a unit (-1: none) has retired when a later one issues."""
        return self.issued[later][unit] >= earlier

    def _paired(self) -> dict[int, list[int]]:
        """Return, for each instruction, the earlier ones whose tokens it takes."""
        tokens: dict[int, list[int]] = {}
        for pair, waits in self._taken.items():
            signals = self._given[pair]
            for number, wait in enumerate(waits):
                if number >= len(signals):
                    text = f"wait for {pair[0].name} must have a signal, not be number {number + 1} of {len(signals)}"
                    raise self._error(wait, text)
                if signals[number] > wait:
                    text = f"wait for {pair[0].name} must be for an earlier signal, not instruction {signals[number]}'s"
                    raise self._error(wait, text)
                tokens.setdefault(wait, []).append(signals[number])
            if len(signals) > len(waits):
                text = f"signal to {pair[1].name} must have a wait, not be number {len(waits) + 1} of {len(waits)}"
                raise self._error(signals[len(waits)], text)
        return tokens

    def _follow(self, tokens: dict[int, list[int]], drains: dict[int, int]) -> None:
        """Compute the clocks in program order."""
        nothing: Clock = [-1] * len(TOKEN_UNITS)
        issued, retired, last = [nothing] * len(TOKEN_UNITS), [nothing] * len(TOKEN_UNITS), list(nothing)
        fenced = nothing
        for index, instruction in enumerate(self._instructions):
            unit = instruction.unit
            if unit is Unit.SEQUENCER:
                fenced = list(last)
                self.issued.append(fenced)
                self.retired.append(fenced)
                continue
            clock = _join(issued[unit], fenced, *(self.retired[signal] for signal in tokens.get(index, ())))
            if instruction.wait >> unit & 1:
                clock = _join(clock, retired[unit])
            done = _join(clock, retired[unit], *([self.retired[drains[index]]] if index in drains else []))
            done[unit] = index
            issued[unit], retired[unit], last[unit] = done if _settles(instruction) else clock, done, index
            self.issued.append(clock)
            self.retired.append(done)

    def _check_level(self, producer: Unit, consumer: Unit, queue_depth: int) -> None:
        """Bound the tokens that are under way at once.

        When a signal is given, every earlier instruction has been dispatched; of those of the consumer, all but
        `queue_depth` have issued and taken their tokens, and so have those that are known to have retired.
        """
        waits, members = self._taken[producer, consumer], self._members[consumer]
        for number, signal in enumerate(self._given[producer, consumer]):
            dispatched = bisect_left(members, signal) - queue_depth
            taken = bisect_left(waits, members[dispatched]) if 0 <= dispatched < len(members) else 0
            taken = max(taken, bisect_right(waits, self.retired[signal][consumer]))
            level = number + 1 - taken
            if level > MAX_TOKENS:
                text = f"tokens for {consumer.name} must be at most {MAX_TOKENS} under way, not {level}"
                raise self._error(signal, text)

    def _error(self, index: int, text: str) -> CheckError:
        return CheckError(f"program: instruction {index} ({self._instructions[index]}): {text}")


def _settles(instruction: Instruction) -> bool:
    """Say whether the unit accepts nothing behind an instruction before that has retired."""
    return instruction.opcode is Opcode.CLASSIFY or (
        instruction.opcode is Opcode.VECTOR and bool(instruction.statistics)
    )


def _members(instructions: Sequence[Instruction]) -> dict[Unit, list[int]]:
    members: dict[Unit, list[int]] = {unit: [] for unit in Unit}
    for index, instruction in enumerate(instructions):
        members[instruction.unit].append(index)
    return members


def _tokens(
    instructions: Sequence[Instruction],
) -> tuple[dict[tuple[Unit, Unit], list[int]], dict[tuple[Unit, Unit], list[int]]]:
    """Return the instructions that give and that take the tokens of each (producer, consumer)."""
    pairs = list(permutations(TOKEN_UNITS, 2))
    given: dict[tuple[Unit, Unit], list[int]] = {pair: [] for pair in pairs}
    taken: dict[tuple[Unit, Unit], list[int]] = {pair: [] for pair in pairs}
    for index, instruction in enumerate(instructions):
        if instruction.unit is Unit.SEQUENCER:
            continue
        for other in TOKEN_UNITS:
            if instruction.signal >> other & 1:
                given[instruction.unit, other].append(index)
            if other is not instruction.unit and instruction.wait >> other & 1:
                taken[other, instruction.unit].append(index)
    return given, taken


def _join(*clocks: Clock) -> Clock:
    return [max(known) for known in zip(*clocks, strict=True)]

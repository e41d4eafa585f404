"""Make a failing network case smaller: greedy, step by step, for as long as it fails, within a budget.

What fails is for a predicate to say, so nothing here knows of RTL. The same point and predicate give the same result,
unless the time runs out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.agreement.network_point import NetworkPoint
from tests.agreement.reductions import ACCELERATOR, NETWORK, Reduction

Fails = Callable[[NetworkPoint], bool]
"""Whether a case fails; a case that cannot be run, as the mapper refuses it, does not."""


class ShrinkError(ValueError):
    """Nothing to make smaller, or no budget to do it with; one line."""


@dataclass(frozen=True)
class Budget:
    """How long to try: calls of the predicate, and seconds, after which no other call begins."""

    tries: int = 300
    seconds: float = 900.0

    def __post_init__(self) -> None:
        if isinstance(self.tries, bool) or not isinstance(self.tries, int) or self.tries < 1:
            raise ShrinkError(
                f"tries must be an integer of 1 or more, not {self.tries!r}: the first is the case itself"
            )
        if not self.seconds > 0:
            raise ShrinkError(f"seconds must be more than 0, not {self.seconds!r}: give it a minute or more")


@dataclass(frozen=True)
class Shrunk:
    """The smallest failing case that was found; `complete` says that none of its steps fails, not that time ran out."""

    point: NetworkPoint
    tries: int
    seconds: float
    complete: bool


def shrink(
    point: NetworkPoint,
    fails: Fails,
    budget: Budget,
    say: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Shrunk:
    """Return a case that fails and is nowhere larger; ShrinkError if the case itself does not fail.

    First the network, the sentence and the memory become smaller, then the accelerator, each until none of its steps
    fails, and all again until nothing changes. Ctrl-C ends it with what was found so far.
    """
    search = _Search(point, fails, budget, say, clock, clock())
    if not search.differs("the case itself", point):
        raise ShrinkError("case must be one that fails, not one that passes: run it with --case to see the comparison")
    try:
        complete = search.run((NETWORK, ACCELERATOR))
    except KeyboardInterrupt:
        say("interrupted")
        complete = False
    return Shrunk(search.point, search.tries, clock() - search.started, complete)


class _SpentError(Exception):
    """The budget is spent."""


@dataclass
class _Search:
    """The smallest case so far, what passed, and what the search has cost."""

    point: NetworkPoint
    fails: Fails
    budget: Budget
    say: Callable[[str], None]
    clock: Callable[[], float]
    started: float
    tries: int = 0
    passed: set[NetworkPoint] = field(default_factory=set)

    def run(self, phases: Sequence[Sequence[Reduction]]) -> bool:
        """Settle the phases in turn until nothing gets smaller; False if the budget was spent before."""
        try:
            before = None
            while before != self.point:
                before = self.point
                for phase in phases:
                    self.settle(phase)
        except _SpentError:
            return False
        return True

    def settle(self, phase: Sequence[Reduction]) -> None:
        """Apply the reductions of a phase, each for as long as it helps, until none does."""
        before = None
        while before != self.point:
            before = self.point
            for reduction in phase:
                while self.step(reduction):
                    pass

    def step(self, reduction: Reduction) -> bool:
        """Go to the first smaller case of a reduction that fails, if one does."""
        for label, smaller in reduction(self.point):
            if smaller not in self.passed and self.differs(label, smaller):
                self.point = smaller
                return True
        return False

    def differs(self, label: str, point: NetworkPoint) -> bool:
        """Ask the predicate, within the budget, and remember what passes."""
        spent = self.clock() - self.started
        if self.tries >= self.budget.tries or spent >= self.budget.seconds:
            raise _SpentError
        self.tries += 1
        failed = self.fails(point)
        if not failed:
            self.passed.add(point)
        verdict = "still fails" if failed else "passes or is refused"
        self.say(f"[{self.tries}/{self.budget.tries}, {spent:.0f}/{self.budget.seconds:.0f} s] {label}: {verdict}")
        return failed

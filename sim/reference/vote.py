"""What the members of a network say together, and how few of them are enough: docs/arithmetic.md, section 11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.reference.integers import Integers, round_shift, wide


def leader(totals: NDArray[Any]) -> int:
    """Return the class with the largest total, the lowest class of equals."""
    return totals.tolist().index(totals.max())


def contribution(vote: str, logits: NDArray[Any], multiplier: int, shift: int, bound: int) -> Integers:
    """Return what a member adds to the total of each class."""
    if vote == "hard":
        chosen = np.arange(len(logits)) == leader(logits)
        return np.where(chosen, np.int64(multiplier), 0)
    products = wide("logit x multiplier", wide("logits", logits, 32) * multiplier, 48)
    rounded = round_shift(products, shift)
    return rounded if vote == "mean" else np.clip(rounded, -bound, bound)


def swing(vote: str, multiplier: int, bound: int) -> int:
    """Return how far a member can move two totals against each other."""
    return multiplier if vote == "hard" else 2 * bound


def is_decided(totals: NDArray[Any], remaining: int) -> bool:
    """Return whether no vote that remains, of so much swing in all, can change the class."""
    best = leader(totals)
    for other, total in enumerate(totals.tolist()):
        lead = int(totals[best]) - total
        if (other > best and lead < remaining) or (other < best and lead <= remaining):
            return False
    return True


def members_run(contributions: NDArray[Any], swings: Sequence[int]) -> int:
    """Return after how many members, in their order, the class is decided."""
    for count in range(1, len(swings)):
        if is_decided(contributions[:count].sum(axis=0), sum(swings[count:])):
            return count
    return len(swings)

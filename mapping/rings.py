"""What is in a buffer while a schedule runs: slots of equal size, or one place for each item where all of them fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate

MAX_SLOTS = 120
"""Two buffers released by one unit stay below the 255 tokens that a counter can hold."""


class Ring:
    """The items of one buffer, numbered from 0, with their sizes in lines.

    If all items fit together, each has a place of its own and none is ever replaced. Else the buffer is cut into slots
    of the largest size, and a new item takes the slot that was used longest ago.
    """

    def __init__(self, sizes: Sequence[int], capacity: int) -> None:
        self.resident = sum(sizes) <= capacity
        self.slots = len(sizes) if self.resident else min(MAX_SLOTS, capacity // max(sizes))
        if self.resident:
            self._lines = [0, *accumulate(sizes)][:-1]
        else:
            self._lines = [slot * max(sizes) for slot in range(self.slots)]
        self._held: OrderedDict[int, int] = OrderedDict()
        self._used: dict[int, int] = {}

    def access(self, step: int, item: int) -> tuple[int, int | None]:
        """Use an item in a step: return its line and, if it is not there yet, the first step in which it may come."""
        free: int | None = None
        if item not in self._held:
            slot, free = self._place(item)
            self._held[item] = slot
        self._held.move_to_end(item)
        self._used[item] = step
        return self._lines[self._held[item]], free

    def _place(self, item: int) -> tuple[int, int]:
        """Return a slot for a new item and the first step after the last use of what was in it."""
        if self.resident:
            return item, 0
        if len(self._held) < self.slots:
            return len(self._held), 0
        victim, slot = self._held.popitem(last=False)
        return slot, self._used.pop(victim) + 1

"""How a product of codes with codes counts: sets, planes, and what the array makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapping.whole.context import Context, Stored

MAX_SHIFT = 31
"""The most places by which an instruction shifts."""


class Kinds:
    """The sets and planes of the two operands of an operation; sums of what `plain` products give are doubled."""

    def __init__(self, c: Context, o: Any, left: str, right: str) -> None:
        self._c, self._o = c, o
        one, other = c.value(left), c.value(right)
        if one.bits == 1 and one.set == "signed" and (other.bits, other.set) != (1, "signed"):
            raise c.refuse(o, f"signed bits must meet signed bits here, not {other}")
        self.left_planes, self.right_planes = one.bits, other.bits
        self.unsigned = int(one.bits > 1 or one.set == "unsigned")
        self.plain = int(self.unsigned and (other.bits, other.set) != (1, "signed"))
        self._negative = tuple(int(value.bits > 1 and value.set == "signed") for value in (one, other))

    def operands(self, left: Stored, right: Stored) -> dict[str, int]:
        """Return the operands of a MATMUL that say how it counts."""
        several = {"activation": (self.left_planes, left), "weight": (self.right_planes, right)}
        result = {"unsigned": self.unsigned, "plain": self.plain}
        for (name, (planes, stored)), negative in zip(several.items(), self._negative, strict=True):
            stride = stored.plane_lines if planes > 1 else 0
            result |= {f"{name}_planes": planes, f"{name}_plane_stride": stride, f"{name}_negative": negative}
        return result

    def thresholds(self, thresholds: np.ndarray) -> np.ndarray:
        """Return what the sums are compared with: of doubled ones, which are even, the odd number below."""
        return (thresholds.astype(np.int64) << self.plain) - self.plain

    @property
    def pairs(self) -> int:
        """Pairs of planes: how often a tile goes through its words."""
        return self.left_planes * self.right_planes

    def check_inputs(self, words: int) -> None:
        """Refuse sums that the array cannot hold."""
        largest = ((1 << self.left_planes) - 1) * ((1 << self.right_planes) - 1)
        self._c.check_sums(self._o, words * self._c.accelerator.word_bits * largest << self.plain)

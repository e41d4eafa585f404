"""Random SUMS and VECTOR instructions of loose programs: every part on and off, any place, any number of lanes.

What VECTOR reads of the fixed buffer and what it writes there are different halves, until an instruction waits for all
before it.
"""

from __future__ import annotations

from random import Random

from hw.arch import Accelerator
from hw.isa import Source, Unit

Operands = dict[str, int]


class LooseVectors:
    """Makes operands of VECTOR for one program; remembers which rows a norm may follow."""

    def __init__(self, accelerator: Accelerator, random: Random) -> None:
        self.a = accelerator
        self.random = random
        half = accelerator.fixed_lines // 2
        self.halves = [range(half), range(half, 2 * half)]
        self.rows_of_statistics, self.channels_of_statistics = 0, 0

    def make(self, codes: range) -> Operands:
        """Return the operands of an instruction; its codes go to activation lines in `codes`."""
        a, number = self.a, self._number
        waits = number(0, 2) != 0
        if waits:
            self.random.shuffle(self.halves)
        rows, channels = self._shape()
        source = self.random.choice(list(Source))
        operands = {"source": source, "rows": rows, "channels": channels, "shift": number(0, 31)}
        line = self._sums(rows, channels) if source is Source.SUMS else self._fixed(0, rows, channels)
        operands["source_line"] = line
        operands |= self._parameters(channels) | {"wait": waits << Unit.VECTOR}
        planes = number(2, a.code_bits) if a.code_bits > 1 and number(0, 3) == 0 else 1
        if planes > 1 and (place := self._planes(codes, channels, planes)):
            return operands | place | {"scale": 1, "sets": 1, "planes": planes, "code_signed": number(0, 1)}
        scale = number(0, 3) > 0
        operands["scale"] = int(scale)
        normalise = source is Source.FIXED and self._may_normalise(rows, channels) and number(0, 3) > 0
        operands["normalise"] = int(normalise)
        if scale or (source is Source.FIXED and not normalise):
            operands |= self._result(rows, channels, in_place=waits)
        return operands | self._codes(codes, channels)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _shape(self) -> tuple[int, int]:
        """Return rows and channels; often those of the last statistics, so that a norm may follow."""
        a = self.a
        if self.rows_of_statistics and self.random.random() < 0.6:
            return self._number(1, self.rows_of_statistics), self.channels_of_statistics
        rows = self._number(1, a.rows)
        slices = min(len(self.halves[0]) // rows, a.scale_lines, a.level_lines, 6)
        if slices == 0:
            rows, slices = 1, 1
        blocks = -(-rows // a.drain_rows)
        most = min(slices * a.vector_lanes, a.sum_lines // blocks * a.sum_line_sums)
        return (rows, self._number(1, most)) if most else (1, 1)

    def _may_normalise(self, rows: int, channels: int) -> bool:
        return rows <= self.rows_of_statistics and channels == self.channels_of_statistics

    def _sums(self, rows: int, channels: int) -> int:
        a = self.a
        return self._number(0, a.sum_lines - -(-rows // a.drain_rows) * -(-channels // a.sum_line_sums))

    def _fixed(self, half: int, rows: int, channels: int) -> int:
        """Return a first line of the half that is read (0) or written (1)."""
        space = self.halves[half]
        return space.start + self._number(0, len(space) - rows * self._slices(channels))

    def _slices(self, channels: int) -> int:
        return -(-channels // self.a.vector_lanes)

    def _parameters(self, channels: int) -> Operands:
        a, slices = self.a, self._slices(channels)
        return {
            "scale_line": self._number(0, a.scale_lines - slices),
            "level_line": self._number(0, a.level_lines - slices),
            "epsilon": self.random.choice([0, 1, self._number(0, (1 << 31) - 1)]),
        }

    def _result(self, rows: int, channels: int, in_place: bool) -> Operands:
        """Return what becomes of fixed numbers: added to others, kept, added up."""
        operands = {"add": self._number(0, 1), "keep": self._number(0, 2) and 1, "statistics": self._number(0, 1)}
        operands["fixed_line"] = self._fixed(1, rows, channels)
        together = in_place and self._number(0, 1)
        operands["add_line"] = operands["fixed_line"] if together else self._fixed(0, rows, channels)
        if operands["statistics"]:
            self.rows_of_statistics, self.channels_of_statistics = rows, channels
        return operands

    def _codes(self, space: range, channels: int) -> Operands:
        """Return sets of codes, each in lines of its own or anywhere."""
        a, names = self.a, ("code_line", "code_line_1", "code_line_2")
        group = self._number(0, 2 * a.line_slices)
        lines = -(-(group + self._slices(channels)) // a.line_slices)
        sets = min(self._number(0, 3), len(space) // lines)
        if self._number(0, 2):
            firsts = self.random.sample(range(space.start, space.stop - lines + 1, lines), sets)
        else:
            firsts = [space.start + self._number(0, len(space) - lines) for _ in range(sets)]
        return {"sets": sets, "code_group": group} | dict(zip(names, firsts, strict=False))

    def _planes(self, space: range, channels: int, planes: int) -> Operands:
        """Return where the planes of codes go, or nothing if there is no room for them."""
        a = self.a
        group = self._number(0, a.line_slices)
        lines = -(-(group + self._slices(channels)) // a.line_slices)
        if lines * planes > len(space):
            return {}
        stride = self._number(0, (len(space) - lines) // (planes - 1))
        first = space.start + self._number(0, len(space) - lines - (planes - 1) * stride)
        return {"code_line": first, "code_line_1": stride, "code_group": group}

    def _number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)
